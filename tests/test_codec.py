"""Pictures to bytes and back, with random weights."""

from __future__ import annotations

import io
import threading
import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from glc import Codec
from glc.bitstream import FORMAT_VERSION, FORMAT_VERSIONS, Container, Limits, pack, unpack
from glc.config import QUALITY_MAX
from glc.errors import (
    BitstreamError,
    CorruptError,
    GlcError,
    ImageError,
    LimitError,
    NotGlcError,
    TruncatedError,
    VersionError,
    WeightsError,
)
from glc.weights import registry

SIZES = [(1, 1), (1, 400), (63, 65), (128, 64), (200, 77)]


@pytest.fixture(scope="module")
def load_micro(micro_path, runtime):
    """Return a function that gives a new codec with the micro weights, in each runtime."""
    return partial(Codec.from_pretrained, micro_path, runtime=runtime, device="cpu")


@pytest.fixture(scope="module")
def micro(load_micro):
    return load_micro()


@pytest.fixture(scope="module", params=["micro", "linear", "two_decoders"])
def codec(request, runtime):
    """A codec of each architecture, in each runtime."""
    path = request.getfixturevalue(f"{request.param}_path")
    return Codec.from_pretrained(path, runtime=runtime, device="cpu")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("quality", [0, 50, 100])
def test_round_trip(codec, make_picture, size, quality, version):
    (data,) = codec.encode_batch([make_picture(*size)], quality, version=version)
    codec.verify(data)
    decoded = codec.decode(data)
    assert (decoded.mode, decoded.size) == ("RGB", (size[1], size[0]))
    container = unpack(data)
    assert (container.height, container.width, container.quality) == (*size, quality)
    assert container.model == codec.identity[:3]
    assert container.version == version


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("quality", [0, 50, 100])
def test_the_decoder_shows_what_the_encoder_meant(codec, request, make_picture, size, quality):
    """The same networks on the encoder's own symbols give the decoded picture."""
    from glc import image

    picture = image.from_array(make_picture(*size))
    path = request.getfixturevalue(f"{codec.name}_path")
    model = Codec.from_pretrained(path, runtime="torch", device="cpu").networks.model
    with torch.inference_mode():
        latents = codec.analyse([picture])
        indices, _, symbols = codec.quantise([picture], latents, quality)
        digits = model.hyper_codebook.to_digits(torch.from_numpy(indices).long())
        levels = torch.tensor([quality])

        def exchange(step, mean, quant_step, rows, mask):
            return torch.from_numpy(symbols).float() * mask

        y_hat = model.code_symbols(digits, levels, exchange)
        x_hat = model.show(model.synthesis(y_hat, levels))[0, :, : size[0], : size[1]]
    expected = ((x_hat.clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()
    decoded = np.asarray(codec.decode(codec.encode(picture, quality)), np.float32)
    # Rounded, and then what is added in another order.
    assert np.abs(decoded - expected).max() <= (1.0 if codec.runtime == "torch" else 1.1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("quality", [0, 50, 100])
def test_every_version_holds_the_same_symbols_in_as_many_bytes(
    codec, make_picture, symbols_of, size, quality
):
    pixels = make_picture(*size)
    files = [codec.encode_batch([pixels], quality, version=v)[0] for v in FORMAT_VERSIONS]
    assert codec.encode(pixels, quality) == files[FORMAT_VERSIONS.index(FORMAT_VERSION)]
    lengths = [len(data) for data in files]
    assert max(lengths) - min(lengths) <= 2
    # Read as one batch, each in its own order.
    symbols = symbols_of(codec, *files)
    assert symbols == [symbols[0]] * len(files)
    pictures = codec.decode_batch(files)
    assert all(np.array_equal(np.asarray(pictures[0]), np.asarray(p)) for p in pictures)


def test_a_file_that_claims_another_version_is_damaged(micro, make_picture, version):
    (data,) = micro.encode_batch([make_picture(70, 90)], 60, version=version)
    claimed = data[:1] + bytes([data[1] ^ 3]) + data[2:]
    assert unpack(claimed).version == 3 - version
    with pytest.raises(CorruptError):
        micro.verify(claimed)


@pytest.mark.parametrize("wrong", [0, 3, 16, None])
def test_versions_that_do_not_exist_are_a_wrong_call(micro, make_picture, wrong):
    with pytest.raises(ValueError, match="version: expected one of"):
        micro.encode_batch([make_picture(20, 20)], version=wrong)


def test_symbols_of_the_test_model_vary(codec, make_picture):
    """Guards the other tests: with symbols all 0 they would show nothing."""
    from glc import image

    picture = image.from_array(make_picture(200, 77))
    indices, messages, symbols = codec.quantise([picture], codec.analyse([picture]), 50)
    rows = np.concatenate([rows for rows, _ in messages[0]])
    assert (symbols != 0).mean() > 0.2
    assert len(np.unique(indices)) > 2
    assert len(np.unique(rows)) > 20
    assert (rows == 0).any()


def test_every_kind_of_input_gives_the_same_file(micro, make_picture, tmp_path):
    pixels = make_picture(40, 70)
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    planes = torch.from_numpy(pixels).permute(2, 0, 1)
    expected = micro.encode(pixels, 40)
    sources = {
        "PIL": Image.fromarray(pixels),
        "path": path,
        "text": str(path),
        "uint8 tensor": planes,
        "float tensor": planes.float() / 255.0,
        "half tensor": planes.double() / 255.0,
        "view": np.flip(np.flip(pixels, 0).copy(), 0),
    }
    for name, source in sources.items():
        assert micro.encode(source, 40) == expected, name


def test_grey_and_alpha_come_back(micro, make_picture):
    grey = make_picture(30, 50, channels=1)
    assert micro.decode(micro.encode(grey)).mode == "L"
    assert micro.encode(torch.from_numpy(grey)[None]) == micro.encode(grey)
    assert micro.encode(Image.fromarray(grey)) == micro.encode(grey)
    four = make_picture(30, 50, channels=4)
    decoded = micro.decode(micro.encode(four))
    assert decoded.mode == "RGBA"
    assert np.array_equal(np.asarray(decoded)[..., 3], four[..., 3])
    planes = torch.from_numpy(four).permute(2, 0, 1)
    assert micro.encode(planes) == micro.encode(four)
    both = Image.fromarray(np.dstack([grey, four[..., 3]]), "LA")
    decoded = micro.decode(micro.encode(both))
    assert decoded.mode == "LA"
    assert np.array_equal(np.asarray(decoded)[..., 1], four[..., 3])
    opaque = np.dstack([four[..., :3], np.full((30, 50), 255, np.uint8)])
    assert micro.encode(opaque) == micro.encode(four[..., :3])


def test_metadata_is_kept_on_demand(micro, make_picture):
    exif = Image.Exif()
    exif[0x010E] = "a description"
    stream = io.BytesIO()
    Image.fromarray(make_picture(20, 20)).save(stream, "JPEG", exif=exif)
    picture = Image.open(stream)
    assert "exif" not in micro.decode(micro.encode(picture)).info
    decoded = micro.decode(micro.encode(picture, keep_metadata=True))
    assert decoded.getexif()[0x010E] == "a description"


def test_encoding_is_deterministic(micro, load_micro, make_picture):
    pixels = make_picture(100, 90)
    files = {micro.encode(pixels, 60) for _ in range(3)} | {load_micro().encode(pixels, 60)}
    assert len(files) == 1


def test_batches_of_different_sizes(codec, make_picture):
    sizes = [(64, 64), (63, 65), (64, 60), (1, 1), (128, 64), (50, 50)]
    pictures = [make_picture(*size, seed) for seed, size in enumerate(sizes)]
    pictures[2] = make_picture(64, 60, 2, channels=4)
    files = codec.encode_batch(pictures, 70)
    assert len(files) == len(sizes)
    files[1] = codec.encode(pictures[1], 10)
    decoded = codec.decode_batch(files)
    for index, (height, width) in enumerate(sizes):
        assert decoded[index].size == (width, height)
        alone = np.asarray(codec.decode(files[index]), np.int16)
        assert np.abs(alone - np.asarray(decoded[index], np.int16)).max() <= 1
    assert decoded[2].mode == "RGBA"
    assert codec.encode_batch([]) == []
    assert codec.decode_batch([]) == []


def test_a_damaged_file_spoils_a_batch_loudly(micro, make_picture):
    good = micro.encode(make_picture(30, 30))
    with pytest.raises(CorruptError):
        micro.decode_batch([good, good[:-1] + bytes([good[-1] ^ 1]), good])


@pytest.mark.parametrize("size", [(64, 64), (200, 77)])
def test_encode_to_size_respects_the_limit_and_uses_it(micro, make_picture, size):
    pixels = make_picture(*size)
    sizes = [len(micro.encode(pixels, quality)) for quality in (0, 100)]
    for limit in (sizes[0], sum(sizes) // 2, sizes[0] + 7, sizes[1]):
        data = micro.encode_to_size(pixels, limit)
        quality = unpack(data).quality
        assert len(data) <= limit
        assert data == micro.encode(pixels, quality)
        assert quality == QUALITY_MAX or len(micro.encode(pixels, quality + 1)) > limit
    assert unpack(micro.encode_to_size(pixels, 10**6)).quality == QUALITY_MAX
    with pytest.raises(ValueError, match="smallest file has"):
        micro.encode_to_size(pixels, 15)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("quality", [0, 33, 100])
def test_the_size_is_what_the_model_estimates(micro, make_picture, size, quality):
    pixels = make_picture(*size)
    estimate = micro.bits(pixels, quality) / 8
    assert abs(len(micro.encode(pixels, quality)) - estimate) <= 0.01 * estimate + 16


@pytest.mark.parametrize("quality", [-1, 101, 50.5, "50", None])
def test_quality_out_of_range(micro, make_picture, quality):
    with pytest.raises(ValueError, match="quality"):
        micro.encode(make_picture(8, 8), quality)


@pytest.mark.parametrize(
    "source",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        torch.zeros(4, 4),
        torch.zeros(2, 4, 4),
        torch.zeros(3, 4, 4, dtype=torch.int32),
        torch.full((3, 4, 4), 1.5),
        torch.full((3, 4, 4), float("nan")),
    ],
)
def test_arrays_of_the_wrong_kind(micro, source):
    with pytest.raises(ValueError, match=r"expected"):
        micro.encode(source)


def test_unreadable_pictures(micro, tmp_path):
    path = tmp_path / "text.png"
    path.write_text("no picture")
    with pytest.raises(ImageError, match=r"text\.png"):
        micro.encode(path)
    with pytest.raises(ImageError, match=r"missing\.png"):
        micro.encode(tmp_path / "missing.png")


def test_the_container_of_a_photo_takes_16_bytes(micro, make_picture):
    data = micro.encode(make_picture(512, 768), 20)
    assert len(data) - len(unpack(data).payload) <= 16


def test_every_prefix_is_truncated(micro, make_picture, version):
    (data,) = micro.encode_batch([make_picture(40, 48, channels=4)], 50, version=version)
    for length in range(len(data)):
        for call in (micro.decode, micro.verify):
            with pytest.raises(TruncatedError):
                call(data[:length])
    with pytest.raises(CorruptError):
        micro.decode(data + b"\0")


@pytest.mark.parametrize("channels", [3, 4])
def test_every_changed_byte_is_an_error_or_the_same_picture(micro, make_picture, channels, version):
    pixels = make_picture(40, 48, channels=channels)
    if channels == 4:
        pixels[..., 3] = np.where(np.arange(48) < 20, 0, 200)
    (data,) = micro.encode_batch([pixels], 50, version=version)
    expected = np.asarray(micro.decode(data))
    rng = np.random.default_rng(0)
    survivors = 0
    for position in range(len(data)):
        # Every byte of the header and of the end, every third between: they are alike.
        ends = position < 20 or position >= len(data) - 20
        for flip in {1 << int(rng.integers(8)), 0xFF} if ends or position % 3 == 0 else ():
            changed = bytearray(data)
            changed[position] ^= flip
            try:
                micro.verify(bytes(changed))
            except GlcError:
                continue
            else:
                survivors += 1
                assert np.array_equal(np.asarray(micro.decode(bytes(changed))), expected)
    # Only bits after the last that matters may change freely.
    assert survivors <= 8


def test_random_payloads_decode_to_an_error(micro, make_picture, version):
    container = unpack(micro.encode(make_picture(70, 70), 50))
    rng = np.random.default_rng(0)
    fields = (container.width, container.height, 50, container.model)
    for length in range(40):
        payload = rng.bytes(length * 10)
        forged = pack(Container(*fields, payload, (), container.checksum, version))
        with pytest.raises(CorruptError):
            micro.verify(forged)


def test_each_defect_has_its_error(micro, make_picture):
    data = micro.encode(make_picture(20, 20))
    cases = {
        NotGlcError: b"\x89PNG" + data[4:],
        VersionError: data[:1] + b"\xc3" + data[2:],
        TruncatedError: data[:-1],
        CorruptError: data[:5] + b"\x7f" + data[6:],
        WeightsError: data[:2] + bytes([data[2] ^ 1]) + data[3:],
    }
    for kind, changed in cases.items():
        with pytest.raises(kind):
            micro.decode(changed)
    with pytest.raises(TypeError):
        micro.decode("text")


def test_limits_come_before_any_work(load_micro, make_picture):
    codec = load_micro()
    data = codec.encode(make_picture(20, 30))
    codec.limits = Limits(max_pixels=599)
    with pytest.raises(LimitError):
        codec.decode(data)
    codec.limits = Limits(max_pixels=600)
    codec.decode(data)


def test_a_giant_claim_is_refused_before_anything_is_allocated(micro):
    giant = pack(Container(60_000, 60_000, 50, micro.identity[:3], bytes(3)))
    for call in (micro.decode, micro.verify):
        tracemalloc.start()
        try:
            with pytest.raises(LimitError, match="60000 x 60000"):
                call(giant)
            assert tracemalloc.get_traced_memory()[1] < 1 << 16
        finally:
            tracemalloc.stop()


def test_limits_reach_the_codec_of_a_file(micro, micro_path, make_picture, monkeypatch):
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(micro_path.parent))
    data = micro.encode(make_picture(20, 30))
    assert Codec.for_file(data, device="cpu", limits=Limits(max_side=30)).limits.max_side == 30
    with pytest.raises(LimitError):
        Codec.for_file(data, device="cpu", limits=Limits(max_side=29))


def test_another_model_is_refused_by_name(micro, make_model, make_picture, export_model, tmp_path):
    path = tmp_path / "other.safetensors"
    export_model(path, make_model(9), "other")
    other = Codec.from_pretrained(path, device="cpu")
    data = micro.encode(make_picture(20, 20))
    for call in (other.decode, other.verify):
        with pytest.raises(WeightsError) as caught:
            call(data)
        message = str(caught.value)
        for part in (micro.identity[:3].hex(), "other", other.identity[:3].hex()):
            assert part in message


def test_the_checksum_covers_the_whole_identity(load_micro, make_picture):
    codec, twin = load_micro(), load_micro()
    twin.coder.identity = codec.identity[:-1] + bytes([codec.identity[-1] ^ 1])
    with pytest.raises(CorruptError, match="checksum"):
        twin.verify(codec.encode(make_picture(20, 20)))


def test_for_file_finds_the_model(micro, micro_path, make_picture, monkeypatch):
    data = micro.encode(make_picture(20, 20))
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(micro_path.parent))
    codec = Codec.for_file(data, device="cpu")
    assert (codec.name, codec.identity) == (micro.name, micro.identity)
    monkeypatch.delenv(registry.MODELS_VARIABLE)
    with pytest.raises(WeightsError, match=micro.identity[:3].hex()):
        Codec.for_file(data, device="cpu")
    with pytest.raises(BitstreamError):
        Codec.for_file(b"nothing", device="cpu")


def test_the_bank_is_the_nearest_anchor(micro):
    # Three anchors: 0, 50 and 100; halfway the higher one.
    assert [micro.bank(q) for q in (0, 24, 25, 50, 74, 75, 100)] == [0, 0, 1, 1, 1, 2, 2]


def test_threads_get_the_same_bytes(micro, make_picture):
    pictures = [make_picture(40 + 9 * n, 50, n) for n in range(4)]
    expected = [micro.encode(picture, 50) for picture in pictures]
    failures: list[object] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for step in range(4):
            index = (number + step) % 4
            data = micro.encode(pictures[index], 50)
            if data != expected[index]:
                failures.append(index)
            try:
                micro.decode(data)
            except GlcError as error:
                failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
