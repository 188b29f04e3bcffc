"""``glc verify`` finds every damaged file among good ones: with real networks and real files."""

from __future__ import annotations

import json
import random

import pytest

from codec_cli.support import codecs
from glc.errors import WeightsError

PER_KIND = 6


def damaged(data: bytes, kind: str, generator: random.Random) -> bytes:
    changed = bytearray(data)
    if kind == "one bit":
        changed[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    elif kind == "one byte less":
        del changed[generator.randrange(len(data))]
    elif kind == "one byte more":
        changed.insert(generator.randrange(1, len(data)), generator.randrange(1, 256))
    elif kind == "cut":
        del changed[generator.randrange(1, len(data)) :]
    elif kind == "end is zero":
        size = generator.randrange(4, len(data))
        changed[-size:] = bytes(size)
    elif kind == "two swapped":
        place = generator.randrange(12, len(data) - 1)
        changed[place : place + 2] = changed[place : place + 2][::-1]
    elif kind == "empty":
        changed.clear()
    return bytes(changed)


KINDS = ("one bit", "one byte less", "one byte more", "cut", "end is zero", "two swapped", "empty")


@pytest.fixture
def folder(glc, micro, make_picture, tmp_path, monkeypatch):
    """Return the names of the damaged of many files; every fourth one is good."""

    def installed_path(model: bytes):
        if model != micro.identity[:3]:
            raise WeightsError(f"model {model.hex()} is not installed")
        return tmp_path / "micro.safetensors"

    monkeypatch.setattr(codecs, "open_codec", lambda model, device, precision: micro)
    monkeypatch.setattr(codecs, "installed_path", installed_path)
    generator = random.Random(8)
    pictures = [make_picture(70, 64, seed, channels=4) for seed in range(3)]
    files = [micro.encode(pictures[index % 3], 20 + index) for index in range(12)]
    (tmp_path / "in" / "deep").mkdir(parents=True)
    names = []
    for index in range(PER_KIND * len(KINDS)):
        data, kind = files[index % len(files)], KINDS[index % len(KINDS)]
        name = f"in/{'deep/' * (index % 2)}{index:03}"
        broken = damaged(data, kind, generator)
        if broken != data:
            (tmp_path / f"{name}-bad.glc").write_bytes(broken)
            names.append(f"{name}-bad.glc")
        if index % 3 == 0:
            (tmp_path / f"{name}-good.glc").write_bytes(data)
    return names


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_every_damaged_file_is_found_and_no_good_one(glc, folder, jobs):
    result = glc("verify", "-r", "in", "--json", "-j", jobs)
    assert result.code == 1
    records = [json.loads(line) for line in result.out.splitlines()]
    assert len(folder) > 0.9 * PER_KIND * len(KINDS)
    assert sorted(r["input"] for r in records if "error" in r) == sorted(folder)
    good = [r["input"] for r in records if r.get("verified")]
    assert len(good) == len(records) - len(folder) == PER_KIND * len(KINDS) // 3
    assert all("good" in name for name in good)
    # One line each on standard error, too, which names the file.
    lines = [line for line in result.err_lines if line.startswith("glc verify: ")]
    assert sorted(line.split(": ")[1] for line in lines) == sorted(folder)


def test_decoding_the_folder_gives_the_good_ones_only(glc, folder, tmp_path):
    result = glc("decode", "-r", "in", "-o", "out")
    assert result.code == 1
    names = [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert len(names) == PER_KIND * len(KINDS) // 3
    assert all(name.endswith("-good.png") for name in names)


def test_a_folder_without_damage_is_code_0(glc, folder, tmp_path):
    for name in folder:
        (tmp_path / name).unlink()
    assert glc("verify", "-r", "in").code == 0
