"""A result as a table: text where it is printed, a table in a notebook and in the book."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

__all__ = ["Table", "table"]

#: One number as results write it: a sign or a relation before it, a unit of one sign after it, perhaps a spread.
_AMOUNT = r"\d[\d,]*(\.\d+)?(e[+-]?\d+)?"
_NUMBER = re.compile(rf"[~≈<≤>≥×]? ?[±+−–-]?{_AMOUNT}( ?[%×])?( ± {_AMOUNT})?(/\d+)?")
#: A dotted name may break before its dots.
_DOT = re.compile(r"(?<=\w)\.(?=[A-Za-z_])")
#: What stands where there is no number.
_ABSENT = ("", "–")


@dataclass(frozen=True)
class Table:
    """Rows of text under a head.

    In a notebook the last expression of a cell shows it: ``comparison.table()``, without ``print``. A column of
    numbers, in which a dash or an empty cell may stand for one that there is not, is aligned on the right.

    :param head: the names of the columns.
    :param rows: the rows, as many cells each; the first cell names its row.
    :param note: a line below: what was measured, on what; may be empty.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse rows that do not fit the head.

        :raises ValueError: for a row with more or fewer cells than there are columns.
        """
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"a row of {len(row)} cells under {len(self.head)} columns: {row}")

    def __str__(self) -> str:
        columns = list(zip(self.head, *self.rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        right = self._right()
        rule = tuple("─" * width for width in widths)
        lines = [
            "  ".join(
                cell.rjust(width) if on_right else cell.ljust(width)
                for cell, width, on_right in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in (self.head, rule, *self.rows)
        ]
        return "\n".join([*lines, *([self.note] if self.note else [])])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        right = self._right()
        head = "".join(_cell("th", name, on_right, "col") for name, on_right in zip(self.head, right, strict=True))
        body = "\n".join(
            "<tr>"
            + "".join(
                _cell("td" if i else "th", cell, on_right, "" if i else "row")
                for i, (cell, on_right) in enumerate(zip(row, right, strict=True))
            )
            + "</tr>"
            for row in self.rows
        )
        note = f"<caption>{escape(self.note)}</caption>\n" if self.note else ""
        return f'<table class="result">\n{note}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>'

    def _right(self) -> list[bool]:
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.head)
        return [_numbers([cell for cell in column if cell not in _ABSENT]) for column in columns]


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, note: str = "", digits: int = 2) -> Table:
    """Make a table of any values.

    :param head: the names of the columns.
    :param rows: the rows; whole numbers get separators of thousands, others ``digits`` digits after the point, also
        where they are tensors or arrays of one number; ``None`` is a dash; text is left as it is.
    :param note: a line below.
    :param digits: see ``rows``.
    :raises ValueError: for a row with more or fewer cells than there are columns.
    """
    return Table(tuple(head), tuple(tuple(_written(value, digits) for value in row) for row in rows), note)


def _written(value: Any, digits: int) -> str:
    if hasattr(value, "item"):  # a number of torch or NumPy
        value = value.item()
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:z,.{digits}f}"
    return str(value)


def _numbers(cells: list[str]) -> bool:
    return bool(cells) and all(map(_NUMBER.fullmatch, cells))


def _cell(tag: str, text: str, on_right: bool, scope: str) -> str:
    named = f' scope="{scope}"' if scope else ""
    side = ' style="text-align: right"' if on_right else ' style="text-align: left"'
    return f"<{tag}{named}{side}>{_DOT.sub('<wbr>.', escape(text))}</{tag}>"
