"""The state of a live picture at the first input, as an SVG: for print, for screens without a script, and before it."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from attention.lab.live.equations import plain, symbol
from attention.lab.live.layout import Layout, beside
from attention.lab.live.picture import Drawn, Picture

__all__ = ["drawing", "words"]

_WIDTH = 690  # pixels of the whole, at most; a page shrinks it
_LABEL, _GAP, _EDGE = 15, 8, 10
_LEVELS = 10  # of colour; neighbours of one level are one shape, which keeps the file small
_LETTER = 6.1  # pixels of one letter of small print


@dataclass(frozen=True)
class _Box:
    """Where the numbers of a tensor stand: as ``geometry`` in view.js says it."""

    across: int
    wide: int
    high: int
    width: int
    height: int
    top: int
    step: tuple[int, int]


def _box(layout: Layout, paint: bool, named: bool) -> _Box:
    panels, rows, columns = layout.panels, layout.rows, layout.columns
    if layout.kind == "bars":
        high = 24 if rows <= 8 else 18 if rows <= 16 else max(8, min(18, 288 // rows))
        wide = 72 if panels > 1 else 88
        top = _LABEL if named else 0
        height = rows * high + top
        return _Box(panels, wide, high, panels * (wide + _GAP) - _GAP, height, top, (wide + _GAP, height))
    across = beside(layout)
    side = 160 if panels == 1 else 84
    if layout.kind == "grid":
        side = 112 if panels == 1 else 96 if panels <= 3 else 76 if panels <= 4 else 44 if across > 4 else 60
    if paint and columns > 8:
        side = side * 13 // 10
    wide = max(4, min(26 if layout.kind == "grid" else 40, side // columns))
    high = wide if layout.kind == "grid" else max(4, min(22, side // rows))
    if layout.kind == "matrix" and rows == columns:
        wide = high = min(wide, high)
    if layout.kind == "matrix" and rows == 1:
        wide, high = 44 + _GAP, 24  # each number below the panel of its channel
    top = _LABEL if panels > 1 else 0
    step = columns * wide + _GAP, rows * high + top + 4
    return _Box(across, wide, high, across * step[0] - _GAP, -(-panels // across) * step[1] - 4, top, step)


def drawing(picture: Picture) -> str:
    """Draw a live picture's first state.

    :param picture: the live picture.
    :returns: an ``<svg>`` for a page that has the style of live pictures; it takes its colours from there.
    """
    name, program = next(iter(picture.programs.items()))
    values = program.compute(*next(iter(picture.presets.values())))
    zones: dict[str, list[Drawn]] = {}
    for each in picture.drawn[name]:
        zones.setdefault(each.zone, []).append(each)
    parts, x, y, deepest, widest = [], 0, 0, 0, 0
    for zone, found in zones.items():
        inner, width, height = _zone(zone, found, values)
        if x and x + width > _WIDTH:
            x, y, deepest = 0, y + deepest, 0
        parts.append(f'<g transform="translate({x} {y})">{inner}</g>')
        x, deepest = x + width, max(deepest, height)
        widest = max(widest, x)
    size = f'viewBox="0 0 {widest} {y + deepest}" width="{widest}" height="{y + deepest}"'
    told = html.escape(words(picture), quote=True)
    return f'<svg xmlns="http://www.w3.org/2000/svg" class="al-static" role="img" aria-label="{told}" {size}>' + (
        "".join(parts) + "</svg>"
    )


def words(picture: Picture) -> str:
    """Say what a live picture shows."""
    steps = "; ".join(f"{each.zone}: {plain(each.tex)}, {each.about}" for each in picture.steps)
    preset = next(iter(picture.presets))
    return f"{picture.title}, computed for the input “{preset}”. {steps}."


def _zone(zone: str, found: Sequence[Drawn], values: Sequence[Any]) -> tuple[str, int, int]:
    """Draw one zone; as wide as its tensors side by side, and below each other where they are many."""
    parts = [f'<text x="{_EDGE}" y="18" class="al-zone-name">{html.escape(zone)}</text>']
    x, y, widest, row = _EDGE, 26, 0, 0
    for each in found:
        box = _box(each.layout, zone == "input", bool(each.panels))
        lines = _wrapped(each.about, max(box.width, 90))
        width = max(box.width, 90)
        head = 24 + 13 * len(lines)
        if x > _EDGE and x + width > _WIDTH - _EDGE:
            x, y, row = _EDGE, y + row + 10, 0
        parts.append(f'<text x="{x}" y="{y + 15}" class="al-symbol al-of-{each.role}">{_tspans(each.tex)}</text>')
        parts += [
            f'<text x="{x}" y="{y + 30 + 13 * k}" class="al-small">{html.escape(line)}</text>'
            for k, line in enumerate(lines)
        ]
        parts.append(f'<g transform="translate({x} {y + head})">{_tensor(each, box, values[each.value])}</g>')
        x, row = x + width + 14, max(row, head + box.height)
        widest = max(widest, x - 14 + _EDGE)
    return "".join(parts), widest, y + row + 14


def _wrapped(text: str, width: int) -> list[str]:
    lines, room = [""], int(width / _LETTER)
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > room:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _tspans(tex: str) -> str:
    """Set a symbol in an SVG: what HTML raises and lowers is shifted, and shifted back."""
    found, shift = "", 0
    for tag, text in re.findall(r"(</?(?:sub|sup|i)>)|([^<]+)", symbol(tex)):
        if text:
            found += f'<tspan dy="{shift}" font-size="{18 if not shift else 12}">{text}</tspan>' if shift else text
            shift = 0
        elif tag in ("<sub>", "<sup>"):
            shift = 5 if tag == "<sub>" else -6
        elif tag in ("</sub>", "</sup>"):
            found += f'<tspan dy="{-5 if tag == "</sub>" else 6}">\u200b</tspan>'
    return found


def _tensor(drawn: Drawn, box: _Box, values: Tensor) -> str:
    layout, numbers = drawn.layout, values.double().flatten().tolist()
    reach = max(abs(drawn.low), abs(drawn.high)) or 1.0
    if layout.kind == "bars":
        return _bars(drawn, box, numbers, reach)
    paths: dict[tuple[str, int], list[str]] = {}
    level = {layout.place(at): _level(each / reach) for at, each in enumerate(numbers)}
    frames, labels = [], []
    for panel in range(layout.panels):
        left, top = panel % box.across * box.step[0], panel // box.across * box.step[1] + box.top
        width, height = layout.columns * box.wide, layout.rows * box.high
        frames.append(f"M{left} {top}h{width}v{height}h{-width}z")
        if box.top:
            label = drawn.panels[panel] if panel < len(drawn.panels) else _label(layout, panel)
            labels.append(f'<text x="{left}" y="{top - 4}" class="al-small">{html.escape(label)}</text>')
        for row in range(layout.rows):
            levels = [level[panel, row, column] for column in range(layout.columns)]
            column = 0
            while column < layout.columns:
                end = column
                while end < layout.columns and levels[end] == levels[column]:
                    end += 1
                if levels[column]:
                    key = ("negative" if levels[column] < 0 else drawn.role), abs(levels[column])
                    wide = (end - column) * box.wide
                    place = f"M{left + column * box.wide} {top + row * box.high}h{wide}v{box.high}h{-wide}z"
                    paths.setdefault(key, []).append(place)
                column = end
    drawn_paths = "".join(
        f'<path class="al-fill-{role}" fill-opacity="{level / _LEVELS:g}" d="{"".join(found)}"/>'
        for (role, level), found in sorted(paths.items())
    )
    return f'{drawn_paths}<path class="al-frame" d="{"".join(frames)}"/>{"".join(labels)}'


def _label(layout: Layout, panel: int) -> str:
    """Number a panel: of several axes, that of each."""
    sizes = [] if layout.last else [size for _, each in layout.axes[:-2] for size in each]
    if len(sizes) < 2:
        return str(panel + 1)
    found: list[int] = []
    for size in reversed(sizes):
        panel, here = divmod(panel, size)
        found.insert(0, here + 1)
    return ",".join(map(str, found))


def _level(share: float) -> int:
    if share != share:
        return 0
    size = int(_LEVELS * min(1.0, abs(share)) + 0.5 + 1e-6)  # a tie falls to one side on all machines
    return -size if share < 0 else size


def _bars(drawn: Drawn, box: _Box, numbers: list[float], reach: float) -> str:
    parts, room = [], box.wide - 46
    zero = room / 2 if drawn.low < 0 else 0.0
    for k, value in enumerate(numbers):
        x, y = k // drawn.layout.rows * box.step[0], k % drawn.layout.rows * box.high + box.top
        length = max(-1.0, min(1.0, value / reach + 1e-9)) * (room / 2 if drawn.low < 0 else room)
        role = "negative" if length < 0 else drawn.role
        start = x + zero + min(0.0, length)
        parts.append(
            f'<path class="al-track" d="M{x} {y + 2}h{room}v{box.high - 4}h{-room}z"/>'
            f'<path class="al-fill-{role}" d="M{start:.0f} {y + 2}h{max(1, abs(length)):.0f}v{box.high - 4}'
            f'h{-max(1, abs(length)):.0f}z"/>'
        )
        if box.high >= 12:
            text = f"{value + (value > 0) * 1e-9 - (value < 0) * 1e-9:.2f}".replace("-", "−")
            middle = y + box.high / 2 + 4
            parts.append(f'<text x="{x + box.wide - 2}" y="{middle:g}" class="al-number">{text}</text>')
    for panel, name in enumerate(drawn.panels):
        parts.append(f'<text x="{panel * box.step[0]}" y="11" class="al-small">{html.escape(name)}</text>')
    return "".join(parts)
