"""The training loop: steps, adversary, logs, samples, checkpoints, resume.

One process or several under torchrun; a wall-clock budget ends it cleanly.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from glc.config import QUALITY_MAX
from glc.errors import GlcError
from glc.training.data import PictureStore
from glc.training.discriminator import (
    PatchDiscriminator,
    ProjectedDiscriminator,
    generator_loss,
    hinge_loss,
)
from glc.training.features import PerceptualLoss
from glc.training.phases import Ensemble, Outcome
from glc.training.rate import RateControl
from glc.training.settings import TrainingSettings


class TrainingError(GlcError):
    """Training cannot go on: losses are not finite, or memory does not suffice."""


class Adversary(nn.Module):
    """The discriminators in use, as one module: real and fake logits of a batch."""

    def __init__(self, settings: TrainingSettings) -> None:
        super().__init__()
        width = settings.discriminator_width
        self.patch = PatchDiscriminator(width) if settings.patch_discriminator else None
        self.projected = (
            ProjectedDiscriminator(width) if settings.projected_discriminator else None
        )

    def forward(self, x: Tensor, features: list[Tensor]) -> list[Tensor]:
        logits = [] if self.patch is None else [self.patch(x)]
        return logits if self.projected is None else logits + self.projected(features)


class Trainer:
    """One run of one or more phases in one folder.

    Args:
        settings: all hyper-parameters.
        store: training pictures, on ``device``.
        held_out: pictures for the held-out losses, or None.
        out: run folder; made if absent.
        device: where to train.
        mobilenet: weights of the second feature network (``MobileNetFeatures``).
    """

    def __init__(
        self,
        settings: TrainingSettings,
        store: PictureStore,
        held_out: PictureStore | None,
        out: Path,
        device: torch.device,
        mobilenet: Path | None,
    ) -> None:
        self.settings, self.store, self.held_out = settings, store, held_out
        self.out, self.device = out, device
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.json").write_text(json.dumps(asdict(settings), indent=1) + "\n")
        self.rank, self.world = _join_processes()
        torch.manual_seed(settings.seed)
        self.ensemble = Ensemble(settings).to(device).to(memory_format=torch.channels_last)
        self.average = AveragedModel(self.ensemble, multi_avg_fn=_ema(settings.ema_decay))
        self.perceptual = PerceptualLoss(mobilenet).to(device)
        self.perceptual = self.perceptual.to(memory_format=torch.channels_last)
        self.adversary = Adversary(settings).to(device)
        anchors = self.ensemble.model.config.quality_anchors
        self.rate = RateControl(anchors, settings.bpp_low, settings.bpp_high)
        self.generator = torch.Generator().manual_seed(settings.seed * 1000 + self.rank)
        self.phase, self.step, self.seconds = 1, 0, 0.0
        self.not_finite, self.not_finite_in_a_row = 0, 0
        self._make_optimisers()
        self._log: TextIO | None = None
        self._board: Any = None

    def begin_phase(self, phase: int) -> None:
        """Start a phase from the averaged weights of the one before."""
        if self.step > 0:
            self.ensemble.load_state_dict(self.average.module.state_dict())
        self.ensemble.begin(phase)
        self.phase, self.step = phase, 0
        self.average = AveragedModel(self.ensemble, multi_avg_fn=_ema(self.settings.ema_decay))
        self._make_optimisers()

    def _make_optimisers(self) -> None:
        s, model = self.settings, self.ensemble.model
        fast = {id(model.scale_map.bias): 20.0}
        fast |= {id(p): 3.0 for p in model.scale_map.parameters() if id(p) not in fast}
        groups: dict[float, list[nn.Parameter]] = {}
        for parameter in self.ensemble.parameters():
            if parameter.requires_grad:
                groups.setdefault(fast.get(id(parameter), 1.0), []).append(parameter)
        rate = s.learning_rate(self.phase)
        self.optimiser = torch.optim.AdamW(
            [{"params": p, "lr": rate * k, "factor": k} for k, p in groups.items()],
            lr=rate, betas=(0.9, 0.99), weight_decay=s.weight_decay, fused=True,
        )  # fmt: skip
        self.adversary_optimiser = torch.optim.AdamW(
            self.adversary.parameters(), lr=s.discriminator_learning_rate, betas=(0.5, 0.9),
            weight_decay=0.0, fused=True,
        )  # fmt: skip

    def run_phase(self, deadline: float | None) -> bool:
        """Train until the phase's steps are done or ``deadline`` (``time.monotonic``) passes.

        Returns:
            True when the phase is finished. A checkpoint is written either way.

        Raises:
            TrainingError: three losses in a row were not finite, or memory ran out.
        """
        total = self.settings.steps(self.phase)
        last_checkpoint = started = time.monotonic()
        window: list[dict[str, float]] = []
        while self.step < total:
            if deadline is not None and time.monotonic() > deadline:
                break
            try:
                window.append(self.train_step())
            except torch.OutOfMemoryError as error:
                half = max(1, self.settings.batch(self.phase) // 2)
                raise TrainingError(f"out of memory; try --batch {half}") from error
            now = time.monotonic()
            self.seconds += now - started
            started = now
            if self.step % self.settings.log_every == 0 or self.step == total:
                self._write_log(window)
                window = []
            if self.step % self.settings.sample_every == 0 or self.step == total:
                self._evaluate()
                started = time.monotonic()
            if now - last_checkpoint > self.settings.checkpoint_every_s:
                self.save()
                last_checkpoint = started = time.monotonic()
        self.save()
        return self.step >= total

    def train_step(self) -> dict[str, float]:
        """One step of the current phase; returns what is to be logged."""
        s = self.settings
        progress = self.step / s.steps(self.phase)
        for group in self.optimiser.param_groups:
            group["lr"] = s.learning_rate(self.phase) * group["factor"] * self._schedule(progress)
        batch = s.batch(self.phase)
        x = self.store.crops(batch, s.crop(self.phase), s.rescale_max, self.generator)
        quality = _draw_qualities(batch, self.generator)
        weight = self.rate.weight(quality).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=s.bf16):
            outcome: Outcome = self.ensemble(self.phase, x, quality.to(self.device), weight)
            logged = {name: value.detach() for name, value in outcome.parts.items()}
            logged["loss"] = outcome.loss.detach()
            adversarial = s.adversarial_weight > 0 and progress >= s.adversarial_start(self.phase)
            if outcome.x_hat is not None:
                gradient = self._picture_gradient(x, outcome.x_hat, adversarial, logged)
        self.optimiser.zero_grad(set_to_none=True)
        if outcome.x_hat is None:
            outcome.loss.backward()
        else:
            torch.autograd.backward([outcome.x_hat, outcome.loss], [gradient, None])
        self._average_gradients(self.ensemble)
        trained = [p for g in self.optimiser.param_groups for p in g["params"]]
        norm = nn.utils.clip_grad_norm_(trained, s.clip_norm)
        logged["gradient_norm"] = norm
        self._step_if_finite(bool(torch.isfinite(norm + logged["loss"])))
        if outcome.bpp is not None:
            logged["bpp"] = outcome.bpp.detach().mean()
            self.rate.update(quality, outcome.bpp, self._excess(progress))
        self.step += 1
        return {name: float(value) for name, value in logged.items()}

    def _picture_gradient(
        self, x: Tensor, x_hat: Tensor, adversarial: bool, logged: dict[str, Tensor]
    ) -> Tensor:
        """Gradient of all picture losses at x_hat; also trains the discriminators.

        The adversarial gradient is scaled to at most ``adversarial_weight`` times the norm of the
        reconstruction gradient, the adaptive weight of VQGAN (arXiv 2012.09841, equation 7),
        measured at the picture instead of at the last layer.
        """
        s = self.settings
        pixels = x_hat.detach().requires_grad_(True)
        part = max(1, round(s.mobilenet_share * len(x)))
        lpips, mobilenet, real_features, fake_features = self.perceptual(x, pixels, part)
        l1 = (x - pixels).abs().mean()
        logged |= {"l1": l1.detach(), "lpips": lpips.detach(), "mobilenet": mobilenet.detach()}
        loss = s.l1_weight * l1 + s.lpips_weight * lpips + s.mobilenet_weight * mobilenet
        logged["loss"] = logged["loss"] + loss.detach()
        (gradient,) = torch.autograd.grad(loss, pixels, retain_graph=adversarial)
        if not adversarial:
            return gradient
        self.adversary.requires_grad_(False)
        fooled = generator_loss(self.adversary(pixels, fake_features))
        (push,) = torch.autograd.grad(fooled, pixels)
        self.adversary.requires_grad_(True)
        factor = s.adversarial_weight * gradient.norm() / push.norm().clamp_min(1e-12)
        factor = factor.clamp_max(10.0)
        fake = self.adversary(pixels.detach(), [f.detach() for f in fake_features])
        real = self.adversary(x, real_features)
        judged = hinge_loss(real, fake)
        self.adversary_optimiser.zero_grad(set_to_none=True)
        judged.backward()
        self._average_gradients(self.adversary)
        self.adversary_optimiser.step()
        logged |= {"generator": fooled.detach(), "discriminator": judged.detach()}
        return gradient + factor * push

    def _step_if_finite(self, finite: bool) -> None:
        if finite:
            self.not_finite_in_a_row = 0
            self.optimiser.step()
            self.average.update_parameters(self.ensemble)
            return
        self.not_finite += 1
        self.not_finite_in_a_row += 1
        if self.not_finite_in_a_row >= 3:
            raise TrainingError(
                f"phase {self.phase}, step {self.step}: three losses in a row were not finite; "
                "lower the learning rate, or resume from an earlier checkpoint"
            )

    def _schedule(self, progress: float) -> float:
        s = self.settings
        warmup = min(1.0, (self.step + 1) / max(1, s.warmup_steps))
        falling = min(1.0, (1.0 - progress) / max(s.decay_share, 1e-6))
        return warmup * max(0.02, falling)

    def _excess(self, progress: float) -> float:
        """Factor on the wanted rates: falls from ``bpp_excess`` to 1 in the ramp of phase 2."""
        if self.phase == 3 or self.settings.rate_ramp <= 0:
            return 1.0
        part = min(1.0, progress / self.settings.rate_ramp)
        return float(self.settings.bpp_excess ** (1.0 - part))

    def _average_gradients(self, module: nn.Module) -> None:
        if self.world == 1:
            return
        for parameter in module.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= self.world

    @torch.no_grad()
    def _evaluate(self) -> None:
        """Held-out losses of the averaged weights on fixed crops, and a sample sheet."""
        store = self.held_out or self.store
        s = self.settings
        generator = torch.Generator().manual_seed(7)
        side = min(256, int(min(store.height.min(), store.width.min())) // 64 * 64)
        sums: dict[str, float] = {}
        rounds = 4
        sheet: list[Tensor] = []
        ensemble = self.average.module.eval()
        for index in range(rounds):
            x = store.crops(8, side, 1.0, generator)
            quality = torch.linspace(0, QUALITY_MAX, 8).round().long()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=s.bf16):
                outcome = ensemble(
                    self.phase, x, quality.to(self.device), torch.ones(8, device=self.device)
                )
                parts = dict(outcome.parts)
                x_hat = outcome.x_hat
                if x_hat is not None:
                    lpips, mobilenet, _, _ = self.perceptual(x, x_hat, len(x))
                    parts |= {"lpips": lpips, "mobilenet": mobilenet, "l1": (x - x_hat).abs().mean()}
            if outcome.bpp is not None:
                parts |= {"bpp": outcome.bpp.mean(), "bpp_low": outcome.bpp[0]}
                parts |= {"bpp_middle": outcome.bpp[3:5].mean(), "bpp_high": outcome.bpp[-1]}
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + float(value) / rounds
            if x_hat is not None and index == 0:
                sheet = [x, x_hat]
        ensemble.train()
        self._record({"held_out": True, **sums})
        if sheet and self.rank == 0:
            columns = torch.cat([torch.cat(list(row.cpu()), dim=2) for row in sheet], dim=1)
            pixels = ((columns.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
            folder = self.out / "samples"
            folder.mkdir(exist_ok=True)
            Image.fromarray(np.ascontiguousarray(pixels)).save(
                folder / f"phase{self.phase}-{self.step:06d}.png"
            )

    def _write_log(self, window: list[dict[str, float]]) -> None:
        means = {n: float(np.mean([w[n] for w in window if n in w])) for n in window[-1]}
        batch = self.settings.batch(self.phase)
        means["crops_per_second"] = batch * self.world * self._pace()
        usage = self.ensemble.take_usage()
        if usage is not None:
            means["codes_used"], means["perplexity"] = usage
        means["learning_rate"] = self.optimiser.param_groups[0]["lr"]
        if self.phase > 1:
            means["rate_weight_low"] = float(self.rate.log_weight[0].exp())
            means["rate_weight_high"] = float(self.rate.log_weight[-1].exp())
        means["not_finite"] = self.not_finite
        self._record(means)

    def _pace(self) -> float:
        now, step = time.monotonic(), self.step
        before = getattr(self, "_pace_mark", None)
        self._pace_mark = (now, step)
        if before is None or step <= before[1]:
            return 0.0
        return float((step - before[1]) / (now - before[0]))

    def _record(self, values: dict[str, Any]) -> None:
        if self.rank:
            return
        if self._log is None:
            self._log = (self.out / "log.jsonl").open("a", encoding="utf-8")
            self._board = _open_board(self.out)
        rounded = {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in values.items()}
        entry = {"phase": self.phase, "step": self.step, "seconds": round(self.seconds, 1)}
        self._log.write(json.dumps(entry | rounded) + "\n")
        self._log.flush()
        if self._board is not None:
            kind = "held_out" if values.get("held_out") else "train"
            for name, value in values.items():
                if name != "held_out":
                    self._board.add_scalar(f"phase{self.phase}/{kind}/{name}", value, self.step)

    def save(self) -> None:
        """Write ``checkpoint.pt`` atomically; everything a resumed run needs is in it."""
        if self.rank:
            return
        state = {
            "settings": asdict(self.settings),
            "phase": self.phase,
            "step": self.step,
            "seconds": self.seconds,
            "ensemble": self.ensemble.state_dict(),
            "average": self.average.state_dict(),
            "adversary": self.adversary.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "adversary_optimiser": self.adversary_optimiser.state_dict(),
            "log_weight": self.rate.log_weight,
            "generator": self.generator.get_state(),
            "torch_rng": torch.get_rng_state(),
            "not_finite": self.not_finite,
        }
        target = self.out / "checkpoint.pt"
        partial = target.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)

    def resume(self) -> bool:
        """Continue from ``checkpoint.pt`` if there is one; say whether there was."""
        path = self.out / "checkpoint.pt"
        if not path.is_file():
            return False
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.phase, self.step = state["phase"], state["step"]
        self.ensemble.begin(self.phase)
        self.ensemble.load_state_dict(state["ensemble"])
        self.average.load_state_dict(state["average"])
        self.adversary.load_state_dict(state["adversary"])
        self._make_optimisers()
        self.optimiser.load_state_dict(state["optimiser"])
        self.adversary_optimiser.load_state_dict(state["adversary_optimiser"])
        self.rate.log_weight = state["log_weight"]
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch_rng"])
        self.seconds, self.not_finite = state["seconds"], state["not_finite"]
        return True


def _draw_qualities(batch: int, generator: torch.Generator) -> Tensor:
    """Draw one quality per sample, spread evenly over the range: (B,) int64 in [0, 100]."""
    strata = torch.randperm(batch, generator=generator) + torch.rand(batch, generator=generator)
    return (strata * ((QUALITY_MAX + 1) / batch)).long().clamp_max(QUALITY_MAX)


def _ema(decay: float) -> Any:
    @torch.no_grad()
    def update(averages: list[Tensor], values: list[Tensor], count: Tensor) -> None:
        # A young average forgets faster, so that short runs are not held back by their start.
        rate = 1.0 - min(decay, (1.0 + float(count)) / (10.0 + float(count)))
        for average, value in zip(averages, values, strict=True):
            average.lerp_(value, rate)

    return update


def _join_processes() -> tuple[int, int]:
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not torch.distributed.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        torch.distributed.init_process_group(backend)
    return int(os.environ.get("RANK", "0")), world


def _open_board(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(out / "tensorboard"))
