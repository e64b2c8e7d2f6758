"""Small drawings of what a mechanism weighs, for the columns of the map: a map's cells, darker where it weighs more."""

from math import exp, pi, sin

__all__ = ["ICONS"]

_WIDTH, _HEIGHT = 44, 32


def _cells(values: list[list[float]], left: float, top: float, side: float) -> str:
    """Draw a square of cells."""
    cell = side / len(values)
    parts = [f'<path class="paper" d="M{left:g} {top:g}h{side:g}v{side:g}h{-side:g}z"/>']
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            place = f"M{left + j * cell:g} {top + i * cell:g}h{cell:g}v{cell:g}h{-cell:g}z"
            parts.append(f'<path class="lit" fill-opacity="{value:.2f}" d="{place}"/>')
    parts.append(f'<path class="line" d="M{left:g} {top:g}h{side:g}v{side:g}h{-side:g}z"/>')
    return "".join(parts)


def _blob(size: int, row: float, column: float) -> list[list[float]]:
    return [[exp(-((i - row) ** 2 + (j - column) ** 2) / (0.35 * size)) for j in range(size)] for i in range(size)]


def _stack(front: list[list[float]] | None = None) -> str:
    shades = (0.1, 0.9, 0.3, 0.6)
    places = [(10 + 4 * (3 - k), 4 * k) for k in range(4)]
    sheets = [_cells([[shade]], left + 0.5, top + 0.5, 19) for shade, (left, top) in zip(shades, places, strict=True)]
    return "".join(sheets[:3]) + (_cells(front, 10.5, 12.5, 19) if front else sheets[3])


def _pair() -> str:
    near = [[exp(-(min(abs(i - j), abs(i - j + 3)) ** 2) / 1.2) for j in range(6)] for i in range(6)]
    return _cells(near, 8.5, 2.5, 27)


def _branches() -> str:
    parts = []
    for side, weight in ((-1, 0.8), (1, 0.2)):
        steps = [(8 + 28 * k / 12, 16 + side * 10 * sin(pi * k / 12)) for k in range(13)]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in steps)
        parts.append(f'<path class="lit-line" stroke-width="{1 + 6 * weight:g}" stroke-opacity="{weight}" d="{path}"/>')
        parts.append(f'<path class="line" d="{path}"/>')
    return "".join(parts) + '<circle class="dot" cx="8" cy="16" r="2.5"/><circle class="dot" cx="36" cy="16" r="2.5"/>'


def _steps() -> str:
    places = ((0.2, 0.2), (1.2, 1.8), (2, 0))
    return "".join(_cells(_blob(3, *at), 0.5 + 15 * k, 10.5, 12) for k, at in enumerate(places))


def _drawn(inside: str) -> str:
    return (
        f'<svg class="icon" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" aria-hidden="true">'
        f"{inside}</svg>"
    )


#: A drawing for each of ``registry.AXES``.
ICONS: dict[str, str] = {
    "channel": _drawn(_stack()),
    "space": _drawn(_cells(_blob(5, 1.3, 2.6), 8.5, 2.5, 27)),
    "channel and space": _drawn(_stack(_blob(4, 1, 2))),
    "pair": _drawn(_pair()),
    "branch": _drawn(_branches()),
    "sequence": _drawn(_steps()),
}
