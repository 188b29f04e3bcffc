"""Files to go on from: the full checkpoint, the compact resume file, and starting weights.

Every file gets its name only when it is complete, so that a kill at any moment leaves the one
before it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from glc.config import PRESETS
from glc.networks.codebook import GaussianBottleneck
from glc.networks.model import GlcModel
from glc.training.engine.nonfinite_guard import TrainingError
from glc.training.settings import TrainingSettings
from glc.weights import checkpoint

CHECKPOINT_NAME = "checkpoint.pt"
COMPACT_NAME = "resume.json"
_PART_NAME = "resume.part"

_TENSOR_GROUPS = ("average", "adversary", "random")
_AVERAGED = "module."
_SCALE_MAP = "scale_map."
_TABLES = "tables."
_UNUSED = "num_batches_tracked"

State = dict[str, Any]
"""What ``Trainer.state`` gives: plain values, tensors, and dicts of tensors."""


def write_checkpoint(state: State, out: Path) -> None:
    """Write a full state to ``checkpoint.pt`` of a run."""
    target = out / CHECKPOINT_NAME
    partial = target.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(target)


def write_compact(state: State, folder: Path, part_bytes: int | None = None) -> list[Path]:
    """Write what a run needs to go on elsewhere, in about a tenth of the full checkpoint.

    Averaged weights and discriminators as half floats (vectors and scalars stay float32), counters,
    generators, rate control. Without the optimisers' moments and the unaveraged weights: the
    continued run starts from the averages, as each phase does, and warms up again.

    Args:
        state: full state.
        folder: where to write; made if absent, older parts in it are removed.
        part_bytes: largest size of one file; None writes one.

    Returns:
        The files written.
    """
    tensors = {
        f"{group}.{name}": _halved(value)
        for group in _TENSOR_GROUPS
        for name, value in state[group].items()
    }
    plain = {k: v for k, v in state.items() if isinstance(v, (int, float))}
    header = {"settings": state["settings"], **plain}
    data = safetensors.torch.save(tensors, metadata={"glc-training": json.dumps(header)})
    folder.mkdir(parents=True, exist_ok=True)
    size = part_bytes or len(data)
    # Named by content: parts of an older state stay valid until the list of names is replaced.
    digest = hashlib.sha256(data).hexdigest()
    parts = []
    for index, start in enumerate(range(0, len(data), size)):
        path = folder / f"{_PART_NAME}-{digest[:8]}-{index + 1}"
        path.write_bytes(data[start : start + size])
        parts.append(path)
    listing = {"sha256": digest, "bytes": len(data), "parts": [path.name for path in parts]}
    partial = folder / (COMPACT_NAME + ".partial")
    partial.write_text(json.dumps(listing, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / COMPACT_NAME)
    for stale in set(folder.glob(f"{_PART_NAME}-*")) - set(parts):
        stale.unlink()
    return [*parts, folder / COMPACT_NAME]


def _halved(value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value.half() if value.dtype == torch.float32 and value.ndim > 1 else value.clone()


def read_state(path: Path) -> State | None:
    """Return the state in a run folder, a ``checkpoint.pt``, or a compact folder; None if absent.

    Raises:
        TrainingError: the file is damaged, or parts of it are missing.
    """
    if path.is_file() and path.name != COMPACT_NAME:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            # Pickle, zip and torch have an exception class of their own each.
            raise TrainingError(f"{path}: not a checkpoint of glc train: {error}") from error
        return dict(state)
    if (path / CHECKPOINT_NAME).is_file():
        return read_state(path / CHECKPOINT_NAME)
    listing = path if path.name == COMPACT_NAME else path / COMPACT_NAME
    return _read_compact(listing) if listing.is_file() else None


def _read_compact(listing: Path) -> State:
    try:
        named = json.loads(listing.read_text(encoding="utf-8"))
        data = b"".join((listing.parent / Path(n).name).read_bytes() for n in named["parts"])
        if hashlib.sha256(data).hexdigest() != named["sha256"]:
            raise TrainingError(
                f"{listing}: the parts do not match: expected {named['bytes']} bytes with SHA-256 "
                f"{named['sha256'][:8]}..., found {len(data)} others; copy all parts again"
            )
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["glc-training"])
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise TrainingError(f"{listing}: not a complete compact resume file: {error}") from error
    state: State = {**header, **{group: {} for group in _TENSOR_GROUPS}}
    for name, value in tensors.items():
        group, _, rest = name.partition(".")
        state[group][rest] = value.float() if value.dtype == torch.float16 else value
    return state


def settings_of(path: Path) -> TrainingSettings:
    """Return the settings of a run; of a ``.safetensors`` file the defaults with its shape.

    A weights file with a Gaussian bottleneck has the regulariser kl.

    Raises:
        TrainingError: there is neither.
        WeightsError: not a weights file.
    """
    if path.suffix == ".safetensors":
        weights = checkpoint.load(path)
        shape, kind = weights.config, "vq" if weights.bottleneck is None else "kl"
        preset = next((name for name, config in PRESETS.items() if config == shape), None)
        return TrainingSettings(preset or "custom", None if preset else shape, regulariser=kind)
    state = read_state(path)
    if state is None:
        raise TrainingError(f"nothing to start from: {path} holds no run and no weights")
    return TrainingSettings.of_run(state["settings"])


def averaged_weights(state: State) -> dict[str, Tensor]:
    """Return the averaged weights of a state under the names of ``Ensemble``."""
    named = state["average"].items()
    return {name[len(_AVERAGED) :]: value for name, value in named if name.startswith(_AVERAGED)}


def blended_weights(state: State, other: State, share: float) -> dict[str, Tensor]:
    """Mix the averaged weights of two runs, one of which went on from the other.

    Between two ends of one training the loss is lower than at either (Wortsman et al., arXiv
    2203.05482, section 2): noise averages out, and nothing is dearer to decode.

    Args:
        state: of the run whose settings count.
        other: of a run of the same shape.
        share: of ``other``, in [0, 1].

    Raises:
        TrainingError: the runs are of different shapes.
    """
    mine, theirs = averaged_weights(state), averaged_weights(other)
    if {name: value.shape for name, value in mine.items()} != {
        name: value.shape for name, value in theirs.items()
    }:
        raise TrainingError("only runs of one shape can be blended")
    return {
        name: value.lerp(theirs[name].to(value), share) if value.is_floating_point() else value
        for name, value in mine.items()
    }


def load_shipped(model: GlcModel, path: Path) -> None:
    """Set a model to the weights of a ``.safetensors`` file, its scale map from the integers.

    Raises:
        TrainingError: the weights are those of a model of another shape.
        WeightsError: not a weights file.
    """
    weights = checkpoint.load(path)
    if weights.config != model.config:
        raise TrainingError(f"{path} holds a model of another shape; name its preset with --preset")
    given = {
        name: torch.from_numpy(array.copy())
        for name, array in weights.tensors.items()
        if not name.startswith(_TABLES)
    }
    integers = {n[len(_SCALE_MAP) :]: v for n, v in given.items() if n.startswith(_SCALE_MAP)}
    floats = {n: v.float() for n, v in given.items() if not n.startswith(_SCALE_MAP)}
    missing, unexpected = model.load_state_dict(floats, strict=False)
    missing = [n for n in missing if not n.startswith(_SCALE_MAP) and not n.endswith(_UNUSED)]
    if missing or unexpected or set(integers) != {n for n, _ in model.scale_map.named_parameters()}:
        raise TrainingError(f"{path}: missing or unexpected tensors: {[*missing, *unexpected][:3]}")
    model.scale_map.load_integers(integers)


def load_bottleneck(codebook: nn.Module, path: Path) -> None:
    """Set the bottleneck of phase 1 to that of a ``.safetensors`` file, if it holds one.

    Raises:
        TrainingError: it does, and the run has another kind.
        WeightsError: not a weights file.
    """
    given = checkpoint.load(path).bottleneck
    if given is None:
        return
    if not isinstance(codebook, GaussianBottleneck):
        raise TrainingError(
            f"{path} was trained with --regulariser kl, and its decoder takes what that gives; "
            "add --regulariser kl"
        )
    codebook.load_state_dict({n: torch.from_numpy(array).float() for n, array in given.items()})
