"""Building blocks of ganzoo's HTML pages: the page shell, tables, figures and line charts.

A page is one file that opens offline: inline CSS, inline SVG, images as data URIs, no script, and a content security
policy that forbids everything else. Every text that comes from outside (file names, settings, captions) passes through
`esc`; functions here take plain text and return finished HTML.
"""

import base64
import html
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
CSS = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2126;--dim:#5b6670;--line:#dde2e7;--card:#f6f8fa;--good:#1a7f4b;--bad:#b3261e;
--c0:#1769c2;--c1:#c2410c;--c2:#15803d;--c3:#7e3fb4;--c4:#9a6a00;--c5:#0e7490;--band:#15803d}
@media(prefers-color-scheme:dark){:root{--bg:#14181c;--fg:#e4e9ee;--dim:#97a3ae;--line:#303841;--card:#1c2228;--good:#5dd39e;
--bad:#ff8a80;--c0:#6cb2ff;--c1:#ff9a5c;--c2:#6fd08c;--c3:#c79bf2;--c4:#e3b341;--c5:#56c7dc;--band:#6fd08c}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1.5rem;background:var(--bg);color:var(--fg);font:16px/1.55 system-ui,sans-serif;
overflow-wrap:anywhere}
h1{font-size:1.7rem;margin:0 0 .3rem}h2{font-size:1.2rem;margin:2.2rem 0 .6rem}h3{font-size:1rem;margin:1.2rem 0 .3rem}
p{margin:.4rem 0;max-width:62rem}.dim,figcaption,.legend{color:var(--dim);font-size:.88rem}
.good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}
.facts{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0}
.facts div{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.5rem .9rem}
.facts b{display:block;font-size:1.15rem}.facts span{color:var(--dim);font-size:.85rem}
.wrap{overflow-x:auto}table{border-collapse:collapse;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.3rem 1.4rem .3rem 0;border-bottom:1px solid var(--line);overflow-wrap:break-word}
th{color:var(--dim);font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(var(--cell,15rem),1fr));gap:1rem}
figure{margin:0}img{max-width:100%;height:auto;border-radius:4px;background:#fff}
td img{max-height:64px;image-rendering:pixelated}.gallery img{width:100%}.pixel img{image-rendering:pixelated}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,24rem),1fr));gap:1rem}
svg{width:100%;height:auto;display:block}svg text{fill:var(--dim);font:12px system-ui,sans-serif}
.grid{stroke:var(--line)}.raw{fill:none;stroke-width:1;opacity:.28}.smooth{fill:none;stroke-width:2}
.mark{stroke-dasharray:5 3}svg text.good{fill:var(--good)}svg text.bad{fill:var(--bad)}
.legend i{display:inline-block;width:.9rem;height:.2rem;margin:0 .35rem .2rem 0}.legend span{margin-right:1rem}
details{margin:.6rem 0}summary{cursor:pointer;color:var(--dim)}code{font-size:.9em}
"""


def esc(value: object) -> str:
    """`value` as text that is safe inside HTML and its attributes; undecodable file names keep a visible mark."""
    return html.escape(str(value).encode("utf-8", "replace").decode("utf-8"), quote=True)


def page(title: str, *parts: str) -> str:
    """A whole HTML document from finished `parts`; `title` is plain text and becomes the heading too."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{esc(POLICY)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{esc(title)}</title><style>{CSS}</style></head>\n<body><h1>{esc(title)}</h1>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text; `kind` is a CSS class (dim, good, bad)."""
    return f'<p class="{esc(kind)}">{esc(text)}</p>' if kind else f"<p>{esc(text)}</p>"


def section(heading: str, *parts: str) -> str:
    """A headed part of the page, or nothing at all where every part is empty."""
    body = "\n".join(part for part in parts if part)
    return f"<section><h2>{esc(heading)}</h2>\n{body}</section>" if body else ""


def details(summary: str, body: str) -> str:
    """A part that is folded away until it is clicked; nothing where `body` is empty."""
    return f"<details><summary>{esc(summary)}</summary>{body}</details>" if body else ""


def facts(items: Mapping[str, object]) -> str:
    """The row of key figures at the top of a page: label -> value; None values are left out."""
    cells = [f"<div><b>{esc(v)}</b><span>{esc(k)}</span></div>" for k, v in items.items() if v is not None]
    return f'<div class="facts">{"".join(cells)}</div>'


def flatten(tree: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    """Nested tables as (dotted key, value) rows, in their own order."""
    rows: list[tuple[str, object]] = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        rows += flatten(value, f"{name}.") if isinstance(value, Mapping) and value else [(name, value)]
    return rows


def number(value: object) -> str:
    """A value as a table shows it: four significant digits for floats, thousands separated, everything else as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:.4g}"


@dataclass(frozen=True)
class Cell:
    """A table cell that is more than text: a data-URI `image`, or text in a CSS class (`kind`)."""

    text: str = ""
    kind: str = ""
    image: str = ""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """An HTML table. Numbers stand right-aligned; cells are plain values or `Cell`s. No rows: nothing."""
    body: list[str] = []
    right: set[int] = set()
    for row in rows:
        cells = []
        for column, value in enumerate(row):
            if isinstance(value, Cell):
                picture = f'<img src="{esc(value.image)}" alt="">' if value.image else ""
                cells.append(f'<td class="{esc(value.kind)}">{picture}{esc(value.text)}</td>')
            elif isinstance(value, int | float) and not isinstance(value, bool):
                right.add(column)
                cells.append(f'<td class="n">{esc(number(value))}</td>')
            else:
                cells.append(f"<td>{esc(value)}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    if not body:
        return ""
    top = "".join(f'<th class="{"n" if i in right else ""}">{esc(h)}</th>' for i, h in enumerate(head))
    return f'<div class="wrap"><table>{f"<tr>{top}</tr>" if any(head) else ""}{"".join(body)}</table></div>'


def image_uri(source: Path | bytes | np.ndarray, *, limit: int = 200_000) -> str:
    """A picture as a data URI.

    Args:
      source: an image file or its bytes, embedded as they are, or a uint8 array HWC, embedded as PNG.
      limit: a file of more bytes than this is embedded as WebP of high quality instead, so that pages stay small.
    Raises:
      OSError: the file cannot be read or is not an image.
    """
    if isinstance(source, np.ndarray):
        buffer = io.BytesIO()
        Image.fromarray(source[..., 0] if source.shape[-1] == 1 else source).save(buffer, "PNG")
        data = buffer.getvalue()
    else:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        kind = Image.MIME.get(picture.format or "", "image/png")
        picture.load()
        if len(data) > limit:
            buffer = io.BytesIO()
            picture.convert("RGB").save(buffer, "WEBP", quality=90)
            data, kind = buffer.getvalue(), "image/webp"
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def gallery(figures: Iterable[tuple[str, str]], *, cell: str = "15rem", pixelated: bool = False) -> str:
    """Pictures side by side: (data URI, caption) pairs; `cell` is the smallest width of one (a CSS length)."""
    cells = [
        f'<figure><img src="{esc(uri)}" alt="{esc(caption)}" loading="lazy"><figcaption>{esc(caption)}</figcaption></figure>'
        for uri, caption in figures
    ]
    kind = "gallery pixel" if pixelated else "gallery"
    return f'<div class="{kind}" style="--cell:{esc(cell)}">{"".join(cells)}</div>' if cells else ""


@dataclass(frozen=True)
class Line:
    """One curve: its `label` and points; points that are not finite leave a gap."""

    label: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    color: int = field(default=0)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) that lie inside [low, high]."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def thin(x: np.ndarray, y: np.ndarray, most: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` points: the mean of equal runs of points (a run with nothing finite stays a gap)."""
    if len(x) <= most:
        return x, y
    parts = np.array_split(np.arange(len(x)), most)
    means = [np.mean(y[p][np.isfinite(y[p])]) if np.isfinite(y[p]).any() else np.nan for p in parts]
    return np.array([x[p].mean() for p in parts]), np.array(means)


def smooth(y: np.ndarray, share: float = 0.04) -> np.ndarray:
    """Centred moving mean over `share` of the points to either side; only finite points count, gaps stay gaps."""
    reach = int(len(y) * share)
    good = np.isfinite(y)
    total = np.concatenate([[0.0], np.cumsum(np.where(good, y, 0.0))])
    count = np.concatenate([[0], np.cumsum(good)])
    low = np.maximum(np.arange(len(y)) - reach, 0)
    high = np.minimum(np.arange(len(y)) + reach + 1, len(y))
    n = count[high] - count[low]
    return np.where(good, (total[high] - total[low]) / np.maximum(n, 1), np.nan)


def _path(x: np.ndarray, y: np.ndarray) -> str:
    """SVG path data through finite points, with a new stroke after each gap."""
    words, pen = [], "M"
    for a, b in zip(x, y, strict=True):
        if math.isfinite(b):
            words.append(f"{pen}{a:.1f} {b:.1f}")
            pen = "L"
        else:
            pen = "M"
    return "".join(words)


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    low: float | None = None,
    high: float | None = None,
    band: tuple[float, float] | None = None,
    band_label: str = "",
    percent: bool = False,
    marks: Sequence[tuple[float, str, str]] = (),
    x_label: str = "step",
    width: int = 640,
    height: int = 260,
) -> str:
    """An SVG chart of `lines`: measured points faint, their moving mean strong. Returns HTML.

    `low` and `high` fix the value axis, which otherwise spans the values (0.5 % at either end may be cut off: single
    spikes would flatten all else). `band` marks a range of values; `percent` labels shares as per cent.
    `marks` are dashed lines (x, label, "good" or "bad"). Where no point is finite, a sentence stands in for the chart.
    """
    curves = []
    for line in lines:
        x, y = thin(np.asarray(line.x, float), np.asarray(line.y, float))
        y = np.where(np.abs(y) < 1e30, y, np.nan)  # beyond this an axis has no meaning; NaN compares False
        curves.append((line, x, y, smooth(y)))
    values = np.concatenate([y[np.isfinite(y)] for _, _, y, _ in curves]) if curves else np.zeros(0)
    if not len(values):
        return f"<figure>{paragraph(f'{title}: nothing was logged.', 'dim')}</figure>"
    bottom, top = np.quantile(values, [0.005, 0.995]) if len(values) > 50 else (values.min(), values.max())
    spare = 0.06 * (top - bottom) or 0.1 * abs(top) or 1.0
    bottom, top = (bottom - spare if low is None else low), (top + spare if high is None else high)
    if not top > bottom:
        top = bottom + 1.0
    first, last = min(x[0] for _, x, _, _ in curves), max(x[-1] for _, x, _, _ in curves)
    last = last if last > first else first + 1
    left, right, head, foot = 56, width - 12, 10, height - 34

    def at_x(v: Any) -> Any:  # a number or an array of them
        return left + (v - first) / (last - first) * (right - left)

    def at_y(v: Any) -> Any:
        return foot - (np.clip(v, bottom, top) - bottom) / (top - bottom) * (foot - head)

    out = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{esc(title)}">']
    if band:
        y0, y1 = at_y(band[1]), at_y(band[0])
        out.append(
            f'<rect class="band" x="{left}" y="{y0:.1f}" width="{right - left}" height="{y1 - y0:.1f}" fill="var(--band)" opacity=".14"/>'
            f'<text x="{right - 4}" y="{y0 + 14:.1f}" text-anchor="end">{esc(band_label)}</text>'
        )
    for v in ticks(bottom, top):
        y, label = at_y(v), f"{v:.0%}" if percent else f"{v:.4g}"
        out.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{esc(label)}</text>')
    for v in ticks(first, last, 6):
        foot_x = min(at_x(v), width - 24)
        out.append(f'<text x="{foot_x:.1f}" y="{foot + 16}" text-anchor="middle">{esc(number(v))}</text>')
    out.append(f'<text x="{right}" y="{height - 3}" text-anchor="end">{esc(x_label)}</text>')
    for i, (place, label, kind) in enumerate(mark for mark in marks if first <= mark[0] <= last):
        at, side = at_x(place), ("end", -4) if at_x(place) > (left + right) / 2 else ("start", 4)
        out.append(
            f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{head}" y2="{foot}" stroke="var(--{esc(kind)})"/>'
            f'<text class="{esc(kind)}" x="{at + side[1]:.1f}" y="{head + 12 + 14 * i}" text-anchor="{side[0]}">{esc(label)}</text>'
        )
    for line, x, y, mean in curves:
        stroke = f'stroke="var(--c{line.color % 6})"'
        out.append(f'<path class="raw" {stroke} d="{_path(at_x(x), at_y(y))}"/>')
        out.append(f'<path class="smooth" {stroke} d="{_path(at_x(x), at_y(mean))}"/>')
        if np.isfinite(y).sum() == 1:  # a path through one point draws nothing
            i = int(np.flatnonzero(np.isfinite(y))[0])
            out.append(f'<circle cx="{at_x(x)[i]:.1f}" cy="{at_y(y)[i]:.1f}" r="3" fill="var(--c{line.color % 6})"/>')
    out.append("</svg>")
    legend = "".join(f'<span><i style="background:var(--c{c.color % 6})"></i>{esc(c.label)}</span>' for c in lines)
    return f'<figure><h3>{esc(title)}</h3>{"".join(out)}<div class="legend">{legend}</div></figure>'
