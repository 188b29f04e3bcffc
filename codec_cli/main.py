"""Entry point of ``glc``: finds the subcommand, runs it, turns every ending into an exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import NoReturn

import glc
from codec_cli.support import exit_codes, memory
from codec_cli.support.faults import is_fault, reason_of, show_trace
from codec_cli.support.report import say

__all__ = ["entry", "main"]

# A module is imported only when its command runs: `glc info` must not wait for torch.
COMMANDS = {
    "encode": "compress pictures to .glc files",
    "decode": "turn .glc files back into pictures",
    "info": "say what is in a .glc file, without decoding it; --heatmap: where its bits went",
    "verify": "check that .glc files decode to what was encoded",
    "sample": "draw pictures from what a model has learned",
    "pack": "compress a whole dataset into an archive",
    "unpack": "take the pictures out of an archive",
    "list": "list the pictures in an archive",
    "models": "list the installed models",
    "export": "write a model as ONNX files, for other programs",
    "web": "write a page that opens and makes .glc files in a browser, or show it",
    "train": "train a model",
    "finetune": "adapt a model to pictures of one kind",
    "eval": "measure rate and distortion",
}

# Those whose process spends its time on the networks of one picture after another.
_CODING = ("encode", "decode", "verify", "pack", "unpack")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``glc`` with these arguments (those of the process when omitted).

    Returns:
        The exit code: 0 all well, 1 a file failed, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    try:
        with _sigterm_raises(), warnings.catch_warnings():
            if not sys.warnoptions:
                # Pillow warns of what is reported here in one line, or is harmless.
                warnings.simplefilter("ignore")
            code = _run(name, rest)
            if sys.stdout is not None:
                sys.stdout.flush()
            return code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else exit_codes.OK
    except exit_codes.UsageError as error:
        say(f"glc {name}: {error}; see glc {name} --help")
        return exit_codes.USAGE
    except KeyboardInterrupt:
        say("glc: interrupted")
        return exit_codes.INTERRUPTED
    except exit_codes.Terminated:
        say("glc: terminated")
        return exit_codes.TERMINATED
    except BrokenPipeError:
        # Whoever read our output has gone, and knows why.
        _drop_standard_output()
        return exit_codes.FAILED
    except OSError as error:
        # A failing file has a line of its own; this is a full disk behind standard output.
        say(f"glc {name}: {error.filename or 'standard output'}: {error.strerror or error}")
        _drop_standard_output()
        return exit_codes.FAILED
    except BaseException as error:
        if not isinstance(error, Exception) and not is_fault(error):
            raise
        show_trace(error)
        say(f"glc {name}: {reason_of(error)}")
        return exit_codes.FAILED


def _run(name: str, rest: Sequence[str]) -> int:
    if name in ("-h", "--help"):
        print(_overview())
    elif name in ("-V", "--version"):
        print(f"glc {glc.__version__}")
    elif name in COMMANDS:
        return int(import_module(f"codec_cli.commands.{name}").run(rest))
    else:
        found = f"no command {name!r}" if name else "no command given"
        say(f"glc: {found}; expected one of {', '.join(COMMANDS)}; see glc --help")
        return exit_codes.USAGE
    return exit_codes.OK


def _drop_standard_output() -> None:
    """Keep Python from complaining again when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def entry() -> NoReturn:
    """Run ``glc`` as a process."""
    for descriptor in range(3):
        # Else the next file to be opened would take the place of a closed standard stream.
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.argv[1:2] and sys.argv[1] in _CODING:
        memory.keep_freed()
    code = main()
    if code in (exit_codes.INTERRUPTED, exit_codes.TERMINATED):
        # Worker threads may sit in a long computation that nothing can interrupt, and Python would
        # wait for them. Nothing half-written has its final name, so leaving at once is safe.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.flush()
        os._exit(code)
    sys.exit(code)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return (
        "usage: glc COMMAND [options]\n\n"
        "A neural image codec for very small files.\n\n"
        f"commands:\n{commands}\n\n"
        "options:\n"
        "  -h, --help     show this text; glc COMMAND --help explains a command\n"
        "  -V, --version  show the version"
    )


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Make SIGTERM an exception, so that temporary files are removed as they are on Ctrl-C."""

    def terminate(signum: int, frame: object) -> NoReturn:
        raise exit_codes.Terminated

    try:
        previous = signal.signal(signal.SIGTERM, terminate)
    except ValueError:
        # Only the main thread may set handlers; a caller in another thread keeps its own.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
