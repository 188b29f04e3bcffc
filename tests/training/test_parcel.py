"""Parcels for a machine with a GPU: within their limit, every picture once, nothing for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from glc.training import parcel
from glc.training.data.in_memory import InMemoryImages
from glc.training.data.sources import list_pictures
from glc.training.engine.nonfinite_guard import TrainingError
from glc.training.losses.feature_files import ALEX_FILE, SQUEEZE_FILE, FeatureFiles
from glc.training.losses.features import Lpips
from glc.training.settings import TrainingSettings

WITHOUT = TrainingSettings.load(
    str(Path(__file__).parent / "micro-linear.toml"), {"lpips_weight": 0.0, "alex_weight": 0.0}
)


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def base_bytes(folder: Path, tmp_path: Path) -> int:
    """What a parcel takes without pictures."""
    parcel.pack(str(folder), tmp_path / "probe", WITHOUT, FeatureFiles(), [], 1 << 30)
    data = tmp_path / "probe" / "part-1" / "data" / "pictures-1.tar"
    return bytes_in(tmp_path / "probe") - data.stat().st_size


def test_parts_keep_the_limit_and_share_the_pictures(
    folder: Path, tmp_path: Path, base_bytes: int
) -> None:
    limit = base_bytes + 50_000
    out = tmp_path / "parcel"
    counts = parcel.pack(str(folder), out, WITHOUT, FeatureFiles(), [], limit, 2)
    every = {source.name: source.read() for source in list_pictures(str(folder))}
    found = list_pictures(str(out))
    assert len(found) == sum(counts)
    assert len({source.name for source in found}) == len(found)
    assert all(source.read() == every[source.name] for source in found)
    for part, count in zip(("part-1", "part-2"), counts, strict=True):
        assert bytes_in(out / part) <= limit
        assert len(list_pictures(str(out / part))) == count
    assert 0 < counts[0] < len(every)
    # The second holds pictures alone, and those that were left are used from both.
    assert [path.name for path in (out / "part-2").iterdir()] == ["data"]
    assert InMemoryImages(str(out / "part-1" / "data"), 64).count > 0


def test_what_goes_along(folder: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "a.whl"
    wheel.write_bytes(b"zip")
    out = tmp_path / "parcel"
    parcel.pack(str(folder), out, WITHOUT, FeatureFiles(), [wheel], 1 << 30)
    first = out / "part-1"
    for name in (
        *(
            "glc/training/engine/loop.py",
            "glc/training/configs/base-gpu.toml",
            "eval/research/gpu_run.py",
        ),
        *("tests/training/test_gpu.py", "pyproject.toml", "wheels/a.whl", "go.sh"),
    ):
        assert (first / name).is_file(), name
    assert not list(first.rglob("*.safetensors"))
    assert not list(first.rglob("__pycache__"))
    with pytest.raises(TrainingError, match="is there already"):
        parcel.pack(str(folder), out, WITHOUT, FeatureFiles(), [], 1 << 30)


@pytest.mark.parametrize("name", ["weights.safetensors", "resume"])
def test_what_a_run_starts_from_goes_along_and_counts(
    folder: Path, tmp_path: Path, base_bytes: int, name: str
) -> None:
    init = tmp_path / name
    if init.suffix:
        init.write_bytes(bytes(30_000))
    else:
        init.mkdir()
        (init / "resume.json").write_bytes(bytes(30_000))
    out, limit = tmp_path / "parcel", base_bytes + 80_000
    parcel.pack(str(folder), out, WITHOUT, FeatureFiles(), [], limit, init=init)
    found = out / "part-1" / f"init{init.suffix}"
    assert (found / "resume.json" if found.is_dir() else found).stat().st_size == 30_000
    assert bytes_in(out / "part-1") <= limit


def test_without_room_it_says_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="part 1"):
        parcel.pack(str(folder), tmp_path / "small", WITHOUT, FeatureFiles(), [], 1000)
    with pytest.raises(TrainingError, match="part 2"):
        parcel.pack(str(folder), tmp_path / "all", WITHOUT, FeatureFiles(), [], 1 << 30, 2)


def test_feature_networks_are_the_same_and_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    given = {}
    for net in ("squeeze", "alex"):
        state = Lpips(net, trained=False).metric.net.state_dict()
        # As released: half floats say the same of AlexNet.
        given[net] = {
            f"features.{n.split('.', 1)[1]}": v.half().float() if net == "alex" else v
            for n, v in state.items()
        }
    whole = given["squeeze"] | {"classifier.1.weight": torch.zeros(1000, 512, 1, 1)}
    monkeypatch.setattr(FeatureFiles, "squeeze", lambda self: whole)
    monkeypatch.setattr(FeatureFiles, "alex", lambda self: given["alex"])
    parcel._copy_features(tmp_path / "features", ("lpips", "alex"), FeatureFiles())
    monkeypatch.undo()
    found = FeatureFiles(tmp_path / "features")
    for net, state in (("squeeze", found.squeeze()), ("alex", found.alex())):
        assert state is not None
        assert state.keys() == given[net].keys()
        assert all(torch.equal(state[name], value) for name, value in given[net].items())
    assert (tmp_path / "features" / SQUEEZE_FILE).stat().st_size < 3_000_000
    kinds = {value.dtype for value in load_file(tmp_path / "features" / ALEX_FILE).values()}
    assert kinds == {torch.float16}


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset = tmp_path / "micro.toml"
    text = (Path(__file__).parent / "micro-linear.toml").read_text()
    preset.write_text("lpips_weight = 0.0\nalex_weight = 0.0\n" + text)
    given = ["--data", str(folder), "--preset", str(preset), "--out", str(tmp_path / "parcel")]
    assert parcel.main([*given, "--limit-mb", "20"]) == 0
    said = capsys.readouterr().err
    assert "part-1: " in said
    assert "21 pictures" in said
    assert parcel.main([*given, "--limit-mb", "20"]) == 1
    assert parcel.main(["--data", str(tmp_path / "none"), *given[2:]]) == 2
