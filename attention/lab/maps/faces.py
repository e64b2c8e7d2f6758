"""Draw maps over space beside their pictures, and maps over channels as bars."""

import textwrap
from collections.abc import Sequence
from math import ceil

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from attention.lab import style
from attention.lab.maps.panels import WIDTH, colour_bar, draw_picture, heat_colours
from attention.lab.maps.pictures import grey, picture

__all__ = ["BARS", "draw_bars", "draw_planes", "say_below"]

#: More bars than this are thinner than a pixel on a phone.
BARS = 128
_NARROW = 4.4  # inches: a figure of one or two pictures; its text is larger on a phone
_LETTER = 0.071  # inches that a letter of 10 points takes, on the wide side


def draw_planes(
    heat: Tensor,
    names: Sequence[str],
    inputs: Sequence[np.ndarray],
    *,
    limits: tuple[float, float] | None,
    smooth: bool,
    overlay: bool,
    outlines: Tensor | None,
    position: tuple[int, int] | None,
) -> tuple[Figure, str]:
    """Draw each picture with its map beside it, in the same size, and say where each map is strongest.

    :param heat: the maps, (pictures, rows, columns).
    :param names: the pictures' names.
    :param inputs: the pictures' pixels, (height, width, 3).
    :param limits: the values of the colour scale's ends.
    :param smooth: interpolate linearly.
    :param overlay: draw the map over the picture in grey.
    :param outlines: where an object is, (pictures, height, width); its outline is drawn on the map.
    :param position: the cell that looks, for maps over pairs.
    :returns: the figure and what it shows, in words.
    """
    low, high = limits or (float(heat.min()), float(heat.max()))
    if high - low < 1e-9:
        low, high = min(low, 0.0), max(high, 1.0)
    norm = mpl.colors.Normalize(low, high, clip=True)
    colours = heat_colours() if overlay else mpl.colormaps[style.HEAT]
    fig, pairs, letters = _pairs_of_panels(len(names), inputs[0].shape[0] / inputs[0].shape[1])
    for i, ((left, right), name, pixels, values) in enumerate(zip(pairs, names, inputs, heat, strict=False)):
        draw_picture(left, pixels, textwrap.fill(name, letters, break_long_words=False))
        frame = (-0.5, pixels.shape[1] - 0.5, pixels.shape[0] - 0.5, -0.5)
        if overlay:
            right.imshow(grey(pixels), extent=frame)
        right.imshow(
            values.numpy(),
            cmap=colours,
            norm=norm,
            extent=frame,
            interpolation="bilinear" if smooth else "none",
        )
        right.set(xlim=frame[:2], ylim=frame[2:])
        right.set_title(f"{float(values.min()):.2g} to {float(values.max()):.2g}", fontsize=10)
        if outlines is not None:
            _outline(right, outlines[i], pixels.shape[0] / outlines.shape[1], pixels.shape[1] / outlines.shape[2])
        if position is not None:
            cell_y, cell_x = pixels.shape[0] / values.shape[0], pixels.shape[1] / values.shape[1]
            at = ((position[1] + 0.5) * cell_x - 0.5, (position[0] + 0.5) * cell_y - 0.5)
            for ax in (left, right):
                ax.plot(
                    *at, "o", markersize=8, color="white", markeredgecolor=style.COLOURS["block"], markeredgewidth=3
                )
    colour_bar(fig, mpl.cm.ScalarMappable(norm, colours), "value of the map", ends=True)
    how = "interpolated linearly" if smooth else "each cell one flat rectangle"
    pictures = f"{len(names)} pictures, each" if len(names) > 1 else "A picture"
    where = "beside it, over the picture in grey" if overlay else "beside it"
    alt = f"{pictures} with its map of {heat.shape[1]} × {heat.shape[2]} cells in colour {where} ({how}). "
    told = [_strongest(name, values) for name, values in zip(names, heat, strict=True)]
    if outlines is not None:
        alt += "On the map the outline of the object. "
        told = [each + _within(values, mask) for each, values, mask in zip(told, heat, outlines, strict=True)]
    return fig, alt + _some(told)


def say_below(fig: Figure, text: str) -> None:
    """Write a line below all panels, in as many lines as it takes."""
    letters = int((fig.get_figwidth() - 0.2) / _LETTER)
    fig.supxlabel("\n".join(textwrap.wrap(text, letters)), fontsize=10)


def _pairs_of_panels(count: int, aspect: float) -> tuple[Figure, list[tuple[Axes, Axes]], int]:
    """Make two panels side by side for each sample, and say how many letters fit above one.

    One or two samples stand one below the other in a narrow figure, more of them two in a row.
    """
    beside = 1 if count < 3 else 2
    rows = ceil(count / beside)
    width = _NARROW if beside == 1 else WIDTH
    panel = width / (2 * beside) - 0.12
    fig, grid = style.figure(rows, 2 * beside, width=width, height=1.25 + rows * (panel * aspect + 0.36), squeeze=False)
    for ax in fig.axes:
        ax.axis("off")
    pairs = [(row[2 * i], row[2 * i + 1]) for row in grid for i in range(beside)]
    return fig, pairs, int(panel / _LETTER)


def _outline(ax: Axes, mask: Tensor, step_y: float, step_x: float) -> None:
    """Draw the edge of a mask, whose cells are so many pixels of the picture, seen on light and dark."""
    padded = np.pad(mask.numpy().astype(float), 1)  # what reaches the border is closed there
    ys = (np.arange(padded.shape[0]) - 0.5) * step_y - 0.5
    xs = (np.arange(padded.shape[1]) - 0.5) * step_x - 0.5
    if mask.any():
        ax.contour(xs, ys, padded, levels=[0.5], colors="white", linewidths=3)
        ax.contour(xs, ys, padded, levels=[0.5], colors=style.COLOURS["block"], linewidths=1.5)


def _within(values: Tensor, mask: Tensor) -> str:
    """Say how high a map is within an outline, and how high outside it."""
    size = tuple(mask.shape)
    fine = torch.nn.functional.interpolate(values[None, None].float(), size=size, mode="nearest-exact")[0, 0]
    if not mask.any() or mask.all():
        return ""
    return f" Mean within the outline {float(fine[mask].mean()):.2g}, outside it {float(fine[~mask].mean()):.2g}."


def _some(told: list[str]) -> str:
    """Join what is told of each input; a long list helps nobody who listens to it."""
    more = f" And {len(told) - 6} more." if len(told) > 6 else ""
    return " ".join(told[:6]) + more


def _strongest(name: str, values: Tensor) -> str:
    if float(values.max() - values.min()) < 1e-6:
        return f"{name}: {float(values.mean()):.2f} everywhere."
    row, column = divmod(int(values.argmax()), values.shape[1])
    return (
        f"{name}: from {float(values.min()):.2g} to {float(values.max()):.2g}, strongest "
        f"{_region(row, column, *values.shape)} (row {row}, column {column})."
    )


def _region(row: int, column: int, height: int, width: int) -> str:
    """Name the ninth of the picture in which a cell's centre lies."""
    vertical = ("upper", "", "lower")[int(3 * (row + 0.5) / height)]
    horizontal = ("left", "", "right")[int(3 * (column + 0.5) / width)]
    if vertical and horizontal:
        return f"in the {vertical} {horizontal}"
    alone = {"upper": "at the top", "lower": "at the bottom", "left": "at the left", "right": "at the right"}
    return alone.get(vertical or horizontal, "in the middle")


def draw_bars(
    gates: Tensor,
    chosen: list[int],
    names: list[str],
    inputs: Tensor,
    limits: tuple[float, float] | None,
) -> tuple[Figure, str]:
    """Draw a bar for each channel, one row an input, the input beside it, and say which channels are highest.

    :param gates: the maps of the whole batch, (batch, channels).
    :param chosen: which of them are drawn.
    :param names: the names of those.
    :param inputs: the pictures of the whole batch; anything else is not drawn.
    :param limits: the ends of the bars' axis.
    :returns: the figure and what it shows, in words.
    """
    count = gates.shape[1]
    if count > BARS:
        raise ValueError(f"the map has {count} channels; at most {BARS} bars can be told apart: use maps.by_class")
    pictured = inputs.ndim == 4
    fig, grid = style.figure(
        len(names),
        2 if pictured else 1,
        width=WIDTH,
        height=1.0 + 1.15 * len(names),
        squeeze=False,
        width_ratios=[1, 4.2] if pictured else None,
    )
    mean = gates.mean(dim=0)
    low, high = limits or (min(0.0, float(gates.min())), float(gates.max()) * 1.05 or 1.0)
    told = []
    for row, i, name in zip(grid, chosen, names, strict=True):
        ax, values = row[-1], gates[i]
        order = values.argsort(descending=True, stable=True).tolist()
        ax.bar(range(count), values.numpy(), width=0.8, color=style.COLOURS["sixth"])
        if len(gates) > 1:
            ax.hlines(
                mean.numpy(), np.arange(count) - 0.4, np.arange(count) + 0.4, color=style.COLOURS["ink"], linewidth=1.5
            )
        ax.set(ylim=(low, high), xlim=(-0.6, count - 0.4), ylabel="gate")
        ax.xaxis.set_major_locator(mpl.ticker.FixedLocator(_ticks(count)))
        ax.tick_params(labelbottom=ax is grid[-1, -1])
        if pictured:
            row[0].axis("off")
            draw_picture(row[0], picture(inputs[i]), name)
        else:
            ax.set_title(name, loc="left", fontsize=10)
        top = ", ".join(f"{j} ({values[j]:.2f})" for j in order[:3])
        told.append(f"{name}: highest in channels {top}; lowest in channel {order[-1]} ({values[order[-1]]:.2f}).")
    grid[-1, -1].set_xlabel("channel")
    alt = f"A bar for each channel, one row for each of {len(names)} inputs"
    alt += ", with a black mark at the channel's mean over the batch. " if len(gates) > 1 else ". "
    return fig, alt + _some(told)


def _ticks(count: int) -> list[int]:
    step = next(step for step in (1, 2, 4, 8, 16, 32) if count / step <= 17)
    return list(range(0, count, step))
