"""Show attention maps beside their input."""

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool
from torch import Tensor

from attention.contract import Map
from attention.lab import style
from attention.lab.maps.captured import Captured, Declared, grid_of
from attention.lab.maps.faces import draw_bars, draw_planes, say_below
from attention.lab.maps.panels import called, indices
from attention.lab.maps.pictures import picture
from attention.lab.maps.statistics import statistics_of

__all__ = ["show"]

#: Axes of maps that were found which may form a grid over the picture.
_TOKENS = frozenset({"n", "k"})


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
    overlay: bool = False,
    outlines: Bool[Tensor, "batch height width"] | None = None,
    title: str = "",
    caption: str = "",
) -> None:
    """Show one attention map with its input, as its declared dims ask for.

    * A map over space (``b 1 h w``, ``b c h 1``, …) stands beside its input, in the same size: light where it is small,
      dark where it is large, with its smallest and largest value above. By default each cell of the map is drawn as one
      flat rectangle (nearest neighbour), so that its resolution is seen; ``smooth`` interpolates linearly. With
      ``overlay`` it is laid over the input in grey, transparent where it is small. ``outlines`` are drawn on it.
    * A map over channels (``b c 1 1``) becomes a bar for each channel, with a mark at its mean over the whole batch.
    * A map over pairs of positions (``b (h w) (h w)``) shows one row of the matrix: where ``position`` looks.

    Below stand the map's :func:`statistics` over the whole batch: its range, the share of saturated values, or the
    largest weight of a softmax, and how much it changes with the image.

    :param captured: what :func:`capture` returned; the pictures come from its input.
    :param layer: the layer's name; may be left out where only one layer was recorded. What a module that declares no
        maps puts out, recorded by its name, is shown as its shape asks for: (batch, channels, 1, 1) as bars, any other
        of four axes as a map over space. Of maps that were found in tokens, those that form a grid over the picture
        are shown on it, without the tokens before it (a class token).
    :param name: the map's name; may be left out where the layer has one.
    :param samples: the first so many inputs, or the indices of those to show.
    :param labels: a name for each input of the batch.
    :param position: for pairs: (row, column) of the position that looks, in cells of the map, from 0.
    :param select: an index for each further axis of the map, by its letter: ``{"m": 0}``. Of a map over space and
        channels the mean over channels is shown unless ``select`` names a channel.
    :param limits: the values of the colour scale's ends, or of the bars' axis; by default the smallest and largest
        value shown, and for bars 0 and the largest that the map's kind allows.
    :param smooth: interpolate a map over space linearly.
    :param overlay: lay a map over space over its input.
    :param outlines: for each input of the batch where an object is: its outline is drawn on a map over space. Of the
        input's height and width.
    :param title: a title for the figure.
    :param caption: what is to be seen, below the figure.
    :raises TypeError: for anything but the result of :func:`capture`.
    :raises ValueError: for an unknown layer, map, sample or position, where one has to be named, for a map whose dims
        none of the three pictures fits, for an output that is not declared and has not four axes, and for outlines of
        another shape or type, or with a map over channels.
    """
    layer, name, declared = _choose(captured, layer, name)
    tensor = captured[layer][name].float()
    if declared.map.axes[0] != ("b",):
        raise ValueError(f"the map {name!r} has the axes {declared.map.dims!r}: its first is not the batch")
    chosen = indices(samples, len(tensor))
    if labels is not None and len(labels) != len(tensor):
        raise ValueError(f"labels has {len(labels)} names for a batch of {len(tensor)}")
    names = [labels[i] if labels is not None else f"input {i}" for i in chosen]
    what = "Attention map" if captured.known(layer, name) else "What was recorded as"
    about = f"{what} {name!r} of {called(layer)}{', found' if (layer, name) in captured.found else ''}"
    numbers = statistics_of(tensor, declared.map).sentence()
    open_ = _TOKENS if (layer, name) in captured.found else frozenset()
    tensor, axes, said = _select(tensor, declared, select or {}, open_, captured.inputs)
    if ("c",) in axes and not any({"h", "w", *open_} & set(axis) for axis in axes):
        if outlines is not None:
            raise ValueError(f"outlines: the map {name!r} has no space to draw them on; it is {declared.map.dims!r}")
        gates = tensor.reshape(len(tensor), -1)
        fig, alt = draw_bars(gates, chosen, names, captured.inputs, limits or _natural(declared))
        said = [f"{gates.shape[1]} channels", *said]
    else:
        heat, position, more = _heat(tensor, axes, declared, captured.inputs, position)
        fig, alt = draw_planes(
            heat[chosen],
            names,
            _inputs(captured, chosen),
            limits=limits,
            smooth=smooth,
            overlay=overlay,
            outlines=None if outlines is None else _checked(outlines, captured.inputs)[chosen],
            position=position,
        )
        said += more
    say_below(fig, f"{f'All {len(tensor)} images' if len(tensor) > 1 else 'One image'}: {numbers}")
    if title:
        fig.suptitle(title, fontsize=12)
    whole = f" The whole map, {len(tensor)} image{'s' if len(tensor) > 1 else ''}: {numbers}."
    alt = f"{about}, {', '.join(said)}. {alt}" if said else f"{about}. {alt}"
    style.show(fig, alt + whole, caption=caption, colours=128)


def _checked(outlines: Tensor, inputs: Tensor) -> Tensor:
    """Refuse outlines that do not belong to the pictures."""
    expected = (len(inputs), *inputs.shape[2:])
    if not isinstance(outlines, Tensor) or outlines.dtype != torch.bool or tuple(outlines.shape) != expected:
        given = f"{outlines.dtype} {tuple(outlines.shape)}" if isinstance(outlines, Tensor) else type(outlines).__name__
        raise ValueError(f"outlines: expected a tensor of torch.bool {expected}, received {given}")
    return outlines.cpu()


def _heat(
    tensor: Tensor,
    axes: list[tuple[str, ...]],
    declared: Declared,
    inputs: Tensor,
    position: tuple[int, int] | None,
) -> tuple[Tensor, tuple[int, int] | None, list[str]]:
    """Bring a map to (batch, rows, columns); return it, the position that looks, if one does, and more words."""
    space = [axis for axis in axes[1:] if {"h", "w"} & set(axis)]
    if len(space) == 2 and all(set(axis) == {"h", "w"} for axis in space):
        heat, (row, column) = _row(tensor, declared, position)
        return heat, (row, column), [f"where row {row}, column {column} looks"]
    if space:
        return _plane(tensor, declared), None, []
    grid = grid_of(tensor.shape[1], inputs) if tensor.ndim == 2 else None
    if grid is None:
        raise ValueError(f"the map is declared {declared.map.dims!r}: no channels and no space to show")
    before, rows, columns = grid
    heat = rearrange(tensor[:, before:], "b (h w) -> b h w", h=rows, w=columns)
    return heat, None, [f"without {before} token{'s' if before > 1 else ''} before the grid"] if before else []


def _choose(captured: Captured, layer: str | None, name: str | None) -> tuple[str, str, Declared]:
    if not isinstance(captured, Captured):
        raise TypeError(f"captured: expected what maps.capture returns, received {type(captured).__name__}")
    layer, name = captured.which(layer, name)
    return layer, name, captured.known(layer, name) or _by_shape(layer, name, captured[layer][name])


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
    tensor: Tensor, declared: Declared, select: dict[str, int], open_: frozenset[str], inputs: Tensor
) -> tuple[Tensor, list[tuple[str, ...]], list[str]]:
    """Fix the axes that no picture has room for; return the map, the axes that stay, and what was done, in words.

    :param open_: letters of axes that stay where they form a grid over the inputs.
    """
    axes = list(declared.map.axes)
    known = {letter for axis in axes for letter in axis} - {"b", "h", "w", "1"}
    if wrong := set(select) - known:
        allowed = ", ".join(sorted(known)) or "none"
        raise ValueError(f"select names {sorted(wrong)}; allowed for {declared.map.dims!r}: {allowed}")
    grids = open_ - set(select)
    spatial = any({"h", "w", *grids} & set(axis) for axis in axes)
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
        elif not letter or letter in "chw" or (letter in grids and grid_of(tensor.shape[at], inputs)):
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
