"""The page: its text here, and how it behaves in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from eval.report.comparison_strip import Layer, Strip
from eval.report.page import Page, kilobytes


def test_sizes_for_a_reader() -> None:
    shown = [kilobytes(size) for size in (999, 1475, 12345, 600000)]
    assert shown == ["999 B", "1.48 kB", "12.3 kB", "600 kB"]


def test_names_are_escaped() -> None:
    name = "<script>alert(1)</script>.png"
    layer = Layer("a&b", "5", 100, 0.1, "<b>", "data:image/webp;base64,")
    text = Page(
        title=name,
        run={"date": "<date>", "hardware": "cpu", "skipped": {"fid": "<reason>"}},
        tables={"<t>": [["codec"], ["<row>"]]},
        plots={},
        pictures=[Strip(name, 2, 1, layer, layer, (layer,))],
    ).render()
    assert "<script>alert" not in text
    assert not any(raw in text for raw in ("<date>", "<reason>", "<row>", "<t>"))
    assert "a&amp;b" in text


def test_the_page_names_no_other_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([^\"')\s>]+)", text)
    assert [link for link in links if not link.startswith(("data:", "#"))] == []
    assert "default-src 'none'" in text


def errors(browser: Any) -> list[Any]:
    """Return exceptions, error messages and requests that left the page."""
    bad = ("error", "warning")
    found = []
    for event in browser.events:
        method, params = event.get("method"), event.get("params", {})
        console = method == "Runtime.consoleAPICalled" and params["type"] in bad
        if console or method == "Runtime.exceptionThrown":
            found.append(params)
        elif method == "Log.entryAdded" and params["entry"]["level"] in bad:
            found.append(params["entry"])
        elif method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("data:", "file:")):
                found.append(url)
    return found


def centre(browser: Any, selector: str) -> tuple[float, float]:
    script = (
        f"(() => {{ const e = document.querySelector('{selector}');"
        " e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
        " return [b.left + b.width / 2, b.top + b.height / 2]; })()"
    )
    x, y = browser.value(script)
    return x, y


def test_the_first_screen_says_where_the_codec_is_better(page: Path, browser: Any) -> None:
    browser.open(page, 1280, 900)
    assert browser.value("document.querySelector('h2').textContent").startswith("Is it better")
    said = browser.value("document.querySelector('#verdicts').textContent")
    assert "Against jpeg" in said
    assert "By pixels (PSNR dB): " in said
    assert browser.value("document.querySelector('#verdicts').getBoundingClientRect().bottom") < 900


def test_it_is_dark_where_the_system_is(page: Path, browser: Any) -> None:
    colours = "getComputedStyle(document.body).{}.match(/[0-9]+/g).map(Number)"
    for theme, is_dark in (("light", False), ("dark", True)):
        features = [{"name": "prefers-color-scheme", "value": theme}]
        browser.call("Emulation.setEmulatedMedia", features=features)
        browser.open(page, 390, 900)
        paper, ink = (browser.value(colours.format(name)) for name in ("backgroundColor", "color"))
        assert (sum(paper) < sum(ink)) == is_dark
        assert abs(sum(paper) - sum(ink)) > 400, "enough contrast"
    browser.call("Emulation.setEmulatedMedia", features=[])


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_works_from_a_file(page: Path, browser: Any, width: int) -> None:
    browser.open(page, width, 900)
    assert browser.value("document.images.length") == 2 * 4
    assert browser.value("[...document.querySelectorAll('svg')].length") == 2
    assert browser.value("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    assert errors(browser) == []


def test_the_bars_move_and_stay_in_order(page: Path, browser: Any) -> None:
    browser.open(page, 1280, 900)
    clip = "document.querySelector('.layer.{}').style.clipPath"
    before = browser.value(clip.format("original"))
    x, y = centre(browser, ".handle.first")
    width = browser.value("document.querySelector('.stage').clientWidth")
    browser.drag((x, y), (x + width / 10, y))
    after = browser.value(clip.format("original"))
    assert float(before.split()[1].rstrip("%")) == pytest.approx(100 * 2 / 3, abs=0.1)
    assert float(after.split()[1].rstrip("%")) == pytest.approx(100 * 2 / 3 - 10, abs=0.5)
    assert "43.3" in browser.value(clip.format("tested")), "the codec begins where the bar is"

    x, y = centre(browser, ".handle.first")
    browser.drag((x, y), (x + width, y))
    lefts = "[...document.querySelectorAll('.stage')][0].querySelectorAll('.handle')"
    assert browser.value(f"[...{lefts}].map((h) => h.style.left)") == ["100%", "100%"]

    browser.value("document.querySelector('.handle.second').focus()")
    for _ in range(5):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowLeft")
    value = browser.value("document.querySelector('.handle.second').getAttribute('aria-valuenow')")
    assert value == "90"
    for key, expected in (("ArrowUp", "92"), ("PageDown", "82"), ("End", "100"), ("Home", "0")):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        script = "document.querySelector('.handle.second').getAttribute('aria-valuenow')"
        assert browser.value(script) == expected
    assert errors(browser) == []


def test_zoom_and_pan(page: Path, browser: Any) -> None:
    browser.open(page, 1280, 900)
    transform = "document.querySelector('.layer img').style.transform"
    assert browser.value(transform) == "translate(0%, 0%) scale(1)"
    browser.value("document.querySelector('[data-zoom=\"4\"]').click()")
    assert browser.value(transform) == "translate(-150%, -150%) scale(4)"
    x, y = centre(browser, ".stage")
    browser.drag((x, y), (x - 100, y))
    width = browser.value("document.querySelector('.stage').clientWidth")
    moved = float(browser.value(transform).split("(")[1].split("%")[0])
    assert moved == pytest.approx(-150 - 100 * 100 / width, abs=0.5)
    images = "[...document.querySelectorAll('.stage')][0].querySelectorAll('img')"
    same = f"new Set([...{images}].map((i) => i.style.transform)).size"
    assert browser.value(same) == 1, "all versions show the same place"
    assert errors(browser) == []


def test_the_rival_can_be_chosen(page: Path, browser: Any) -> None:
    browser.open(page, 1280, 900)
    visible = (
        "[...document.querySelectorAll('.strip')][0].querySelectorAll('.size.rival:not([hidden])')"
    )
    shown = f"[...{visible}].map((e) => e.dataset.codec)"
    assert browser.value(shown) == ["jpeg"]
    browser.value("document.querySelector('input[value=\"jpeg@1/2\"]').click()")
    assert browser.value(shown) == ["jpeg@1/2"]
    layers = "document.querySelectorAll('.layer.rival')"
    displayed = f"[...{layers}].filter((e) => getComputedStyle(e).display !== 'none').length"
    assert browser.value(displayed) == 2, "one for each picture"
    assert errors(browser) == []


def test_tables_sort_both_ways(page: Path, browser: Any) -> None:
    browser.open(page, 1280, 900)
    table = "document.querySelector('table')"
    column = f"[...{table}.tBodies[0].rows].map((r) => parseFloat(r.cells[2].textContent))"
    codecs = f"[...{table}.tBodies[0].rows].map((r) => r.cells[0].textContent)"
    button = f"{table}.tHead.rows[0].cells[{{}}].firstElementChild.click()"
    browser.value(button.format(2))
    rates = browser.value(column)
    assert rates == sorted(rates)
    browser.value(button.format(2))
    assert browser.value(column) == sorted(rates, reverse=True)
    browser.value(button.format(0))
    assert browser.value(codecs) == sorted(browser.value(codecs))
    assert errors(browser) == []
