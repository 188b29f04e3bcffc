"""What a phase does not ask for is not computed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from glc.training.engine.loop import Trainer
from glc.training.settings import PARTS
from tests.training.conftest import of_architecture

Make = Callable[..., Trainer]


@pytest.mark.parametrize(("code", "latent", "computed"), [(0.0, 0.0, False), (0.1, 0.0, True)])
def test_the_code_predictor_runs_only_where_it_weighs_something(
    make: Make, code: float, latent: float, computed: bool
) -> None:
    trainer = make(code_weight_3=code, latent_weight_3=latent)
    trainer.begin_phase(3)
    calls: list[str] = []
    ensemble = trainer.ensemble
    assert ensemble.predictor is not None
    ensemble.predictor.register_forward_hook(lambda *_: calls.append("predictor"))
    ensemble.reference.register_forward_hook(lambda *_: calls.append("reference"))
    trainer.train_step()
    assert calls == (["reference", "predictor"] if computed else [])


@pytest.mark.parametrize("architecture", [1, 2, 3])
def test_a_codebook_limits_l_with_architecture_1_alone(make: Make, architecture: int) -> None:
    codec = make().settings.shape
    trainer = make("other", codec=of_architecture(codec, architecture))
    trainer.begin_phase(1)
    assert trainer.ensemble.beside == (architecture > 1)
    x = torch.rand(2, 3, 64, 64) * 2 - 1

    def decoded() -> Tensor:
        torch.manual_seed(1)
        outcome = trainer.ensemble(1, x, torch.tensor([0, 100]), torch.ones(2))
        assert outcome.x_hat is not None
        return outcome.x_hat.detach()

    before = decoded()
    trainer.ensemble.codebook.frozen.normal_()  # type: ignore[union-attr]
    assert torch.equal(decoded(), before) == (architecture > 1)
    trainer.train_step()


@pytest.mark.parametrize("architecture", [1, 2, 3])
def test_parts_that_are_not_named_stay_as_they_are(make: Make, architecture: int) -> None:
    codec = make().settings.shape
    changed = of_architecture(codec, architecture)
    trainer = make("other", codec=changed, trained_parts="encoder, analysis")
    trainer.begin_phase(3)
    before = {name: value.clone() for name, value in trainer.ensemble.state_dict().items()}
    for _ in range(3):
        trainer.train_step()
    after = trainer.ensemble.state_dict()
    moved = {n.split(".")[1] for n in after if not torch.equal(after[n], before[n])}
    assert moved == {"encoder", "analysis"}


def test_a_part_that_no_model_has_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="no part of the model is called 'generator'"):
        make(trained_parts="encoder,generator")
    codec = of_architecture(make().settings.shape, 3)
    assert set(PARTS) == {n for n, _ in make("b", codec=codec).ensemble.model.named_children()}


@pytest.mark.parametrize("phase", [1, 2, 3])
def test_both_decoders_are_trained_where_one_is(make: Make, phase: int) -> None:
    codec = of_architecture(make().settings.shape, 3)
    trainer = make("other", codec=codec)
    trainer.begin_phase(phase)
    before = {name: value.clone() for name, value in trainer.ensemble.state_dict().items()}
    for _ in range(4):
        trainer.train_step()
    after = trainer.ensemble.state_dict()
    moved = {n.split(".")[1] for n in after if not torch.equal(after[n], before[n])}
    both = {"decoder", "realistic_decoder"}
    assert moved & both == (set() if phase == 2 else both)
