"""Which extra of glc brings which package, and what a command says where one is missing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from codec_cli.support import exit_codes
from codec_cli.support.report import say
from glc.install_hint import install_command

__all__ = ["hand_over", "missing", "package_of"]

_EXTRA_OF = {
    "torch": "torch",
    "lpips": "train",
    "tomli": "train",
    "torchvision": "train",
    "fsspec": "dataset",
    "pyarrow": "dataset",
    "ray": "ray",
}
"""Packages of the extras that commands may need. pyproject.toml has all of them."""


def package_of(module: str) -> str:
    """Say that a package is missing, and what brings it."""
    package = module.partition(".")[0]
    extra = _EXTRA_OF.get(package)
    command = install_command(extra) if extra else f"pip install {package}"
    return f"the package {package} is missing; {command} brings it"


def hand_over(command: str, module: str, extra: str, arguments: Sequence[str]) -> int:
    """Let a module of another package be the command, or say which extra it needs.

    Args:
        command: its name.
        module: whose ``main`` takes the arguments and returns an exit code.
        extra: that has the packages which the module imports.
        arguments: of the command.
    """
    try:
        return import_module(module).main(list(arguments)) or exit_codes.OK
    except ModuleNotFoundError as error:
        why = missing(error, extra)
    if not {"-h", "--help"} & set(arguments):
        say(f"glc {command}: {why}")
        return exit_codes.FAILED
    print(f"usage: glc {command} [options]\n\nIts options are shown once it can run: {why}.")
    return exit_codes.OK


def missing(error: ModuleNotFoundError, extra: str) -> str:
    """Say which package a command did not find, and that an extra brings it."""
    return f"the package {error.name} is missing; {install_command(extra)} brings it"
