"""Figures that papers print, with their sources, to set a count against. Needs no torch."""

import tomllib
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.resources import files

from attention.registry import entry

__all__ = ["Published", "published"]

_UNITS = {"": 1, "%": 1, "K": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class Published:
    """A table of figures as it was printed.

    :param source: paper and table.
    :param quantity: what is counted.
    :param unit: ``""``, ``"K"``, ``"M"`` or ``"G"``: 1, 10³, 10⁶, 10⁹; ``"%"`` for what is measured and not counted.
    :param convention: under which rules our count gives the figures.
    :param values: the figures by label, with the digits that were printed.
    :param note: where our count disagrees.
    """

    source: str
    quantity: str
    unit: str
    convention: str
    values: dict[str, str]
    note: str = ""

    def __post_init__(self) -> None:
        if self.unit not in _UNITS:
            raise ValueError(f"unit={self.unit!r} is not one of {', '.join(map(repr, _UNITS))}")

    def value(self, label: str) -> float:
        """Return a figure as a number, in the unit in which it was printed.

        :param label: which figure.
        :raises ValueError: for an unknown label.
        """
        if label not in self.values:
            raise ValueError(f"label={label!r} is not one of {', '.join(self.values)}")
        return float(self.values[label])

    def as_printed(self, label: str, count: int) -> str:
        """Write a count in the unit, and with the digits, of a printed figure.

        :param label: which figure.
        :param count: our count.
        :raises ValueError: for an unknown label.
        """
        self.value(label)  # refuses a label that there is not
        digits = Decimal(1).scaleb(Decimal(self.values[label]).as_tuple().exponent)
        return str((Decimal(count) / _UNITS[self.unit]).quantize(digits, ROUND_HALF_UP))

    def agrees(self, label: str, count: int) -> bool:
        """Say whether a count, rounded as the printed figure is, equals it."""
        return self.as_printed(label, count) == self.values[label]


@cache
def published(name: str) -> dict[str, Published]:
    """Return the printed figures on a mechanism, by table.

    :param name: the mechanism's name.
    :raises ValueError: for an unknown mechanism.
    """
    text = files("attention").joinpath("published.toml").read_text(encoding="utf-8")
    return {key: Published(**table) for key, table in tomllib.loads(text).get(entry(name).name, {}).items()}
