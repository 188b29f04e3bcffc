"""The report as one HTML file that needs nothing else: no network, no second file.

`page.html`, `page.css` and `page.js` beside this module are its parts. The page's own content
security policy forbids every request, so that it cannot grow one by accident. A report that decodes
its files has `live.js`, too, and may ask its own host for the codec that lies beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from eval.metrics.registry import FOOTNOTES
from eval.report.comparison_strip import Layer, Strip
from eval.report.live import Live

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_LIVE_POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'"
)
"""Of a report that decodes: workers and weights of its own host."""


@dataclass(frozen=True)
class Page:
    """What the page shows; every string is escaped except the plots, which are SVG elements."""

    title: str
    run: Mapping[str, Any]
    tables: Mapping[str, Sequence[Sequence[str]]]
    plots: Mapping[str, str]
    pictures: Sequence[Strip]
    verdicts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Rival to sentences: where the codec is better than it, and where not."""
    live: Live | None = None
    """What decodes the files, if the page is to do it."""

    def render(self) -> str:
        """Return the HTML."""
        parts = files("eval.report.page")
        rivals = list(dict.fromkeys(r.codec for s in self.pictures for r in s.rivals))
        scripts = ["page.js"] if self.live is None else ["page.js", "live.js"]
        return Template(parts.joinpath("page.html").read_text(encoding="utf-8")).substitute(
            title=escape(self.title),
            policy=_POLICY if self.live is None else _LIVE_POLICY,
            css=parts.joinpath("page.css").read_text(encoding="utf-8"),
            js="\n".join(parts.joinpath(name).read_text(encoding="utf-8") for name in scripts),
            made=escape(f"{str(self.run['date'])[:10]}, {self.run['hardware']}"),
            verdicts="".join(_verdict(*item) for item in self.verdicts.items()),
            rivals="".join(_rival(name, first=i == 0) for i, name in enumerate(rivals)),
            strips="\n".join(
                _strip(s, self.live, eager=i == 0) for i, s in enumerate(self.pictures)
            ),
            plots="\n".join(f'<figure class="plot">{svg}</figure>' for svg in self.plots.values()),
            tables="\n".join(_table(title, rows) for title, rows in self.tables.items()),
            notes="".join(f"<li>{escape(note)}</li>" for note in _notes(self.run)),
        )


def kilobytes(size_bytes: int) -> str:
    """Return a file size for a reader: bytes below 1000, else kB of 1000 bytes."""
    return f"{size_bytes} B" if size_bytes < 1000 else f"{size_bytes / 1000:.3g} kB"


def _verdict(rival: str, told: Sequence[str]) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in told)
    return f'<div class="verdict"><h3>Against {escape(rival)}</h3><ul>{lines}</ul></div>'


def _rival(name: str, *, first: bool) -> str:
    checked = " checked" if first else ""
    value = escape(name)
    return f'<label><input type="radio" name="rival" value="{value}"{checked}> {value}</label>'


def _strip(strip: Strip, live: Live | None, *, eager: bool) -> str:
    loading = "eager" if eager else "lazy"
    name = escape(strip.name)
    layers = [("original", strip.original), ("tested", strip.tested)]
    layers += [("rival", rival) for rival in strip.rivals]
    images = "".join(
        f'<div class="layer {kind}" data-codec="{escape(layer.codec)}">'
        f'<img src="{layer.image}" alt="{name}, {escape(layer.codec)}" loading="{loading}"'
        f' width="{strip.width}" height="{strip.height}" draggable="false"></div>'
        for kind, layer in layers
    )
    sizes = "".join(_caption(kind, layer) for kind, layer in layers)
    # An upright picture must fit the window too, or its sizes and bars are never seen together.
    shape = f"{strip.width} / {strip.height}"
    style = f"aspect-ratio: {shape}; max-width: calc(80vh * {shape})"
    return f"""<section class="strip">
<h3>{name} <small>{strip.width} &times; {strip.height}</small></h3>
<div class="sizes">{sizes}</div>
<div class="stage" style="{style}">{images}
<button class="handle first" role="slider" aria-label="original or codec"></button>
<button class="handle second" role="slider" aria-label="codec or rival"></button>
</div>
<div class="zoom" role="group" aria-label="zoom">
<button data-zoom="1" aria-pressed="true">whole</button>
<button data-zoom="2">2&times;</button><button data-zoom="4">4&times;</button>
<button data-zoom="8">8&times;</button>
</div>{_decoding(strip, live)}
</section>"""


def _decoding(strip: Strip, live: Live | None) -> str:
    """Return the part that decodes the file of a picture, if there is one."""
    if live is None:
        return ""
    name = escape(f"{strip.name}.glc")
    address = live.address_for(strip.coded)
    return (
        f'\n<div class="live" data-model="{address}" data-realism="{live.realism}">'
        "<button>Decode it here</button> "
        f'<a href="{strip.coded}" download="{name}">Save the .glc</a> '
        '<span role="status"></span></div>'
    )


def _caption(kind: str, layer: Layer) -> str:
    return (
        f'<div class="size {kind}" data-codec="{escape(layer.codec)}">'
        f"<b>{escape(layer.codec)}</b> <strong>{kilobytes(layer.size_bytes)}</strong> "
        f"<span>{layer.bpp:.4f} bpp{', quality ' + layer.quality if kind != 'original' else ''}"
        f"</span> <small>{escape(layer.figures)}</small></div>"
    )


def _table(title: str, rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col"><button>{escape(cell)}</button></th>' for cell in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:]
    )
    return f"""<h2>{escape(title)}</h2>
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"""


def _notes(run: Mapping[str, Any]) -> list[str]:
    notes = [f"{name} skipped: {reason}" for name, reason in run.get("skipped", {}).items()]
    patches = run.get("set_metrics", {})
    if patches:
        shift = ", and again shifted by half" if patches["half_shift"] else ""
        few = "; so few that the figure is mostly noise" if patches["too_few_for_comfort"] else ""
        side = patches["patch_side"]
        notes.append(f"Set metrics on {patches['patches']} patches of {side} px{shift}{few}.")
    notes += FOOTNOTES.values()
    versions = ", ".join(f"{name} {number}" for name, number in run.get("packages", {}).items())
    return [*notes, f"Measured with {versions}."]
