"""Novelty scores: their statistics, the sets they are measured on, and the whole command."""

from __future__ import annotations

import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from eval.research import ood_scores, surprise, synthetic


def test_auc_counts_pairs():
    low, high = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0])
    assert ood_scores.auc(low, high) == 1.0
    assert ood_scores.auc(high, low) == 0.0
    assert ood_scores.auc(low, np.array([2.0])) == 0.5
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 40).astype(float), rng.integers(2, 11, 30).astype(float)
    pairs = (b[:, None] > a).mean() + 0.5 * (b[:, None] == a).mean()
    assert ood_scores.auc(a, b) == pytest.approx(pairs)


def test_the_interval_covers_and_grows_when_pieces_belong_together():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.0, 1.0, 60), rng.normal(1.0, 1.0, 60)
    alone = ood_scores.interval(a, b, [str(n) for n in range(60)])
    assert alone[0] < ood_scores.auc(a, b) < alone[1]
    assert 0.1 < alone[1] - alone[0] < 0.3
    # Four copies of fifteen pictures are not sixty.
    copies, many = np.repeat(a[:15], 4), rng.normal(1.0, 1.0, 600)
    naive = ood_scores.interval(copies, many, [str(n) for n in range(60)])
    honest = ood_scores.interval(copies, many, [str(n // 4) for n in range(60)])
    assert honest[1] - honest[0] > 1.3 * (naive[1] - naive[0])


def test_what_complexity_explains_is_taken_away():
    rng = np.random.default_rng(2)

    def scores(count: int, excess: float) -> ood_scores.Scores:
        jpeg, png = rng.uniform(0.2, 3.0, (2, count))
        bits = np.exp(excess) * 0.05 * jpeg**0.8 * png**0.1
        return {"bits": bits, "error": bits * 2, "jpeg": jpeg, "png": png}

    reference = scores(40, 0.0)
    assert np.allclose(ood_scores.corrected(scores(20, 0.0), reference)["bits-"], 0.0, atol=1e-9)
    dear, cheap = (ood_scores.corrected(scores(20, x), reference) for x in (0.5, -0.5))
    assert np.allclose(dear["bits-"], 0.5)
    assert np.allclose(cheap["error-"], -0.5)
    assert np.allclose(cheap["|bits-|"], 0.5)


def test_distances_are_those_to_the_memory():
    rng = np.random.default_rng(3)
    memory = rng.normal(size=(50, 4))
    near, far = (
        ood_scores.distances(memory[:5] + 0.01, memory),
        ood_scores.distances(memory[:5] + 9, memory),
    )
    assert near.max() < far.min()


@pytest.mark.parametrize("kind", synthetic.KINDS)
def test_made_pictures_repeat_and_differ(kind):
    first, again, other = (synthetic.make(kind, number, 64) for number in (3, 3, 4))
    assert (first.shape, first.dtype) == ((64, 64, 3), np.uint8)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.fixture
def photos(tmp_path, make_picture):
    """Twelve pictures, two pieces of each of six, as a folder and as a tar; and a small one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        pixels = make_picture(70, 90, number)
        Image.fromarray(pixels).save(folder / f"p{number // 2}-{number % 2}.png")
    Image.fromarray(make_picture(30, 90)).save(folder / "small-0.png")
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(folder, "photos")
    return folder


def test_sets_from_folders_and_tars(photos):
    from_folder = surprise.read_set(str(photos), 64, 100)
    from_tar = surprise.read_set(f"{photos}.tar", 64, 100)
    assert len(from_folder.pictures) == 12
    assert from_folder.groups == from_tar.groups == [f"p{n // 2}" for n in range(12)]
    for a, b in zip(from_folder.pictures, from_tar.pictures, strict=True):
        assert a.shape == (64, 64, 3)
        assert np.array_equal(a, b)
    fitted, held = surprise.halves(from_folder)
    assert sorted(fitted + held) == list(range(12))
    groups = from_folder.groups
    assert not {groups[i] for i in fitted} & {groups[i] for i in held}
    for source, side in ((photos, 80), ("nothing", 64)):
        with pytest.raises(ValueError, match="expected"):
            surprise.read_set(str(source), side, 100)


def test_the_command(photos, micro_path, tmp_path, capsys):
    out = tmp_path / "figures.json"
    arguments = ["--familiar", str(photos), "--other", "noise", "--other", "flat", "--side", "64"]
    arguments += ["--model", str(micro_path), "--limit", "13", "--json", str(out)]
    assert surprise.main([*arguments, "--device", "cpu"]) == 0
    records = json.loads(out.read_text())
    assert [(r["set"], r["n"]) for r in records] == [("photos", 6), ("noise", 13), ("flat", 13)]
    printed = capsys.readouterr().out
    for record in records[1:]:
        assert set(record["auc"]) == set(surprise.ORDER)
        for mean, low, high in record["auc"].values():
            assert 0.0 <= low <= mean <= high <= 1.0
        assert f"| {record['set']} | 13 |" in printed
    # PNG needs most for noise and least for a gradient, with any model.
    assert records[1]["auc"]["png"][0] == 1.0
    assert records[2]["auc"]["png"][0] == 0.0
    assert surprise.main(["--familiar", "nothing", "--other", "noise"]) == 2
