from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from eval.report import plots, published
from eval.report.summary import Point

POINTS = [
    Point(codec, q, 1, bpp, bpp, 0, 0, {"psnr": 20 + q, "ms_ssim": 0.9 + 0.01 * q})
    for codec in ("glc", "jpeg", "avif@1/4")
    for q, bpp in enumerate((0.02, 0.05, 0.3))
]
KODAK = [f"kodim{i:02}.png" for i in range(1, 25)]


def test_a_plot_per_measured_metric(tmp_path: Path) -> None:
    written = plots.write(tmp_path, POINTS, {})
    assert [path.name for path in written] == ["psnr.png", "ms_ssim.png"]
    assert all(path.stat().st_size > 5000 for path in written)
    assert (tmp_path / "psnr.svg").exists()
    assert plots.figure("dists", POINTS) is None


def test_rate_is_logarithmic_and_ms_ssim_in_db() -> None:
    fig = plots.figure("ms_ssim", POINTS)
    assert fig is not None
    (axes,) = fig.axes
    assert axes.get_xscale() == "log"
    assert "MS-SSIM dB" in axes.get_ylabel()
    by_label = {line.get_label(): line for line in axes.lines}
    assert abs(by_label["jpeg"].get_ydata()[0] - 10) < 1e-9
    assert by_label["glc"].get_linewidth() > by_label["jpeg"].get_linewidth()
    assert by_label["avif@1/4"].get_linestyle() == "--"


def test_published_points_are_thin_grey_curves_with_that_label() -> None:
    fig = plots.figure("psnr", POINTS, published.for_pictures(KODAK, "psnr"))
    assert fig is not None
    grey = [line for line in fig.axes[0].lines if line.get_color() == plots.GREY]
    assert grey
    assert all(str(line.get_label()).endswith("(published)") for line in grey)
    assert all(line.get_linestyle() == ":" and line.get_linewidth() < 1 for line in grey)


def test_no_published_system_is_left_out_for_want_of_a_mark() -> None:
    points = [Point("jpeg", 1, 1, 0.2, 0.2, 0, 0, {"lpips_alex": 0.4, "dists": 0.3})]
    for metric in ("lpips_alex", "dists"):
        known = published.for_pictures(KODAK, metric)
        fig = plots.figure(metric, points, known)
        assert fig is not None
        labels = {str(line.get_label()) for line in fig.axes[0].lines}
        assert {f"{system.system} (published)" for system in known} <= labels


def test_published_points_are_for_kodak_only() -> None:
    assert published.for_pictures(KODAK, "dists")
    assert published.for_pictures(KODAK, "lpips_squeeze") == []
    assert published.for_pictures(KODAK[:23], "dists") == []


def test_svg_is_an_element_with_text_and_ids_of_its_own() -> None:
    texts = []
    for metric in ("psnr", "ms_ssim"):
        fig = plots.figure(metric, POINTS)
        assert fig is not None
        texts.append(plots.svg(fig, metric))
    ids = [
        {e.get("id") for e in ET.fromstring(t).iter() if (e.get("id") or "").startswith("p")}
        for t in texts
    ]
    assert "bits per pixel" in texts[0]
    clips = [{i for i in found if i and i[1:2].isalnum() and len(i) == 11} for found in ids]
    assert not clips[0] & clips[1]
