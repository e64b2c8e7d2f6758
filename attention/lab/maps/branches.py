"""Weights of branches compared between inputs: does a larger object move them to the wider window?"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil

import matplotlib as mpl
import torch
from jaxtyping import Float
from torch import Tensor, nn

from attention.lab import style
from attention.lab.maps.panels import WIDTH
from attention.lab.maps.recording import capture

__all__ = ["branch_weights", "by_size"]


def branch_weights(
    model: nn.Module, inputs: Sequence[Tensor], branch: int = -1
) -> dict[str, Float[Tensor, "inputs channels"]]:
    """Compute the mean weight of one branch in each channel, for several batches of inputs.

    Every map of the model that has an axis ``m`` over branches is taken, in the order in which the layers ran.

    :param model: any module with such maps; left as it was.
    :param inputs: the batches: the same objects at several sizes, say.
    :param branch: which branch; by default the last, which has the widest window.
    :returns: by layer the weights, averaged over the samples, (inputs, channels).
    :raises ValueError: for no inputs, a model without maps over branches, and a branch that is not there.
    """
    if not len(inputs):
        raise ValueError("inputs is empty; give at least one batch")
    found: dict[str, list[Tensor]] = {}
    for x in inputs:
        captured = capture(model, x)
        for (layer, name), declared in captured.declared.items():
            letters = [axis[0] if len(axis) == 1 else "" for axis in declared.map.axes]
            if "m" not in letters:
                continue
            axis, weights = letters.index("m"), captured[layer][name].float()
            if not -weights.shape[axis] <= branch < weights.shape[axis]:
                raise ValueError(f"branch={branch} is not there: {layer or 'the model'} has {weights.shape[axis]}")
            found.setdefault(layer, []).append(weights.select(axis, branch).flatten(1).mean(0))
    if not found:
        raise ValueError("model: none of its maps has an axis m over branches")
    return {layer: torch.stack(rows) for layer, rows in found.items()}


def by_size(
    weights: Mapping[str, Float[Tensor, "networks sizes"]],
    sizes: Sequence[float],
    *,
    size_label: str = "size of the object, as a multiple of the smallest",
    label: str = "mean weight of the wider window",
    title: str = "",
    caption: str = "",
) -> None:
    """Show how a branch's mean weight changes with the size of an object: a panel a layer, a line a network.

    All panels share one scale. A thick line is the mean of the networks, a dashed one marks where two branches would
    count alike.

    :param weights: by layer the mean weight of the branch, (networks, sizes).
    :param sizes: the sizes, ascending.
    :param size_label: what the sizes are.
    :param label: what the weights are.
    :param title: a title for the figure.
    :param caption: what is to be seen, below the figure.
    :raises ValueError: for no layers, sizes that do not ascend, and shapes that do not fit.
    """
    sizes = [float(size) for size in sizes]
    if not weights:
        raise ValueError("weights is empty; give the weights of at least one layer")
    if len(sizes) < 2 or any(b <= a for a, b in pairwise(sizes)):
        raise ValueError(f"sizes={sizes} are not two or more, ascending")
    for layer, values in weights.items():
        if values.ndim != 2 or values.shape[1] != len(sizes) or not len(values):
            raise ValueError(f"{layer}: expected (networks, {len(sizes)} sizes), received shape {tuple(values.shape)}")
    columns = min(3, len(weights))
    rows = ceil(len(weights) / columns)
    fig, grid = style.figure(
        rows, columns, width=WIDTH, height=0.9 + 1.75 * rows, sharex=True, sharey=True, squeeze=False
    )
    told = []
    for ax, (layer, values) in zip(grid.flat, weights.items(), strict=False):
        values = values.detach().cpu().double()
        middle = values.mean(0)
        ax.axhline(0.5, color=style.COLOURS["muted"], lw=1, ls="--")
        ax.plot(sizes, values.T, "-", color=style.COLOURS["block"], lw=1, alpha=0.4)
        ax.plot(sizes, middle, "o-", color=style.COLOURS["ink"], lw=2.5, markersize=4)
        ax.set_title(layer, fontsize=11)
        rise = int((values[:, -1] > values[:, 0]).sum())
        told.append(f"{layer}: {middle[0]:.2f} to {middle[-1]:.2f}, up in {rise} of {len(values)}")
    for ax in grid.flat[len(weights) :]:
        ax.axis("off")
    for ax in grid.flat[: len(weights)]:
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(3))
    fig.supxlabel(size_label, fontsize=11)
    fig.supylabel(label, fontsize=11)
    if title:
        fig.suptitle(title, fontsize=12)
    networks = len(next(iter(weights.values())))
    lines = f"{networks} networks, a line each" if networks > 1 else "one network"
    alt = f"{label.capitalize()} against {size_label}, from {sizes[0]:g} to {sizes[-1]:g}, {lines}, mean thick. "
    style.show(fig, alt + "; ".join(told) + ".", caption=caption)
