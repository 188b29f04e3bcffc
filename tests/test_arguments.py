"""Whole numbers of any type are taken wherever one is asked for, and nothing else is."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

import glc.pillow
from glc import Codec
from glc.arguments import check_quality, check_size, whole_number

FORTY = {
    "int": 40,
    "float": 40.0,
    "fraction": Fraction(80, 2),
    "numpy int64": np.int64(40),
    "numpy uint8": np.uint8(40),
    "numpy float32": np.float32(40),
    "of np.linspace": np.linspace(0, 100, 6)[2],
    "of np.arange": np.arange(0, 101, 20)[2],
    "numpy scalar array": np.array(40),
    "numpy scalar array of floats": np.array(40.0),
    "torch integer": torch.tensor(40),
    "torch float": torch.tensor(40.0),
}

NO_NUMBERS = {
    "text": "40",
    "bytes": b"40",
    "nothing": None,
    "true": True,
    "numpy true": np.True_,
    "torch true": torch.tensor(True),
    "half": 40.5,
    "not a number": float("nan"),
    "infinity": float("inf"),
    "complex": 40 + 0j,
    "list": [40],
    "array of one": np.array([40]),
    "tensor of one": torch.tensor([40]),
    "object": object(),
}


@pytest.mark.parametrize("kind", FORTY)
def test_whole_numbers_of_any_type_are_ints(kind):
    for found in (
        whole_number("n", FORTY[kind], 0),
        check_quality(FORTY[kind]),
        check_size(FORTY[kind]),
    ):
        assert found == 40
        assert type(found) is int


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_anything_else_is_refused_by_name(kind):
    with pytest.raises(ValueError, match=r"^quality: expected a whole number from 0 to 100, found"):
        check_quality(NO_NUMBERS[kind])
    with pytest.raises(ValueError, match=r"^max_bytes: expected a whole number of 1 or more"):
        check_size(NO_NUMBERS[kind])


def test_bounds_belong_to_what_is_taken():
    assert [check_quality(n) for n in (0, 100)] == [0, 100]
    for value in (-1, 101, -1.0, 101.0, 10**400):
        with pytest.raises(ValueError, match="quality: expected a whole number from 0 to 100"):
            check_quality(value)
    with pytest.raises(ValueError, match="max_bytes: expected a whole number of 1 or more"):
        check_size(0)


def test_a_long_value_does_not_fill_the_message():
    with pytest.raises(ValueError, match="found") as caught:
        check_quality("x" * 10_000)
    assert len(str(caught.value)) < 130


@pytest.mark.parametrize("kind", FORTY)
def test_every_way_in_takes_them(micro, micro_path, make_picture, kind):
    picture, forty = make_picture(40, 50), FORTY[kind]
    data = micro.encode(picture, 40)
    assert micro.encode(picture, forty) == data
    assert micro.encode_batch([picture], forty) == [data]
    assert micro.bits(picture, forty) == micro.bits(picture, 40)
    assert micro.surprise(picture, forty) == micro.surprise(picture, 40)
    np.testing.assert_array_equal(micro.bit_map(picture, forty), micro.bit_map(picture, 40))
    drawn = micro.sample(1, (64, 64), forty)[0].tobytes()
    assert drawn == micro.sample(1, (64, 64), 40)[0].tobytes()
    fast = Codec.from_pretrained(micro_path, runtime="onnxruntime")
    assert fast.encode(picture, forty) == fast.encode(picture, 40)


@pytest.mark.parametrize("kind", FORTY)
def test_sizes_are_taken_as_well(micro, micro_path, make_picture, kind):
    picture = make_picture(40, 50)
    size = len(micro.encode(picture, 0)) + 40
    for codec in (
        micro,
        Codec.from_pretrained(micro_path, runtime="onnxruntime"),
    ):
        expected = codec.encode_to_size(picture, size)
        assert codec.encode_to_size(picture, size - 40 + FORTY[kind]) == expected


@pytest.mark.parametrize("value", ["40", None, 40.5, True])
def test_every_way_in_refuses_the_rest(micro, micro_path, make_picture, value):
    picture = make_picture(40, 50)
    fast = Codec.from_pretrained(micro_path, runtime="onnxruntime")
    calls = {
        "quality": (
            lambda: micro.encode(picture, value),
            lambda: micro.encode_batch([picture], value),
            lambda: micro.bits(picture, value),
            lambda: micro.surprise(picture, value),
            lambda: micro.bit_map(picture, value),
            lambda: micro.sample(1, (64, 64), value),
            lambda: fast.encode(picture, value),
        ),
        "max_bytes": (
            lambda: micro.encode_to_size(picture, value),
            lambda: fast.encode_to_size(picture, value),
        ),
    }
    for name, ways in calls.items():
        for way in ways:
            with pytest.raises(ValueError, match=f"^{name}: expected a whole number"):
                way()


@pytest.fixture
def registered(micro_path):
    """Register with the micro model, and leave Pillow as it was."""
    # All plugins first: those that Pillow finds later would be forgotten with what is undone here.
    Image.init()
    names = ("OPEN", "SAVE", "EXTENSION", "MIME")
    before, order = {name: dict(getattr(Image, name)) for name in names}, list(Image.ID)
    glc.pillow.register(micro_path)
    yield
    glc.pillow.register()
    for name, entries in before.items():
        getattr(Image, name).clear()
        getattr(Image, name).update(entries)
    Image.ID[:] = order


@pytest.mark.usefixtures("registered")
def test_pillow_takes_them_and_refuses_the_rest(make_picture):
    image = Image.fromarray(make_picture(40, 50))

    def saved(quality) -> bytes:
        stream = io.BytesIO()
        image.save(stream, "GLC", quality=quality)
        return stream.getvalue()

    assert len({saved(value) for value in FORTY.values()}) == 1
    for value in NO_NUMBERS.values():
        with pytest.raises(ValueError, match=r"^quality: expected a whole number"):
            saved(value)
