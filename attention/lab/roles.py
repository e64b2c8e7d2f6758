"""The four colours of a mechanism's tensors: the same in drawings of shapes, in live pictures and in equations.

The palette needs no torch, so that the book can be built without it.
"""

from typing import Any

__all__ = ["COLOURS", "DARK_FACE", "LIGHT_FACE", "Role", "is_feature", "of", "tex"]

#: A role's name.
Role = str
#: Each role's colour on a light page and on a dark one. ``feature``: inputs, outputs and feature maps between;
#: ``statistic``: what is collected or projected from them; ``hidden``: numbers between that have no symbol, and
#: weights; ``map``: attention maps.
COLOURS: dict[Role, tuple[str, str]] = {
    "feature": ("#1f6fb2", "#6db3ee"),
    "statistic": ("#2e7d4f", "#79c99a"),
    "hidden": ("#6a5acd", "#a89cf0"),
    "map": ("#b8560b", "#f2a65a"),
}
#: The faces of the page that the colours are read on.
LIGHT_FACE, DARK_FACE = "#ffffff", "#14181e"


def tex(role: Role, symbol: str) -> str:
    r"""Write a symbol in its role's colour: ``tex("map", "s")`` is ``\textcolor{#b8560b}{s}``.

    The colour is that of a light page; on a dark one the book's style sheet puts the other in its place.

    :param role: one of :data:`COLOURS`.
    :param symbol: in TeX.
    :raises ValueError: for another role.
    """
    if role not in COLOURS:
        raise ValueError(f"role={role!r} is not one of {', '.join(COLOURS)}")
    return rf"\textcolor{{{COLOURS[role][0]}}}{{{symbol}}}"


def of(block: Any, *inputs: Any) -> dict[str, Role]:
    """Give each declared step of a block its role, from a real run of ``attend``.

    A step that holds the numbers of an attention map, in whatever shape and order, is a ``map``; one that has the shape
    of the first input or of the output, or several such, is a ``feature``; any other is a ``statistic``.

    :param block: an attention block.
    :param inputs: what ``attend`` is called with.
    :returns: the role of each step, by its name, in the order in which they are computed.
    """
    import torch
    from torch import Tensor

    from attention.contract import watching
    from attention.lab.restore import untouched

    seen: dict[str, Tensor] = {}

    def note(who: Any, name: str, value: Tensor) -> None:
        if who is block:
            seen[name] = value

    with untouched(block), torch.no_grad(), watching(note):
        output, maps = block.attend(*inputs)
    shapes = [tuple(t.shape) for t in (*inputs[:1], output) if isinstance(t, Tensor)]
    sorted_maps = [m.flatten().sort().values for m in maps.values()]
    found = {}
    for name, value in seen.items():
        numbers = value.flatten().sort().values
        same = any(numbers.shape == m.shape and torch.equal(numbers, m) for m in sorted_maps)
        found[name] = "map" if same else "feature" if is_feature(tuple(value.shape), shapes) else "statistic"
    return found


def is_feature(shape: tuple[int, ...], features: list[tuple[int, ...]]) -> bool:
    """Say whether a shape is that of features, or of several stacked: ``(b, m, c, h, w)`` for ``(b, c, h, w)``."""
    return shape in features or any(len(f) > 3 and len(shape) > len(f) and shape[-3:] == f[-3:] for f in features)
