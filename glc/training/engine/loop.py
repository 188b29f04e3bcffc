"""The training loop: one run of one or more phases in one folder.

The hot path never waits for the device: decisions stay tensors, and logs are read once per window.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from glc.config import QUALITY_MAX
from glc.networks.model import GlcModel
from glc.training.data.crops import Pictures
from glc.training.engine import resume
from glc.training.engine.captured_step import WARM_STEPS, CapturedSteps, record_cuda_graph
from glc.training.engine.distributed import Processes
from glc.training.engine.ema import AveragedWeights
from glc.training.engine.graft import fit_means, graft
from glc.training.engine.log import RunLog
from glc.training.engine.net2net import check_growth, grow
from glc.training.engine.nonfinite_guard import StepGuard, TrainingError, step_unless
from glc.training.engine.optimizers import Optimisers, may_be_recorded
from glc.training.engine.phases import Ensemble, Outcome
from glc.training.engine.processor import wants_bf16
from glc.training.engine.quality_span import take_qualities
from glc.training.engine.start import Start, start_linear
from glc.training.engine.validation import evaluate
from glc.training.losses.discriminator import Adversary, generator_loss, hinge_loss
from glc.training.losses.features import PerceptualLoss
from glc.training.losses.picture_loss import PictureLoss
from glc.training.losses.rate_control import RateControl
from glc.training.settings import REALISTIC_DECODER, TrainingSettings
from glc.weights import checkpoint

_STRAY = 5.0
"""Pixels are in [-1, 1]. A sample with one beyond this is replaced by its original, from which
nothing is learned: one crop that goes astray outweighs all others, and teaches the discriminators
what no other picture looks like. Where the networks themselves give no number, the whole step is
skipped all the same: its gradient, times nothing, is none either."""

_LOOK_EVERY = 10
"""Steps between two looks at what makes the host wait: skipped steps, votes of other processes."""

_IGNORANT = 2.0
"""Hinge loss of a discriminator that cannot tell decoded pictures from originals."""

_DOUBT = 0.2
"""How far below that it has to be for a full say."""


@dataclass(frozen=True)
class Stage:
    """What of a step the host decides, and seldom changes."""

    adversarial: bool
    perceptual: float
    """Factor on the weights of the feature networks."""
    excess: float
    """Factor on the wanted rates."""


class Trainer:
    """One run of one or more phases in one folder.

    Args:
        settings: all hyper-parameters.
        pictures: training pictures, on ``device``.
        held_out: pictures for the held-out losses, or None to use those of training.
        out: run folder; made if absent.
        device: where to train.
        perceptual: the loss networks.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        pictures: Pictures,
        held_out: Pictures | None,
        out: Path,
        device: torch.device,
        perceptual: PerceptualLoss,
    ) -> None:
        self.settings, self.pictures, self.held_out = settings, pictures, held_out
        self.out, self.device = out, device
        self.processes = Processes.join(device)
        self._write_config()
        self.log = RunLog(out if self.processes.rank == 0 else None)
        torch.manual_seed(settings.seed)
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        self.ensemble = Ensemble(settings).to(device).to(memory_format=layout)
        self.perceptual = perceptual.to(device).to(memory_format=layout)
        self.picture_loss = PictureLoss(settings, self.perceptual)
        self.bf16 = wants_bf16(settings.bf16, device)
        self.adversary = Adversary(settings).to(device).to(memory_format=layout)
        self.average = AveragedWeights(self.ensemble, settings.ema_decay)
        if settings.compile:
            model = self.ensemble.model
            for part in (model.encoder, model.decoder, model.analysis, model.synthesis):
                part.compile()
        self.rate = RateControl(
            settings.shape.quality_anchors, settings.bpp_low, settings.bpp_high, device
        )
        self.phase, self.step, self.seconds = 1, 0, 0.0
        self._warm_from = 0
        self._moved = False
        self._crop_generator, self._quality_generator = torch.Generator(), torch.Generator()
        self._seed_generators()
        self.guard = StepGuard("model", device)
        self.adversary_guard = StepGuard("discriminator", device)
        self._lap_start, self._logged_at = time.monotonic(), (0, 0.0)
        self._make_optimisers()

    @property
    def warm_steps(self) -> int:
        """Steps of a stage before one takes as long as those that follow."""
        return 2 if self._captured is None else WARM_STEPS + 2

    def _seed_generators(self) -> None:
        """Seed by process and progress, so that every process draws other crops."""
        place = (self.settings.seed * 4096 + self.processes.rank) * 4 + self.phase
        seed = (place * 2**32 + 2 * self.step) % 2**63
        self._crop_generator.manual_seed(seed)
        self._quality_generator.manual_seed(seed + 1)

    def initialise(self, path: Path) -> None:
        """Start from the averaged weights of another run, or from shipped weights.

        A run of a smaller model with latents of the same shape is grown
        (``glc.training.engine.net2net``). The weights of the rate come along, so that the wanted
        rates are met from the first step.

        Args:
            path: run folder, ``checkpoint.pt``, compact folder, or ``.safetensors``. The last holds
                neither codebook (but a Gaussian bottleneck) nor code predictor, which then start
                anew, nor the weights of the rate, which begin between ``rate_weight_low`` and
                ``rate_weight_high``.

        Raises:
            TrainingError: not such a file, or a model of another shape.
        """
        if path.suffix == ".safetensors":
            resume.load_shipped(self.ensemble.model, path)
            resume.load_bottleneck(self.ensemble.codebook, path)
            self.rate.begin_between(self.settings.rate_weight_low, self.settings.rate_weight_high)
            began = 1
        else:
            state = resume.read_state(path)
            if state is None:
                raise TrainingError(f"nothing to start from: {path} holds no run and no weights")
            weights = resume.averaged_weights(state)
            before = TrainingSettings.of_run(state["settings"])
            if before.shape == self.settings.shape:
                self._load(self.ensemble, weights, path)
            else:
                check_growth(before.shape, self.settings.shape)
                grow(weights, Ensemble(before), self.ensemble)
                if self.settings.shape.two_decoders and not before.shape.two_decoders:
                    self.ensemble.eval()
                    fit_means(self.ensemble.model, self.pictures)
                    self.ensemble.train()
            began = state["phase"]
            if began > 1 and len(state["random"]["log_weight"]) == len(self.rate.log_weight):
                self.rate.log_weight = state["random"]["log_weight"].to(self.device)
        self._moved = began == 3
        if began == 1:
            # Before phase 2 the frozen copy of the encoder is not yet that of phase 1.
            self.ensemble.reference.load_state_dict(self.ensemble.model.encoder.state_dict())
        self.average = AveragedWeights(self.ensemble, self.settings.ema_decay)

    def take_qualities(self, qualities: Sequence[float]) -> None:
        """Turn some qualities of what the run starts from into 0 to 100.

        Args:
            qualities: as for ``glc.training.engine.quality_span.take_qualities``.

        Raises:
            ValueError: not such qualities.
        """
        self.rate.log_weight = take_qualities(self.ensemble, self.rate.log_weight, qualities)
        self.average = AveragedWeights(self.ensemble, self.settings.ema_decay)

    def graft(self, path: Path) -> float:
        """Begin the realistic decoder as the decoder of shipped weights.

        Args:
            path: ``.safetensors`` of architecture 1.

        Returns:
            As ``glc.training.engine.graft.graft``.

        Raises:
            TrainingError: the model has one decoder, or that of ``path`` does not fit.
            WeightsError: not a weights file.
        """
        donor = GlcModel(checkpoint.load(path).config).to(self.device).eval()
        resume.load_shipped(donor, path)
        self.ensemble.eval()
        unexplained = graft(self.ensemble.model, donor, self.pictures)
        self.ensemble.train()
        self.average = AveragedWeights(self.ensemble, self.settings.ema_decay)
        return unexplained

    def _write_config(self) -> None:
        if self.processes.rank == 0:
            self.out.mkdir(parents=True, exist_ok=True)
            config = json.dumps(self.settings.to_dict(), indent=1)
            (self.out / "config.json").write_text(config + "\n", encoding="utf-8")

    def set_steps(self, phase: int, steps: int) -> None:
        """Change how many steps a phase has; its schedule stretches over them."""
        self.settings = self.settings.replace({f"steps_{phase}": steps})
        self._write_config()

    def start(self) -> Start | None:
        """Make a new model a transform codec, from its own pictures: ``glc.training.engine.start``.

        The weights of the rate begin where that codec's step sizes ask for them.

        Returns:
            What it does before the first step; None for a model of architecture 1.
        """
        if not self.settings.shape.linear:
            return None
        s = self.settings
        self.ensemble.eval()
        found = start_linear(self.ensemble.model, self.pictures, s.bpp_low, s.bpp_high, s.seed)
        self.ensemble.train()
        self.ensemble.reference.load_state_dict(self.ensemble.model.encoder.state_dict())
        self.rate.begin_at([max(s.mse_weight, 1e-3) * weight for weight in found.rate_weights])
        self.average = AveragedWeights(self.ensemble, s.ema_decay)
        return found

    def begin_phase(self, phase: int) -> None:
        """Start a phase from the averaged weights of the one before."""
        if self.step > 0:
            self.ensemble.load_state_dict(self.average.module.state_dict())
        self.ensemble.begin(phase, keep_reference=self._moved)
        self.processes.share(self.ensemble, self.adversary)
        self.phase, self.step, self._warm_from = phase, 0, 0
        self.average = AveragedWeights(self.ensemble, self.settings.ema_decay)
        self._make_optimisers()

    def _make_optimisers(self) -> None:
        s = self.settings
        recorded = self._may_record()
        self._captured = CapturedSteps(self._step, record_cuda_graph) if recorded else None
        self.optimisers = Optimisers(self.ensemble, s, self.phase, recorded)
        # Where there is no discriminator, an optimiser of nothing.
        judges = list(self.adversary.parameters()) or [
            nn.Parameter(torch.empty(0, device=self.device))
        ]
        self.adversary_optimiser = torch.optim.AdamW(
            judges, lr=s.discriminator_learning_rate, betas=(0.5, 0.9),
            weight_decay=0.0, fused=True,
        )  # fmt: skip
        may_be_recorded(self.adversary_optimiser, recorded)

    def _may_record(self) -> bool:
        """Say whether steps of this phase are recorded and replayed."""
        s = self.settings
        alone = self.device.type == "cuda" and self.processes.world == 1
        return s.cuda_graphs and alone and self.phase == 3 and not s.compile

    def run_phase(self, deadline: float | None = None) -> bool:
        """Train until the phase's steps are done or ``deadline`` (``time.monotonic``) passes.

        Returns:
            True when the phase is finished. A checkpoint is written either way.

        Raises:
            TrainingError: three losses in a row were not finite, or memory ran out.
        """
        s = self.settings
        total = s.steps(self.phase)
        last_checkpoint = time.monotonic()
        window: list[dict[str, Tensor]] = []
        if self.step == 0:
            self._evaluate()
        self._lap_start, self._logged_at = time.monotonic(), (self.step, self.seconds)
        while self.step < total and not self._time_is_up(deadline):
            window.append(self._try_step())
            done = self.step == total
            if done or self.step % s.log_every == 0:
                self._write_log(window)
                window = []
            if done or self.step % s.sample_every == 0:
                self._lap()
                self._evaluate()
                self._lap_start = time.monotonic()
            if time.monotonic() - last_checkpoint >= s.checkpoint_every_s:
                self.save()
                last_checkpoint = time.monotonic()
        self.save()
        self.log.close()
        return self.step >= total

    def _time_is_up(self, deadline: float | None) -> bool:
        if deadline is None:
            return False
        late = time.monotonic() > deadline
        if self.processes.world == 1:
            return late
        return self.step % _LOOK_EVERY == 0 and self.processes.any_says(late, self.device)

    def _lap(self) -> None:
        """Add the time since the last lap to the training time."""
        now = time.monotonic()
        self.seconds += now - self._lap_start
        self._lap_start = now

    def _try_step(self) -> dict[str, Tensor]:
        try:
            logged = self.train_step()
        except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
            named = isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError))
            if not named and "allocate memory" not in str(error):
                raise
            batch, crop = self.settings.batch(self.phase), self.settings.crop(self.phase)
            raise TrainingError(
                f"out of memory in phase {self.phase} with --batch {batch} --crop {crop}; "
                f"try --batch {max(1, batch // 2)}"
            ) from error
        if self.device.type == "cpu" or self.step % _LOOK_EVERY == 0:
            self.guard.check(self.phase, self.step)
            self.adversary_guard.check(self.phase, self.step)
        return logged

    def train_step(self) -> dict[str, Tensor]:
        """One step of the current phase; returns what is to be logged, scalars on the device."""
        s = self.settings
        progress = self.step / s.steps(self.phase)
        batch = s.batch(self.phase)
        x = self.pictures.crops(batch, s.crop(self.phase), s.rescale_max, self._crop_generator)
        quality = _draw_qualities(batch, self._quality_generator)
        quality = quality.to(self.device, non_blocking=True)
        realism = self._draw_realism(batch)
        rate = self._schedule(progress)
        stage = Stage(
            s.is_adversarial(self.phase, progress),
            s.perceptual_share(self.phase, progress),
            self._excess(progress),
        )
        if self._captured is None:
            logged = self._step(stage, x, quality, rate, realism)
        else:
            given = [x, quality, torch.tensor(rate).to(self.device, non_blocking=True)]
            given += [] if realism is None else [realism]
            logged = self._captured.take(stage, given)
        self.step += 1
        return logged

    def _step(
        self, stage: Stage, x: Tensor, quality: Tensor, rate: float | Tensor,
        realism: Tensor | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Take the part of a step that happens on the device.

        Args:
            stage: all else that the host decides.
            x: (B, 3, H, W) in [-1, 1].
            quality: (B,) int64 in [0, 100].
            rate: share of the learning rate's peak.
            realism: (B,) in [0, 1].
        """
        s = self.settings
        self.optimisers.set_share(rate)
        weight, balance = self.rate.weight(quality), self.rate.balance(quality, s.quality_balance)
        ends = s.realistic(len(x)) if s.shape.two_decoders and realism is not None else None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            outcome: Outcome = self.ensemble(
                self.phase, x, quality, weight * balance, realism, ends
            )
            logged = {name: value.detach() for name, value in outcome.parts.items()}
            logged["loss"] = outcome.loss.detach()
            if outcome.x_hat is not None:
                decoded = outcome.x_hat.detach()
                astray = _astray(decoded)
                logged["astray"] = astray.float().mean()
                shown = torch.where(astray, x, decoded)
                gradient = self._picture_gradient(x, shown, stage, logged, realism)
                weights = balance
                if realism is not None:
                    weights = torch.where(realism > 0, balance, s.faithful_weight * balance)
                gradient = gradient * weights.view(-1, 1, 1, 1) * ~astray
        self.optimisers.zero_grad()
        if outcome.x_hat is None:
            outcome.loss.backward()
        elif not outcome.loss.requires_grad:
            # What comes before the decoder is frozen, and so is the rate.
            outcome.x_hat.backward(gradient)
        else:
            torch.autograd.backward([outcome.x_hat, outcome.loss], [gradient, None])
        shared, trained = logged["loss"].float().reshape(1), self.optimisers.trained
        if outcome.bpp is not None:
            logged["bpp"] = outcome.bpp.detach().mean()
            excess = self.rate.error(quality, outcome.bpp, stage.excess)
            shared = torch.cat([shared, excess])
        shared = self.processes.average_gradients(trained, shared)
        logged["gradient_norm"] = nn.utils.clip_grad_norm_(trained, s.clip_norm)
        skip = self.guard.judge(logged["gradient_norm"], shared[0])
        self.optimisers.step_unless(skip)
        self.average.update(self.ensemble, skip)
        if outcome.bpp is not None:
            self.rate.move(shared[1:])
        return logged

    def _draw_realism(self, batch: int) -> Tensor | None:
        """Draw what D is told: the first samples of a batch are realistic, the others faithful.

        Returns:
            (B,) in [0, 1], exactly 0 for the faithful; None where D takes none, and where the
            realistic decoder alone is trained.
        """
        s = self.settings
        if not s.shape.linear or s.parts == (REALISTIC_DECODER,):
            return None
        realistic = s.realistic(batch)
        drawn = torch.rand(realistic, generator=self._quality_generator)
        # Half of them at the end of the range, which is what most pictures are decoded with.
        drawn = (0.2 + 1.6 * drawn).clamp_max(1.0)
        if s.shape.two_decoders:
            # Each learns to show what it is for; their mixture needs no training.
            drawn = torch.ones_like(drawn)
        realism = torch.cat([drawn, torch.zeros(batch - realistic)])
        return realism.to(self.device, non_blocking=True)

    def _picture_gradient(
        self, x: Tensor, x_hat: Tensor, stage: Stage, logged: dict[str, Tensor],
        realism: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Gradient of all picture losses at x_hat; also trains the discriminators.

        The adversarial gradient is scaled to at most ``adversarial_weight`` times the norm of the
        reconstruction gradient, the adaptive weight of VQGAN (arXiv 2012.09841, equation 7),
        measured at the picture instead of at the last layer. Discriminators that cannot tell
        decoded pictures from originals yet push all of them the same way, wherever that leads, so
        they have a say only as far as their own loss is below that of knowing nothing.

        Args:
            x: (B, 3, H, W) in [-1, 1], the original.
            x_hat: same shape, the decoded picture.
            stage: which losses take part.
            logged: takes the losses.
            realism: (B,) in [0, 1], factor on perceptual and adversarial terms of each sample, the
                discriminators' own included; None is 1 (arXiv 2212.13824, section 3).
        """
        s = self.settings
        shared = s.projected if stage.adversarial else ()
        pixels = x_hat.detach().requires_grad_(True)
        found = self.picture_loss(x, pixels, stage.perceptual, shared, realism)
        logged |= found.parts
        logged["loss"] = logged["loss"] + found.loss.detach()
        (gradient,) = torch.autograd.grad(found.loss, pixels, retain_graph=stage.adversarial)
        if not stage.adversarial:
            return gradient
        real, fake = found.perceived.real, found.perceived.fake
        if realism is not None:
            # The discriminators look at no sample that is decoded to be faithful.
            seen = s.realistic(len(x))
            x, own, weight = x[:seen], pixels[:seen], realism[:seen]
        else:
            own, weight = pixels, None
        self.adversary.requires_grad_(False)
        fooled = generator_loss(self.adversary(own, fake))
        (push,) = torch.autograd.grad(fooled, pixels)
        self.adversary.requires_grad_(True)
        known = {name: [f.detach() for f in features] for name, features in fake.items()}
        judged = self._train_adversary(x, real, own.detach(), known, weight)
        # Before realism weighs the samples: the factor would make up for a small mean of it.
        factor = s.adversarial_weight * gradient.norm() / push.norm().clamp_min(1e-12)
        factor = factor.clamp_max(10.0) * ((_IGNORANT - judged) / _DOUBT).clamp(0.0, 1.0)
        if realism is not None:
            push = push * realism.view(-1, 1, 1, 1)
        logged["generator"], logged["discriminator"] = fooled.detach(), judged
        return gradient + factor * push  # type: ignore[no-any-return]

    def _train_adversary(
        self,
        x: Tensor,
        real_features: dict[str, list[Tensor]],
        x_hat: Tensor,
        fake_features: dict[str, list[Tensor]],
        realism: Tensor | None,
    ) -> Tensor:
        """One step of the discriminators; returns their loss."""
        real, fake = self.adversary(x, real_features), self.adversary(x_hat, fake_features)
        judged = hinge_loss(real, fake, realism)
        self.adversary_optimiser.zero_grad(set_to_none=True)
        judged.backward()
        parameters = list(self.adversary.parameters())
        shared = self.processes.average_gradients(parameters, judged.detach().reshape(1))
        norm = nn.utils.clip_grad_norm_(parameters, float("inf"))
        step_unless(self.adversary_guard.judge(norm, shared[0]), self.adversary_optimiser)
        return judged.detach()

    def _schedule(self, progress: float) -> float:
        s = self.settings
        warmup = min(1.0, (self.step - self._warm_from + 1) / max(1, s.warmup_steps))
        falling = min(1.0, (1.0 - progress) / max(s.decay_share, 1e-6))
        return warmup * max(0.02, falling)

    def _excess(self, progress: float) -> float:
        """Factor on the wanted rates: falls from ``bpp_excess`` to 1 in the ramp of phase 2."""
        if self.phase == 3 or self.settings.rate_ramp <= 0:
            return 1.0
        part = min(1.0, progress / self.settings.rate_ramp)
        return float(self.settings.bpp_excess ** (1.0 - part))

    def _evaluate(self) -> None:
        """Record held-out losses of the averaged weights, and a sheet of samples."""
        if self.processes.rank:
            return
        values, sheet = evaluate(
            self.average.module, self.perceptual, self.held_out or self.pictures,  # type: ignore[arg-type]
            self.phase, self.settings,
        )  # fmt: skip
        self.log.record(self.phase, self.step, self.seconds, {"held_out": True, **values})
        if sheet:
            self.log.picture(self.phase, self.step, sheet)

    def _write_log(self, window: list[dict[str, Tensor]]) -> None:
        # Taken from the last step: losses come and go with the phase and the discriminator.
        names = list(window[-1])
        columns = [torch.stack([w[n].float() for w in window if n in w]).mean() for n in names]
        means = dict(zip(names, torch.stack(columns).tolist(), strict=True))
        self._lap()
        steps, seconds = self.step - self._logged_at[0], self.seconds - self._logged_at[1]
        self._logged_at = (self.step, self.seconds)
        crops = steps * self.settings.batch(self.phase) * self.processes.world
        means["crops_per_second"] = crops / max(seconds, 1e-9)
        usage = self.ensemble.take_usage()
        if usage is not None:
            means["codes_used"], means["perplexity"] = usage
        means["learning_rate"] = self.optimisers.learning_rate
        if self.phase > 1:
            means["rate_weight_low"] = float(self.rate.log_weight[0].exp())
            means["rate_weight_high"] = float(self.rate.log_weight[-1].exp())
        means["skipped"] = self.guard.skipped
        means["skipped_discriminator"] = self.adversary_guard.skipped
        self.log.record(self.phase, self.step, self.seconds, means)

    def state(self) -> resume.State:
        """Return everything that a resumed run needs."""
        random = {
            "crops": self._crop_generator.get_state(),
            "qualities": self._quality_generator.get_state(),
            "cpu": torch.get_rng_state(),
            "log_weight": self.rate.log_weight,
        }
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        return {
            "settings": self.settings.to_dict(),
            "phase": self.phase,
            "step": self.step,
            "seconds": self.seconds,
            "warm_from": self._warm_from,
            "skipped": self.guard.skipped,
            "ensemble": self.ensemble.state_dict(),
            "average": self.average.state_dict(),
            "adversary": self.adversary.state_dict(),
            "optimisers": self.optimisers.state_dict(),
            "adversary_optimiser": self.adversary_optimiser.state_dict(),
            "random": random,
        }

    def save(self) -> None:
        """Write ``checkpoint.pt`` atomically; the first process alone does."""
        if self.processes.rank == 0:
            self._lap()
            resume.write_checkpoint(self.state(), self.out)
            self._lap_start = time.monotonic()

    def resume(self, path: Path | None = None) -> bool:
        """Continue a run; say whether there was one.

        Args:
            path: run folder, ``checkpoint.pt`` or compact folder; None is the run's own folder.

        Raises:
            TrainingError: the file is damaged, or of a model of another shape.
        """
        place = path or self.out
        state = resume.read_state(place)
        if state is None:
            return False
        self.phase, self.step, self.seconds = state["phase"], state["step"], state["seconds"]
        self.ensemble.begin(self.phase)
        compact = "ensemble" not in state
        weights = resume.averaged_weights(state) if compact else state["ensemble"]
        self._load(self.ensemble, weights, place)
        # Of runs whose only projected discriminator looked through MobileNetV2.
        known = {
            name.replace("projected.heads.", "projected.mobilenet.heads."): value
            for name, value in state["adversary"].items()
        }
        self._load(self.adversary, known, place)
        self._load(self.average, state["average"], place)
        self._make_optimisers()
        self._warm_from = self.step if compact else state["warm_from"]
        if not compact:
            self.optimisers.load_state_dict(state["optimisers"])
            self.adversary_optimiser.load_state_dict(state["adversary_optimiser"])
            may_be_recorded(self.adversary_optimiser, self._captured is not None)
        self.processes.share(self.ensemble, self.adversary)
        self._restore_randomness(state["random"])
        self.guard.skipped = state["skipped"]
        self.log.rewind(self.phase, self.step)
        return True

    def _restore_randomness(self, random: dict[str, Tensor]) -> None:
        self.rate.log_weight = random["log_weight"].to(self.device)
        if self.processes.rank:
            # Only the first process has saved; the others must not draw its crops.
            self._seed_generators()
            return
        self._crop_generator.set_state(random["crops"])
        self._quality_generator.set_state(random["qualities"])
        torch.set_rng_state(random["cpu"])
        if "cuda" in random and self.device.type == "cuda":
            torch.cuda.set_rng_state(random["cuda"], self.device)

    def _load(self, module: nn.Module, weights: dict[str, Tensor], place: Path) -> None:
        try:
            module.load_state_dict(weights)
        except RuntimeError as error:
            raise TrainingError(
                f"{place} belongs to a run of another shape; name its --preset and --regulariser "
                f"({str(error).splitlines()[-1].strip()})"
            ) from error


def _astray(x_hat: Tensor) -> Tensor:
    """Say which samples have a pixel that no picture has, or that is no number: (B, 1, 1, 1)."""
    return ~(x_hat.abs().flatten(1).amax(1) <= _STRAY).view(-1, 1, 1, 1)


def _draw_qualities(batch: int, generator: torch.Generator) -> Tensor:
    """Draw one quality per sample, spread evenly over the range: (B,) int64 in [0, 100]."""
    strata = torch.randperm(batch, generator=generator) + torch.rand(batch, generator=generator)
    return (strata * ((QUALITY_MAX + 1) / batch)).long().clamp_max(QUALITY_MAX)
