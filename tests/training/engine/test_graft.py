"""A realistic decoder that begins as another model's decoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from glc.config import LATENT_STRIDE, CodecConfig
from glc.networks.autoencoder import RealisticDecoder
from glc.networks.model import GlcModel
from glc.training.data.in_memory import InMemoryImages
from glc.training.engine import graft as graft_module
from glc.training.engine.graft import graft
from glc.training.engine.loop import Trainer
from glc.training.engine.nonfinite_guard import TrainingError
from glc.training.engine.start import code_latents

Make = Callable[..., Trainer]


@pytest.fixture
def donor_shape(make: Make) -> CodecConfig:
    return make().settings.shape


@pytest.fixture
def shape(donor_shape: CodecConfig) -> CodecConfig:
    """One block more at 1/16 than the donor, and another width of the faithful decoder."""
    fields = [f.name for f in dataclasses.fields(donor_shape) if f.name.startswith("decoder_")]
    second = {n.replace("decoder_", "realistic_"): getattr(donor_shape, n) for n in fields}
    second["realistic_depth_16"] += 1
    return dataclasses.replace(
        donor_shape, architecture=3, latent_channels=donor_shape.y_channels,
        hyper_levels=(8, 4, 4), decoder_width_16=12, **second,
    )  # fmt: skip


def made(config: CodecConfig, seed: int) -> GlcModel:
    torch.manual_seed(seed)
    model = GlcModel(config)
    # A batch norm that has seen nothing gives latents that are all alike.
    return model.eval()


def second_of(model: GlcModel) -> RealisticDecoder:
    assert model.realistic_decoder is not None
    return model.realistic_decoder


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graft_module, "_BATCHES", 4)


def test_blocks_are_taken_over_and_nothing_else_changes(
    shape: CodecConfig, donor_shape: CodecConfig, store: InMemoryImages
) -> None:
    model, donor = made(shape, 1), made(donor_shape, 2)
    before = {n: v.clone() for n, v in model.state_dict().items()}
    theirs = {n: v.clone() for n, v in donor.state_dict().items()}
    graft(model, donor, store, steps=2)
    for name, value in model.state_dict().items():
        if not name.startswith("realistic_decoder."):
            torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    for name, value in donor.state_dict().items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=0)
    mine = second_of(model)
    # Behind the new block at 1/16 the two are the same function, but for the mean colours.
    features = torch.randn(1, shape.realistic_width_16, 4, 4)
    for number, block in enumerate(donor.decoder.body_16):
        torch.testing.assert_close(mine.body_16[number + 1](features), block(features))
    means = torch.zeros(1, 3, 4, 4)
    shown = mine.fine(torch.cat([features, means], dim=1))
    expected = donor.decoder.fine(features)
    shift = mine.spread(-functional.avg_pool2d(expected, LATENT_STRIDE))
    torch.testing.assert_close(shown, expected + shift)


def test_the_new_block_learns_what_the_first_layer_of_the_donor_gives(
    shape: CodecConfig, donor_shape: CodecConfig, store: InMemoryImages
) -> None:
    left = [graft(made(shape, 1), made(donor_shape, 2), store, steps=steps) for steps in (1, 150)]
    assert left[0] > 0.8
    assert left[1] < 0.75 * left[0]


def test_mean_colours_are_those_of_the_pictures(
    shape: CodecConfig, donor_shape: CodecConfig, store: InMemoryImages
) -> None:
    model = made(shape, 1)
    with torch.no_grad():
        # Something of the picture has to be in the latents.
        assert model.encoder.linear is not None
        torch.nn.init.normal_(model.encoder.linear.conv.weight, std=0.05)

    def error() -> float:
        x = store.crops(8, 64, 1.0, torch.Generator().manual_seed(9))
        with torch.no_grad():
            l_hat, _ = code_latents(model, model.encoder(x), 80)
            mean = functional.avg_pool2d(x, LATENT_STRIDE)
            features = second_of(model).coarse(model.in_units(l_hat))
            found: Tensor = (features[:, -3:] - mean).square().mean() / mean.var()
        return float(found)

    before = error()
    graft(model, made(donor_shape, 2), store, steps=1)
    assert error() < 0.5 * min(before, 1.0)


def test_what_does_not_fit_is_said(
    shape: CodecConfig, donor_shape: CodecConfig, store: InMemoryImages
) -> None:
    donor = made(donor_shape, 2)
    with pytest.raises(TrainingError, match="one decoder takes no donor"):
        graft(made(donor_shape, 1), donor, store)
    alike = dataclasses.replace(shape, realistic_depth_16=donor_shape.decoder_depth_16)
    with pytest.raises(TrainingError, match="needs more than its 1 blocks at 1/16"):
        graft(made(alike, 1), donor, store)
    wider = dataclasses.replace(shape, realistic_width_8=shape.realistic_width_8 + 4)
    with pytest.raises(TrainingError, match="does not fit: size mismatch"):
        graft(made(wider, 1), donor, store)


def test_only_the_realistic_decoder_is_trained_where_only_it_is_named(
    make: Make, shape: CodecConfig
) -> None:
    trainer = make(
        codec=shape, trained_parts="realistic_decoder", steps_3=3, perceptual_start=0.0,
        adversarial_start_3=0.0, projected_networks="", mse_weight=1.0,
    )  # fmt: skip
    trainer.begin_phase(3)
    before = {n: v.clone() for n, v in trainer.ensemble.model.state_dict().items()}
    trainer.train_step()
    trainer.train_step()
    changed = {
        name.split(".")[0]
        for name, value in trainer.ensemble.model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"realistic_decoder"}


def test_both_decoders_learn_from_their_own_samples(make: Make, shape: CodecConfig) -> None:
    trainer = make(codec=shape, realistic_share=0.5, mse_weight=1.0, batch_3=4)
    trainer.begin_phase(3)
    drawn = trainer._draw_realism(4)
    assert drawn is not None
    assert drawn.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_a_donor_has_to_stand_alone(
    shape: CodecConfig, donor_shape: CodecConfig, store: InMemoryImages
) -> None:
    beside = dataclasses.replace(
        donor_shape, architecture=2, latent_channels=donor_shape.y_channels, hyper_levels=(8, 4, 4)
    )
    with pytest.raises(TrainingError, match="does not stand alone"):
        graft(made(shape, 1), made(beside, 2), store)


def test_a_decoder_without_a_donor_is_given_its_mean_colours(
    make: Make, shape: CodecConfig
) -> None:
    none = {n: 0 for n in vars(shape) if n.startswith("realistic_")}
    first = make("first", codec=dataclasses.replace(shape, architecture=2, **none), steps_3=1)
    first.begin_phase(3)
    first.run_phase()
    trainer = make("second", codec=shape, steps_3=1)
    fresh = second_of(trainer.ensemble.model).means.weight.clone()
    trainer.initialise(first.out)
    model = trainer.ensemble.model
    assert not torch.equal(second_of(model).means.weight, fresh)
    # As far as the latents tell anything, they tell the mean of all pictures.
    with torch.no_grad():
        features = second_of(model).coarse(torch.zeros(1, shape.latent_channels, 4, 4))
    x = trainer.pictures.crops(16, 64, 1.0, torch.Generator().manual_seed(5))
    assert float((features[:, -3:].mean() - x.mean()).abs()) < 0.3
