"""Architecture 3: each end of realism has a decoder of its own, and between they are mixed."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from glc import Codec
from glc.config import REALISTIC_FEATURE_LIMIT, REALISTIC_INPUT_LIMIT
from glc.networks.autoencoder import ImageDecoder
from glc.runtime.mixture import mix
from glc.weights import checkpoint
from glc.weights.checkpoint import Checkpoint

RUNTIMES = ("torch", "onnxruntime")


@pytest.fixture(scope="module")
def weights(two_decoders_path) -> Checkpoint:
    return checkpoint.load(two_decoders_path)


@pytest.fixture(scope="module")
def data(two_decoders, make_picture) -> bytes:
    return two_decoders.encode(make_picture(150, 200), 60)


def show(weights: Checkpoint, runtime: str, data: bytes, realism: int, **how) -> np.ndarray:
    codec = Codec(weights, runtime=runtime, device="cpu", **how)
    return np.asarray(codec.decode(data, realism))


def without_second(weights: Checkpoint) -> Checkpoint:
    """Return the same model, of the same identity, as one of architecture 2."""
    tensors = {n: a for n, a in weights.tensors.items() if not n.startswith("realistic")}
    fields = weights.config.to_dict()
    kept = {n: value for n, value in fields.items() if not n.startswith("realistic")}
    config = type(weights.config).from_dict(kept | {"architecture": 2})
    return dataclasses.replace(weights, config=config, tensors=tensors)


def with_changed(weights: Checkpoint, prefix: str) -> Checkpoint:
    """Return the model with other numbers in the last layers of a decoder."""
    names = [n for n in weights.tensors if n.startswith(f"{prefix}.render")]
    assert len(names) == 2
    changed = {name: -weights.tensors[name] for name in names}
    return dataclasses.replace(weights, tensors=weights.tensors | changed)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_realism_0_is_the_faithful_decoder_alone(weights, data, runtime):
    found = show(weights, runtime, data, 0)
    assert np.array_equal(found, show(without_second(weights), runtime, data, 0))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_each_end_knows_nothing_of_the_other_decoder(weights, data, runtime):
    for realism, own, other in (
        (0, "decoder", "realistic_decoder"),
        (100, "realistic_decoder", "decoder"),
    ):
        found = show(weights, runtime, data, realism)
        assert np.array_equal(found, show(with_changed(weights, other), runtime, data, realism))
        assert (found != show(with_changed(weights, own), runtime, data, realism)).any()


@pytest.mark.parametrize("realism", [1, 50, 77, 99])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_lies_between_is_the_mixture(weights, data, runtime, realism):
    ends = [show(weights, runtime, data, end) for end in (0, 100)]
    assert np.array_equal(show(weights, runtime, data, realism), mix(*ends, realism / 100))


@pytest.mark.parametrize("realism", [0, 50, 100])
def test_8_bits_are_mixed_as_well(ranged_two_decoders_path, make_picture, realism):
    weights = checkpoint.load(ranged_two_decoders_path)
    data = Codec(weights, runtime="onnxruntime").encode(make_picture(100, 100), 60)
    ends = [show(weights, "onnxruntime", data, end, precision="int8") for end in (0, 100)]
    found = show(weights, "onnxruntime", data, realism, precision="int8")
    assert np.array_equal(found, mix(*ends, realism / 100))
    assert (found != show(weights, "onnxruntime", data, realism)).any()


def test_the_realistic_decoder_sees_latents_in_units_of_the_scale(two_decoders):
    model = two_decoders.networks.model
    channels = model.config.latent_channels
    l_hat = torch.randn(2, channels, 3, 4, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = model.realistic_decoder(l_hat / model.decoder.scale[:, None, None])
        assert torch.equal(model.show(l_hat), expected)
        assert not torch.equal(model.show(l_hat), model.realistic_decoder(l_hat))


def test_what_is_very_strong_is_cut_in_every_runtime(weights):
    """But for the mean colours, which follow l wherever it goes."""
    torch_, onnx = (Codec(weights, runtime=r, device="cpu").networks for r in RUNTIMES)
    width, channels = weights.config.realistic_width_16, weights.config.latent_channels
    scale = weights.tensors["decoder.scale"].astype(np.float32)[:, None, None]
    rng = np.random.default_rng(3)
    strong = 40 * scale * rng.normal(size=(1, channels, 3, 4)).astype(np.float32)
    cut = scale * np.clip(strong / scale, -REALISTIC_INPUT_LIMIT, REALISTIC_INPUT_LIMIT)
    found, other = torch_.decode_coarse(strong, 1.0), onnx.decode_coarse(strong, 1.0)
    np.testing.assert_allclose(found, other, rtol=1e-3, atol=1e-3 * np.abs(found).max())
    expected = torch_.decode_coarse(cut, 1.0)
    assert found.shape[1] == width + 3
    np.testing.assert_allclose(found[:, :width], expected[:, :width], rtol=1e-3, atol=1e-3)
    assert np.abs(found[:, width:] - expected[:, width:]).max() > 0.1


def grown(weights: Checkpoint, factor: float) -> Checkpoint:
    """Return the model with stronger residual branches in the second decoder, at 1/16."""
    names = [
        n for n in weights.tensors if n.startswith("realistic_decoder.body_16") and "project" in n
    ]
    assert names
    changed = {n: (factor * weights.tensors[n].astype(np.float32)) for n in names}
    return dataclasses.replace(weights, tensors=weights.tensors | changed)


def test_what_a_block_hands_on_is_limited_in_every_runtime(weights):
    """However strong its weights are: blocks multiply what they are given with itself."""
    strong = grown(weights, 300.0)
    torch_, onnx = (Codec(strong, runtime=r, device="cpu").networks for r in RUNTIMES)
    width = weights.config.realistic_width_16
    l_hat = np.random.default_rng(4).normal(size=(1, weights.config.latent_channels, 5, 6))
    given = (100 * l_hat).astype(np.float32)
    seen = []
    for block in torch_.model.realistic_decoder.body_16[1:]:
        block.register_forward_pre_hook(lambda block, args: seen.append(float(args[0].abs().max())))
    found, other = torch_.decode_coarse(given, 1.0), onnx.decode_coarse(given, 1.0)
    assert seen == [REALISTIC_FEATURE_LIMIT] * (weights.config.realistic_depth_16 - 1)
    assert np.abs(found[:, :width]).max() == REALISTIC_FEATURE_LIMIT
    assert np.mean(np.abs(found[:, :width]) == REALISTIC_FEATURE_LIMIT) > 0.05
    np.testing.assert_allclose(found, other, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("realistic", [0, 2, 5])
def test_each_decoder_can_run_on_its_own_samples_alone(two_decoders, realistic):
    model = two_decoders.networks.model
    l_hat = torch.randn(5, model.config.latent_channels, 3, 4)
    realism = (torch.arange(5) < realistic).float()
    ran: dict[str, int] = {}
    hooks = [
        getattr(model, name).stem.register_forward_pre_hook(
            lambda layer, args, name=name: ran.update({name: len(args[0])})
        )
        for name in ("decoder", "realistic_decoder")
    ]
    with torch.inference_mode():
        found = model.show(l_hat, realism, realistic)
        counts = dict(ran)
        torch.testing.assert_close(found, model.show(l_hat, realism))
    for hook in hooks:
        hook.remove()
    expected = {"decoder": 5 - realistic, "realistic_decoder": realistic}
    assert counts == {name: count for name, count in expected.items() if count}


def test_its_layers_are_those_of_architecture_1(two_decoders):
    """Of the sizes that it is given, and nothing of the first decoder's."""
    decoder, config = two_decoders.networks.model.realistic_decoder, two_decoders.networks.config
    sizes = [f"{kind}_{place}" for kind in ("width", "depth") for place in (4, 8, 16)]
    plain = dataclasses.replace(
        config,
        architecture=1,
        **{f"decoder_{size}": getattr(config, f"realistic_{size}") for size in sizes},
        **{f"realistic_{size}": 0 for size in sizes},
    )
    assert config.realistic_shape == plain
    expected = {name: value.shape for name, value in ImageDecoder(plain).state_dict().items()}
    found = {name: value.shape for name, value in decoder.state_dict().items()}
    assert expected.items() <= found.items()
    assert {name.split(".")[0] for name in found.keys() - expected.keys()} == {"means", "spread"}


def test_samples_are_shown_each_at_its_own_realism(two_decoders):
    model = two_decoders.networks.model
    generator = torch.Generator().manual_seed(2)
    l_hat = torch.randn(3, model.config.latent_channels, 3, 4, generator=generator)
    with torch.inference_mode():
        found = model.show(l_hat, torch.tensor([0.0, 0.25, 1.0]))
        faithful, realistic = model.show(l_hat, torch.zeros(3)), model.show(l_hat)
        assert torch.equal(faithful, model.decoder(l_hat, torch.zeros(3)))
        assert torch.equal(model.show(l_hat, torch.ones(3)), realistic)
    for sample, share in enumerate((0.0, 0.25, 1.0)):
        expected = (1.0 - share) * faithful[sample] + share * realistic[sample]
        torch.testing.assert_close(found[sample], expected, atol=1e-5, rtol=1e-5)
    assert float((faithful - realistic).abs().max()) > 0.1


def test_a_gradient_reaches_the_decoders_that_are_asked_for(make_model, two_decoders):
    l_hat = torch.randn(2, two_decoders.networks.config.latent_channels, 4, 4)
    for realism, silent in (
        (None, {"decoder"}),
        (torch.zeros(2), {"realistic_decoder"}),
        (torch.ones(2), {"decoder"}),
        (torch.tensor([0.0, 1.0]), set()),
    ):
        model = make_model(3, two_decoders.networks.config)
        model.show(l_hat, realism).square().mean().backward()
        for name in ("decoder", "realistic_decoder"):
            named = list(getattr(model, name).named_parameters())
            moved = [n for n, p in named if p.grad is not None and bool(p.grad.any())]
            assert moved == ([] if name in silent else [n for n, _ in named])


def test_what_the_means_hide_is_held_in_training(two_decoders):
    """Next to without a loss the decoder's own mean colours come closer to those it is given."""
    model = copy.deepcopy(two_decoders.networks.model)
    second = model.realistic_decoder.requires_grad_(True).train()
    generator = torch.Generator().manual_seed(4)
    l = torch.randn(2, model.config.latent_channels, 4, 4, generator=generator)
    optimiser = torch.optim.Adam(second.render.parameters(), lr=1e-3)

    def distance():
        with torch.no_grad():
            features = second.coarse(l)
            own = ImageDecoder.fine(second, features[:, :-3])
            given = features[:, -3:]
            return float((functional.avg_pool2d(own, 16) - given).square().mean())

    before = distance()
    for _ in range(60):
        optimiser.zero_grad()
        (1e-12 * second.fine(second.coarse(l))).sum().backward()
        optimiser.step()
    assert distance() < 0.8 * before


def test_outside_of_training_the_gradient_is_the_true_one(two_decoders):
    """What ``--effort`` descends on does not depend on how many pictures lie in a batch."""
    second = copy.deepcopy(two_decoders.networks.model).realistic_decoder.eval()
    generator = torch.Generator().manual_seed(4)
    l = torch.randn(3, second.stem.in_channels, 3, 3, generator=generator)

    def gradient(latents):
        given = latents.clone().requires_grad_(True)
        second.fine(second.coarse(given)).square().sum().backward()
        return given.grad

    together = gradient(l)
    for index in range(3):
        alone = gradient(l[index : index + 1])
        torch.testing.assert_close(alone, together[index : index + 1], rtol=1e-3, atol=1e-4)
