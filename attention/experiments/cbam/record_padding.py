"""Where a map knows the place from: zeros around the image. ``make record NAME=cbam.padding``.

* ``edge``: does a bright pixel lie near the edge or in the middle? One block, padded in four ways.
* ``canvas``: a small network learns clothes among clutter, with zeros around every convolution, around all but the
  block's, and around none (what leaves on one side comes back on the other). Then its images are moved around in all
  ways, so that no place of the picture differs from another, and the maps are averaged: what is left of a preference
  is the place's own.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from attention.backbones.resnet import small_resnet
from attention.experiments.cbam import tasks
from attention.hybrid.cbam import ConvolutionalBlockAttention
from attention.lab import maps
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.tasks.canvases import canvas
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import Task
from attention.lab.training import compare

__all__ = ["PADDINGS", "clothes", "network"]

CODE = [
    "attention/contract.py",
    "attention/numerics.py",
    "attention/hybrid/cbam.py",
    "attention/backbones/resnet.py",
    "attention/experiments/cbam/tasks.py",
    "attention/lab/training.py",
    "attention/lab/tasks/canvases.py",
    "attention/lab/tasks/fashion.py",
    "attention/data/fashion_mnist.npz.sha256",
]

_SEEDS = {"smoke": 2, "cpu": 8, "gpu": 8}
#: What the convolutions see beyond the image.
PADDINGS = ("zeros", "reflect", "replicate", "circular")
WIDTHS = (8, 16)
CANVAS = {"size": 32, "scale": (0.7, 0.7), "clutter": 6}
SHIFT = 4  # the network's stride: maps move by whole places
LOOKED_AT = 32  # images that are moved around

Builder = Callable[[], nn.Module]
OFFICIAL = {"bias": True, "norm": True, "zero_init": True}


def edge_reader(mode: str) -> nn.Module:
    """Build the reader of :func:`tasks.edge_or_middle`, padded in one way."""
    block = ConvolutionalBlockAttention(16, 2, bias=True, norm=True)
    return tasks.padded(tasks.reader(block), mode)


def network() -> nn.Module:
    """Build the network, which pads with zeros everywhere."""
    return small_resnet(WIDTHS, attention=lambda channels: ConvolutionalBlockAttention(channels, 4, **OFFICIAL))


def _circular_blocks() -> nn.Module:
    model = network()
    for module in model.modules():
        if isinstance(module, ConvolutionalBlockAttention):
            tasks.padded(module, "circular")
    return model


#: Where the padding of zeros is.
NETWORKS: dict[str, Builder] = {
    "everywhere": network,
    "not in the blocks": _circular_blocks,
    "nowhere": lambda: tasks.padded(network(), "circular"),
}


@cache
def clothes(budget: str) -> Task:
    """Lay the objects on canvases."""
    return canvas(fashion_mnist(*((100, 100) if budget == "smoke" else (3000, 1000))), **CANVAS)


@torch.no_grad()
def place_alone(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Average each block's map over all ways to move the images around.

    :param model: the network.
    :param images: (samples, channels, height, width).
    :returns: the mean map of each block, (height, width) of that block.
    """
    sums: list[Tensor] = []
    height, width = images.shape[2:]
    shifts = [(i, j) for i in range(0, height, SHIFT) for j in range(0, width, SHIFT)]
    for shift in shifts:
        seen = maps.capture(model.eval(), images.roll(shift, dims=(2, 3)))
        means = [found["space"].double().mean((0, 1)) for found in seen.values()]
        sums = [a + b for a, b in zip(sums, means, strict=True)] if sums else means
    return [total / len(shifts) for total in sums]


def middle_less_edge(mean: Tensor) -> float:
    """Compute how much more open a mean map is in the middle half of its rows and columns than outside of it."""
    inner = torch.zeros_like(mean, dtype=torch.bool)
    height, width = mean.shape
    inner[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    return (mean[inner].mean() - mean[~inner].mean()).item()


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one for each experiment and seed."""
    return [{"name": name, "seed": seed} for name in ("edge", "canvas") for seed in range(_SEEDS[budget.name])]


def one_run(budget: Budget, name: str, seed: int) -> dict[str, Any]:
    """Train the models of one experiment with one seed, on the CPU."""
    if name == "edge":
        models = {mode: partial(edge_reader, mode) for mode in PADDINGS}
        options = {"steps": budget.pick(smoke=3, cpu=300), "batch": 32, "lr": 1e-2}
        return compare(models, tasks.edge_or_middle, seeds=(seed,), **options).to_dict()
    task, looked = clothes(budget.name), {}

    def look(arm: str, _: int, model: nn.Module) -> None:
        means = place_alone(model, task.test[0][:LOOKED_AT])
        looked[arm] = {
            "middle less edge": [middle_less_edge(mean) for mean in means],
            "thousandths": [(1000 * mean).round().int().tolist() for mean in means] if seed == 0 else [],
        }

    options = {"steps": budget.pick(smoke=3, cpu=250), "batch": 32, "lr": 1e-2, "keep": look}
    return {"comparison": compare(NETWORKS, task, seeds=(seed,), **options).to_dict(), "looked": looked}


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: two comparisons, the preferences of all maps, the mean maps of seed 0."""
    count = _SEEDS[budget.name]
    edge, canvases = results[:count], results[count:]

    def merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
        return Comparison.merge(map(Comparison.from_dict, parts)).to_dict()

    return {
        "edge": merged(edge),
        "canvas": merged([each["comparison"] for each in canvases]),
        "middle less edge": {arm: [each["looked"][arm]["middle less edge"] for each in canvases] for arm in NETWORKS},
        "thousandths": {arm: canvases[0]["looked"][arm]["thousandths"] for arm in NETWORKS},
    }
