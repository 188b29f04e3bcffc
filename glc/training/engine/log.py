"""The record of a run: JSON lines, TensorBoard events, sample pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image
from torch import Tensor

LOG_NAME = "log.jsonl"


def read_log(out: Path) -> list[dict[str, Any]]:
    """Return the entries of a run's log; a line that a kill has torn is left out."""
    entries = []
    path = out / LOG_NAME
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


class RunLog:
    """Writes one run's record.

    Args:
        out: run folder, which exists; None writes nothing (other processes than the first).
    """

    def __init__(self, out: Path | None) -> None:
        self.out = out
        self._file: TextIO | None = None
        self._board: Any = None

    def rewind(self, phase: int, step: int) -> None:
        """Forget entries after the checkpoint from which a run goes on: they will come again."""
        if self.out is None or not (self.out / LOG_NAME).is_file():
            return
        kept = [e for e in read_log(self.out) if (e["phase"], e["step"]) <= (phase, step)]
        partial = self.out / (LOG_NAME + ".partial")
        partial.write_text("".join(json.dumps(e) + "\n" for e in kept), encoding="utf-8")
        partial.replace(self.out / LOG_NAME)

    def record(self, phase: int, step: int, seconds: float, values: dict[str, Any]) -> None:
        """Append one entry; floats keep five digits."""
        if self.out is None:
            return
        if self._file is None:
            self._file = (self.out / LOG_NAME).open("a", encoding="utf-8")
            self._board = _open_board(self.out)
        rounded = {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in values.items()}
        entry = {"phase": phase, "step": step, "seconds": round(seconds, 1)}
        self._file.write(json.dumps(entry | rounded) + "\n")
        self._file.flush()
        if self._board is not None:
            kind = "held_out" if values.get("held_out") else "train"
            for name, value in values.items():
                if name != "held_out":
                    self._board.add_scalar(f"phase{phase}/{kind}/{name}", value, step)

    def picture(self, phase: int, step: int, rows: list[Tensor]) -> None:
        """Save rows of pictures, (B, 3, H, W) in [-1, 1] each, as one sheet."""
        if self.out is None:
            return
        sheet = np.concatenate([np.concatenate(list(row.cpu().numpy()), axis=2) for row in rows], 1)
        pixels = np.rint((sheet.clip(-1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)
        folder = self.out / "samples"
        folder.mkdir(exist_ok=True)
        image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        image.save(folder / f"phase{phase}-{step:06d}.png")

    def close(self) -> None:
        """Close the files; a later ``record`` opens them again."""
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()
        self._file = self._board = None


def _open_board(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(out / "tensorboard"))
