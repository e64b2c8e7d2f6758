"""How a tensor is set out in the picture: as bars, as grids of channels, or as a matrix."""

from dataclasses import dataclass
from math import ceil, prod

__all__ = ["Layout", "arranged", "beside", "nice"]

#: What a letter of ``dims`` is called.
_WORDS = {"c": "channel", "h": "row", "w": "column", "p": "row", "q": "column"}
_SPATIAL = (("h", "w"), ("p", "q"))
#: So many vectors stand side by side as bars; more are a matrix.
_BESIDE = 3
#: So many panels of one axis stand in one row.
_ROW = 8


@dataclass(frozen=True)
class Layout:
    """Where the numbers of a tensor stand; they keep their order.

    :param kind: ``bars``, ``grid`` (rows and columns are places) or ``matrix``.
    :param panels: how many of them.
    :param rows: rows of each.
    :param columns: columns of each.
    :param last: whether the panels are the last axis, and not the first.
    :param axes: what each axis is called, and its sizes: two for an axis of positions.
    """

    kind: str
    panels: int
    rows: int
    columns: int
    axes: tuple[tuple[str, tuple[int, ...]], ...]
    last: bool = False

    def place(self, at: int) -> tuple[int, int, int]:
        """Return panel, row and column of a number."""
        if self.last:
            at, panel = divmod(at, self.panels)
            return panel, *divmod(at, self.columns)
        return at // (self.rows * self.columns), at // self.columns % self.rows, at % self.columns

    def to_dict(self) -> dict[str, object]:
        """Return plain lists, as JSON takes them."""
        return {
            "kind": self.kind,
            "panels": self.panels,
            "rows": self.rows,
            "columns": self.columns,
            "last": self.last,
            "axes": [[word, list(sizes)] for word, sizes in self.axes],
        }


def arranged(axes: list[tuple[tuple[str, ...], tuple[int, ...]]]) -> Layout:
    """Choose the layout of one sample's tensor.

    :param axes: the names that each axis is a product of, and their sizes: ``[(("c",), (4,)), (("h", "w"), (6, 6))]``.
    """
    kept = [(names, sizes) for names, sizes in axes if prod(sizes) > 1]
    told = tuple(_told(names, sizes) for names, sizes in kept)
    if not kept:
        return Layout("bars", 1, 1, 1, ())
    lengths = [prod(sizes) for _, sizes in kept]
    last = kept[-1]
    if len(kept) > 1 and (*kept[-2][0], *last[0]) in _SPATIAL:
        return Layout("grid", prod(lengths[:-2]), lengths[-2], lengths[-1], told)
    if len(kept) == 3 and (*kept[0][0], *kept[1][0]) in _SPATIAL and lengths[2] <= _BESIDE:
        return Layout("grid", lengths[2], lengths[0], lengths[1], told, last=True)
    if len(last[1]) == 2 and (len(kept) == 1 or len(kept[-2][1]) == 1):
        return Layout("grid", prod(lengths[:-1]), *last[1], told)
    if len(kept) == 1:
        return Layout("bars", 1, lengths[0], 1, told)
    if len(kept) == 2 and lengths[0] <= _BESIDE and len(kept[0][1]) == 1:
        return Layout("bars", lengths[0], lengths[1], 1, told)
    return Layout("matrix", prod(lengths[:-2]), lengths[-2], lengths[-1], told)


def _told(names: tuple[str, ...], sizes: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    if len(names) == 1:
        return _WORDS.get(names[0], "number" if not names[0].isdigit() else "part"), sizes
    return "position" if len(names) == 2 else "number", sizes if len(names) == 2 else (prod(sizes),)


def beside(layout: Layout) -> int:
    """Say how many panels stand side by side: those of an axis in one row where they fit, beside their neighbours.

    :param layout: the layout of a tensor.
    """
    sizes = [] if layout.last else [size for _, each in layout.axes[:-2] for size in each]
    if layout.panels <= 3:
        return layout.panels
    if len(sizes) > 1 and sizes[-1] <= 4:
        return sizes[-1]
    return layout.panels if len(sizes) == 1 and 4 < layout.panels <= _ROW else ceil(layout.panels**0.5)


def nice(value: float) -> float:
    """Round a positive number up to one of 1, 1.5, 2, 3, 5, 8 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** int(f"{value:e}".partition("e")[2])
    step = next((each for each in (1, 1.5, 2, 3, 5, 8) if each * power >= value * (1 - 1e-9)), 10)
    return float(f"{step * power:.6g}")
