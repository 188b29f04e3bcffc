"""Runs single cases and keeps count; what is not a ``GlcError`` is a finding.

Knows nothing of where cases come from.
"""

from __future__ import annotations

import hashlib
import re
import resource
import sys
import time
import traceback
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

from glc.errors import GlcError

SECONDS = 2.0
"""No case may take more time of the processor."""

WAITED_SECONDS = 30.0
"""No case may take longer by the clock, on which other programs weigh, too."""

RESIDENT_RISE = 64 << 20
"""No case may raise the memory that the process holds by more; sees what native code takes."""


TRACE_EVERY = 8
"""Tracing allocations slows small cases to a fifth, so only every eighth case is traced."""


class Target(Protocol):
    """One place where bytes from outside come in."""

    name: str
    max_bytes: int
    """Inputs are not made longer."""

    def seeds(self) -> list[bytes]:
        """Return real inputs."""

    def mutate(self, data: bytes, rng: Any) -> bytes:
        """Change an input with knowledge of its structure."""

    def run(self, data: bytes) -> str:
        """Do what a user of the library would, and say what kind of good input it was.

        A refusal is a GlcError; any other exception is a finding.
        """

    def allowance(self, data: bytes) -> int:
        """Return how many bytes Python and numpy may allocate at once for this input."""


def resident_bytes() -> int:
    """Return the most memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Ledger:
    """What happened to all cases of one target.

    Args:
        target: what is fuzzed.
        findings: folder for inputs that broke a rule; None keeps their names only.
    """

    def __init__(self, target: Target, findings: Path | None = None) -> None:
        self.target = target
        self.cases = 0
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self.most_bytes = 0
        self.most_share = 0.0
        self.found: list[str] = []
        self.examples: dict[str, bytes] = {}
        self._folder = findings
        self._resident_before = self._resident = resident_bytes()

    def warm_up(self) -> None:
        """Run the seeds uncounted; memory is compared with what the process holds afterwards."""
        for data in self.target.seeds():
            # Lazy imports and first buffers are no case's fault.
            self._attempt(data)
        self._resident_before = self._resident = resident_bytes()

    def run(self, data: bytes) -> None:
        """Run one case and note what came of it."""
        traced = self.cases % TRACE_EVERY == 0
        used = 0
        start, waited = time.process_time(), time.perf_counter()
        if traced:
            tracemalloc.start()
        try:
            outcome, signature, problem = self._attempt(data)
            if traced:
                used = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        seconds, waited = time.process_time() - start, time.perf_counter() - waited
        rise, self._resident = resident_bytes() - self._resident, resident_bytes()

        self.cases += 1
        self.outcomes[outcome] += 1
        self.slowest = max(self.slowest, seconds)
        self.most_bytes = max(self.most_bytes, used)
        allowance = self.target.allowance(data)
        self.most_share = max(self.most_share, used / allowance)
        if len(data) < len(self.examples.get(signature, bytes(1 << 20))):
            self.examples[signature] = data
        if seconds > SECONDS:
            problem = problem or f"took {seconds:.1f} s of processor time"
        if waited > WAITED_SECONDS:
            problem = problem or f"took {waited:.1f} s by the clock"
        if used > allowance:
            problem = problem or f"allocated {used} bytes, {allowance} are allowed"
        if rise > RESIDENT_RISE:
            problem = problem or f"raised the memory of the process by {rise >> 20} MiB"
        if problem:
            self._note(data, problem)

    def report(self) -> dict[str, Any]:
        """Return the account as JSON-compatible values."""
        return {
            "target": self.target.name,
            "cases": self.cases,
            "outcomes": dict(self.outcomes.most_common()),
            "slowest_s": round(self.slowest, 4),
            "most_bytes": self.most_bytes,
            "most_share_of_allowance": round(self.most_share, 3),
            "resident_rise_bytes": self._resident - self._resident_before,
            "findings": self.found,
        }

    def _attempt(self, data: bytes) -> tuple[str, str, str | None]:
        """Return outcome, signature and, for a finding, what is wrong."""
        try:
            kind = self.target.run(data)
        except GlcError as error:
            kind = type(error).__name__
            return kind, f"{kind}: {_shape(str(error))}", None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # A panic of native code arrives as a BaseException.
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
            return "finding", f"finding: {_shape(text)}", text
        return "accepted", f"accepted: {kind}", None

    def _note(self, data: bytes, problem: str) -> None:
        problem = " ".join(problem.split())[:300]
        if any(_shape(problem) == _shape(known) for known in self.found):
            return
        self.found.append(problem)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256(data).hexdigest()[:12]
            (self._folder / f"{self.target.name}-{digest}").write_bytes(data)


def _shape(message: str) -> str:
    """Drop what differs between two files with the same defect."""
    without_folders = re.sub(r"\S+/", "", message)
    without_values = re.sub(r"[0-9a-f]*[0-9][0-9a-f]*|'[^']*'", "#", without_folders)
    return re.sub(r"(found|byte) [0-9a-f]{1,2}\b", r"\1 #", without_values)[:70]
