"""A map that looks right and decides nothing: ``make record NAME=cbam.map``, for the page on what maps explain.

A small residual network with two blocks of CBAM learns Fashion-MNIST among clutter. Then three questions are asked of
each of its four maps, those of positions and those of channels:

* Does it look right? For a map of positions: how often a place on the object has a larger weight than a place off it.
* Does it look as right before training? The same, in a network with random weights.
* Does it matter that it belongs to its image? The accuracy with each image's own map, with another image's, and with
  the mean map for all.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from attention.backbones.resnet import small_resnet
from attention.hybrid.cbam import ConvolutionalBlockAttention
from attention.lab import maps
from attention.lab.session import Budget
from attention.lab.tasks.canvases import canvas
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import Task
from attention.lab.training import fit

CODE = [
    "attention/contract.py",
    "attention/numerics.py",
    "attention/hybrid/cbam.py",
    "attention/backbones/resnet.py",
    "attention/lab/training.py",
    "attention/lab/maps/exchange.py",
    "attention/lab/tasks/canvases.py",
    "attention/lab/tasks/fashion.py",
    "attention/data/fashion_mnist.npz.sha256",
]

#: By budget: the seeds and the training.
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"seeds": 2, "steps": 3, "images": (100, 100)},
    "cpu": {"seeds": 8, "steps": 400, "images": (3000, 1000)},
    "gpu": {"seeds": 16, "steps": 400, "images": (3000, 1000)},
}
LR = 3e-3
WIDTHS = (16, 32)
CANVAS = {"size": 32, "scale": (0.7, 0.7)}
CLUTTER = 6
BLOCKS = {"first block": "stages.0.0.attention", "second block": "stages.1.0.attention"}
SHOWN = 4  # pictures that are kept, of as many classes


def network(zero_init: bool = True) -> nn.Module:
    """Build the network.

    :param zero_init: as the authors' code has it, the map of positions starts the same everywhere; a network with
        random weights needs another start to have a map at all.
    """

    def block(channels: int) -> nn.Module:
        return ConvolutionalBlockAttention(channels, 4, bias=True, norm=True, zero_init=zero_init)

    return small_resnet(WIDTHS, attention=block)


@cache
def data(budget: str, clutter: int = CLUTTER) -> Task:
    """Lay the objects on canvases; without clutter they lie in the same places."""
    return canvas(fashion_mnist(*SIZES[budget]["images"]), **CANVAS, clutter=clutter)


def objects(budget: str, height: int, width: int) -> Tensor:
    """Say of each place of a map whether at least half of it is object: (samples, height, width)."""
    there = (data(budget, clutter=0).test[0] > 0).float()
    return adaptive_avg_pool2d(there, (height, width))[:, 0] >= 0.5


def on_object(weights: Tensor, there: Tensor) -> float:
    """Compute how often a place on the object has a larger weight than a place off it; ½ is chance.

    :param weights: (samples, height, width).
    :param there: the same shape, true on the object; samples without both kinds of places are left out.
    :returns: the mean over samples, over all pairs of a place on the object and one off it; a tie counts half.
    """
    shares = []
    for weight, mask in zip(weights, there, strict=True):
        gap = weight[mask][:, None] - weight[~mask]
        if gap.numel():
            shares.append(((gap > 0).double() + (gap == 0).double() / 2).mean())
    return torch.stack(shares).mean().item()


def look(model: nn.Module, budget: str) -> dict[str, Any]:
    """Look at the maps of positions of a network: how often they are larger on the object, and some of them."""
    x, y = data(budget).test
    captured = maps.capture(model.eval(), x)
    chosen = [int((y == label).nonzero()[0]) for label in range(SHOWN)]
    found: dict[str, Any] = {"on object": {}, "hundredths": {}}
    for block, layer in BLOCKS.items():
        weights = captured[layer]["space"][:, 0]
        found["on object"][block] = on_object(weights, objects(budget, *weights.shape[1:]))
        found["hundredths"][block] = (100 * weights[chosen]).round().int().tolist()
    return found


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train the network with one seed on the CPU, look at its maps, and exchange them."""
    name, task = budget.name, data(budget.name)
    x, y = task.test

    def accuracy(output: Tensor) -> float:
        return (output.argmax(1) == y).double().mean().item()

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        untrained = look(network(zero_init=False), name)
        torch.manual_seed(seed)
        model = network()
    run = fit(model, task, steps=SIZES[name]["steps"], lr=LR, seed=seed)
    exchanged: dict[str, Any] = {}
    for block, layer in BLOCKS.items():
        for kind in ("space", "channel"):
            found = maps.exchanged(model, x, accuracy, layer=layer, name=kind, seed=seed)
            scores = {"own": found.own, "another": found.another, "mean": found.mean}
            exchanged.setdefault(block, {})[kind] = scores
    return {
        "seed": seed,
        "score": run.score,
        "untrained": untrained,
        "trained": look(model, name),
        "exchanged": exchanged,
    }


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: the numbers of all seeds, pictures and maps of the first."""
    task, first = data(budget.name), results[0]
    x, y = task.test
    chosen = [int((y == label).nonzero()[0]) for label in range(SHOWN)]
    kinds = ("untrained", "trained")
    return {
        "settings": {
            "widths": WIDTHS,
            "lr": LR,
            "steps": SIZES[budget.name]["steps"],
            "train": len(task.train[0]),
            "test": len(x),
            "canvas": CANVAS["size"],
            "clutter": CLUTTER,
        },
        "scores": [each["score"] for each in results],
        "on object": {kind: [each[kind]["on object"] for each in results] for kind in kinds},
        "exchanged": [each["exchanged"] for each in results],
        "pictures": (100 * x[chosen, 0]).round().int().tolist(),
        "hundredths": {kind: first[kind]["hundredths"] for kind in kinds},
    }
