"""Which losses act when, on which samples, and that nothing of weight zero is computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from glc.training.engine import loop
from glc.training.engine.loop import Stage, Trainer
from glc.training.losses import picture_loss
from glc.training.losses.discriminator import hinge_loss
from glc.training.losses.features import PerceptualLoss
from glc.training.losses.picture_loss import PictureLoss, absolute_error, squared_error
from glc.training.settings import TrainingSettings

MICRO = Path(__file__).parents[1] / "micro.toml"
Make = Callable[..., Trainer]


def settings(**changes: object) -> TrainingSettings:
    return dataclasses.replace(TrainingSettings.load(str(MICRO), {}), **changes)


def pair(batch: int = 4, side: int = 64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(batch, 3, side, side, generator=generator) * 2 - 1
    return x, (x + 0.3 * torch.randn(x.shape, generator=generator)).requires_grad_(True)


class Counted:
    """Calls of every loss on pixels, and of every network's ``maps``."""

    def __init__(self, perceptual: PerceptualLoss, patch: pytest.MonkeyPatch) -> None:
        self.calls: dict[str, int] = {}
        terms = [
            dataclasses.replace(term, function=self._counting(term.logged, term.function))
            for term in picture_loss.TERMS
        ]
        patch.setattr(picture_loss, "TERMS", tuple(terms))
        for name, network in perceptual.networks.items():
            function = "_maps" if name == "mobilenet" else "maps"
            counting = self._counting(name, getattr(network, function))
            patch.setattr(network, function, counting)

    def _counting(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        def counting(*args: object) -> object:
            self.calls[name] = self.calls.get(name, 0) + 1
            return function(*args)

        return counting

    def take(self) -> set[str]:
        names = set(self.calls)
        self.calls.clear()
        return names


def test_nothing_of_weight_zero_is_computed(
    perceptual: PerceptualLoss, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(perceptual, monkeypatch)
    x, x_hat = pair(2, 128)
    names = ("mse", "l1", "colour", "area", "grid", "line", "lpips", "alex", "mobilenet")
    for name in names:
        weights = {f"{other}_weight": float(other == name) for other in names}
        alone = settings(**weights, perceptual_start=0.0)
        judged = PictureLoss(alone, perceptual)(x, x_hat)
        logged = "lines" if name == "line" else name
        assert counted.take() == set(judged.parts) == {logged}
        torch.testing.assert_close(judged.loss, judged.parts[logged])
    PictureLoss(settings(afar_weight=1.0), perceptual)(x, x_hat, share=0.0)
    assert counted.take() == {"mse", "colour", "grid", "lines"}
    PictureLoss(settings(), perceptual)(x, x_hat, share=0.5)
    assert counted.take() == {"mse", "colour", "grid", "lines", "lpips", "alex"}


def test_networks_run_from_their_place_in_the_schedule_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(
        steps_3=8, perceptual_start=0.25, perceptual_ramp=0.25, adversarial_start_3=0.75,
        projected_networks="mobilenet",
    )  # fmt: skip
    counted = Counted(trainer.perceptual, monkeypatch)
    trainer.begin_phase(3)
    seen, adversaries = [], []
    for _ in range(8):
        logged = trainer.train_step()
        seen.append(counted.take() & {"lpips", "alex", "mobilenet"})
        adversaries.append("discriminator" in logged)
    # Step 2 stands at the start, where the ramp is still zero.
    assert seen[:3] == [set()] * 3
    assert seen[3:6] == [{"lpips", "alex"}] * 3
    assert seen[6:] == [{"lpips", "alex", "mobilenet"}] * 2
    assert adversaries == [False] * 6 + [True] * 2
    trainer.begin_phase(2)
    trainer.train_step()
    assert not counted.take()


def test_a_patch_discriminator_needs_no_network(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(adversarial_start_3=0.0, projected_networks="", perceptual_start=0.5)
    counted = Counted(trainer.perceptual, monkeypatch)
    trainer.begin_phase(3)
    assert "discriminator" in trainer.train_step()
    assert not counted.take() & {"lpips", "alex", "mobilenet"}


def test_without_any_discriminator_a_run_has_none(make: Make) -> None:
    trainer = make(adversarial_start_3=0.0, projected_networks="", patch_discriminator=False)
    trainer.begin_phase(3)
    assert "discriminator" not in trainer.train_step()
    trainer.save()
    assert trainer.resume()


def test_logarithms_weigh_a_per_cent_alike(perceptual: PerceptualLoss) -> None:
    x, x_hat = pair(2, 128)
    weights = {"mse_weight": 0.5, "colour_weight": 0.0, "grid_weight": 0.0, "line_weight": 0.0}
    weights |= {"lpips_weight": 2.0, "alex_weight": 0.0, "perceptual_start": 0.0}
    judge = PictureLoss(settings(**weights, logarithms=True), perceptual)

    def gradient(of: Tensor) -> Tensor:
        of = of.clone().requires_grad_(True)
        (found,) = torch.autograd.grad(judge(x, of).loss, of)
        return found

    judged = judge(x, x_hat)
    error = (x - x_hat).square().flatten(1).mean(1)
    with torch.no_grad():
        distance = perceptual(x, x_hat, ["lpips"], 2).distances["lpips"]
    expected = 0.5 * error.log().mean() + 2.0 * distance.log().mean()
    torch.testing.assert_close(judged.loss, expected)
    # What is said of each stays what it was, and so does who says nothing.
    torch.testing.assert_close(judged.parts["mse"], error.mean())
    assert bool(gradient(x).isfinite().all())
    near, far = gradient(x + 0.1 * (x_hat - x)), gradient(x_hat)
    squares = PictureLoss(settings(**weights | {"lpips_weight": 0.0}, logarithms=True), perceptual)
    pixels = (x + 0.1 * (x_hat - x)).requires_grad_(True)
    (alone,) = torch.autograd.grad(squares(x, pixels).loss, pixels)
    wanted = (pixels - x) / (pixels - x).square().flatten(1).sum(1).view(-1, 1, 1, 1) / 2
    torch.testing.assert_close(alone, wanted.detach())
    assert float(near.norm()) > float(far.norm())


def test_the_perceptual_share_of_a_phase() -> None:
    ramp = settings(perceptual_start=0.4, perceptual_ramp=0.2)
    found = [ramp.perceptual_share(3, p) for p in (0.0, 0.4, 0.5, 0.6, 1.0)]
    assert found == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])
    assert ramp.perceptual_share(1, 0.5) == pytest.approx(0.5)
    assert ramp.perceptual_share(2, 0.9) == 0.0
    step = settings(perceptual_start=0.4, perceptual_ramp=0.0)
    assert [step.perceptual_share(1, p) for p in (0.39, 0.4)] == [0.0, 1.0]
    # A run that begins with all losses begins with all of them.
    assert settings(perceptual_start=0.0).perceptual_share(3, 0.0) == 1.0


def test_which_networks_a_run_needs() -> None:
    mobilenet = settings(projected_networks="mobilenet")
    assert mobilenet.networks([1, 2, 3]) == ("lpips", "alex", "mobilenet")
    assert settings().networks([1, 2, 3]) == ("lpips", "alex")
    assert settings(lpips_weight=0.0).networks([3]) == ("lpips", "alex")
    assert settings().networks([2]) == ()
    patch = settings(projected_networks="", lpips_weight=0.0)
    assert patch.networks([3]) == ("alex",)
    assert dataclasses.replace(mobilenet, adversarial_weight=0.0).networks([3]) == ("lpips", "alex")
    late = dataclasses.replace(mobilenet, adversarial_start_3=1.0)
    assert late.networks([3]) == ("lpips", "alex")
    assert late.networks([1, 3]) == ("lpips", "alex", "mobilenet")
    for field in ("mobilenet_weight", "afar_weight", "meaning_weight"):
        assert "mobilenet" in dataclasses.replace(late, **{field: 1.0}).networks([3])


def test_losses_are_those_of_the_defaults(perceptual: PerceptualLoss) -> None:
    x, x_hat = pair()
    judged = PictureLoss(settings(), perceptual)(x, x_hat)
    parts = {name: float(value) for name, value in judged.parts.items()}
    expected = 38 * parts["mse"] + 2 * parts["colour"] + 10 * parts["grid"]
    expected += 0.5 * parts["lpips"] + 0.5 * parts["alex"]
    assert float(judged.loss.detach()) == pytest.approx(expected, rel=1e-5)
    mse = squared_error(x, x_hat)
    assert mse.shape == absolute_error(x, x_hat).shape == (4,)
    torch.testing.assert_close(mse.mean(), (x - x_hat).square().mean())
    torch.testing.assert_close(absolute_error(x, x_hat).mean(), (x - x_hat).abs().mean())


def test_texture_is_compared_where_a_network_looks_anyway(
    perceptual: PerceptualLoss, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(perceptual, monkeypatch)
    x, x_hat = pair()
    weights = {"alex_weight": 0.0, "mobilenet_weight": 1.0, "texture_weight": 3.0}
    with_texture = settings(**weights, mobilenet_share=0.5, perceptual_start=0.0)
    realism = torch.tensor([1.0, 0.5, 0.0, 0.0])
    judged = PictureLoss(with_texture, perceptual)(x, x_hat, realism=realism)
    assert set(judged.parts) - {"mse", "colour", "grid"} == {
        "lpips", "mobilenet", "texture_lpips", "texture_mobilenet"
    }  # fmt: skip
    # No network looks twice for it: once at the originals, once at the decoded pictures.
    assert {name: counted.calls[name] for name in ("lpips", "mobilenet")} == {
        "lpips": 2, "mobilenet": 2
    }  # fmt: skip
    assert "alex" not in counted.calls
    without = PictureLoss(dataclasses.replace(with_texture, texture_weight=0.0), perceptual)(
        x, x_hat, realism=realism
    )
    # Two of four samples are realistic, and half of those are for MobileNetV2.
    names, seen = ["lpips", "mobilenet"], slice(0, 2)
    textures = perceptual(x[seen], x_hat[seen], names, 1, textures=True).textures
    assert len(textures["mobilenet"]) == 1
    expected = (textures["lpips"] @ realism[:2]) / 4 + textures["mobilenet"][0] / 2
    torch.testing.assert_close(judged.loss - without.loss, 3.0 * expected)
    late = PictureLoss(with_texture, perceptual)(x, x_hat, share=0.0)
    assert not any("texture" in name for name in late.parts)


def gradients(
    perceptual: PerceptualLoss, realism: Tensor | None, **changes: object
) -> tuple[Tensor, dict[str, Tensor]]:
    x, x_hat = pair()
    changed = {"mobilenet_weight": 1.0, "mobilenet_share": 0.5, "afar_weight": 1.0}
    chosen = settings(**({"realistic_share": 1.0} | changed | changes))
    judged = PictureLoss(chosen, perceptual)(x, x_hat, realism=realism)
    (gradient,) = torch.autograd.grad(judged.loss, x_hat)
    return gradient, judged.parts


def test_realism_weighs_what_networks_say_of_each_sample(perceptual: PerceptualLoss) -> None:
    whole, parts = gradients(perceptual, None)
    ones, _ = gradients(perceptual, torch.ones(4))
    torch.testing.assert_close(ones, whole)
    weighed, same = gradients(perceptual, torch.tensor([0.0, 1.0, 0.5, 0.0]))
    without = {"lpips_weight": 0.0, "alex_weight": 0.0, "mobilenet_weight": 0.0}
    faithful, _ = gradients(perceptual, None, **without, afar_weight=0.0)
    for index in (0, 3):
        torch.testing.assert_close(weighed[index], faithful[index])
    torch.testing.assert_close(weighed[1], whole[1])
    torch.testing.assert_close(weighed[2], 0.5 * (whole[2] + faithful[2]))
    assert not torch.allclose(whole[0], faithful[0])
    # The log shows distances, whatever they weighed.
    assert same.keys() == parts.keys()
    for name, value in parts.items():
        torch.testing.assert_close(same[name], value)


def test_no_network_looks_at_the_faithful_samples(
    perceptual: PerceptualLoss, monkeypatch: pytest.MonkeyPatch
) -> None:
    realism = torch.tensor([1.0, 0.5, 0.0, 0.0])
    changes: dict[str, object] = {"mobilenet_share": 1.0}
    all_seen, _ = gradients(perceptual, realism, **changes)
    looked: list[int] = []
    for network in perceptual.networks.values():
        original = network.maps

        def counting(x: Tensor, original: Callable[..., object] = original) -> object:
            looked.append(len(x))
            return original(x)

        monkeypatch.setattr(network, "maps", counting)
    half_seen, _ = gradients(perceptual, realism, realistic_share=0.5, **changes)
    assert looked == [2] * 6
    torch.testing.assert_close(half_seen, all_seen)


def adversarial_gradient(trainer: Trainer, realism: Tensor | None) -> tuple[Tensor, Tensor]:
    """Gradient at the pixels, and the sum of the discriminators' changes."""
    x, x_hat = pair()
    logged = {"loss": torch.zeros(())}
    stage = Stage(adversarial=True, perceptual=1.0, excess=1.0)
    before = [p.detach().clone() for p in trainer.adversary.parameters()]
    gradient = trainer._picture_gradient(x, x_hat.detach(), stage, logged, realism)
    moved = zip(trainer.adversary.parameters(), before, strict=True)
    return gradient, torch.stack([(p - b).abs().sum() for p, b in moved]).sum().detach()


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_realism_weighs_the_adversary_of_each_sample(
    make: Make, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A full say for discriminators that know nothing yet.
    monkeypatch.setattr(loop, "_IGNORANT", 1e9)
    changes: dict[str, object] = {
        "lpips_weight": 0.0, "alex_weight": 0.0, "adversarial_weight": 5.0,
        "mobilenet_share": share, "realistic_share": 1.0,
    }  # fmt: skip

    def gradient(name: str, realism: Tensor | None, **more: object) -> tuple[Tensor, Tensor]:
        trainer = make(name, **(changes | more))
        trainer.begin_phase(3)
        return adversarial_gradient(trainer, realism)

    whole, learned = gradient("whole", None)
    weighed, _ = gradient("weighed", torch.tensor([0.0, 1.0, 0.5, 0.0]))
    faithful, _ = gradient("faithful", None, adversarial_weight=0.0)
    torch.testing.assert_close(weighed[1], whole[1])
    torch.testing.assert_close(weighed[2], 0.5 * (whole[2] + faithful[2]))
    assert not torch.allclose(whole[0], faithful[0])
    for index in (0, 3):
        torch.testing.assert_close(weighed[index], faithful[index])
    none, still = gradient("none", torch.zeros(4))
    torch.testing.assert_close(none, faithful)
    assert learned > 0
    assert still == 0


def test_the_hinge_loss_of_weighed_samples() -> None:
    generator = torch.Generator().manual_seed(2)
    real = [torch.randn(4, 1, 3, 3, generator=generator), torch.randn(2, 1, 5, 5)]
    fake = [torch.randn(4, 1, 3, 3, generator=generator), torch.randn(2, 1, 5, 5)]
    torch.testing.assert_close(hinge_loss(real, fake, torch.ones(4)), hinge_loss(real, fake))
    chosen = hinge_loss([r[:1] for r in real], [f[:1] for f in fake])
    torch.testing.assert_close(hinge_loss(real, fake, torch.eye(4)[0]), chosen)
