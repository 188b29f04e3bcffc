"""What counts as the rest of a crash, and what does not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from codec_cli.support.completeness import is_cut_glc, is_cut_picture
from glc.bitstream import Chunk, Container, pack
from glc.errors import CorruptError, NotGlcError

CONTAINER = Container(300, 200, 50, b"abc", bytes(range(1, 90)), (Chunk("A", b"alpha"),), 77)


@pytest.fixture
def holding(tmp_path):
    """Return a function that makes a file with this content."""

    def make(data: bytes):
        path = tmp_path / "x"
        path.write_bytes(data)
        return path

    return make


def picture(kind: str, size: int = 40) -> bytes:
    rng = np.random.default_rng(1)
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(stream, kind)
    return stream.getvalue()


def test_every_prefix_of_a_glc_file_is_cut(holding):
    data = pack(CONTAINER)
    assert not is_cut_glc(holding(data))
    assert all(is_cut_glc(holding(data[:size])) for size in range(len(data)))


def test_zeros_that_never_reached_the_disk_are_cut(holding):
    data = pack(CONTAINER)
    assert is_cut_glc(holding(bytes(len(data))))
    for kept in range(len(data) - 100, len(data) - 3):
        assert is_cut_glc(holding(data[:kept].ljust(len(data), b"\0")))


def test_other_files_are_not_taken_for_a_rest(holding):
    data = pack(CONTAINER)
    with pytest.raises(NotGlcError):
        is_cut_glc(holding(b"somebody's notes"))
    with pytest.raises(CorruptError):
        is_cut_glc(holding(data + b"more"))
    # Of a later version, or beyond what this reader takes: there, and not ours to judge.
    assert not is_cut_glc(holding(bytes((data[0], data[1] + 1)) + data[2:]))
    assert not is_cut_glc(holding(pack(Container(1 << 20, 1 << 20, 5, b"abc", b"x"))))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_every_prefix_of_a_picture_is_cut(holding, kind):
    data = picture(kind)
    assert not is_cut_picture(holding(data))
    sizes = [*range(20), *range(20, len(data), 41), len(data) - 1]
    assert [size for size in sizes if not is_cut_picture(holding(data[:size]))] == []
    assert is_cut_picture(holding(bytes(len(data))))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_pictures_with_something_behind_them_are_whole(holding, kind):
    """Replacing such a file would destroy an original."""
    assert not is_cut_picture(holding(picture(kind) + bytes(200_000)))


def test_a_picture_larger_than_the_window_at_its_end(holding):
    data = picture("PNG", 300)
    assert len(data) > 1 << 17
    assert not is_cut_picture(holding(data))
    assert is_cut_picture(holding(data[:-1]))


def test_unknown_kinds_are_left_alone(holding):
    for data in (b"GIF89a", b"notes", b"\0\0\0\1"):
        assert not is_cut_picture(holding(data))
