"""Begin a realistic decoder as the decoder of another model, behind other latents.

How natural pictures look takes a decoder hours to learn, and does not depend on how latents are
coded. So its blocks are taken over, and new ones before them learn by regression what its first
layer makes of its own latents: minutes, since no picture is decoded. docs/decisions.md, section 24.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from glc.config import IMAGE_STRIDE, LATENT_STRIDE, QUALITY_MAX, REALISTIC_INPUT_LIMIT
from glc.networks.autoencoder import ImageDecoder, RealisticDecoder
from glc.networks.model import GlcModel
from glc.training.data.crops import Pictures
from glc.training.engine.nonfinite_guard import TrainingError
from glc.training.engine.start import code_latents, set_means

__all__ = ["fit_means", "graft"]

_SIDE = 192
_BATCH = 16
_BATCHES = 60
_DONOR_QUALITY = 95
"""At which the donor codes its latents: its decoder has seen coded ones, hardly ever others."""
_STEPS = 240
_STEP_BATCH = 12
_LEARNING_RATE = 6e-4
_WARMUP = 30


@torch.no_grad()
def graft(
    model: GlcModel, donor: GlcModel, pictures: Pictures, steps: int = _STEPS, seed: int = 3
) -> float:
    """Set a realistic decoder to what a donor's decoder does, as far as the latents tell.

    Args:
        model: with two decoders, in evaluation mode; all but the realistic one is trained. That one
            is changed in place.
        donor: of architecture 1, whose decoder stands alone; its blocks have the widths of the
            realistic one, which has at least one block more at 1/16.
        pictures: training pictures, on the device of both models.
        steps: of the regression.
        seed: of crops and qualities.

    Returns:
        Share of the variance of the donor's first layer that the new blocks do not explain.

    Raises:
        TrainingError: the model has one decoder, or the donor's does not fit into the other.
    """
    if model.realistic_decoder is None:
        raise TrainingError("a model with one decoder takes no donor; architecture 3 has two")
    if donor.config.linear:
        raise TrainingError(
            "the donor's decoder adds to a linear map, and does not stand alone; "
            "one of architecture 1 does"
        )
    realistic = model.realistic_decoder
    new_blocks = _take_over(realistic, donor.decoder)
    generator = torch.Generator().manual_seed(seed)
    given, means, wanted = [], [], []
    for _ in range(_BATCHES):
        x, l_hat = _coded(model, pictures, generator)
        given.append(l_hat)
        means.append(functional.avg_pool2d(x, LATENT_STRIDE))
        wanted.append(code_latents(donor, donor.encoder(x), _DONOR_QUALITY)[0])
    l_hat, theirs = torch.cat(given), torch.cat(wanted)
    set_means(model, l_hat, torch.cat(means))
    front = nn.Sequential(realistic.stem, *realistic.body_16[:new_blocks])
    seen = model.in_units(l_hat).clamp(-REALISTIC_INPUT_LIMIT, REALISTIC_INPUT_LIMIT)
    return _regress(front, donor.decoder, seen, theirs, steps, generator)


@torch.no_grad()
def fit_means(model: GlcModel, pictures: Pictures, seed: int = 3) -> None:
    """Give a realistic decoder without a donor its mean colours, which training hardly moves.

    Args:
        model: with two decoders, in evaluation mode.
        pictures: training pictures, on its device.
        seed: of crops and qualities.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs = [_coded(model, pictures, generator) for _ in range(_BATCHES)]
    means = [functional.avg_pool2d(x, LATENT_STRIDE) for x, _ in pairs]
    set_means(model, torch.cat([l_hat for _, l_hat in pairs]), torch.cat(means))


def _coded(
    model: GlcModel, pictures: Pictures, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw crops, and code them all at one quality: pictures and l_hat."""
    side = min(_SIDE, pictures.smallest_side // IMAGE_STRIDE * IMAGE_STRIDE)
    x = pictures.crops(_BATCH, side, 2.0, generator)
    quality = int(torch.randint(0, QUALITY_MAX + 1, (), generator=generator))
    return x, code_latents(model, model.encoder(x), quality)[0]


def _take_over(realistic: RealisticDecoder, donor: ImageDecoder) -> int:
    """Copy the donor's blocks into the last ones; returns how many at 1/16 lie before them."""
    new_blocks = len(realistic.body_16) - len(donor.body_16)
    try:
        if new_blocks < 1:
            raise ValueError(f"needs more than its {len(donor.body_16)} blocks at 1/16")
        pairs: list[tuple[nn.Module, nn.Module]] = [
            *zip(list(realistic.body_16)[new_blocks:], donor.body_16, strict=True),
            *((getattr(realistic, name), getattr(donor, name)) for name in _TAKEN),
        ]
        for mine, theirs in pairs:
            mine.load_state_dict(theirs.state_dict())
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise TrainingError(f"the donor's decoder does not fit: {reason}") from error
    return new_blocks


_TAKEN = ("up_8", "body_8", "up_4", "body_4", "render", "refine_in", "refine_out")


def _regress(
    front: nn.Module, donor: ImageDecoder, given: Tensor, latents: Tensor, steps: int,
    generator: torch.Generator,
) -> float:  # fmt: skip
    """Train ``front`` on coded latents to give what the donor's stem gives of its own."""
    spread = donor.stem(latents[:64]).var()
    parameters = [p.requires_grad_(True) for p in front.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=_LEARNING_RATE, weight_decay=0.0)
    left = []
    for step in range(steps):
        share = min(1.0, (step + 1) / _WARMUP) * max(0.02, 1.0 - step / steps)
        optimiser.param_groups[0]["lr"] = _LEARNING_RATE * share
        chosen = torch.randint(0, len(given), (_STEP_BATCH,), generator=generator)
        chosen = chosen.to(given.device)
        wanted = donor.stem(latents[chosen])
        with torch.enable_grad():
            loss = (front(given[chosen]) - wanted).square().mean() / spread
            optimiser.zero_grad()
            loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        left.append(float(loss.detach()))
    last = left[-max(1, steps // 10) :]
    return sum(last) / len(last)
