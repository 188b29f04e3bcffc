"""``python -m tests.fuzz TARGET --cases N --seed S``: fuzz, and say what came of it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.fuzz import corpus, guided, plain, targets
from tests.fuzz.ledger import Ledger


def main() -> int:
    """Return 0 if nothing was found, 1 otherwise."""
    options = _parser().parse_args()
    names = targets.NAMES if options.target == "all" else [options.target]
    engine = options.engine or ("atheris" if find_spec("atheris") else "plain")
    findings = options.findings or Path(tempfile.mkdtemp(prefix="glc-findings-"))
    failed = False
    for name in names:
        start = time.perf_counter()
        if engine == "atheris":
            report = guided.run(name, options.cases, options.seed, findings, options.corpus)
        else:
            target = targets.load(name)
            ledger = Ledger(target, findings)
            plain.run(target, options.cases, options.seed, ledger)
            report = ledger.report()
            if options.corpus:
                corpus.write(options.corpus, name, ledger.examples)
        report["seconds"] = round(time.perf_counter() - start, 1)
        report["engine"] = _engine(engine)
        report["seed"] = options.seed
        sys.stdout.write(json.dumps(report) + "\n" if options.json else _text(report))
        sys.stdout.flush()
        failed = failed or bool(report["findings"])
    if failed:
        sys.stderr.write(f"inputs of the findings: {findings}\n")
    return int(failed)


def _engine(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} mutations, coverage not measured"


def _text(report: dict[str, Any]) -> str:
    cases = max(report["cases"], 1)
    outcomes = report.get("outcomes", {}).items()
    shares = ", ".join(f"{kind} {100 * n / cases:.1f} %" for kind, n in outcomes)
    lines = [
        f"{report['target']}: {report['cases']:,} cases in {report['seconds']} s, "
        f"seed {report['seed']}, {report['engine']}",
        f"  outcomes: {shares}",
        f"  slowest case {report.get('slowest_s', 0):.3f} s of processor time; most memory of a "
        f"case {report.get('most_bytes', 0):,} bytes, at most "
        f"{100 * report.get('most_share_of_allowance', 0):.0f} % of what it may take; the process "
        f"grew by {report.get('resident_rise_bytes', 0) >> 20} MiB",
    ]
    if "coverage" in report:
        seen = report["coverage"]
        new = seen["end"] - seen["seeds"]
        lines.append(
            f"  coverage: {seen['seeds']} points with the first inputs, {seen['end']} at the end "
            f"(+{new}), {seen['corpus']} inputs kept on the way"
        )
    lines += [f"  FINDING: {text}" for text in report["findings"]] or ["  findings: none"]
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=(*targets.NAMES, "all"))
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--engine", choices=("atheris", "plain"), help="default: atheris where it is installed"
    )
    parser.add_argument("--findings", type=Path, help="folder for inputs that break a rule")
    parser.add_argument("--corpus", type=Path, help="folder: one input of every outcome is kept")
    parser.add_argument("--json", action="store_true", help="print one object per target")
    return parser


if __name__ == "__main__":
    sys.exit(main())
