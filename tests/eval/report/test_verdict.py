from __future__ import annotations

from eval.report.summary import Point
from eval.report.verdict import sentences, verdicts, winners


def curve(codec: str, *points: tuple[float, float, float]) -> list[Point]:
    return [
        Point(codec, number, 1, bpp, bpp, 0, 0, {"psnr": psnr, "dists": dists})
        for number, (bpp, psnr, dists) in enumerate(points)
    ]


OURS = curve("glc", (0.01, 20, 0.2), (0.16, 24, 0.1))
BLURRED = curve("heic", (0.04, 24, 0.3), (0.16, 28, 0.05))


def test_the_better_one_is_named_up_to_where_the_curves_cross() -> None:
    order = winners(OURS, BLURRED, "dists")
    assert [codec for codec, _ in order] == ["glc", "heic"]
    # In log rate ours falls by .025 and theirs by .125 per doubling, from .15 and .3 at .04 bpp.
    assert abs(order[0][1] - 0.04 * 2**1.5) < 0.001
    assert order[1][1] == 0.16
    assert winners(OURS, BLURRED, "psnr") == [("heic", 0.16)]


def test_codecs_without_a_common_rate_are_not_compared() -> None:
    large = curve("jpeg", (0.2, 24, 0.3), (0.4, 28, 0.1))
    assert winners(OURS, large, "dists") == []
    (verdict,) = verdicts([*OURS, *large], "glc")
    told = sentences(verdict, 8000)
    assert told == [
        "By looks (DISTS): no file size in common.",
        "By pixels (PSNR dB): no file size in common.",
        "jpeg makes nothing below 0.2 kB (0.200 bpp).",
    ]


def test_a_verdict_in_words() -> None:
    (verdict,) = verdicts([*OURS, *BLURRED], "glc")
    told = sentences(verdict, 80_000)
    assert told[0] == "By looks (DISTS): glc below 1.1 kB (0.113 bpp), heic above."
    assert told[1] == "By pixels (PSNR dB): heic at every size that both make."
    assert told[2] == "heic makes nothing below 0.4 kB (0.040 bpp)."


def test_a_codec_that_loses_twice_is_told_from_small_to_large() -> None:
    ours = curve("glc", (0.01, 20, 0.1), (0.02, 20, 0.3), (0.04, 20, 0.1))
    flat = curve("avif", (0.01, 20, 0.2), (0.04, 20, 0.2))
    (verdict,) = verdicts([*ours, *flat], "glc")
    first = sentences(verdict, 800_000)[0]
    assert first.startswith("By looks (DISTS): glc below 1.4 kB (0.014 bpp), avif from 1.4 kB")
    assert first.endswith(" to 2.8 kB (0.028 bpp), glc above.")


def test_what_was_measured_decides_which_metric_speaks() -> None:
    points = [
        Point(codec, 0, 1, bpp, bpp, 0, 0, {"psnr": psnr})
        for codec, bpp, psnr in (("glc", 0.1, 20), ("glc", 0.2, 21), ("b", 0.1, 22), ("b", 0.2, 23))
    ]
    (verdict,) = verdicts(points, "glc")
    assert list(verdict.winners) == ["psnr"]
    assert not verdict.goes_lower
