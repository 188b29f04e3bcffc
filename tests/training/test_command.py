"""``glc train`` from pictures to a codec, and the ends it can come to."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

import glc.training
from codec_cli.main import main as glc_main
from glc.codec import Codec
from glc.errors import WeightsError
from glc.training import command
from glc.training.losses.features import PerceptualLoss

pytestmark = pytest.mark.system

MICRO = Path(__file__).parent / "micro.toml"


@pytest.fixture(autouse=True)
def _no_files_for_the_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    untrained = functools.partial(PerceptualLoss, trained=False)
    monkeypatch.setattr(command, "PerceptualLoss", untrained)


def arguments(folder: Path, out: Path, *more: str) -> list[str]:
    given = ["--preset", str(MICRO), "--data", str(folder), "--out", str(out), "--device", "cpu"]
    return [*given, "--threads", "1", *more]


def test_pictures_to_a_codec(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "micro.safetensors"
    compact = tmp_path / "compact"
    given = arguments(folder, tmp_path / "run", "--export", str(weights))
    given += ["--compact-resume", str(compact), "--compact-part-mb", "0.02"]
    assert glc_main(["train", *given]) == 0
    assert "phase 3 finished" in capsys.readouterr().err

    codec = Codec.from_pretrained(weights)
    picture = np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    assert codec.decode(codec.encode(picture, 50)).size == (90, 70)
    card = weights.with_suffix(".md").read_text()
    for part in (codec.identity.hex(), folder.name, "| 3 | 6 of 6 |", "latent_mse", "| 1 | l1 |"):
        assert part in card
    assert str(folder) not in card

    # A manifest that knows the file of this name by another content must not stand in the way.
    glc.weights.manifest.write_manifest(tmp_path, "micro")
    # From the compact file and the folder alone, elsewhere, with the same result but for halves.
    again = weights.with_name("again.safetensors")
    moved = arguments(folder, compact, "--export-only", "--export", str(again))
    assert glc.training.main(moved) == 0
    assert glc.training.main([*moved, "--summary", "the same file name, other bytes"]) == 0
    first, second = Codec.from_pretrained(weights), Codec.from_pretrained(again)
    files = [c.encode(picture, 50) for c in (first, second)]
    assert abs(len(files[0]) - len(files[1])) < 40

    fresh = arguments(folder, tmp_path / "tuned", "--phase", "3", "--init", str(weights))
    assert glc.training.main(fresh) == 0
    other = arguments(folder, tmp_path / "tiny", "--phase", "3", "--init", str(weights))
    other[1] = "tiny"
    assert glc.training.main([*other, "--crop", "64"]) == 1
    assert "another shape" in capsys.readouterr().err


def test_an_export_heeds_what_the_command_line_sets(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[int] = []
    monkeypatch.setattr(command, "settle", lambda model, pictures, steps: settled.append(steps))
    # The start takes most of the time, and nothing of it is asked for here.
    monkeypatch.setattr(command.Trainer, "start", lambda trainer: None)
    given = arguments(folder, tmp_path / "run", "--phase", "3", "--steps", "1", "--crop", "64")
    given[1] = str(MICRO.with_name("micro-linear.toml"))
    weights = ["--export", str(tmp_path / "a.safetensors")]
    assert glc.training.main([*given, *weights]) == 0
    moved = [*given, *weights, "--export-only"]
    assert glc.training.main(moved) == 0
    assert glc.training.main([*moved, "--set", "settle_steps=0"]) == 0
    assert settled == [4, 4, 0]
    assert glc.training.main([*moved, "--set", "no_such_thing=0"]) == 2


def test_a_run_without_steps_needs_no_loss_networks(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[tuple[str, ...]] = []

    def networks(names: tuple[str, ...], files: object) -> PerceptualLoss:
        built.append(names)
        return PerceptualLoss(names, trained=False)

    monkeypatch.setattr(command, "PerceptualLoss", networks)
    weights = tmp_path / "start.safetensors"
    given = ["--preset", str(MICRO.with_name("micro-linear.toml")), "--data", str(folder)]
    given += ["--out", str(tmp_path / "run"), "--device", "cpu", "--crop", "64", "--phase", "3"]
    assert glc.training.main([*given, "--steps", "0", "--export", str(weights)]) == 0
    assert glc.training.main([*given, "--steps", "1", "--resume", "never"]) == 0
    assert built == [(), ("lpips", "alex")]
    picture = np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    codec = Codec.from_pretrained(weights)
    assert codec.decode(codec.encode(picture, 50)).size == (90, 70)


def test_shipped_weights_are_loaded_exactly(folder: Path, tmp_path: Path) -> None:
    weights = tmp_path / "a.safetensors"
    given = arguments(folder, tmp_path / "run", "--phase", "2", "--export", str(weights))
    assert glc.training.main(given) == 0
    # No step: what is exported again is what was loaded, integers of the scale map included.
    again = tmp_path / "b.safetensors"
    given = arguments(folder, tmp_path / "other", "--phase", "2", "--init", str(weights))
    given += ["--set", "steps_2=0", "--export", str(again)]
    assert glc.training.main(given) == 0
    one, two = (
        glc.weights.checkpoint.load(weights).tensors,
        glc.weights.checkpoint.load(again).tensors,
    )
    for name, value in one.items():
        assert np.array_equal(value, two[name]), name


def test_out_of_time_and_on_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arguments(folder, tmp_path / "run", "--phase", "2")
    assert glc.training.main([*given, "--time-budget", "0s"]) == 0
    assert "out of time at step 0" in capsys.readouterr().err
    assert glc.training.main(given) == 0
    said = capsys.readouterr().err
    assert "resumed phase 2 at step 0" in said
    assert "phase 2 finished" in said
    assert glc.training.main([*given, "--resume", str(tmp_path / "absent")]) == 1
    assert "nothing to go on with" in capsys.readouterr().err


def test_streaming(folder: Path, tmp_path: Path) -> None:
    assert glc.training.main(arguments(folder, tmp_path / "run", "--phase", "2", "--stream")) == 0


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--set", "colour=3"], 2, "unknown training setting 'colour'"),
        (["--set", "bf16=perhaps"], 2, "bf16 must be auto, true or false"),
        (["--crop", "1024"], 2, "no usable picture"),
        (["--init", "nowhere.pt", "--resume", "never"], 1, "nothing to start from"),
        (["--export-only", "--export", "x.safetensors"], 1, "no run in"),
    ],
)
def test_wrong_calls(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    message: str,
) -> None:
    assert glc.training.main(arguments(folder, tmp_path / "run", *more)) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--blend", "another"], "--blend needs --export"),
        (["--blend-share", "1.5"], "between 0 and 1"),
        (["--export-only"], "--export-only needs --export"),
    ],
)
def test_options_that_belong_together(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    with pytest.raises(SystemExit):
        glc.training.main(arguments(folder, tmp_path / "run", *more))
    assert message in capsys.readouterr().err


def test_a_file_that_is_no_weights(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    assert glc.training.main(arguments(folder, tmp_path / "run", "--init", str(bad))) == 1
    with pytest.raises(WeightsError):
        glc.weights.checkpoint.load(bad)


def test_help_reads_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert glc_main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    for part in ("usage: glc train", "--time-budget TIME", "examples:", "--export-only"):
        assert part in text


def test_a_gaussian_bottleneck_goes_with_the_weights(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "kl.safetensors"
    given = ("--phase", "1", "--regulariser", "kl", "--export", str(weights))
    assert glc.training.main(arguments(folder, tmp_path / "run", *given)) == 0
    first = Codec.from_pretrained(weights, device="cpu")
    assert first.sample(1, (40, 70), prior="normal")[0].size == (40, 70)

    # On from the file alone, whose settings say kl; no step, so that nothing may change.
    again = tmp_path / "again.safetensors"
    rest = ["--phase", "3", "--init", str(weights), "--export", str(again), "--crop", "64"]
    rest = [*arguments(folder, tmp_path / "on", *rest)[2:], "--set", "steps_3=0"]
    assert glc.training.main(rest) == 0
    stored = glc.weights.checkpoint.load(again).bottleneck
    assert stored is not None
    for name, value in (glc.weights.checkpoint.load(weights).bottleneck or {}).items():
        assert np.array_equal(value, stored[name]), name

    capsys.readouterr()
    other = arguments(folder, tmp_path / "other", "--phase", "3", "--init", str(weights))
    assert glc.training.main(other) == 1
    assert "add --regulariser kl" in capsys.readouterr().err

    # Other bottlenecks stay where they are needed: in training.
    assert glc.training.main(arguments(folder, tmp_path / "vq", "--phase", "1", *given[4:])) == 0
    assert glc.weights.checkpoint.load(weights).bottleneck is None


def test_steps_leave_out_the_phases_that_a_preset_leaves_out() -> None:
    def steps(*more: str) -> list[int]:
        given = ["--data", "d", "--out", "o", *more]
        settings = command.settings_from(command._parser().parse_args(given))
        return [settings.steps(phase) for phase in (1, 2, 3)]

    assert steps("--preset", "tiny", "--steps", "7") == [0, 0, 7]
    assert steps("--preset", "tiny", "--steps", "7", "--set", "steps_2=5") == [0, 5, 7]
    assert steps("--preset", "tiny", "--phase", "1", "--steps", "7")[0] == 7
    assert steps("--preset", str(MICRO), "--steps", "7") == [7, 7, 7]


def test_a_phase_without_steps_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--preset", "tiny", "--data", str(folder), "--out", str(tmp_path), "--phase", "2"]
    assert glc.training.main(given) == 2
    assert "phase 2 has no steps" in capsys.readouterr().err
