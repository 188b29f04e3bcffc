"""Which optimiser trains which weights of the codec, and all of them as one.

The discriminators have one of their own, in ``glc.training.engine.loop``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from glc.networks.linear import RealismGain
from glc.networks.model import GlcModel
from glc.training.engine.muon import Muon
from glc.training.engine.nonfinite_guard import TrainingError, step_unless
from glc.training.engine.phases import Ensemble
from glc.training.settings import TrainingSettings


class Optimisers:
    """AdamW for the weights that a phase trains, and Muon for those that are matrices.

    Args:
        ensemble: after ``Ensemble.begin``; what requires no gradient is left alone.
        settings: ``muon`` False leaves everything to AdamW.
        phase: 1, 2 or 3.
        recorded: steps are recorded and replayed (``glc.training.engine.captured_step``): learning
            rates are tensors on the device of the weights.

    Attributes:
        trained: all parameters that are trained.
    """

    def __init__(
        self, ensemble: Ensemble, settings: TrainingSettings, phase: int, recorded: bool = False
    ) -> None:
        self._peak = settings.learning_rate(phase)
        self._share: float | Tensor = 1.0
        self._recorded = recorded
        self.trained = [p for p in ensemble.parameters() if p.requires_grad]
        matrices = _matrices(ensemble) if settings.muon else []
        taken = {id(p) for p in matrices}
        # The scale map counts in rows of a table: its useful range is tens, not ones.
        scale_map = ensemble.model.scale_map
        # E does not know the quality: fast, it throws away for all what the coarsest does not need.
        factors = {id(p): settings.encoder_pace for p in ensemble.model.encoder.parameters()}
        factors |= {id(p): 6.0 for p in scale_map.parameters()} | {id(scale_map.bias): 50.0}
        # About 1 each, and between faithful and realistic they have to differ by about 1 as well.
        for module in ensemble.model.decoder.modules():
            if isinstance(module, RealismGain):
                factors |= {id(p): 10.0 for p in module.parameters()}
        second = ensemble.model.realistic_decoder
        if second is not None:
            factors |= {id(p): settings.realistic_pace for p in second.parameters()}
        for module, factor in _linear_maps(ensemble.model).items():
            factors |= {id(p): factor for p in module.parameters()}
        groups: dict[float, list[nn.Parameter]] = {}
        for parameter in self.trained:
            if id(parameter) not in taken:
                groups.setdefault(factors.get(id(parameter), 1.0), []).append(parameter)
        self._all: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                [{"params": p, "lr": self._peak * k, "factor": k} for k, p in groups.items()],
                lr=self._peak, betas=(0.9, 0.99), weight_decay=settings.weight_decay, fused=True,
            )
        ]  # fmt: skip
        if matrices:
            paced: dict[float, list[nn.Parameter]] = {}
            for p in matrices:
                paced.setdefault(factors.get(id(p), 1.0), []).append(p)
            self._all.append(
                Muon([{"params": p, "factor": k} for k, p in paced.items()], self._peak)
            )
        self._prepare()

    @property
    def learning_rate(self) -> float:
        """Learning rate of the last step, where no factor applies."""
        return self._peak * float(self._share)

    def set_share(self, share: float | Tensor) -> None:
        """Set the learning rate to this share of the phase's peak.

        Args:
            share: a tensor where steps are recorded; nobody waits for its value.
        """
        self._share = share
        for optimiser in self._all:
            for group in optimiser.param_groups:
                rate = self._peak * group["factor"] * share
                if self._recorded:
                    group["lr"].copy_(rate)
                else:
                    group["lr"] = rate

    def _prepare(self) -> None:
        for optimiser in self._all:
            may_be_recorded(optimiser, self._recorded)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for optimiser in self._all:
            optimiser.zero_grad(set_to_none=True)

    def step_unless(self, skip: Tensor) -> None:
        """Take a step, or none where ``skip`` is 1 (``glc.training.engine.nonfinite_guard``)."""
        for optimiser in self._all:
            step_unless(skip, optimiser)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the moments of every optimiser."""
        return [optimiser.state_dict() for optimiser in self._all]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Take over what ``state_dict`` gave for the same settings and phase.

        Raises:
            TrainingError: the run was begun with another choice of ``muon``.
        """
        if len(states) != len(self._all):
            begun = "true" if len(states) > 1 else "false"
            raise TrainingError(
                f"the run was begun with muon={begun}, and its optimisers fit no other; go on "
                f"with --set muon={begun}, or start a run of its own from it with --init"
            )
        for optimiser, state in zip(self._all, states, strict=True):
            optimiser.load_state_dict(state)
        self._prepare()


def may_be_recorded(optimiser: torch.optim.Optimizer, recorded: bool) -> None:
    """Have an optimiser read its learning rates from the device, or from the host.

    Wherever its state came from: a run begun on a GPU goes on without one, and the other way.
    """
    for group in optimiser.param_groups:
        if "capturable" in group:
            group["capturable"] = recorded
        rate, device = float(group["lr"]), group["params"][0].device
        group["lr"] = torch.full((), rate, device=device) if recorded else rate


def _linear_maps(model: GlcModel) -> dict[nn.Module, float]:
    """Return the layers that start as a transform, and the factor on their learning rate.

    Their weights are good already. A step of AdamW moves every weight by about the learning rate,
    whatever its size, and such a layer sums up to 6,912 inputs of one sign: E's and D's would be
    drowned in a few steps at the rate of the others (docs/decisions.md, section 18).
    """
    encoder, decoder = model.encoder.linear, model.decoder.linear
    if encoder is None or decoder is None:
        return {}
    found: dict[nn.Module, float] = {
        model.hyper_analysis.low_pass: 0.1,
        model.hyper_synthesis.low_pass: 0.1,
        encoder.conv: 0.0005,
        decoder.conv: 0.001,
    }
    found |= dict.fromkeys(model.context.linear or (), 0.02)
    second = model.realistic_decoder
    if second is not None:
        found |= {second.means: 0.001, second.spread.conv: 0.001}
    return found


def _matrices(ensemble: Ensemble) -> list[nn.Parameter]:
    """Return what Muon trains: dense layers of the bodies.

    Not what touches pixels, as in the language models that Muon was made for: neither the first
    layer of E nor the last ones of D. Nor the scale map, which counts in rows of a table, nor the
    codebook.
    """
    model = ensemble.model
    decoder = model.decoder
    pixels: set[nn.Module] = {
        model.encoder.stem,
        decoder.render,
        decoder.refine_in,
        decoder.refine_out,
    }
    # Those of the realistic decoder, which mostly begins as another's, are Muon's as well: at the
    # same rate AdamW moves a weight five times as far.
    second = model.realistic_decoder
    pixels |= set(_linear_maps(model))
    # Not what gives means and scales: Muon's steps are a fifth of AdamW's per weight, and after 900
    # of them 40 of Adam still took a quarter of the rate away (docs/decisions.md, section 18).
    parts: list[nn.Module] = [
        *(model.encoder, decoder, model.analysis, model.synthesis),
    ]  # fmt: skip
    parts += [part for part in (second, ensemble.predictor) if part is not None]
    found: list[nn.Parameter] = []
    for module in (module for part in parts for module in part.modules()):
        dense = isinstance(module, nn.Linear) or (
            isinstance(module, nn.Conv2d) and module.groups == 1
        )
        weight = module.weight if dense and module not in pixels else None
        if isinstance(weight, nn.Parameter) and weight.requires_grad:
            found.append(weight)
    return found
