"""Steps recorded once and replayed: a GPU then waits for no host between thousands of kernels.

A step of phase 3 calls 6,000 kernels of some microseconds each, and asking for them takes a host
twice as long as computing them (docs/decisions.md, section 25). A recorded step is a CUDA graph:
all of it, optimisers included, is asked for at once. What the host decides anew in every step must
be given to it as a tensor; all else is as it was when it was recorded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

Logged = dict[str, Tensor]
"""What a step says: scalars on the device, by name."""

Replay = Callable[[], None]

Recorder = Callable[[Callable[[], Tensor]], tuple[Tensor, Replay]]
"""Records a call without running it; returns what it gives, which every replay renews."""

WARM_STEPS = 3
"""Steps taken as they come before one is recorded: what they set up cannot be recorded."""


class CapturedSteps:
    """Takes the steps of a run, from the fourth of each stage on by replay.

    Where a step cannot be recorded, it says so once and goes on as without.

    Args:
        step: takes a stage and the tensors of ``inputs``, all on the device, and returns what is to
            be logged. Names and shapes depend on the stage alone.
        record: records a call on the device.
    """

    def __init__(self, step: Callable[..., Logged], record: Recorder) -> None:
        self._step, self._record = step, record
        self._stage: Hashable = None
        self._taken, self._failed = 0, False
        self._replay: Replay | None = None
        self._inputs: list[Tensor] = []
        self._names: list[str] = []
        self._values = torch.empty(0)

    def take(self, stage: Hashable, inputs: Sequence[Tensor]) -> Logged:
        """Take one step of a stage; inputs have the same shapes in all of its steps."""
        if stage != self._stage:
            self._stage, self._taken, self._replay = stage, 0, None
        self._taken += 1
        if self._failed or self._taken <= WARM_STEPS:
            return self._step(stage, *inputs)
        if self._replay is None:
            self._record_stage(stage, inputs)
        if self._replay is None:
            return self._step(stage, *inputs)
        for mine, fresh in zip(self._inputs, inputs, strict=True):
            mine.copy_(fresh, non_blocking=True)
        self._replay()
        # The next replay writes over them.
        return dict(zip(self._names, self._values.clone().unbind(), strict=True))

    def _record_stage(self, stage: Hashable, inputs: Sequence[Tensor]) -> None:
        self._inputs = [value.clone() for value in inputs]

        def call() -> Tensor:
            logged = self._step(stage, *self._inputs)
            self._names = list(logged)
            return torch.stack([value.float().reshape(()) for value in logged.values()])

        try:
            self._values, self._replay = self._record(call)
        except RuntimeError as error:
            self._failed = True
            reason = str(error).strip().splitlines()[0]
            sys.stderr.write(f"steps are not recorded, and slower for it: {reason}\n")


def record_cuda_graph(call: Callable[[], Tensor]) -> tuple[Tensor, Replay]:
    """Record a call as a CUDA graph, without running it (PyTorch's notes, "CUDA Graphs").

    Raises:
        RuntimeError: something in it cannot be recorded.
    """
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        values = call()
    return values, graph.replay
