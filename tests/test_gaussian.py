"""Weights with the Gaussian bottleneck of phase 1: what their file holds, and what is drawn."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch

from glc import Codec
from glc.errors import WeightsError
from glc.latents.sampling import Draw, draw_normal
from glc.runtime.torch import bottleneck_tensors
from glc.weights import checkpoint, manifest, registry


@pytest.fixture(scope="module")
def gaussian(gaussian_path):
    return Codec.from_pretrained(gaussian_path, device="cpu")


def pixels(picture):
    return np.asarray(picture, np.int16)


def test_the_file_gives_back_both_parts(gaussian_path, micro_path, gaussian_layers):
    loaded, plain = checkpoint.load(gaussian_path), checkpoint.load(micro_path)
    assert plain.bottleneck is None
    assert loaded.tensors.keys() == plain.tensors.keys()
    stored = bottleneck_tensors(gaussian_layers)
    assert loaded.bottleneck.keys() == stored.keys()
    for name, array in stored.items():
        assert np.array_equal(loaded.bottleneck[name], array), name
    assert loaded.identity == manifest.identity_of(gaussian_path.read_bytes()) != plain.identity


def test_parameters_are_those_of_the_codec(gaussian_path, micro_path, monkeypatch):
    told = []
    for file in (gaussian_path, micro_path):
        monkeypatch.setattr(registry, "model_folders", lambda file=file: [file.parent])
        told.append(registry.installed()[0].parameters)
    assert told[0] == told[1]


def test_coded_files_do_without(gaussian, gaussian_path, micro, make_picture):
    picture = make_picture(70, 90)
    coded, plain = gaussian.encode(picture, 60), micro.encode(picture, 60)
    assert len(coded) == len(plain)
    assert np.array_equal(pixels(gaussian.decode(coded)), pixels(micro.decode(plain)))
    quick = Codec.from_pretrained(gaussian_path, runtime="onnxruntime")
    assert np.abs(pixels(quick.decode(coded)) - pixels(micro.decode(plain))).max() <= 1
    drawn = [codec.sample(1, (40, 40), seed=3, prior="normal")[0] for codec in (quick, gaussian)]
    assert np.abs(pixels(drawn[0]) - pixels(drawn[1])).max() <= 1


def lacking(tensors):
    del tensors["expand.bias"]


def surplus(tensors):
    tensors["expand.scale"] = np.zeros(3, np.float16)


def too_narrow(tensors):
    tensors["moments.weight"] = tensors["moments.weight"][:16].copy()


def integers(tensors):
    tensors["moments.bias"] = tensors["moments.bias"].astype(np.int32)


def infinite(tensors):
    tensors["expand.weight"] = np.full_like(tensors["expand.weight"], np.inf)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lacking, r"bottleneck\.expand\.bias: expected shape \(16,\) of floats, found nothing"),
        (surplus, r"unexpected tensors: bottleneck\.expand\.scale"),
        (too_narrow, r"bottleneck\.moments\.weight: expected shape \(32, 16, 1, 1\)"),
        (integers, r"bottleneck\.moments\.bias: .* found int32"),
        (infinite, r"bottleneck\.expand\.weight holds values that are not finite"),
    ],
)
def test_a_malformed_bottleneck_is_refused_by_name(gaussian_path, tmp_path, spoil, message):
    loaded = checkpoint.load(gaussian_path)
    layers = dict(loaded.bottleneck)
    spoil(layers)
    bad = tmp_path / "bad.safetensors"
    checkpoint.save(bad, loaded.config, "bad", "", loaded.tensors, layers)
    with pytest.raises(WeightsError, match=message):
        checkpoint.load(bad)


def test_metadata_and_tensors_must_agree(gaussian_path, tmp_path):
    loaded = checkpoint.load(gaussian_path)
    bad = tmp_path / "bad.safetensors"
    checkpoint.save(bad, loaded.config, "bad", "", loaded.tensors, {})
    with pytest.raises(WeightsError, match=r"bottleneck\.moments\.weight: .* found nothing"):
        checkpoint.load(bad)
    silent = {f"bottleneck.{name}": array for name, array in loaded.bottleneck.items()}
    checkpoint.save(bad, loaded.config, "bad", "", loaded.tensors | silent)
    for runtime in ("torch", "onnxruntime"):
        with pytest.raises(WeightsError, match=r"unexpected tensors: bottleneck\."):
            Codec(checkpoint.load(bad), runtime=runtime)
    data = gaussian_path.read_bytes()
    bad.write_bytes(data.replace(b'bottleneck\\": \\"gaussian', b'bottleneck\\": \\"gaussiaN'))
    with pytest.raises(WeightsError, match=r"bottleneck 'gaussiaN'; this release knows 'gaussian'"):
        checkpoint.load(bad)


def test_samples_are_what_the_decoder_shows_of_noise(gaussian, gaussian_layers):
    drawn = gaussian.sample(2, (70, 40), seed=5, prior="normal")
    assert [(p.mode, p.size) for p in drawn] == [("RGB", (70, 40))] * 2
    for number, picture in enumerate(drawn):
        z = torch.from_numpy(draw_normal(16, 3, 5, Draw(5, number)))
        l = gaussian_layers.expand(z)[0].permute(1, 2, 0).numpy()
        shown = gaussian.from_latents(l, (70, 40))
        assert np.abs(pixels(shown) - pixels(picture)).max() <= 1
    assert not np.array_equal(pixels(drawn[0]), pixels(drawn[1]))
    assert gaussian.sample(0, prior="normal") == []
    learned = gaussian.sample(1, (70, 40), seed=5)[0]
    assert not np.array_equal(pixels(learned), pixels(drawn[0]))
    cold = gaussian.sample(1, (70, 40), seed=5, temperature=1e-9, prior="normal")[0]
    nothing = gaussian_layers.expand.bias.expand(3, 5, 16).numpy()
    assert np.abs(pixels(cold) - pixels(gaussian.from_latents(nothing, (70, 40)))).max() <= 1


def test_models_without_a_bottleneck_say_so(micro):
    for count in (0, 1):
        with pytest.raises(WeightsError, match=r"micro has no prior 'normal'.*--regulariser kl"):
            micro.sample(count, prior="normal")
    with pytest.raises(ValueError, match="prior: expected one of"):
        micro.sample(prior="uniform")


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"temperature": 0.0}, {"size": (0, 5)}])
def test_normal_samples_of_wrong_arguments(gaussian, arguments):
    with pytest.raises(ValueError, match="expected"):
        gaussian.sample(prior="normal", **arguments)


def test_numbers_are_normal():
    numbers = Draw(2, 0).normals(40_001)
    assert numbers.shape == (40_001,)
    assert numbers.mean() == pytest.approx(0.0, abs=0.02)
    assert numbers.std() == pytest.approx(1.0, abs=0.02)
    assert (np.abs(numbers) < 1).mean() == pytest.approx(0.6827, abs=0.01)
    assert np.mean(numbers**4) == pytest.approx(3.0, abs=0.15)
    assert np.corrcoef(numbers[:-1:2], numbers[1::2])[0, 1] == pytest.approx(0.0, abs=0.03)
    assert np.allclose(Draw(2, 0, 0.25).normals(9), 0.5 * Draw(2, 0).normals(9))


def test_the_numbers_of_a_seed_stay():
    """Literals, as for the symbols of a seed; here computed with the functions of ``math``."""
    bits = np.random.PCG64(np.random.SeedSequence((7, 3)))
    u = [(int(raw) >> 11) * 2.0**-53 for raw in bits.random_raw(4)]
    expected = []
    for radius, angle in zip(u[:2], u[2:], strict=True):
        length = math.sqrt(-2.0 * math.log(1.0 - radius))
        expected += [length * f(2.0 * math.pi * angle) for f in (math.cos, math.sin)]
    assert np.allclose(Draw(7, 3).normals(4), expected, rtol=1e-12)
    assert np.allclose(Draw(7, 3).normals(4), STREAM, rtol=1e-6)


STREAM = [0.30709811, 2.69928430, -0.24408301, -2.06362729]


def test_latents_are_as_the_decoder_was_shown_them(gaussian, gaussian_layers, micro, make_picture):
    a, b = make_picture(40, 70, 1), make_picture(40, 70, 2)
    for picture in (a, b):
        l = torch.from_numpy(micro.latents(picture)).permute(2, 0, 1)[None]
        expected = gaussian_layers.clean(l)[0].permute(1, 2, 0).numpy()
        assert np.allclose(gaussian.latents(picture), expected, atol=1e-5)
    between = gaussian.interpolate(a, b, 3)
    for end, found in ((a, between[0]), (b, between[-1])):
        shown = gaussian.from_latents(gaussian.latents(end), (70, 40))
        assert np.abs(pixels(shown) - pixels(found)).max() <= 1
    data = gaussian.encode(a, 60)
    shown = pixels(gaussian.from_latents(gaussian.latents(data), (70, 40)))
    assert np.abs(pixels(gaussian.decode(data)) - shown).max() <= 1


def test_a_pickled_codec_keeps_its_bottleneck(gaussian):
    again = pickle.loads(pickle.dumps(gaussian))
    drawn = [codec.sample(1, (32, 32), prior="normal")[0] for codec in (gaussian, again)]
    assert np.array_equal(pixels(drawn[0]), pixels(drawn[1]))
