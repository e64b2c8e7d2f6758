"""Draw what a mechanism does as small as a thumbnail: its live picture's first input, its maps, its output.

Each is a run of the real block. Colours are the page's: the classes ``feature``, ``map`` and ``negative`` have theirs
in the book's style, for a light page and for a dark one.
"""

from itertools import groupby
from math import ceil

from torch import Tensor

from attention.lab.live import Picture
from attention.lab.live.equations import root
from attention.lab.live.export import Program
from attention.lab.live.picture import Drawn

__all__ = ["LARGEST", "thumbnail"]

#: Characters of a thumbnail, at most.
LARGEST = 6_000
_HIGH, _GAP, _BETWEEN = 56, 3, 16
_LEVELS = 4
#: How many panels of one tensor are shown, how many maps, and pixels of the widest cell of a vector.
_PANELS, _MAPS, _CELL = 4, 2, 14
#: A gate is drawn on the scale from 0 to 1 where one is open this far; other numbers, on that of the largest.
_OPEN = 0.25


def thumbnail(picture: Picture) -> str:
    """Draw a thumbnail.

    :param picture: the mechanism's live picture.
    :returns: an ``<svg>`` that is decoration: a page says beside it what it shows.
    :raises ValueError: for one of more than ``LARGEST`` characters.
    """
    name, program = next(iter(picture.programs.items()))
    values = program.compute(*next(iter(picture.presets.values())))
    drawn = picture.drawn[name]
    given = next(each for each in drawn if each.zone == "input")
    output = next(each for each in drawn if each.value == program.output)
    columns = [("feature", given), *(("map", each) for each in _maps(program, drawn)), ("feature", output)]
    parts, x = [], 0.0
    for place, (role, each) in enumerate(columns):
        if place:
            middle = _HIGH / 2
            parts.append(f'<path class="line" d="M{x + 4:g} {middle:g}h8m-3-3 3 3-3 3"/>')
            x += _BETWEEN
        if each.name == picture.places:
            inside, width = _points(given, values[each.value])
        else:
            inside, width = _tensor(each, values[each.value], role)
        parts.append(f'<g transform="translate({x:g} 0)">{inside}</g>')
        x += width
    size = f'viewBox="-1 -1 {x + 2:g} {_HIGH + 2}" width="{ceil(x + 2)}" height="{_HIGH + 2}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="thumbnail" {size} aria-hidden="true">'
    svg = f"{head}{''.join(parts)}</svg>\n"
    if len(svg) > LARGEST:
        raise ValueError(f"the thumbnail of {picture.title} has {len(svg):,} characters; allowed: {LARGEST:,}")
    return svg


def _maps(program: Program, drawn: list[Drawn]) -> list[Drawn]:
    """Choose the drawn tensors that hold the block's maps, as many as there is room for."""
    declared = {root(program, value) for value in program.maps.values()}
    found = [each for each in drawn if each.role == "map" or root(program, each.value) in declared]
    if not found:  # the maps are put together from what is drawn last before the output
        found = [each for each in drawn[:-1] if each.zone != "input"][-1:]
    return found[-_MAPS:]


def _tensor(each: Drawn, values: Tensor, role: str) -> tuple[str, float]:
    """Draw the panels of a tensor beside and below each other; return that and its width."""
    layout = each.layout
    panels = min(layout.panels, _PANELS)
    rows, columns = layout.rows, layout.columns
    across = panels if layout.kind == "bars" else 1 if panels < 3 else 2
    down = ceil(panels / across)
    room = (_HIGH - _GAP * (down - 1)) / down
    cell = min(_CELL, room / rows)
    high = cell
    wide = min(cell, _HIGH / columns) if layout.kind != "bars" else min(_CELL, max(cell, 8))
    if layout.kind == "matrix" and columns * 2 < rows:
        wide = min(_CELL, _HIGH / 2 / columns)
    largest = float(values.abs().max()) or 1.0
    reach = 1.0 if role == "map" and each.high == 1 and largest > _OPEN else largest
    levels = [[[0] * columns for _ in range(rows)] for _ in range(layout.panels)]
    for at, value in enumerate(values.double().flatten().tolist()):
        panel, row, column = layout.place(at)
        size = int(_LEVELS * min(1.0, abs(value) / reach) + 0.5 + 1e-6)
        levels[panel][row][column] = -size if value < 0 else size
    parts, top = [], (_HIGH - down * rows * high - _GAP * (down - 1)) / 2
    for panel in range(panels):
        left = panel % across * (columns * wide + _GAP)
        y = top + panel // across * (rows * high + _GAP)
        frame = f"M{left:.4g} {y:.4g}h{columns * wide:.4g}v{rows * high:.4g}h{-columns * wide:.4g}z"
        parts.append(
            f'<g transform="translate({left:.4g} {y:.4g}) scale({wide:.4g} {high:.4g})">'
            f'<path class="paper" d="M0 0h{columns}v{rows}h-{columns}z"/>{_runs(levels[panel], role)}</g>'
            f'<path class="line" d="{frame}"/>'
        )
    return "".join(parts), across * (columns * wide + _GAP) - _GAP


def _runs(levels: list[list[int]], role: str) -> str:
    """Draw rows of cells, one a unit high; neighbours of one level are one line."""
    lines: dict[int, list[str]] = {}
    for row, found in enumerate(levels):
        column = 0
        for level, run in groupby(found):
            length = len(list(run))
            if level:
                lines.setdefault(level, []).append(f"M{column} {row}h{length}")
            column += length
    return "".join(
        f'<path class="{"negative" if level < 0 else role}" stroke-opacity="{abs(level) / _LEVELS:g}" '
        f'transform="translate(0 .5)" d="{"".join(found)}"/>'
        for level, found in sorted(lines.items())
    )


def _points(given: Drawn, values: Tensor) -> tuple[str, float]:
    """Draw the places (x, y) from -1 to 1 at which the input is read, as dots on its frame."""
    side = _HIGH
    dots = "".join(
        f'<circle class="dot-map" cx="{(x + 1) / 2 * side:.1f}" cy="{(y + 1) / 2 * side:.1f}" r="1.8"/>'
        for x, y in values.double().reshape(-1, 2).tolist()
        if -1 <= x <= 1 and -1 <= y <= 1
    )
    frame = f"M0 0h{side}v{side}h-{side}z"
    return f'<path class="paper" d="{frame}"/>{dots}<path class="line" d="{frame}"/>', side
