"""``python tests/golden/create_archive.py``: make the golden archives of this version, once."""

from __future__ import annotations

import json
import random
import sys
from hashlib import sha256
from pathlib import Path

from glc.bitstream import FORMAT_VERSION, Chunk, Container, pack
from glc.dataset import Archive, ArchiveWriter
from glc.weights import manifest

HERE = Path(__file__).parent
FOLDER = {1: "archive-v1", 2: "archive-v1-files-v2"}[FORMAT_VERSION]
"""The version of the archive, and that of the files in it where it is not the first."""


def many(model: bytes) -> list[tuple[str, bytes]]:
    """Return 400 files with meaningless payloads: three groups, many sizes, keys of all lengths."""
    rng = random.Random(7)
    files = []
    for number in range(400):
        width, height = 100 + number % 80, 64
        if number % 50 == 49:
            width, height = 5000 + number, 20_000
        chunks = (Chunk("A", rng.randbytes(2)), Chunk("i", b"")) if number % 40 == 3 else ()
        payload = rng.randbytes(200 if number % 90 == 5 else rng.randrange(6))
        quality = 70 if 100 < number < 120 else 30
        container = Container(width, height, quality, model, payload, chunks, rng.getrandbits(32))
        key = f"ä/{number}" if number % 3 else f"{number:03d}" + "k" * (number // 2)
        files.append((key, pack(container)))
    return files


def main() -> int:
    """Write the archives and what is in them; returns the exit code."""
    folder, files_folder = HERE / FOLDER, HERE / f"v{FORMAT_VERSION}"
    if folder.exists():
        sys.stderr.write(f"{folder} exists; golden files are only ever added\n")
        return 1
    folder.mkdir()
    identity = manifest.identity_of((files_folder / "golden.safetensors").read_bytes())
    photos = [(path.stem, path.read_bytes()) for path in sorted(files_folder.glob("*.glc"))]
    expected = {}
    for name, files in (("photos", photos), ("many", many(identity[:3])), ("empty", [])):
        with ArchiveWriter(folder / f"{name}.glca", identity) as writer:
            for key, data in files:
                writer.add(key, data)
        with Archive(folder / f"{name}.glca") as archive:
            archive.verify()
        expected[name] = [[key, sha256(data).hexdigest()[:16]] for key, data in files]
    text = json.dumps({"identity": identity.hex(), "archives": expected}, indent=0)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
