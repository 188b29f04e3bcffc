"""A file written in any setting decodes to the same symbols in every other (docs/architecture.md).

Reading compares the checksum of the symbols, so that a difference would raise CorruptError.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from glc import Codec
from glc.runtime.precision import in_autocast_of_caller
from glc.weights import registry

QUALITIES = (0, 31, 100)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def without_onednn() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TF32 acceleration", category=UserWarning)
        with torch.backends.mkldnn.flags(enabled=False):
            yield


SETTINGS = {
    "1 thread": (lambda: threads(1), 1, False),
    # In larger batches, because two threads wait for each other long on a busy machine.
    "2 threads": (lambda: threads(2), 4, False),
    "batch 3": (lambda: threads(1), 3, False),
    "batch 8": (lambda: threads(1), 8, False),
    "channels last": (lambda: threads(1), 2, True),
    "no oneDNN": (without_onednn, 1, False),
    "no oneDNN, batch 8": (without_onednn, 8, False),
}


@pytest.fixture(scope="module")
def codecs(load_micro):
    plain, other = load_micro(), load_micro()
    other.networks.model.to(memory_format=torch.channels_last)
    return {False: plain, True: other}


def batches(items: list, size: int) -> list[list]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def encode(codecs, setting: str, pictures: list, quality: int, version: int) -> list[bytes]:
    context, size, last = SETTINGS[setting]
    with context():
        groups = [
            codecs[last].encode_batch(g, quality, version=version) for g in batches(pictures, size)
        ]
    return [data for group in groups for data in group]


@pytest.mark.parametrize("writer", SETTINGS)
def test_every_setting_reads_what_another_wrote(codecs, symbols_of, make_picture, writer, version):
    pictures = [make_picture(120 + seed % 8, 70, seed) for seed in range(8)]
    for quality in QUALITIES:
        files = encode(codecs, writer, pictures, quality, version)
        expected = symbols_of(codecs[False], *files)
        for reader, (context, size, last) in SETTINGS.items():
            with context():
                found = [s for g in batches(files, size) for s in symbols_of(codecs[last], *g)]
            assert found == expected, reader


def test_neighbours_in_a_batch_do_not_matter(micro, symbols_of, make_picture):
    """Smaller pictures of the same padded size code fewer positions."""
    files = [micro.encode(make_picture(*size)) for size in ((128, 64), (65, 1), (100, 33))]
    together = symbols_of(micro, *files)
    assert together == [symbols_of(micro, data)[0] for data in files]


def test_positions_outside_the_picture_are_zero(micro, symbols_of, make_picture):
    (symbols,) = symbols_of(micro, micro.encode(make_picture(17, 70), 100))
    # One row of two z indices of 16 bits, then 16 channels of 4 x 8 positions.
    y = np.frombuffer(symbols[4:], "<i2").reshape(16, 4, 8)
    assert y[:, :2, :5].any()
    assert not y[:, 2:].any()
    assert not y[:, :, 5:].any()


def test_a_difference_in_the_floats_changes_no_symbol(micro, load_micro, symbols_of, make_picture):
    """Another machine rounds differently: here far more than any real one would."""
    noisy = load_micro()
    with torch.no_grad():
        for name, parameter in noisy.networks.model.named_parameters():
            if not name.startswith("scale_map."):
                parameter.mul_(1.0 + 1e-2 * torch.randn_like(parameter))
    files = [micro.encode(make_picture(130, 70, seed), 60) for seed in range(4)]
    assert symbols_of(noisy, *files) == symbols_of(micro, *files)


@contextmanager
def changed(setter: Callable[[Any], None], value: Any, back: Any) -> Iterator[None]:
    setter(value)
    try:
        yield
    finally:
        setter(back)


@contextmanager
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


AMBIENT = {
    **{
        f"default type {kind}": lambda kind=kind: changed(
            torch.set_default_dtype, kind, torch.float32
        )
        for kind in (torch.float64, torch.float16, torch.bfloat16)
    },
    # No machine has less in common with a CPU than this.
    "default device": lambda: changed(torch.set_default_device, "meta", None),
    "device of a block": lambda: torch.device("meta"),
    "autocast to bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast to float16": lambda: torch.autocast("cpu", torch.float16),
    "precision of products": lambda: changed(
        torch.set_float32_matmul_precision, "medium", "highest"
    ),
    "inference": torch.inference_mode,
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "warnings are errors": warnings_are_errors,
    "deterministic": lambda: changed(torch.use_deterministic_algorithms, True, False),
    "no denormals": lambda: changed(torch.set_flush_denormal, True, False),
    "gradients": torch.enable_grad,
    "numpy errors": lambda: np.errstate(all="raise"),
}


def everything_of(codec: Codec, picture: np.ndarray, data: bytes) -> dict[str, bytes]:
    """Return what every method of a codec gives."""
    tiled = copy.copy(codec)
    tiled.tile = 64
    partial = codec.decode_partial(data[: len(data) * 3 // 4])
    codec.verify(data)
    return {
        "encode": codec.encode(picture, 60),
        "encode_to_size": codec.encode_to_size(picture, len(data)),
        "decode": codec.decode(data).tobytes(),
        "decode_partial": partial.image.tobytes(),
        "preview": codec.preview(data).tobytes(),
        "encode in tiles": tiled.encode(picture, 60),
        "decode in tiles": tiled.decode(data).tobytes(),
        "bits": repr(codec.bits(picture)).encode(),
        "surprise": repr(codec.surprise(picture)).encode(),
        "bit_map": codec.bit_map(picture).tobytes(),
        "bit_map of a file": codec.bit_map(data).tobytes(),
        "sample": codec.sample(1, (64, 64))[0].tobytes(),
        "sample from noise": codec.sample(1, (64, 64), prior="normal")[0].tobytes(),
        "interpolate": codec.interpolate(picture, picture[::-1], 3)[1].tobytes(),
        "latents": codec.latents(picture).tobytes(),
        "latents of a file": codec.latents(data).tobytes(),
        "from_latents": codec.from_latents(codec.latents(picture)).tobytes(),
    }


@pytest.fixture(scope="module")
def undisturbed(gaussian_path, make_picture):
    codec, picture = Codec.from_pretrained(gaussian_path, device="cpu"), make_picture(70, 90)
    data = codec.encode(picture, 60)
    return codec, picture, data, everything_of(codec, picture, data)


@pytest.mark.parametrize("name", AMBIENT)
def test_what_a_program_sets_for_itself_changes_nothing(undisturbed, gaussian_path, name):
    codec, picture, data, expected = undisturbed
    with AMBIENT[name]():
        found = everything_of(codec, picture, data)
        fresh = Codec.from_pretrained(gaussian_path, device="cpu")
        assert fresh.encode(picture, 60) == data
        assert fresh.decode(data).tobytes() == expected["decode"]
        if name == "precision of products":
            # One switch for the whole process: it is the program's own again.
            assert torch.get_float32_matmul_precision() == "medium"
    assert [method for method in expected if found[method] != expected[method]] == []


def test_autocast_of_the_caller_reaches_a_codec_only_when_told_to(undisturbed):
    codec, picture, data, expected = undisturbed
    with torch.autocast("cpu", torch.bfloat16):
        with in_autocast_of_caller():
            inside = codec.decode(data).tobytes()
        assert torch.is_autocast_enabled("cpu")
        assert codec.decode(data).tobytes() == expected["decode"]
        # The caller's own work goes on as before.
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    assert inside != expected["decode"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_and_cpu_read_each_other(micro, load_micro, symbols_of, make_picture):
    cuda = load_micro("cuda")
    pictures = [make_picture(120, 70, seed) for seed in range(8)]
    for quality in QUALITIES:
        for writer in (micro, cuda):
            files = [*writer.encode_batch(pictures[:5], quality)]
            files += [writer.encode(picture, quality) for picture in pictures[5:]]
            expected = symbols_of(micro, *files)
            assert symbols_of(cuda, *files) == expected
            assert [symbols_of(cuda, data)[0] for data in files] == expected


@pytest.fixture(scope="module")
def shipped() -> Codec:
    models = registry.installed()
    if not models:
        pytest.skip("no trained weights in weights/")
    return Codec.from_pretrained(models[0].path, device="cpu")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    path = Path(__file__).parent.parent / "examples" / "coffee.png"
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))[60:316, 100:420]


def test_shipped_weights_read_the_same_in_every_setting(shipped, symbols_of, photo):
    crops = [photo[y : y + 120, x : x + 128] for y in (0, 120) for x in (0, 180)]
    for quality in (0, 50, 100):
        for written in (
            shipped.encode_batch(crops, quality),
            shipped.encode_batch(crops[:1], quality, version=1),
        ):
            with threads(1):
                expected = symbols_of(shipped, *written)
                assert [symbols_of(shipped, data)[0] for data in written] == expected
            with threads(2):
                assert symbols_of(shipped, *written) == expected
            with without_onednn():
                assert symbols_of(shipped, *written) == expected


def test_shipped_weights_size_estimate_and_sums(shipped, photo):
    for quality in (0, 50, 100):
        estimate = shipped.bits(photo, quality) / 8
        assert abs(len(shipped.encode(photo, quality)) - estimate) <= 0.01 * estimate + 16
    p = {name: value.abs() for name, value in shipped.networks.model.scale_map.integers().items()}
    span = 100 // (len(p["bias"]) - 1)
    total = 127 * p["weight"].sum(1).max() + p["bias"].max()
    assert float(total + 127 * p["context_weight"].sum(2).max()) < 2**24
    assert float(span * p["bias"].max()) < 2**24


def test_shipped_weights_give_the_picture_back(shipped, photo):
    sizes = []
    for quality in (0, 50, 100):
        data = shipped.encode(photo, quality)
        sizes.append(len(data))
        decoded = np.asarray(shipped.decode(data), np.float64)
        error = np.square(decoded - photo).mean()
        # Any picture of the right scene; the curve itself is measured by eval.
        assert error < 0.5 * photo.astype(np.float64).var()
    assert sizes[0] < sizes[1] < sizes[2]
