"""Settings from TOML files and the command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import pytest

from glc.config import PRESETS
from glc.training.command import parse_duration
from glc.training.settings import CONFIG_DIR, TrainingSettings
from glc.weights import checkpoint, registry

MICRO = Path(__file__).parent / "micro.toml"


@pytest.mark.parametrize("path", sorted(CONFIG_DIR.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_files_load(path: Path) -> None:
    settings = TrainingSettings.load(path.stem, {})
    # base-gpu: the model of base, trained in another way.
    assert settings.preset == path.stem.partition("-")[0]
    if settings.codec is None:
        assert settings.shape == PRESETS[settings.preset]


def test_a_grafted_model_has_the_latents_of_tiny_and_the_decoder_of_base() -> None:
    shape, tiny, base = TrainingSettings.load("graft", {}).shape, PRESETS["tiny"], PRESETS["base"]
    second = {f.name: getattr(shape, f.name) for f in dataclasses.fields(shape)}
    for name, value in second.items():
        if name.startswith("realistic_"):
            more = 2 if name == "realistic_depth_16" else 0
            assert value == getattr(base, name.replace("realistic_", "decoder_")) + more
        elif name != "architecture":
            assert value == getattr(tiny, name)


def test_shapes_that_are_written_twice_are_the_same() -> None:
    shapes = {name: TrainingSettings.load(name, {}).shape for name in ("graft", "graft-gpu")}
    assert shapes["graft-gpu"] == shapes["graft"]
    for name in ("base", "fine"):
        assert checkpoint.load(registry.locate(name)).config == shapes["graft"]


def test_every_preset_has_a_file() -> None:
    assert {path.stem for path in CONFIG_DIR.glob("*.toml")} >= set(PRESETS)


def test_settings_go_round_through_json() -> None:
    for name in ("tiny", str(MICRO)):
        settings = TrainingSettings.load(name, {"seed": 5, "batch_1": None})
        assert settings.seed == 5
        fields = json.loads(json.dumps(settings.to_dict()))
        assert TrainingSettings.from_dict(fields) == settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regulariser": "gan"}, "regulariser must be"),
        ({"crop_2": 100}, "multiple of 64"),
        ({"batch_3": 0}, "at least 1"),
        ({"bpp_low": 0.5}, "bpp_low < bpp_high"),
        ({"encoder_pace": -0.1}, "encoder_pace must be at least 0"),
        ({"realistic_pace": -0.1}, "realistic_pace must be at least 0"),
        ({"faithful_weight": -1.0}, "faithful_weight must be at least 0"),
        ({"preset": "huge"}, "no preset"),
        ({"bf16": "perhaps"}, "bf16 must be auto, true or false"),
        ({"mse_weight": 0.0, "colour_weight": 0.0}, "nothing would be left to learn from"),
        (
            {"texture_weight": 1.0, "lpips_weight": 0.0, "alex_weight": 0.0},
            "needs lpips_weight, alex_weight or mobilenet_weight above 0",
        ),
        ({"learnig_rate": 1}, "unknown training settings: learnig_rate"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingSettings.load("tiny", changes)


def test_an_unknown_file_is_refused() -> None:
    with pytest.raises(ValueError, match="no training configuration"):
        TrainingSettings.load("absent", {})


@pytest.mark.parametrize(
    ("given", "kept"),
    [(True, "true"), (False, "false"), ("1", "true"), ("0", "false"), ("True", "true")],
)
def test_booleans_of_before_say_whether_to_use_bf16(given: object, kept: str) -> None:
    assert TrainingSettings.load("tiny", {"bf16": given}).bf16 == kept
    assert TrainingSettings.load("tiny", {}).bf16 == "auto"


def test_pixels_may_be_left_out_where_networks_begin() -> None:
    alone = {"mse_weight": 0.0, "colour_weight": 0.0, "perceptual_start": 0.0}
    assert TrainingSettings.load("tiny", alone).lpips_weight > 0


def test_a_run_older_than_squared_error_keeps_its_losses() -> None:
    now = TrainingSettings.load("tiny", {"l1_weight": 2.0}).to_dict()
    new = {"mse_weight", "alex_weight", "colour_weight", "perceptual_start", "perceptual_ramp"}
    before = TrainingSettings.of_run({n: v for n, v in now.items() if n not in new})
    assert before.mse_weight == before.alex_weight == before.colour_weight == 0.0
    assert before.perceptual_share(3, 0.0) == 1.0
    assert before.l1_weight == 2.0
    assert TrainingSettings.of_run(now).to_dict() == now


@pytest.mark.parametrize(("looked", "networks"), [(True, "mobilenet"), (False, "")])
def test_a_run_that_had_one_projected_discriminator_keeps_it(looked: bool, networks: str) -> None:
    stored = TrainingSettings.load("tiny", {}).to_dict() | {"projected_discriminator": looked}
    del stored["projected_networks"]
    assert TrainingSettings.of_run(stored).projected_networks == networks


def test_a_run_with_what_was_taken_out_goes_on_only_if_it_made_no_use_of_it() -> None:
    now = TrainingSettings.load("tiny", {})
    stored = now.to_dict() | {"context": True, "hyper_weight": 0.0}
    assert TrainingSettings.of_run(stored) == now
    for used in ({"context": False}, {"hyper_weight": 0.1}):
        with pytest.raises(ValueError, match=f"unknown training settings: {next(iter(used))}$"):
            TrainingSettings.of_run(stored | used)


def test_every_field_has_a_default() -> None:
    for field in dataclasses.fields(TrainingSettings):
        assert field.default is not dataclasses.MISSING


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("9m", 540), ("1.5h", 5400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-3s", "9 minutes"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_duration(text)


def test_a_part_that_the_model_lacks_is_named() -> None:
    with pytest.raises(ValueError, match="realistic_decoder, which a model of architecture 2"):
        TrainingSettings.load("tiny", {"trained_parts": "realistic_decoder"})
    assert TrainingSettings.load("graft", {}).parts == ("realistic_decoder",)
