"""Maps in a few numbers: their range, how many of their values are at an end, whether they change with the image."""

import math
from typing import NamedTuple

from torch import Tensor

from attention.contract import Map
from attention.lab.maps.captured import Captured

__all__ = ["SATURATED", "Statistics", "Table", "statistics", "statistics_of"]

#: A value of a gate below the first or above the second counts as saturated.
SATURATED = (0.01, 0.99)


class Statistics(NamedTuple):
    """One map in numbers, over all images of the batch.

    :param low: its smallest value.
    :param high: its largest value.
    :param change: how much it changes with the image: the standard deviation across the images of the batch (root mean
        square over the map's entries), as a share of ``high − low``. 0 says that all images have the same map, .5 is
        the most there can be; ``nan`` where there is one image, or the map's first axis is not the batch.
    :param saturated: for a gate (kind ``sigmoid``) the share of values below .01 or above .99; otherwise ``None``.
    :param largest: for a softmax the largest weight of a sum, in the mean over all sums; otherwise ``None``.
    :param uniform: for a softmax what ``largest`` would be if all weights were alike; otherwise ``None``.
    """

    low: float
    high: float
    change: float
    saturated: float | None = None
    largest: float | None = None
    uniform: float | None = None

    def sentence(self) -> str:
        """Say it in one line."""
        said = [f"from {self.low:.2g} to {self.high:.2g}"]
        if self.saturated is not None:
            said.append(f"{self.saturated:.0%} saturated")
        if self.largest is not None:
            said.append(f"largest weight {self.largest:.2g} (uniform {self.uniform:.2g})")
        if not math.isnan(self.change):
            said.append(f"change with the image {self.change:.3f}")
        return "; ".join(said)


class Table(dict[tuple[str, str], Statistics]):
    """What :func:`statistics` returns: (layer, name) → numbers; printed as a table."""

    def __repr__(self) -> str:
        rows: list[tuple[str, ...]] = [("layer", "map", "low", "high", "change", "saturated", "largest", "uniform")]
        for (layer, name), found in self.items():
            numbers = (f"{value:.2g}" for value in found[:2])
            change = "–" if math.isnan(found.change) else f"{found.change:.3f}"
            saturated = "–" if found.saturated is None else f"{found.saturated:.1%}"
            weights = ("–" if value is None else f"{value:.2g}" for value in found[4:])
            rows.append((layer or "(the model)", name, *numbers, change, saturated, *weights))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )


def statistics(captured: Captured) -> Table:
    """Compute range, saturation and change of all recorded maps; outputs of modules are left out.

    :param captured: what :func:`attention.lab.maps.capture` returned, of several images.
    :returns: (layer, name) → :class:`Statistics`, printed as a table.
    :raises TypeError: for anything but the result of ``capture``.
    """
    if not isinstance(captured, Captured):
        raise TypeError(f"captured: expected what maps.capture returns, received {type(captured).__name__}")
    found = Table()
    for layer, tensors in captured.items():
        for name, tensor in tensors.items():
            known = captured.known(layer, name)
            if known is not None and tensor.numel():
                found[layer, name] = statistics_of(tensor, known.map)
    return found


def statistics_of(tensor: Tensor, declared: Map) -> Statistics:
    """Compute the numbers of one map.

    :param tensor: the map, of any shape that ``declared`` has.
    :param declared: its axes and its kind.
    """
    values = tensor.double()
    low, high = float(values.min()), float(values.max())
    change = math.nan
    if declared.axes[0] == ("b",) and len(values) > 1:
        deviation = float(values.var(0, correction=0).mean().sqrt())
        change = deviation / (high - low) if high > low else 0.0
    if declared.kind == "sigmoid":
        below, above = SATURATED
        return Statistics(low, high, change, float(((values < below) | (values > above)).double().mean()))
    if declared.kind == "softmax":
        sums = declared.sums
        count = math.prod(values.shape[axis] for axis in sums)
        return Statistics(low, high, change, None, float(values.amax(sums).mean()), 1 / count)
    return Statistics(low, high, change)
