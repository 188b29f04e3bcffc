from __future__ import annotations

from pathlib import Path

import pytest

from eval.metrics import registry
from eval.metrics.frechet import SET_METRICS
from eval.metrics.settings import Settings
from eval.pictures import RGB


def test_every_figure_has_a_column() -> None:
    found = [key for keys in registry.PICTURE_METRICS.values() for key in keys]
    found += [name.replace("-", "_") for name in SET_METRICS] + ["kid"]
    assert sorted(found) == sorted(registry.COLUMNS)
    assert set(registry.QUICK) <= set(registry.ALL)
    assert set(registry.HEADLINE) <= set(registry.COLUMNS)


def test_what_was_trained_on_stands_last_and_in_no_headline() -> None:
    assert list(registry.COLUMNS)[-1] == registry.TRAINED_ON
    assert (
        list(registry.COLUMNS)[:3] == list(registry.HEADLINE[:3]) == ["psnr", "lpips_alex", "dists"]
    )
    assert registry.TRAINED_ON not in registry.HEADLINE
    assert registry.COLUMNS[registry.TRAINED_ON].title.endswith("*")
    assert registry.FOOTNOTES[registry.TRAINED_ON].startswith("* LPIPS(squeeze)")


@pytest.mark.parametrize("name", ["psnr", "ms-ssim", "colour16", "grid"])
def test_a_metric_gives_one_value_per_column(name: str, photo: RGB) -> None:
    metric = registry.build(name, Settings())
    assert len(metric.measure(photo, photo)) == len(metric.columns) == 1


def test_usable_sorts_out_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    wanted = ["psnr", "lpips-vgg", "judge", "frechet-squeezenet", "fid", "agree", "dists"]
    wanted.append("frechet-judge")
    works, reasons = registry.usable(wanted, Settings())
    assert works == ["psnr"]
    assert list(reasons) == wanted[1:]
    assert "resnet50" in reasons["agree"]
    with pytest.raises(ValueError, match="unknown metric 'beauty'"):
        registry.usable(["beauty"], Settings())


def test_the_folder_of_features_serves_all(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    works, reasons = registry.usable(
        ["lpips-alex", "lpips-vgg", "dists", "judge"], Settings(features=features)
    )
    assert works == ["lpips-alex", "lpips-vgg", "dists"]
    assert str(features / "judge_mobilenet_v1.safetensors") in reasons["judge"]
