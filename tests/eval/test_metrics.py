from __future__ import annotations

from pathlib import Path

import pytest

from eval import metrics
from eval.frechet import SET_METRICS
from eval.metrics import Settings
from eval.pictures import RGB


def test_every_figure_has_a_column() -> None:
    found = [key for keys in metrics.PICTURE_METRICS.values() for key in keys]
    found += [key for metric in SET_METRICS.values() for key in metric.columns]
    assert sorted(found) == sorted(metrics.COLUMNS)
    assert set(metrics.QUICK) <= set(metrics.ALL)


@pytest.mark.parametrize("name", ["psnr", "ms-ssim", "grid"])
def test_a_metric_gives_one_value_per_column(name: str, photo: RGB) -> None:
    metric = metrics.build(name, Settings())
    assert len(metric.measure(photo, photo)) == len(metric.columns) == 1


def test_usable_sorts_out_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    wanted = ["psnr", "lpips-vgg", "judge", "frechet-squeezenet", "fid", "agree", "dists"]
    works, reasons = metrics.usable(wanted, Settings())
    assert works == ["psnr"]
    assert list(reasons) == wanted[1:]
    assert "resnet50" in reasons["agree"]
    with pytest.raises(ValueError, match="unknown metric 'beauty'"):
        metrics.usable(["beauty"], Settings())
