"""The one place where ONNX Runtime is imported, and where a graph becomes a session of it.

From version 1.29 on, importing it makes a device id and a database of events below the home folder
and, some seconds later, looks up a host of its maker, unless the environment forbids it. It is
forbidden here, for the time of the import alone: programs that this process starts see nothing of
it. Where a program has imported ONNX Runtime before, that was done already, or not, as the program
wished.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, RunOptions

    from glc.runtime.graphs.proto import Graph

__all__ = ["giving_back", "import_onnxruntime", "open_session", "threads"]

_NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"
_lock = threading.Lock()


def import_onnxruntime() -> Any:
    """Import ONNX Runtime without its telemetry, and return the module."""
    with _lock:
        before = os.environ.get(_NO_TELEMETRY)
        os.environ[_NO_TELEMETRY] = "1"
        try:
            import onnxruntime
        finally:
            if before is None:
                del os.environ[_NO_TELEMETRY]
            else:
                os.environ[_NO_TELEMETRY] = before
    return onnxruntime


def threads() -> int:
    """Return how many threads to use.

    Those of torch, if the process has torch: its loaders tell their workers to have one. Else what
    OMP_NUM_THREADS says, or the processors there are.
    """
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        return int(torch.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    available = getattr(os, "sched_getaffinity", None)
    return len(available(0)) if available else os.cpu_count() or 1


def open_session(graph: Graph, keeps_memory: bool) -> InferenceSession:
    """Make a graph ready to run on a CPU.

    Args:
        graph: of one network.
        keeps_memory: from one run to the next; worth it for networks that take much.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    # Threads that wait turn circles otherwise, and slow the others down (docs/performance.md).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A plan of all memory for every size of picture: twice the memory, for 2 % of the time.
    options.enable_mem_pattern = False
    # Each session has an arena of its own, which only grows.
    options.enable_cpu_mem_arena = keeps_memory
    # Each error is raised as well; none is printed.
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(graph.to_bytes(), options, ["CPUExecutionProvider"])


def giving_back() -> RunOptions:
    """Return options of a run after which its session gives back the memory that it kept."""
    options = import_onnxruntime().RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options
