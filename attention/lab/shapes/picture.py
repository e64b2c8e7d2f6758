"""A run as a picture: feature maps are cuboids, vectors bars, matrices squares, numbers dots."""

from matplotlib.figure import Figure

from attention.lab import style
from attention.lab.shapes.alt import alt_text
from attention.lab.shapes.layout import arrange
from attention.lab.shapes.measure import POINTS, Drawing
from attention.lab.shapes.nodes import Node
from attention.lab.shapes.painter import MARGIN, STRIP, Painter, Panel
from attention.lab.shapes.rows import Row, cut, tagged
from attention.lab.shapes.runs import Trace

__all__ = ["diagram", "draw"]

#: The widest figure, in inches, whose text can still be read on a phone, and the width of the page's column.
_PHONE = POINTS / 72 * 100 * style.PHONE / style.SMALLEST / 100
_COLUMN = 6.9
#: The widths that a drawing which flows right may have, in inches: the page shrinks it to its column. How many inches
#: of height one inch more is worth.
_WIDTHS, _SHRUNK = (_COLUMN, 8.0, 9.2, 10.4, 11.9), 0.3
#: Inches of height that a row takes beside what it holds.
_BETWEEN = 0.5
#: The height, in inches, up to which a drawing is kept so narrow that a phone shows it without scrolling.
_SCREEN = 7.0
_SPACE = {True: 0.16, False: 0.17}


def draw(
    trace: Trace,
    *,
    title: str = "",
    alt: str | None = None,
    flow: str | None = None,
    symbols: bool = True,
    plumbing: bool = False,
    caption: str = "",
) -> None:
    """Show a run as a picture.

    :param trace: what :func:`trace` recorded.
    :param title: a line above the picture.
    :param alt: the text for a reader who does not see it; by default the steps, in words.
    :param flow: ``down``, ``right``, or by default as :func:`diagram` chooses.
    :param symbols: whether the steps of a block's equations are labelled with their symbols, and their zones shown.
    :param plumbing: whether what only arranges numbers anew is drawn, and every operation by itself.
    :param caption: a sentence or two below the picture; by default nothing, or why a run failed.
    :raises ValueError: for another ``flow``.
    """
    fig = diagram(trace, title=title, flow=flow, symbols=symbols, plumbing=plumbing)
    alt, wide = alt or alt_text(trace, plumbing=plumbing), bool(fig.get_figwidth() > _PHONE + 1e-6)
    narrow = diagram(trace, title=title, flow="down", symbols=symbols, plumbing=plumbing) if wide and not flow else None
    caption = caption or (f"The run ends here. {trace.failed}" if trace.failed else "")
    style.show(fig, alt, caption=caption, scroll=wide, narrow=narrow)


def diagram(
    trace: Trace, *, title: str = "", flow: str | None = None, symbols: bool = True, plumbing: bool = False
) -> Figure:
    """Draw a run: tensors as solids whose sides follow their axes, operations on the lines between them.

    A run that is too long for the page is cut into rows, and a tensor that a later row needs is repeated there, with
    dashed edges.

    :param trace: what :func:`trace` recorded.
    :param title: a line above the picture.
    :param flow: ``down``, for a phone; ``right``, for one screen of a page; or by default the second, in rows
        that a phone can show too where they fit one screen.
    :param symbols: whether the steps of a block's equations are labelled with their symbols, and their zones shown.
    :param plumbing: whether what only arranges numbers anew is drawn, and every operation by itself.
    :returns: the figure; its width decides whether a page must scroll.
    :raises ValueError: for another ``flow``, a run without tensors, or one too long for a figure.
    """
    if flow not in (None, "down", "right"):
        raise ValueError(f"flow={flow!r} is not one of 'down', 'right', None")
    shown = trace.visible(plumbing)
    if not shown.nodes:
        raise ValueError(f"trace: the run of {trace.module} has no tensors to draw")
    return _STYLES[flow](shown.nodes, symbols).paint(title)


def _standing(nodes: tuple[Node, ...], symbols: bool) -> Painter:
    """Flow down, as broad as a phone: with labels beside the tensors, or under them, or in several parts."""
    for under, narrow in ((False, 18), (True, 12)):
        painter = _painter(nodes, Drawing(nodes, True, under, narrow, symbols), None)
        if painter.width <= _PHONE:
            return painter
    return _painter(nodes, Drawing(nodes, True, True, 12, symbols), _PHONE)


def _lying(nodes: tuple[Node, ...], symbols: bool) -> Painter:
    """Flow right in rows: as wide as makes it low on a page, which shrinks it to its column."""
    options = [Drawing(nodes, False, True, narrow, symbols) for narrow in (14, 11)]

    found = []
    for sizes in options:
        for width in _WIDTHS:
            rows = cut(nodes, sizes, width - 2 * MARGIN, _SPACE[False])
            found.append((_price(sum(row.broad + _BETWEEN for row in rows), width), width, sizes))
    best = sorted(found, key=lambda option: option[0])[:3]  # by estimate
    painters = [_painter(nodes, sizes, width) for _, width, sizes in best]
    return min(painters, key=lambda painter: _price(painter.height, painter.width))


def _price(height: float, width: float) -> float:
    """Say how high a page shows a drawing, and add something for a text that becomes small."""
    return height * min(1.0, _COLUMN / width) + _SHRUNK * max(0.0, width - _COLUMN)


def _either(nodes: tuple[Node, ...], symbols: bool) -> Painter:
    """Flow right in rows that a phone can show too, or as a page shows it best.

    The latter where there would be too many rows, or one would end with a tensor that has no name.
    """
    painter = _painter(nodes, Drawing(nodes, False, True, 14, symbols), _PHONE)
    fits = painter.width <= _PHONE + 1e-6 and painter.height <= _SCREEN
    return painter if fits and not painter.tagged else _lying(nodes, symbols)


_STYLES = {None: _either, "down": _standing, "right": _lying}


def _painter(nodes: tuple[Node, ...], sizes: Drawing, limit: float | None) -> Painter:
    """Cut, measure and place.

    :param limit: inches that the figure may be wide; None for one that is not cut.
    """
    space = _SPACE[sizes.down]
    if limit is None:
        return Painter([_panel(Row(nodes, frozenset()), sizes, space)])
    inner = limit - 2 * MARGIN - STRIP * sizes.down * bool(sizes.zones)
    for part in (1.0, 0.93, 0.86, 0.8, 0.72, 0.65):  # how long a row is, is estimated when it is cut
        painter = Painter([_panel(row, sizes, space) for row in tagged(nodes, cut(nodes, sizes, part * inner, space))])
        if painter.width <= limit + 1e-6:
            break
    return painter


def _panel(row: Row, sizes: Drawing, space: float) -> Panel:
    drawing = Drawing(row.nodes, sizes.down, sizes.under, sizes.narrow, sizes.symbols, row.again)
    return Panel(drawing, arrange(drawing.items(), drawing.edges, space=space))
