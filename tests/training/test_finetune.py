"""``glc finetune`` from weights and from a run, and what it refuses."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import glc.training
from codec_cli.main import main as glc_main
from glc.codec import Codec
from glc.training import command
from glc.training.engine import resume
from glc.training.engine.log import read_log
from glc.training.losses.features import PerceptualLoss
from glc.training.losses.rate_control import RateControl
from glc.weights import registry

pytestmark = pytest.mark.system

MICRO = Path(__file__).parent / "micro.toml"
SMALL = ["--batch", "2", "--crop", "64", "--set", "discriminator_width=4", "--set", "bf16=false"]
SMALL += [
    "--set",
    "held_out_batches=1",
    "--device",
    "cpu",
    "--threads",
    "1",
    "--set",
    "log_every=1",
]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    untrained = functools.partial(PerceptualLoss, trained=False)
    monkeypatch.setattr(command, "PerceptualLoss", untrained)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(registry.MODELS_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two short phases, with its weights in ``micro.safetensors`` beside it."""
    out = tmp_path_factory.mktemp("trained") / "run"
    given = ["--preset", str(MICRO), "--data", str(folder), "--out", str(out), "--device", "cpu"]
    given += ["--phase", "2", "--set", "steps_2=2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "PerceptualLoss", functools.partial(PerceptualLoss, trained=False))
        assert glc.training.main([*given, "--export", str(out.parent / "micro.safetensors")]) == 0
    return out


def finetune(folder: Path, *more: str) -> int:
    return glc_main(["finetune", "--data", str(folder), *SMALL, *more])


def test_from_a_run_within_a_time(
    folder: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = resume.read_state(trained)
    assert before is not None
    begun = ["--init", str(trained), "--out", "pets", "--time-budget", "4s"]
    assert finetune(folder, *begun) == 0
    said = capsys.readouterr().err
    assert "glc encode --model pets.safetensors" in said
    assert "GLC_MODELS" in said

    config = json.loads((tmp_path / "pets-run" / "config.json").read_text())
    assert config["preset"] == "micro"
    assert config["code_weight_3"] > 0
    assert 1 <= config["steps_3"] != before["settings"]["steps_3"]
    codec, start = (
        Codec.from_pretrained(p) for p in ("pets.safetensors", trained.parent / "micro.safetensors")
    )
    assert codec.name == "pets"
    assert codec.identity != start.identity
    assert codec.identity.hex() in Path("pets.md").read_text()
    picture = np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    assert codec.decode(codec.encode(picture)).size == (90, 70)

    # Its files would be lost: never replaced.
    data = Path("pets.safetensors").read_bytes()
    assert finetune(folder, *begun) == 2
    assert "could no longer be read" in capsys.readouterr().err
    assert Path("pets.safetensors").read_bytes() == data


def test_from_weights_installed(
    folder: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(tmp_path / "models"))
    weights = trained.parent / "micro.safetensors"
    begun = ["--init", str(weights), "--out", "cats", "--steps", "2", "--install"]
    assert finetune(folder, *begun, "--run", "elsewhere", "--set", "warmup_steps=2") == 0
    info = next(info for info in registry.installed() if info.name == "cats")
    assert info.path == tmp_path / "models" / "cats.safetensors"
    codec = Codec.from_pretrained("cats", device="cpu")
    data = codec.encode(np.zeros((64, 64, 3), np.uint8))
    assert registry.find(data[2:5]).identity == codec.identity

    log = read_log(tmp_path / "elsewhere")
    assert json.loads((tmp_path / "elsewhere" / "config.json").read_text())["code_weight_3"] == 0
    # Weights files hold no weights of the rate: they begin where those of `tiny` ended.
    first = next(entry for entry in log if "rate_weight_low" in entry)
    assert 150 < first["rate_weight_low"] < 260
    assert 0.8 < first["rate_weight_high"] < 1.25
    assert finetune(folder, *begun) == 2


def test_the_weights_of_the_rate_begin_between_two() -> None:
    control = RateControl(3, 0.01, 0.1)
    control.begin_between(100.0, 1.0)
    weights = control.weight(torch.tensor([0, 25, 50, 100]))
    assert weights.tolist() == pytest.approx([100.0, 100.0**0.75, 10.0, 1.0])


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--out", "a", "--install"], 2, "set GLC_MODELS"),
        (["--out", "a", "--init", "nothing"], 1, "a model named 'nothing' is not installed"),
        (["--out", "a", "--init", "{data}"], 1, "holds no run and no weights"),
        (["--out", "a", "--init", "{weights}", "--set", "colour=3"], 2, "unknown training setting"),
    ],
)
def test_what_is_refused(
    folder: Path,
    trained: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    message: str,
) -> None:
    places = {"data": folder, "weights": trained.parent / "micro.safetensors"}
    assert finetune(folder, *(part.format(**places) for part in more)) == code
    assert message in capsys.readouterr().err
    assert not Path("a.safetensors").exists()


def test_installed_names_are_taken_once(
    folder: Path,
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(trained.parent))
    assert finetune(folder, "--out", "micro", "--install") == 2
    assert "is installed already" in capsys.readouterr().err
    assert finetune(folder, "--out", "x/micro", "--install") == 2
    assert "expected a name" in capsys.readouterr().err


def test_steps_are_fitted_for_one_phase_and_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--data", str(folder), "--out", "r", "--fit-steps"]
    for more in (["--phase", "3"], ["--time-budget", "9s"]):
        with pytest.raises(SystemExit):
            glc.training.main([*given, *more])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit):
        glc.training.main([*given, "--phase", "3", "--time-budget", "9s"])
    assert "for one process" in capsys.readouterr().err


def test_the_command_says_which_extra_it_needs(
    monkeypatch: pytest.MonkeyPatch, folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(arguments: object) -> Callable[..., int]:
        raise ModuleNotFoundError("no lpips", name="lpips")

    monkeypatch.setattr(glc.training, "main", missing)
    assert finetune(folder, "--out", "a", "--init", str(trained)) == 1
    assert "pip install 'glc-codec[train]'" in capsys.readouterr().err
