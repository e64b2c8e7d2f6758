"""Does it matter that a map belongs to its image? Run a model with the maps of other images."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attention.lab.maps.captured import Captured
from attention.lab.maps.finding import Site, compact
from attention.lab.maps.fused import rows_of, same
from attention.lab.maps.recording import check, record, tensors_in

__all__ = ["Exchanged", "exchanged"]


@dataclass(frozen=True)
class Exchanged:
    """Scores of one model with three kinds of maps in one layer.

    :param own: with each image's own map, as the model is.
    :param another: with each image's map replaced by another image's.
    :param mean: with the mean of the batch's maps for all images.
    :param layer: the layer.
    :param name: the map.
    :param images: how many images there were.
    """

    own: float
    another: float
    mean: float
    layer: str
    name: str
    images: int

    def sentence(self) -> str:
        """Say it in one line."""
        where = f"{self.name!r} of {self.layer or 'the model'}"
        return (
            f"map {where}, {self.images} images: own {self.own:.3f}, another image's {self.another:.3f}, "
            f"the mean {self.mean:.3f}"
        )


def exchanged(
    model: nn.Module,
    x: Tensor | dict | tuple,
    score: Callable[[Any], float],
    *,
    layer: str | None = None,
    name: str | None = None,
    seed: int = 0,
) -> Exchanged:
    """Score a model with each image's own map, with another image's, and with the mean map of the batch.

    If the three scores are alike, it does not matter that the map depends on the image: a constant would do. One map
    of one layer is replaced, where the run makes it (a map that a block declares) or where it multiplies (a map that
    :func:`attention.lab.maps.capture` finds); all that follows is computed with it. Every image gets the map of another
    one: the images change maps around one random cycle. The model runs four times in evaluation mode and is left as it
    was; the run with own maps put back in must give the model's own output.

    What it cannot do: exchange a map that a block declares but does not use as such (a mean over heads that is computed
    for show; the message says so); a map whose first axis is not the batch, or whose batch is mixed with other axes; a
    map in a layer that runs several times, but in one of its runs; and a model of which two runs differ, by random
    numbers that are drawn in evaluation mode or by a path that depends on values. What other layers compute from a
    foreign map is not what they were trained on: a lower score shows that the map of the image matters to *this*
    network, not that a network trained without it would be worse.

    :param model: as for ``capture``.
    :param x: the input, as for ``capture``; of at least two images.
    :param score: takes what the model returns for ``x``, and returns a number: an accuracy, say.
    :param layer: the layer whose map is exchanged; may be left out where only one has maps.
    :param name: the map's name; may be left out where the layer has one.
    :param seed: of the cycle.
    :returns: the three scores.
    :raises ValueError: for an unknown layer or map, for fewer than two images, and for what cannot be exchanged.
    """
    inputs = check(model, x)
    captured, output, sites = record(model, inputs, find=True)
    layer, name = captured.which(layer, name)
    where = f"the map {name!r} of {layer or 'the model'}"
    if (layer, name) not in sites:
        raise ValueError(
            f"{where} cannot be exchanged: the model's output does not depend on this tensor, or the tensor does not "
            "depend on the input"
        )
    batch = captured.inputs.shape[0]
    if batch < 2:
        raise ValueError(f"x has {batch} image; to exchange maps takes at least 2")
    order = _cycle(batch, seed)
    run = _Run(model, inputs, sites[layer, name], batch, where)
    own = run.with_map(lambda map_: map_)
    outputs = (tensors_in(each).values() for each in (own[1], output))
    if not all(same(ours, plain) for ours, plain in zip(*outputs, strict=True)):
        raise ValueError(f"{where} cannot be exchanged: with its own values put back the model gives another output")
    another = run.with_map(lambda map_: map_[order])
    if (layer, name) in captured.declared:
        expected = captured[layer][name][order]
        if not same(another[0][layer][name], expected):
            raise ValueError(f"{where} cannot be exchanged: where it is made, its first axis is not the batch alone")
    mean = run.with_map(lambda map_: map_.mean(0, keepdim=True).expand_as(map_))
    first, second, third = (float(score(each)) for each in (output, another[1], mean[1]))
    return Exchanged(first, second, third, layer, name, batch)


class _Run:
    """Runs of one model in which one map is replaced."""

    def __init__(self, model: nn.Module, inputs: tuple, site: Site, batch: int, where: str) -> None:
        self._model, self._inputs, self._site = model, inputs, site
        self._batch, self._where = batch, where
        self._original: Tensor | None = None

    def with_map(self, change: Callable[[Tensor], Tensor]) -> tuple[Captured, Any]:
        """Run with a map changed along its first axis; return the recording and the output."""

        def put(map_: Tensor) -> Tensor:
            if self._original is None:
                self._original = map_.clone()  # that of the first run, which is the model's own
            first = len(map_)
            if map_.ndim == 0 or first % self._batch or map_.shape != self._original.shape:
                raise ValueError(
                    f"{self._where} cannot be exchanged: its shape is {tuple(map_.shape)} where it acts, and its first "
                    f"axis is not the batch of {self._batch}"
                )
            return change(self._original.unflatten(0, (self._batch, -1))).flatten(0, 1)

        captured, output, _ = record(self._model, self._inputs, around=_Replaces(self._site, put))
        return captured, output


def _cycle(count: int, seed: int) -> Tensor:
    """Draw one cycle through all images: whose map each of them gets. Nobody keeps its own."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    following = torch.empty_like(order)
    following[order] = order.roll(1)
    return following


class _Replaces(TorchDispatchMode):
    """A context in which one operation of a run gets another map."""

    def __init__(self, site: Site, put: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._site, self._put = site, put
        self._call = -1

    def __torch_dispatch__(self, func: Any, types: Iterable[type], args: tuple = (), kwargs: Any = None) -> Any:
        """Run one operation; if it is the one, with the other map."""
        kwargs = kwargs or {}
        self._call += 1
        if self._call != self._site.call:
            return func(*args, **kwargs)
        at = self._site.place
        if self._site.kind in ("factor", "rows"):
            given = args[at]
            other = self._put(compact(given) if self._site.kind == "factor" else given).expand_as(given)
            if func._schema.is_mutable and at == 0:  # the product is written over the map: into the same tensor
                given.copy_(other)
                other = given
            return func(*args[:at], other, *args[at + 1 :], **kwargs)
        out = func(*args, **kwargs)
        leaf = tree_leaves(out)[at]
        if self._site.kind == "fused":
            rows, values = rows_of(func, args, kwargs)
            leaf.copy_(self._put(rows) @ values.to(rows.dtype))
        else:
            leaf.copy_(self._put(leaf))
        return out
