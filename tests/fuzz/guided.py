"""atheris: keeps the mutants that reach new code, in a process of its own.

A process, because libFuzzer ends the one that it runs in, because native code may take it down,
and because its account of coverage goes to standard error only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

_STATUS = re.compile(r"^#\d+\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)")
_TIMEOUT_S = 120
"""Only for what never returns; the ledger judges what is slow."""
_SAVE_EVERY = 10_000


def run(name: str, count: int, seed: int, findings: Path, corpus: Path | None) -> dict[str, Any]:
    """Fuzz one target in a process and return its account.

    Args:
        name: of the target.
        count: how many cases.
        seed: of libFuzzer and of all mutations.
        findings: folder for inputs that broke a rule.
        corpus: where to write one input for every outcome; nowhere when None.
    """
    with tempfile.TemporaryDirectory(prefix="glc-fuzz-") as scratch:
        command = [sys.executable, "-m", "tests.fuzz.guided", name, str(count), str(seed)]
        command += [scratch, str(findings), *([str(corpus)] if corpus else [])]
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        states, tail = [], []
        for line in process.stderr or ():
            tail = [*tail[-30:], line]
            if found := _STATUS.match(line):
                states.append([int(number) for number in found.groups()])
        code = process.wait()
        saved = Path(scratch) / "report.json"
        report: dict[str, Any] = json.loads(saved.read_text()) if saved.exists() else {}
    report = {"target": name, "cases": 0, "findings": []} | report
    if code:
        report["findings"].append(f"the process ended with {code}: {''.join(tail)[-2000:]}")
    if states:
        report["coverage"] = {"seeds": states[0][0], "end": states[-1][0], "corpus": states[-1][2]}
    return report


def main() -> None:
    """Be the process."""
    import atheris

    parser = argparse.ArgumentParser()
    for argument in ("name", "count", "seed", "scratch", "findings"):
        parser.add_argument(argument)
    parser.add_argument("corpus", nargs="?")
    options = parser.parse_args()
    count, seed = int(options.count), int(options.seed)

    if options.name in ("decode", "weights"):
        import torch

        torch.set_num_threads(1)
    with atheris.instrument_imports(include=["glc", "codec_cli"]):
        from tests.fuzz import corpus, targets
        from tests.fuzz.ledger import Ledger

        target = targets.load(options.name)
    scratch, findings = Path(options.scratch), Path(options.findings)
    ledger = Ledger(target, findings)
    inputs = scratch / "inputs"
    inputs.mkdir()
    kept = [data for _, data in corpus.read(target.name)]
    for number, data in enumerate([*target.seeds(), *kept]):
        (inputs / f"{number:04}").write_bytes(data)
    findings.mkdir(parents=True, exist_ok=True)

    def one_input(data: bytes) -> None:
        ledger.run(data)
        if ledger.cases % _SAVE_EVERY and ledger.cases < count:
            return
        (scratch / "report.json").write_text(json.dumps(ledger.report()))
        if ledger.cases >= count:
            if options.corpus:
                corpus.write(Path(options.corpus), target.name, ledger.examples)
            # libFuzzer itself would leave the process without telling Python.
            os._exit(0)

    def mutate(data: bytes, max_size: int, number: int) -> bytes:
        rng = Random(number)
        if rng.random() < 0.3:
            return bytes(atheris.Mutate(data, max_size))
        return target.mutate(data, rng)[:max_size]

    flags = [f"-seed={seed}", f"-max_len={target.max_bytes}", "-len_control=0"]
    flags += [f"-timeout={_TIMEOUT_S}", "-rss_limit_mb=4096", f"-artifact_prefix={findings}/"]
    atheris.Setup([sys.argv[0], *flags, str(inputs)], one_input, custom_mutator=mutate)
    ledger.warm_up()
    atheris.Fuzz()


if __name__ == "__main__":
    main()
