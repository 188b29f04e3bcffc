"""``glc info``: one printable line for any bytes, and an exit code of 0 or 1."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from random import Random
from unittest import mock

from codec_cli.main import main
from codec_cli.support import codecs
from glc.bitstream import unpack
from tests.fuzz.mutate import mutate_file
from tests.fuzz.targets.container import real_files


class InfoTarget:
    name = "info"
    max_bytes = 4096

    def seeds(self) -> list[bytes]:
        return real_files()

    def mutate(self, data: bytes, rng: Random) -> bytes:
        return mutate_file(data, rng)

    def run(self, data: bytes) -> str:
        options = ["--json"] if len(data) % 2 else []
        out, err = io.StringIO(), io.StringIO()
        stdin = io.TextIOWrapper(io.BytesIO(data))
        with (
            mock.patch.object(sys, "stdin", stdin),
            mock.patch.object(codecs, "installed_name", return_value=None),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = main(["info", "-", *options])
        assert code in (0, 1)
        lines = (out.getvalue() + err.getvalue()).splitlines()
        assert all(line.isprintable() for line in lines)
        assert "Traceback" not in err.getvalue()
        assert "a fault in glc" not in err.getvalue()
        assert len(err.getvalue().splitlines()) == code
        assert len(out.getvalue().splitlines()) == (1 if options else 1 - code)
        for line in out.getvalue().splitlines() if options else ():
            json.loads(line)
        # What the library says counts as the outcome.
        unpack(data)
        assert code == 0
        return "object" if options else "line"

    def allowance(self, data: bytes) -> int:
        return 16 * len(data) + (1 << 20)


def make() -> InfoTarget:
    return InfoTarget()
