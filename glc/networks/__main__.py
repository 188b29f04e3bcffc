"""``python -m glc.networks [PRESET ...]``: print what every part of a model costs."""

from __future__ import annotations

import sys

from glc.config import PRESETS
from glc.networks.cost import cost_table, total_parameters


def main(names: list[str]) -> int:
    """Print one table per preset; returns the exit code."""
    unknown = [name for name in names if name not in PRESETS]
    if unknown:
        sys.stderr.write(f"unknown presets {unknown}; there are {sorted(PRESETS)}\n")
        return 2
    lines = []
    for name in names or list(PRESETS):
        total = total_parameters(PRESETS[name])
        lines.append(f"{name}: {total / 1e6:.2f} M parameters, {2 * total / 1e6:.1f} MB in fp16")
        lines.append(f"  {'part':<11} {'parameters':>11} {'kMAC/pixel':>11}")
        for part, parameters, kmac in cost_table(PRESETS[name]):
            lines.append(f"  {part:<11} {parameters:>11,} {kmac:>11.2f}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
