"""The figures of docs/latent.md, with a small model."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from eval.research import latent
from glc.errors import TruncatedError


def test_the_last_byte_that_a_preview_needs(micro, make_picture):
    data = micro.encode(make_picture(70, 90), 50)
    needed = latent.needed_for_preview(micro, data)
    micro.preview(data[:needed])
    with pytest.raises(TruncatedError):
        micro.preview(data[: needed - 1])


def test_parts_end_with_the_whole(micro, make_picture, version):
    pictures = [make_picture(70, 90, seed) for seed in (1, 2)]
    records = latent.parts(micro, pictures, 50, version)
    assert [r["share"] for r in records] == [0.0, *latent.SHARES]
    assert [r["bytes"] for r in records] == sorted(r["bytes"] for r in records)
    assert records[-1]["psnr_whole"] == np.inf
    assert records[-1]["steps"] == 4
    lines = latent.table(records).splitlines()
    assert lines[2].startswith("| z only (preview) |")
    assert lines[-1].endswith("the same |")


def test_the_command_writes_all_figures(micro_path, make_picture, tmp_path, capsys):
    for number in range(2):
        Image.fromarray(make_picture(200, 220, number)).save(tmp_path / f"{number}.png")
    out = tmp_path / "out"
    arguments = ["--images", str(tmp_path), "--out", str(out), "--model", str(micro_path)]
    assert latent.main([*arguments, "--device", "cpu"]) == 0
    sizes = {path.name: Image.open(path).size for path in out.iterdir()}
    assert sizes == {
        "partial.png": (440, 232),
        "samples.png": (1152, 208),
        "interpolation.png": (1152, 208),
    }
    assert "| 100% |" in capsys.readouterr().out
