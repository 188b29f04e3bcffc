"""A few seconds of what ``python -m tests.fuzz`` does for hours, and every input that it kept."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator

import pytest
from PIL import Image

from glc.errors import CorruptError
from tests.fuzz import corpus, ledger, plain, targets

CASES = {
    "container": 2000,
    "entropy": 500,
    "alpha": 500,
    "info": 100,
    "picture": 300,
    "decode": 100,
    "weights": 40,
    "archive": 300,
}
# What these become depends on no float of a network and on no version of Pillow.
EXACT = ("container", "entropy")


@pytest.fixture(autouse=True)
def pillow_as_before() -> Iterator[None]:
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        yield
    Image.MAX_IMAGE_PIXELS = before


@pytest.mark.parametrize("name", targets.NAMES)
def test_no_case_breaks_a_rule(name, tmp_path):
    target = targets.load(name)
    account = ledger.Ledger(target, tmp_path)
    plain.run(target, CASES[name], 7, account)
    assert account.found == []
    assert account.cases == CASES[name]
    # Guards the test: mutants must get past the first field, and some must be whole.
    assert account.outcomes["accepted"] > 0
    assert len(account.examples) > 5


@pytest.mark.parametrize("name", targets.NAMES)
def test_kept_inputs_still_end_well(name):
    target = targets.load(name)
    kept = corpus.read("container" if name == "info" else name)
    assert len(kept) >= 5
    account = ledger.Ledger(target)
    account.warm_up()
    for outcome, data in kept:
        before = account.outcomes.copy()
        account.run(data)
        assert account.found == [], outcome
        if name in EXACT:
            (kind,) = account.outcomes - before
            assert outcome.startswith(kind)


def test_the_same_seed_gives_the_same_cases():
    target = targets.load("container")
    cases = list(plain.cases(target, 300, 5))
    assert len(cases) == 300
    assert cases == list(plain.cases(target, 300, 5))
    assert cases != list(plain.cases(target, 300, 6))
    assert len(set(cases)) > 250


class Echo:
    """A target whose input says what it does."""

    name = "echo"
    max_bytes = 100

    def seeds(self):
        return [b"fine"]

    def mutate(self, data, rng):
        return data

    def run(self, data):
        if data == b"bug":
            raise KeyError("a bug")
        if data == b"panic":
            raise BaseException("from native code")
        if data == b"slow":
            until = time.process_time() + 0.05
            while time.process_time() < until:
                pass
        if data == b"stuck":
            time.sleep(0.05)
        if data == b"large":
            bytearray(1 << 20)
        if data == b"refused":
            raise CorruptError("damaged")
        return "fine"

    def allowance(self, data):
        return 1 << 16


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"fine", None),
        (b"refused", None),
        (b"bug", "KeyError: 'a bug'"),
        (b"panic", "BaseException: from native code"),
        (b"slow", "of processor time"),
        (b"stuck", "by the clock"),
        (b"large", "allocated"),
    ],
)
def test_what_counts_as_a_finding(data, found, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "SECONDS", 0.04 if data != b"stuck" else 10)
    monkeypatch.setattr(ledger, "WAITED_SECONDS", 0.04 if data == b"stuck" else 10)
    account = ledger.Ledger(Echo(), tmp_path)
    account.warm_up()
    for _ in range(2):
        account.run(data)
    assert len(account.found) == (found is not None)
    if found is not None:
        assert found in account.found[0]
        (saved,) = tmp_path.iterdir()
        assert saved.read_bytes() == data


def test_a_case_that_takes_memory_in_native_code_is_a_finding(monkeypatch):
    account = ledger.Ledger(Echo())
    account.warm_up()
    held = ledger.resident_bytes()
    monkeypatch.setattr(ledger, "resident_bytes", lambda: held + (65 << 20))
    account.run(b"fine")
    assert "raised the memory" in account.found[0]
