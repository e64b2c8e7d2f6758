"""What was inserted and what it costs, as a table."""

from dataclasses import dataclass
from typing import Any

from attention.backbones.resnet import PLACES

__all__ = ["Insertion", "Site", "about"]


@dataclass(frozen=True)
class Site:
    """One block that was put in.

    :param name: the block's name in the network: keys of its parameters begin with it.
    :param channels: the number of channels that it meets.
    :param parameters: its parameters.
    :param size: height and width that it meets; ``None`` where no example was run.
    :param macs: its multiply–adds for one image; ``None`` where no example was run.
    :param rounded: the options that were rounded here, by name: the value asked for, and the value taken.
    """

    name: str
    channels: int
    parameters: int
    size: tuple[int, int] | None = None
    macs: int | None = None
    rounded: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class Insertion:
    """What :func:`attention.backbones.insertion.insert` did, and what it costs; printed, it is a table.

    :param block: the name of the block's class.
    :param where: where the blocks are, in words.
    :param sites: the blocks, in the order of the network's modules.
    :param parameters: parameters of the network without them.
    :param macs: multiply–adds of the network without them, for one image of the example; ``None`` without one.
        Those of convolutions, linear layers and matrix products are counted, and nothing else.
    """

    block: str
    where: str
    sites: tuple[Site, ...]
    parameters: int
    macs: int | None = None

    def __str__(self) -> str:
        columns = ["channels", "size", "parameters", "multiply–adds", "rounded"]
        rows = [[s.name, f"{s.channels:,}", _size(s.size), s.parameters, s.macs, _rounded(s)] for s in self.sites]
        rows.append(["together", "", "", *self.added, ""])
        rows.append(["network without them", "", "", self.parameters, self.macs, ""])
        shares = [
            None if a is None or not b else f"{a / b:.2%}"
            for a, b in zip(self.added, (self.parameters, self.macs), strict=True)
        ]
        rows.append(["share of that", "", "", *shares, ""])
        shown = [0, 1, 2, 3, 4, 5]
        if self.macs is None:  # no example: neither sizes nor multiply–adds are known
            shown = [0, 1, 3, 5]
        if not any(site.rounded for site in self.sites):
            shown.remove(5)
        lines = [[_cell(line[i]) for i in shown] for line in (["", *columns], *rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = [
            "  ".join(
                text.rjust(w) if i else text.ljust(w) for i, (text, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        count = f"{len(self.sites)} block{'s' if len(self.sites) != 1 else ''}"
        return "\n".join([f"{self.block}, {count}, {self.where}", *(line.rstrip() for line in table)])

    @property
    def added(self) -> tuple[int, int | None]:
        """Parameters and multiply–adds of all blocks together."""
        macs = [site.macs for site in self.sites if site.macs is not None]
        return sum(site.parameters for site in self.sites), sum(macs) if len(macs) == len(self.sites) else None


def about(place: str | None, where: Any) -> str:
    """Put into words where blocks are: at a place in residual units, or after the modules named."""
    return PLACES[place] if place else "after " + " and ".join([where] if isinstance(where, str) else where)


def _size(size: tuple[int, int] | None) -> str:
    return "" if size is None else " × ".join(map(str, size))


def _rounded(site: Site) -> str:
    return ", ".join(f"{option} {asked} → {taken}" for option, asked, taken in site.rounded)


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:,}"
