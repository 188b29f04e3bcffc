"""Inputs that are kept: one line each, what becomes of it and its bytes in hexadecimal.

The shortest input of every outcome that fuzzing has met; the tests replay them.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"
_LONGEST = 2048


def read(name: str, folder: Path = FOLDER) -> list[tuple[str, bytes]]:
    """Return (outcome, input) of every line of a target's file; none if there is no file."""
    path = folder / f"{name}.txt"
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.rpartition(" | ") for line in lines)
    return [(outcome.rstrip(), bytes.fromhex(digits)) for outcome, _, digits in pairs]


def write(folder: Path, name: str, examples: dict[str, bytes]) -> None:
    """Write a target's file: examples by outcome, in order; long ones are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {outcome: data for outcome, data in examples.items() if len(data) <= _LONGEST}
    lines = [f"{outcome.replace('|', '/')} | {kept[outcome].hex()}" for outcome in sorted(kept)]
    text = "".join(f"{line}\n" for line in lines)
    (folder / f"{name}.txt").write_text(text, encoding="utf-8")
