"""What a recording holds."""

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from torch import Tensor

from attention.contract import Map

__all__ = ["Captured", "Declared", "Found", "grid_of"]

_PREFIX = 8  # at most so many tokens (a class token, registers) stand before those of the grid


class Declared(NamedTuple):
    """What a block declares of a map, and the sizes that its letters had in this run."""

    map: Map
    sizes: dict[str, int]


class Found(NamedTuple):
    """What a run showed of a map that nothing declares: its axes by its shape, its kind by its values.

    :param map: the letters of its axes are read from the shape: ``q`` and ``k`` are positions that ask and that are
        asked, ``m`` is anything else that is not the batch, such as heads or windows.
    :param sizes: the sizes that its letters had in this run.
    :param how: how it acts, and what was checked.
    """

    map: Map
    sizes: dict[str, int]
    how: str


class Captured(dict[str, dict[str, Tensor]]):
    """What :func:`capture` recorded: layer → name → tensor; printed as a table of names and shapes.

    ``declared`` and ``found`` say of each (layer, name) what the block declares of it, or what was found in the run;
    ``passed`` counts the products that were looked at and are no maps, by the reason.

    :param inputs: the model's first input; where that is no tensor, the first feature map in the inputs, or else the
        first tensor.
    """

    def __init__(self, inputs: Tensor) -> None:
        super().__init__()
        self.inputs = inputs
        self.declared: dict[tuple[str, str], Declared] = {}
        self.found: dict[tuple[str, str], Found] = {}
        self.passed: Counter[str] = Counter()

    def known(self, layer: str, name: str) -> Declared | None:
        """Return what is known of a recorded tensor's axes: declared or found; ``None`` for a module's output."""
        if found := self.found.get((layer, name)):
            return Declared(found.map, found.sizes)
        return self.declared.get((layer, name))

    def which(self, layer: str | None = None, name: str | None = None) -> tuple[str, str]:
        """Return the layer and the map that are meant: those named, or the only ones that there are.

        :raises ValueError: where they are not recorded, or one has to be named.
        """
        known = [*self.declared, *self.found]
        layer = _one("layer", layer, list(dict.fromkeys(path for path, _ in known)) or list(self), self)
        names = [n for path, n in known if path == layer] or list(self[layer])
        return layer, _one("name", name, names, self[layer])

    def __repr__(self) -> str:
        rows = [("layer", "map", "declared", "shape")]
        for layer, tensors in self.items():
            for name, tensor in tensors.items():
                known = self.known(layer, name)
                dims = known.map.dims if known else "–"
                if (layer, name) in self.found:
                    dims = f"– (found: {dims})"
                rows.append((layer or "(the model)", name, dims, " × ".join(map(str, tensor.shape))))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        return "\n".join([*(line.rstrip() for line in lines), *self._said()])

    def _said(self) -> list[str]:
        """Say of maps that were found how they act, and what was passed over."""
        said = []
        for how, count in Counter(found.how for found in self.found.values()).items():
            said.append(f"{count} found in this run, not declared: {how}")
        said += [f"{count} passed over: {reason}" for reason, count in self.passed.items()]
        return said


def _one(what: str, given: str | None, usual: list[str], all_: Collection[str]) -> str:
    """Return the one that is meant: what was named, or the only one that would usually be."""
    if given is None and len(usual) == 1:
        return usual[0]
    if given is None or given not in all_:
        raise ValueError(f"{what}={given!r} is not one of the recorded: {', '.join(map(repr, usual))}")
    return given


def grid_of(count: int, inputs: Tensor) -> tuple[int, int, int] | None:
    """Find the grid that so many tokens form over a picture: tokens before it, rows, columns; ``None`` for no grid.

    :param count: how many tokens there are.
    :param inputs: the pictures, (batch, channels, height, width); cut into square patches, which tile them.
    """
    if inputs.ndim != 4:
        return None
    height, width = inputs.shape[2:]
    for before in range(_PREFIX + 1):
        for patch in range(1, min(height, width) + 1):
            if height % patch == width % patch == 0 and height // patch * (width // patch) == count - before:
                return before, height // patch, width // patch
    return None
