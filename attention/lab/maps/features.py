"""Show what a layer computes, channel by channel."""

from collections.abc import Sequence
from math import ceil

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from attention.lab import style
from attention.lab.maps.panels import WIDTH, called, colour_bar, draw_picture, indices
from attention.lab.maps.pictures import picture
from attention.lab.maps.recording import capture

__all__ = ["feature_maps"]


def feature_maps(
    model: nn.Module,
    x: Tensor,
    layer: str,
    channels: int | Sequence[int] = 16,
    *,
    sample: int = 0,
    title: str = "",
    caption: str = "",
) -> None:
    """Show what a layer computes, one panel a channel, beside the input.

    All panels share one colour scale, so that a channel that is silent looks so. Where values of both signs occur the
    scale is symmetric about 0.

    :param model: any module; left as it was.
    :param x: the input, (batch, channels, height, width).
    :param layer: the layer's name, as in ``model.named_modules()``; its output is (batch, channels, height, width).
    :param channels: the first so many channels, or the indices of those to show.
    :param sample: which input of the batch.
    :param title: a title for the figure.
    :param caption: what is to be seen, below the figure.
    :raises ValueError: for an unknown layer, an output that is no map over space, an unknown channel or sample.
    """
    captured = capture(model, x, [layer])
    output = captured[layer].get("output")
    if output is None or output.ndim != 4:
        shape = "several tensors" if output is None else f"shape {tuple(output.shape)}"
        raise ValueError(f"layer={layer!r}: expected an output (batch, channels, height, width), received {shape}")
    (sample,) = indices([sample], len(output), "sample")
    chosen = indices(channels, output.shape[1], "channels")
    maps = output[sample, chosen].float()
    fig, first, axes = _panels(len(chosen))
    draw_picture(first, picture(captured.inputs[sample]), "input")
    signed = bool((maps < 0).any())
    top = float(np.quantile(maps.abs().numpy(), 0.995)) or float(maps.abs().max()) or 1.0  # borders have outliers
    norm = mpl.colors.Normalize(-top if signed else 0.0, top)
    for ax, channel, values in zip(axes, chosen, maps, strict=False):
        drawn = ax.imshow(values.numpy(), cmap="PuOr_r" if signed else style.HEAT, norm=norm)
        ax.set_title(f"{channel}", fontsize=10)
    colour_bar(fig, drawn, "value of the feature map", extend="both" if signed else "max")
    if title:
        fig.suptitle(title, fontsize=12)
    strength = maps.square().mean(dim=(1, 2)).sqrt()
    order = strength.argsort(descending=True).tolist()
    named = ", ".join(f"{chosen[i]} ({strength[i]:.2g})" for i in order[:3])
    silent = [str(chosen[i]) for i in range(len(chosen)) if not maps[i].any()]
    alt = (
        f"{len(chosen)} of the {output.shape[1]} channels that {called(layer)} computes, each a picture of "
        f"{output.shape[2]} × {output.shape[3]} cells beside the input, on one scale from {float(maps.min()):.2g} to "
        f"{float(maps.max()):.2g}. Strongest by root mean square: {named}."
    )
    if silent:
        alt += f" Silent: {', '.join(silent)}."
    style.show(fig, alt, caption=caption, colours=128)


def _panels(count: int) -> tuple[Figure, Axes, list[Axes]]:
    """Make a large panel at the upper left and ``count`` small ones around it, five in a row, all without axes."""
    rows = max(2, 2 + ceil((count - 6) / 5))
    fig, grid = style.figure(rows, 5, width=WIDTH, height=0.8 + rows * (WIDTH / 5 + 0.2))
    corner = grid[0, 0].get_gridspec()[:2, :2]
    for ax in grid[:2, :2].flat:
        ax.remove()
    large, small = fig.add_subplot(corner), [ax for ax in grid.flat if ax.figure is not None]
    for ax in (large, *small):
        ax.axis("off")
    return fig, large, small
