"""Show attention maps over their input."""

from collections.abc import Collection, Sequence
from math import ceil

import matplotlib as mpl
import numpy as np
from einops import rearrange
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from attention.contract import Map
from attention.lab import style
from attention.lab.maps.panels import WIDTH, called, colour_bar, draw_picture, heat_colours, indices
from attention.lab.maps.pictures import grey, picture
from attention.lab.maps.recording import Captured, Declared

__all__ = ["show"]

_BARS = 128  # more bars than this are thinner than a pixel on a phone


def show(
    captured: Captured,
    layer: str | None = None,
    name: str | None = None,
    *,
    samples: int | Sequence[int] = 4,
    labels: Sequence[str] | None = None,
    position: tuple[int, int] | None = None,
    select: dict[str, int] | None = None,
    limits: tuple[float, float] | None = None,
    smooth: bool = False,
    title: str = "",
) -> None:
    """Show one attention map with its input, as its declared dims ask for.

    * A map over space (``b 1 h w``, ``b c h 1``, …) is laid over the input as colour: light and transparent where it
      is small, dark and opaque where it is large. By default each cell of the map is drawn as one flat rectangle
      (nearest neighbour), so that its resolution is seen; ``smooth`` interpolates linearly.
    * A map over channels (``b c 1 1``) becomes a bar for each channel, with a mark at its mean over the whole batch.
    * A map over pairs of positions (``b (h w) (h w)``) shows one row of the matrix: where ``position`` looks.

    :param captured: what :func:`capture` returned; the pictures come from its input.
    :param layer: the layer's name; may be left out where only one layer was recorded. A layer that declares no maps
        (somebody else's block), recorded by its name, is shown as its output's shape asks for: (batch, channels, 1, 1)
        as bars, any other of four axes as a map over space.
    :param name: the map's name; may be left out where the layer has one.
    :param samples: the first so many inputs, or the indices of those to show.
    :param labels: a name for each input of the batch.
    :param position: for pairs: (row, column) of the position that looks, in cells of the map, from 0.
    :param select: an index for each further axis of the map, by its letter: ``{"m": 0}``. Of a map over space and
        channels the mean over channels is shown unless ``select`` names a channel.
    :param limits: the values of the colour scale's ends, or of the bars' axis; by default the smallest and largest
        value shown, and for bars 0 and the largest that the map's kind allows.
    :param smooth: interpolate a map over space linearly.
    :param title: a title for the figure.
    :raises TypeError: for anything but the result of :func:`capture`.
    :raises ValueError: for an unknown layer, map, sample or position, where one has to be named, for a map whose dims
        none of the three pictures fits, and for an output that is not declared and has not four axes.
    """
    layer, name, declared = _choose(captured, layer, name)
    tensor = captured[layer][name].float()
    chosen = indices(samples, len(tensor))
    if labels is not None and len(labels) != len(tensor):
        raise ValueError(f"labels has {len(labels)} names for a batch of {len(tensor)}")
    names = [labels[i] if labels is not None else f"input {i}" for i in chosen]
    what = "Attention map" if (layer, name) in captured.declared else "What was recorded as"
    about = f"{what} {name!r} of {called(layer)}"
    tensor, axes, said = _select(tensor, declared, select or {})
    space = [axis for axis in axes[1:] if {"h", "w"} & set(axis)]
    if not space and [axis for axis in axes[1:] if axis == ("c",)]:
        gates = tensor.reshape(len(tensor), -1)
        fig, alt = _bars(gates, chosen, names, captured.inputs, limits or _natural(declared))
        said = [f"{gates.shape[1]} channels", *said]
    elif len(space) == 2 and all(set(axis) == {"h", "w"} for axis in space):
        heat, position = _row(tensor, declared, position)
        said = [*said, f"where row {position[0]}, column {position[1]} looks"]
        fig, alt = _heat(heat[chosen], names, _inputs(captured, chosen), limits, smooth, position)
    elif space:
        heat = _plane(tensor, declared)
        fig, alt = _heat(heat[chosen], names, _inputs(captured, chosen), limits, smooth, None)
    else:
        raise ValueError(f"the map {name!r} is declared {declared.map.dims!r}: no channels and no space to show")
    if title:
        fig.suptitle(title, fontsize=12)
    style.show(fig, f"{about}, {', '.join(said)}. {alt}" if said else f"{about}. {alt}", colours=128)


def _choose(captured: Captured, layer: str | None, name: str | None) -> tuple[str, str, Declared]:
    if not isinstance(captured, Captured):
        raise TypeError(f"captured: expected what maps.capture returns, received {type(captured).__name__}")
    layers = list(dict.fromkeys(path for path, _ in captured.declared)) or list(captured)
    layer = _one("layer", layer, layers, captured)
    names = [n for path, n in captured.declared if path == layer] or list(captured[layer])
    name = _one("name", name, names, captured[layer])
    return layer, name, captured.declared.get((layer, name)) or _by_shape(layer, name, captured[layer][name])


def _one(what: str, given: str | None, usual: list[str], all_: Collection[str]) -> str:
    """Return the one that is meant: what was named, or the only one that would usually be."""
    if given is None and len(usual) == 1:
        return usual[0]
    if given not in all_:
        raise ValueError(f"{what}={given!r} is not one of the recorded: {', '.join(map(repr, usual))}")
    return given


def _by_shape(layer: str, name: str, tensor: Tensor) -> Declared:
    """Give an output that nothing declares the dims of its shape."""
    if tensor.ndim != 4:
        raise ValueError(
            f"{name!r} of {called(layer)} has shape {tuple(tensor.shape)}, and no attention.contract.Map declares its "
            "axes; without one, only outputs of (batch, channels, height, width) are shown. Take the numbers from "
            f"captured[{layer!r}][{name!r}], or name a part of the layer that puts out such a map"
        )
    plane = "1 1" if tensor.shape[2:] == (1, 1) else "h w"
    channels = "1" if tensor.shape[1] == 1 and plane == "h w" else "c"
    return Declared(Map(f"b {channels} {plane}", "real"), dict(zip("bchw", tensor.shape, strict=True)))


def _inputs(captured: Captured, chosen: Sequence[int]) -> list[np.ndarray]:
    if captured.inputs.ndim != 4:
        raise ValueError(
            f"the input has shape {tuple(captured.inputs.shape)}; a map is laid over (batch, c, h, w) only"
        )
    return [picture(captured.inputs[i]) for i in chosen]


def _select(
    tensor: Tensor, declared: Declared, select: dict[str, int]
) -> tuple[Tensor, list[tuple[str, ...]], list[str]]:
    """Fix the axes that no picture has room for; return the map, the axes that stay, and what was done, in words."""
    axes = list(declared.map.axes)
    known = {letter for axis in axes for letter in axis} - {"b", "h", "w", "1"}
    if wrong := set(select) - known:
        allowed = ", ".join(sorted(known)) or "none"
        raise ValueError(f"select names {sorted(wrong)}; allowed for {declared.map.dims!r}: {allowed}")
    spatial = any({"h", "w"} & set(axis) for axis in axes)
    said = []
    for at in reversed(range(1, len(axes))):
        letter = axes[at][0] if len(axes[at]) == 1 else ""
        if letter in select:
            indices([select[letter]], tensor.shape[at], f"select[{letter!r}]")
            tensor = tensor.select(at, select[letter])
            said.append(f"{'channel' if letter == 'c' else letter} {select[letter]}")
        elif letter == "c" and spatial:
            tensor = tensor.mean(at)
            said.append("mean over channels")
        elif not letter or letter in "chw":
            continue
        elif tensor.shape[at] == 1:
            tensor = tensor.squeeze(at)
        else:
            raise ValueError(
                f"the map is declared {declared.map.dims!r}: choose one of the {tensor.shape[at]} "
                f"with select={{{letter!r}: …}}"
            )
        del axes[at]
    return tensor, axes, said


def _plane(tensor: Tensor, declared: Declared) -> Tensor:
    """Bring a map over space to (batch, rows, columns); an axis that it lacks gets size 1, and is stretched."""
    axes = [axis for axis in declared.map.axes[1:] if {"h", "w"} & set(axis)]
    if axes == [("h", "w")]:
        return rearrange(tensor, "b (h w) -> b h w", h=declared.sizes["h"])
    plane = {("h",): "b h -> b h 1", ("w",): "b w -> b 1 w", ("h", "w"): "b h w -> b h w"}
    letters = tuple(axis[0] for axis in axes if len(axis) == 1)
    if letters not in plane or tensor.ndim != len(letters) + 1:
        raise ValueError(f"the map is declared {declared.map.dims!r}: none of the pictures fits")
    return rearrange(tensor, plane[letters])


def _row(tensor: Tensor, declared: Declared, position: tuple[int, int] | None) -> tuple[Tensor, tuple[int, int]]:
    """Take from a map over pairs the row of one position, as (batch, rows, columns)."""
    h, w = declared.sizes["h"], declared.sizes["w"]
    if position is None or not (0 <= position[0] < h and 0 <= position[1] < w):
        raise ValueError(f"position={position} is not on the map; allowed: (0, 0) to ({h - 1}, {w - 1})")
    pairs = rearrange(tensor, "b (i j) (h w) -> b i j h w", i=h, h=h)
    return pairs[:, position[0], position[1]], position


def _natural(declared: Declared) -> tuple[float, float] | None:
    return (0.0, 1.0) if declared.map.kind in ("sigmoid", "mask") else None


def _heat(
    heat: Tensor,
    names: list[str],
    inputs: list[np.ndarray],
    limits: tuple[float, float] | None,
    smooth: bool,
    position: tuple[int, int] | None,
) -> tuple[Figure, str]:
    """Draw each input with the same input under its map, and say where each map is strongest."""
    low, high = limits or (float(heat.min()), float(heat.max()))
    if high - low < 1e-9:
        low, high = min(low, 0.0), max(high, 1.0)
    norm = mpl.colors.Normalize(low, high, clip=True)
    fig, grid = _pairs_of_panels(len(names), inputs[0].shape[0] / inputs[0].shape[1])
    for (above, below), name, pixels, values in zip(grid, names, inputs, heat, strict=False):
        draw_picture(above, pixels, name)
        frame = (-0.5, pixels.shape[1] - 0.5, pixels.shape[0] - 0.5, -0.5)
        below.imshow(grey(pixels), extent=frame)
        below.imshow(
            values.numpy(),
            cmap=heat_colours(),
            norm=norm,
            extent=frame,
            interpolation="bilinear" if smooth else "nearest",
        )
        below.set_xlim(frame[:2])
        below.set_ylim(frame[2:])
        if position is not None:
            cell_y, cell_x = pixels.shape[0] / values.shape[0], pixels.shape[1] / values.shape[1]
            at = ((position[1] + 0.5) * cell_x - 0.5, (position[0] + 0.5) * cell_y - 0.5)
            below.plot(*at, "o", markersize=8, color="white", markeredgecolor=style.COLOURS["block"], markeredgewidth=3)
    colour_bar(fig, mpl.cm.ScalarMappable(norm, heat_colours()), "attention")
    how = "interpolated linearly" if smooth else "each cell one flat rectangle"
    pictures = f"{len(names)} pictures, each" if len(names) > 1 else "A picture"
    alt = f"{pictures} with its map of {heat.shape[1]} × {heat.shape[2]} cells in colour over it ({how}). "
    told = [_strongest(name, values) for name, values in zip(names, heat, strict=True)]
    return fig, alt + _some(told)


def _pairs_of_panels(count: int, aspect: float) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """Make two panels a sample, for the input and its map: one below the other, or side by side for a single sample."""
    if count == 1:
        fig, (left, right) = style.figure(1, 2, width=WIDTH, height=0.9 + 0.97 * WIDTH / 2 * aspect)
        pairs = [(left, right)]
    else:
        columns = min(count, 4)
        rows = ceil(count / columns)
        height = 0.7 + rows * (1.92 * WIDTH / columns * aspect + 0.3)
        fig, grid = style.figure(2 * rows, columns, width=WIDTH, height=height, squeeze=False)
        pairs = [(grid[2 * r, c], grid[2 * r + 1, c]) for r in range(rows) for c in range(columns)]
    for ax in fig.axes:
        ax.axis("off")
    return fig, pairs


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


def _bars(
    gates: Tensor,
    chosen: list[int],
    names: list[str],
    inputs: Tensor,
    limits: tuple[float, float] | None,
) -> tuple[Figure, str]:
    """Draw a bar for each channel, one row an input, the input beside it, and say which channels are highest."""
    count = gates.shape[1]
    if count > _BARS:
        raise ValueError(f"the map has {count} channels; at most {_BARS} bars can be told apart: use maps.by_class")
    pictured = inputs.ndim == 4
    fig, grid = style.figure(
        len(names),
        2 if pictured else 1,
        width=WIDTH,
        height=0.7 + 1.15 * len(names),
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
