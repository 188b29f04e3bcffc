"""The table of efforts: resuming, means over whole pictures, and what saves bits."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eval.speed import effort
from glc.effort.levels import LEVELS


@pytest.fixture
def command(tmp_path, folder, micro_path, random_perception):
    return [
        *("--images", str(folder), "--out", str(tmp_path / "found.jsonl"), "--crop", "128x96"),
        *("--model", str(micro_path), "--efforts", "0,1", "--qualities", "20,60"),
        *("--metrics", "psnr,colour16"),
    ]


def lines(tmp_path):
    return (tmp_path / "found.jsonl").read_text().splitlines()


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_table(command, tmp_path, capsys):
    assert effort.main(command) == 0
    whole, table = lines(tmp_path), capsys.readouterr().out
    # Of both pictures: one pass at 10, 20, 60 and 100, and effort 1 at 20 and 60.
    assert len(whole) == 12
    (tmp_path / "found.jsonl").write_text("\n".join([*whole[:7], whole[7][:40]]))
    assert effort.main(command) == 0
    again = lines(tmp_path)
    assert again[:7] == whole[:7]
    assert len(again) == 12

    def but_for_time(line):
        return {key: value for key, value in json.loads(line).items() if key != "seconds"}

    assert [but_for_time(line) for line in again] == [but_for_time(line) for line in whole]
    assert capsys.readouterr().out.splitlines()[0] == table.splitlines()[0] == "2 pictures"


def test_what_was_made_is_kept_when_a_metric_more_is_wanted(command, tmp_path):
    assert effort.main([*command[:-1], "psnr"]) == 0
    before = [json.loads(line)["data"] for line in lines(tmp_path)]
    assert effort.main(command) == 0
    found = list(effort.read(tmp_path / "found.jsonl").values())
    assert [one.data for one in found] == before
    assert all(one.values.keys() == {"psnr", "colour16"} for one in found)


def test_pictures_that_are_not_complete_do_not_count(command, tmp_path, capsys):
    assert effort.main(command) == 0
    (tmp_path / "found.jsonl").write_text("\n".join(lines(tmp_path)[:9]) + "\n")
    capsys.readouterr()
    assert effort.main([*command, "--only-tables"]) == 0
    assert capsys.readouterr().out.startswith("1 pictures")
    (tmp_path / "found.jsonl").write_text("")
    assert effort.main([*command, "--only-tables"]) == 1


def test_figures_of_other_settings_of_a_level_do_not_count(command, tmp_path, capsys):
    assert effort.main(command) == 0
    text = (tmp_path / "found.jsonl").read_text()
    (tmp_path / "found.jsonl").write_text(text.replace(repr(LEVELS[1]), "Level(steps=99)"))
    capsys.readouterr()
    assert effort.main([*command, "--only-tables"]) == 1


@pytest.mark.parametrize("efforts", ["0,10", "-1", "much"])
def test_what_is_no_effort_is_refused(command, efforts):
    with pytest.raises(SystemExit, match="2"):
        effort.main([*command, f"--efforts={efforts}"])


def test_the_middle_of_a_picture():
    picture = np.arange(10 * 20 * 3, dtype=np.uint8).reshape(10, 20, 3)
    assert np.array_equal(effort.middle(picture, (6, 4)), picture[3:7, 7:13])
    assert np.array_equal(effort.middle(picture, (30, 4)), picture[3:7])
    assert np.array_equal(effort.middle(picture, (0, 0)), picture)


def test_half_of_the_bits_at_the_same_figures_is_half():
    anchor = [(rate, 20.0 + 2.0 * np.log2(rate / 0.01)) for rate in (0.01, 0.02, 0.04, 0.08)]
    half = [(rate / 2.0, figure) for rate, figure in anchor]
    assert effort.saving(half, anchor) == "-50 % (1.00)"
    assert effort.saving(anchor, anchor).endswith("0 % (1.00)")
    upper = [(rate, figure + 3.0) for rate, figure in anchor]
    assert effort.saving(upper, anchor).endswith(" (0.50)")
    assert effort.saving([(r, f + 9.0) for r, f in anchor], anchor) == "beyond"
    assert effort.saving([(r, f - 9.0) for r, f in anchor], anchor) == "below"
    assert effort.saving(anchor, [(0.01, 20.0), (0.02, 19.0)]) == "n/a"


def test_points_that_cost_more_and_are_no_better_do_not_count():
    anchor = [(rate, 20.0 + 2.0 * np.log2(rate / 0.01)) for rate in (0.01, 0.02, 0.04, 0.08)]
    half = [(rate / 2.0, figure) for rate, figure in anchor]
    for worse in ((0.03, 21.5), (0.1, 25.9), (0.02, 21.0)):
        assert effort.saving(half, [*anchor, worse]) == "-50 % (1.00)"
        assert effort.saving([*half, worse], anchor) == "-50 % (1.00)"


def test_a_single_point_is_compared_as_well():
    anchor = [(0.01, 20.0), (0.02, 22.0), (0.08, 26.0)]
    assert effort.saving([(0.02, 24.0)], anchor) == "-50 %"
    assert effort.saving([(0.02, 22.0)], anchor) == "+0 %"
    assert effort.saving([(0.02, 26.5)], anchor) == "beyond"
    assert effort.saving([(0.02, 19.5)], anchor) == "below"
    assert effort.saving([(0.02, 22.0)], anchor[:1]) == "n/a"
