"""Every weight that a phase trains has one optimiser, and the right one."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
import torch

from glc.training.engine.nonfinite_guard import TrainingError
from glc.training.engine.optimizers import Optimisers
from glc.training.engine.phases import Ensemble
from glc.training.settings import TrainingSettings
from tests.conftest import LINEAR, TWO_DECODERS
from tests.training.conftest import MICRO


def made(phase: int, muon: bool, **more: object) -> tuple[Ensemble, Optimisers]:
    settings = TrainingSettings.load(str(MICRO), {"muon": muon, **more})
    ensemble = Ensemble(settings)
    ensemble.begin(phase)
    return ensemble, Optimisers(ensemble, settings, phase)


def rates_of(ensemble: Ensemble, optimisers: Optimisers) -> dict[str, float]:
    """Return the learning rate of every weight, as a share of the one that others have."""
    names = {id(p): name for name, p in ensemble.named_parameters()}
    return {
        names[id(p)]: group["lr"] / optimisers.learning_rate
        for optimiser in optimisers._all
        for group in optimiser.param_groups
        for p in group["params"]
    }


@pytest.mark.parametrize("muon", [False, True])
@pytest.mark.parametrize("phase", [1, 2, 3])
def test_every_trained_weight_has_one_optimiser(phase: int, muon: bool) -> None:
    ensemble, optimisers = made(phase, muon)
    counted = Counter(
        id(p)
        for optimiser in optimisers._all
        for group in optimiser.param_groups
        for p in group["params"]
    )
    wanted = {id(p) for p in ensemble.parameters() if p.requires_grad}
    assert set(counted) == wanted == {id(p) for p in optimisers.trained}
    assert set(counted.values()) == {1}
    assert len(optimisers._all) == 1 + muon


def test_muon_takes_the_bodies_alone() -> None:
    ensemble, optimisers = made(3, True)
    names = {id(p): name for name, p in ensemble.named_parameters()}
    chosen = {names[id(p)] for p in optimisers._all[1].param_groups[0]["params"]}
    assert {"model.decoder.stem.weight", "model.encoder.head.weight"} <= chosen
    assert any(name.startswith("predictor.") for name in chosen)
    pixels = ("model.encoder.stem", "model.decoder.render", "model.decoder.refine")
    others = (*pixels, "model.scale_map", "codebook", "reference")
    assert not [name for name in chosen if name.startswith(others) or "spatial" in name]
    assert all(name.endswith("weight") for name in chosen)


def test_muon_takes_the_realistic_decoder_to_its_last_layer() -> None:
    fields = TWO_DECODERS.to_dict()
    ensemble, optimisers = made(3, True, codec=fields)
    names = {id(p): name for name, p in ensemble.named_parameters()}
    chosen = {names[id(p)] for p in optimisers._all[1].param_groups[0]["params"]}
    layers = {name.split(".")[2] for name in chosen if name.startswith("model.realistic_decoder")}
    bodies = {"stem", "body_16", "up_8", "body_8", "up_4", "body_4"}
    assert layers == bodies | {"render", "refine_in", "refine_out"}
    assert not [name for name in chosen if name.startswith("model.decoder.re")]
    assert len(optimisers.trained) == sum(
        len(group["params"]) for optimiser in optimisers._all for group in optimiser.param_groups
    )


def test_the_learning_rate_is_shared() -> None:
    _, optimisers = made(3, True)
    optimisers.set_share(0.25)
    peak = TrainingSettings.load(str(MICRO), {}).learning_rate_3
    assert optimisers.learning_rate == pytest.approx(peak / 4)
    rates = {
        group["lr"] / group["factor"]
        for optimiser in optimisers._all
        for group in optimiser.param_groups
    }
    assert all(rate == pytest.approx(peak / 4) for rate in rates)


@pytest.mark.parametrize("pace", [0.1, 0.0])
@pytest.mark.parametrize("muon", [False, True])
def test_the_network_of_e_has_its_own_pace(pace: float, muon: bool) -> None:
    ensemble, optimisers = made(3, muon, encoder_pace=pace)
    optimisers.set_share(0.5)
    rates = rates_of(ensemble, optimisers)
    assert rates["model.decoder.stem.weight"] == 1.0
    own = [rate for name, rate in rates.items() if name.startswith("model.encoder.")]
    assert own
    assert all(rate == pytest.approx(pace) for rate in own)


@pytest.mark.parametrize("muon", [False, True])
def test_the_realistic_decoder_has_its_own_pace(muon: bool) -> None:
    codec = dataclasses.asdict(TWO_DECODERS) | {"hyper_levels": [8, 4, 4]}
    ensemble, optimisers = made(3, muon, codec=codec, realistic_pace=0.25)
    optimisers.set_share(0.5)
    rates = rates_of(ensemble, optimisers)
    own = {n: rate for n, rate in rates.items() if n.startswith("model.realistic_decoder.")}
    fixed = {n for n in own if ".means." in n or ".spread." in n}
    assert {own[n] for n in own.keys() - fixed} == {0.25}
    assert fixed
    assert rates["model.decoder.stem.weight"] == 1.0


def test_what_realism_changes_learns_ten_times_as_fast() -> None:
    ensemble, optimisers = made(
        3, True, codec=dataclasses.asdict(LINEAR) | {"hyper_levels": [8, 4, 4]}
    )
    gains = {id(p) for n, p in ensemble.named_parameters() if n.endswith("anchors")}
    assert gains
    for optimiser in optimisers._all:
        for group in optimiser.param_groups:
            known = gains.intersection(id(p) for p in group["params"])
            assert not known or group["lr"] == pytest.approx(10 * optimisers.learning_rate)
            gains -= known
    assert not gains


@pytest.mark.parametrize("muon", [False, True])
def test_a_run_does_not_go_on_with_other_optimisers(muon: bool) -> None:
    states = made(2, muon)[1].state_dict()
    made(2, muon)[1].load_state_dict(states)
    with pytest.raises(TrainingError, match=f"begun with muon={str(muon).lower()}"):
        made(2, not muon)[1].load_state_dict(states)


def test_a_skipped_step_changes_nothing() -> None:
    ensemble, optimisers = made(1, True)
    before = {n: p.detach().clone() for n, p in ensemble.named_parameters()}
    for parameter in optimisers.trained:
        parameter.grad = torch.full_like(parameter, torch.nan)
    optimisers.step_unless(torch.ones(()))
    assert all(torch.equal(p, before[n]) for n, p in ensemble.named_parameters())
