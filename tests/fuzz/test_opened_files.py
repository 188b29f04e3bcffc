"""Nothing in a .glc file can make the program open or fetch anything.

Python tells an audit hook of every file that is opened, every folder that is listed, every process
and every connection. A hook cannot be removed, so all of this runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "v1"

PROGRAM = """
import io, json, random, sys
from unittest import mock
from codec_cli.commands.decode import encoded_as
from glc import Codec
from glc.bitstream import Chunk, Container, pack, unpack
from glc.errors import GlcError
from tests.fuzz.mutate import Fields, mutate_content, mutate_file, take_apart
from tests.fuzz.targets.container import GOLDEN
from tests.fuzz.targets.decode import LIMITS

HARMLESS = ("compile", "exec", "import", "marshal", "object.", "code.", "sys._getframe",
            "sys.unraisablehook", "builtins.id", "cpython.", "array.", "gc.", "setopencodehook",
            "tempfile.", "time.sleep", "sys.setprofile", "sys._current_frames", "ctypes.")
events, listening = [], False

def hook(event, arguments):
    if listening and not event.startswith(HARMLESS):
        events.append([event, str(arguments[0]) if arguments else ""])

sys.addaudithook(hook)
rng = random.Random(4)
real = [path.read_bytes() for path in sorted(GOLDEN.glob("*.glc"))]
NAMES = (b"/etc/passwd", b"http://127.0.0.1:9/x", b"../../secret", b"file:///etc/hostname",
         b"\\\\\\\\host\\\\share", b"weights.safetensors", b"| touch /tmp/x")

def tempting(data):
    fields = take_apart(data)
    fields.flags |= 0x80
    kept = [chunk for chunk in fields.chunks if chunk[0] in b"Ag"]
    fields.chunks = kept + [(tag, None, rng.choice(NAMES)) for tag in b"eixqz"]
    return fields.spell()

def use(data):
    try:
        codec = Codec.for_file(data, device="cpu", limits=LIMITS)
        picture = codec.decode(data)
        for kind in ("png", "jpg", "webp"):
            encoded_as(picture, kind)
        return True
    except GlcError:
        return False

agree = mock.patch.object(Container, "checksum_of", lambda self, *_: self.checksum)
with agree:
    for data in real:
        use(data)      # lazy imports
    cases = [tempting(data) for data in real]
    cases += [mutate_content(tempting(rng.choice(real)), rng) for _ in range(12)]
    cases += [mutate_file(tempting(rng.choice(real)), rng) for _ in range(24)]
    for number, data in enumerate(cases):
        if number >= 3 and number % 2:
            cases[number] = data[:2] + real[0][2:5] + data[5:]
    listening = True
    decoded = sum(use(data) for data in cases)
    # Shows that the hook works.
    open(sys.argv[1]).close()
    listening = False
print(json.dumps({"cases": len(cases), "decoded": decoded, "events": events}))
"""


@pytest.mark.system
def test_only_the_folders_of_models_are_opened(tmp_path):
    models, canary = tmp_path / "models", tmp_path / "canary"
    models.mkdir()
    shutil.copy(GOLDEN / "golden.safetensors", models)
    canary.write_text("")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(canary)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "GLC_MODELS": str(models)},
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["cases"] == 39
    assert seen["decoded"] >= 8
    assert ["open", str(models / "golden.safetensors")] in seen["events"]
    outside = [
        (event, path)
        for event, path in seen["events"]
        if event not in ("open", "os.listdir", "os.scandir", "pathlib.Path.glob", "glob.glob")
        or not any(Path(path).is_relative_to(folder) for folder in (models, ROOT / "weights"))
    ]
    assert outside == [("open", str(canary))]
