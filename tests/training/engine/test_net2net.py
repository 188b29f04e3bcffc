"""A grown model is the same function, and everything new in it can learn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from glc.config import PRESETS, CodecConfig
from glc.training.engine.loop import Trainer
from glc.training.engine.net2net import check_growth, grow
from glc.training.engine.nonfinite_guard import TrainingError
from glc.training.engine.phases import Ensemble
from glc.training.settings import TrainingSettings

Make = Callable[..., Trainer]

WIDER: dict[str, dict[str, int]] = {
    # Shortcuts with the same groups as before, with others, and none at all.
    "twice": {
        "encoder_width_4": 16, "encoder_width_8": 16, "encoder_width_16": 32,
        "decoder_width_4": 16, "decoder_width_8": 16, "decoder_width_16": 32,
    },
    "uneven": {
        "encoder_width_4": 12, "encoder_width_8": 16, "encoder_width_16": 24,
        "decoder_width_4": 9, "decoder_width_8": 18, "decoder_width_16": 54,
    },
    "deeper": {
        "encoder_depth_4": 1, "encoder_depth_8": 2, "encoder_depth_16": 2,
        "decoder_depth_4": 2, "decoder_depth_8": 2, "decoder_depth_16": 3,
        "transform_depth": 2, "transform_width": 24, "context_width": 20, "context_depth": 2,
    },
}  # fmt: skip


def settings_of(codec: CodecConfig) -> TrainingSettings:
    return dataclasses.replace(TrainingSettings(), codec=codec)


def small_codec(make: Make, architecture: int = 1) -> CodecConfig:
    codec = make().settings.shape
    channels = {1: codec.latent_channels, 2: codec.y_channels}[architecture]
    return dataclasses.replace(codec, architecture=architecture, latent_channels=channels)


def output(ensemble: Ensemble) -> tuple[Tensor, Tensor]:
    ensemble.eval()
    x = torch.rand(2, 3, 128, 64, generator=torch.Generator().manual_seed(1)) * 2.0 - 1.0
    outcome = ensemble(3, x, torch.tensor([10, 90]), torch.ones(2))
    assert outcome.x_hat is not None
    assert outcome.bpp is not None
    return outcome.x_hat, outcome.bpp


def stirred(ensemble: Ensemble) -> Ensemble:
    """Weights as after training: nothing is zero, or one, or equal by design any more."""
    with torch.no_grad():
        for value in ensemble.parameters():
            value.add_(0.05 * torch.randn_like(value))
        if not ensemble.model.config.linear:
            ensemble.model.encoder.centre.running_var.uniform_(0.5, 2.0)
    return ensemble


@pytest.mark.parametrize("architecture", [1, 2])
@pytest.mark.parametrize("kind", WIDER)
def test_a_grown_model_is_the_same_function(make: Make, kind: str, architecture: int) -> None:
    codec = small_codec(make, architecture)
    larger = dataclasses.replace(
        codec, **{name: max(value, getattr(codec, name)) for name, value in WIDER[kind].items()}
    )
    assert larger != codec
    check_growth(codec, larger)
    torch.manual_seed(5)
    before = stirred(Ensemble(settings_of(codec)))
    after = Ensemble(settings_of(larger))
    grow(before.state_dict(), Ensemble(settings_of(codec)), after)
    for expected, found in zip(output(before), output(after), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", [1, 2])
def test_every_new_weight_gets_a_gradient_after_one_step(make: Make, architecture: int) -> None:
    codec = small_codec(make, architecture)
    larger = dataclasses.replace(codec, decoder_width_16=codec.decoder_width_16 * 2)
    torch.manual_seed(5)
    before = stirred(Ensemble(settings_of(codec)))
    after = Ensemble(settings_of(larger))
    grow(before.state_dict(), before, after)
    decoder = after.model.decoder
    for _ in range(2):
        decoder.zero_grad()
        output(after)[0].square().mean().backward()
        with torch.no_grad():
            for value in decoder.parameters():
                assert value.grad is not None
                value.sub_(0.1 * value.grad)
    for name, value in decoder.named_parameters():
        assert value.grad is not None
        if name.endswith("anchors"):
            # Nothing was decoded to be faithful here: one of the two anchors.
            assert value.grad[1].ne(0).float().mean() > 0.5, name
            continue
        assert value.grad.ne(0).float().mean() > 0.5, name


@pytest.mark.parametrize("field", ["y_channels", "decoder_width_16", "latent_channels"])
def test_what_cannot_grow_is_refused(field: str) -> None:
    small = CodecConfig()
    other = dataclasses.replace(small, **{field: getattr(small, field) // 2})
    with pytest.raises(TrainingError, match=field):
        check_growth(small, other)


def test_base_grows_out_of_tiny() -> None:
    check_growth(PRESETS["tiny"], PRESETS["base"])


def test_a_run_begins_from_a_smaller_one_with_its_rate_weights(make: Make) -> None:
    small = make("small")
    small.begin_phase(2)
    small.rate.log_weight += torch.arange(len(small.rate.log_weight))
    small.train_step()
    small.save()
    codec = small.settings.shape
    larger = dataclasses.replace(codec, transform_depth=codec.transform_depth + 1)
    grown = make("large", codec=larger)
    grown.initialise(small.out)
    torch.testing.assert_close(grown.rate.log_weight, small.rate.log_weight)
    for expected, found in zip(
        output(small.average.module),
        output(grown.average.module),
        strict=True,  # type: ignore[arg-type]
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    refused = make("other", codec=dataclasses.replace(codec, y_channels=codec.y_channels * 2))
    with pytest.raises(TrainingError, match="y_channels"):
        refused.initialise(small.out)
