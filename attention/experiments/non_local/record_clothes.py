"""Fashion-MNIST, a block behind the first stage: `make record NAME=non_local.clothes`.

Four small residual networks learn equally long: plain; with a non-local block, where the maps are 14 × 14; with one map
for all positions in its place, that is, without queries; and with a block of the same layers in which each position
reads itself alone, that is, without reach.

Of the trained block, on test images: how much the positions of one image differ in what goes in, what the block adds
and where they look; and the score with the map of another image and with the mean map.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from attention.backbones.insertion import insert
from attention.backbones.resnet import small_resnet
from attention.experiments.non_local.tasks import Itself, OneMap, spread
from attention.lab import maps
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import Task
from attention.lab.training import compare
from attention.self_attention.non_local import NonLocal

__all__ = ["LR", "PLACE", "SIZES", "data", "network"]

CODE = [
    "attention/contract.py",
    "attention/numerics.py",
    "attention/self_attention/non_local.py",
    "attention/backbones/resnet.py",
    "attention/backbones/insertion.py",
    "attention/lab/training.py",
    "attention/lab/tasks/fashion.py",
    "attention/data/fashion_mnist.npz.sha256",
    "attention/experiments/non_local/tasks.py",
]

#: By budget: the seeds, and the training, the same for all networks.
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"seeds": 2, "steps": 3, "batch": 16, "images": (100, 100), "looked at": 20},
    "cpu": {"seeds": 8, "steps": 200, "batch": 32, "images": (6000, 2000), "looked at": 500},
    "gpu": {"seeds": 16, "steps": 400, "batch": 32, "images": (6000, 2000), "looked at": 500},
}
#: The largest learning rate.
LR = 3e-3
#: The block goes behind this part of the network, where maps are 14 × 14.
PLACE = "stages.0"
ARMS: dict[str, Callable[[int], nn.Module] | None] = {
    "plain": None,
    "non-local": NonLocal,
    "one map": OneMap,
    "itself": Itself,
}


@cache
def data(budget: str) -> Task:
    """Load the images."""
    return fashion_mnist(*SIZES[budget]["images"])


def network(arm: str) -> nn.Module:
    """Build a network; outside the block all arms of one seed start from the same weights.

    :param arm: one of :data:`ARMS`.
    """
    model = small_resnet()
    if (block := ARMS[arm]) is not None:
        insert(model, block, PLACE)
    return model


@torch.no_grad()
def look(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, float]:
    """Measure what the positions of an image have in common, and what a foreign map costs.

    :param model: a trained network with a non-local block.
    :param x: images.
    :param y: their classes.
    :returns: ``input``, ``added`` and ``map``: how much the positions of one image differ
        (:func:`attention.experiments.non_local.tasks.spread`) in the features, in what the block adds to them and in
        their weights; ``size``: how large what is added is beside the features; ``own``, ``another``, ``mean``: the
        share of right answers with each image's own map, another image's and the mean map.
    """
    block = model.eval().get_submodule(f"{PLACE}.attention")
    seen: list[Tensor] = []
    hook = block.register_forward_hook(lambda _, inputs, output: seen.extend((inputs[0], output - inputs[0])))
    pairs = maps.capture(model, x)[f"{PLACE}.attention"]["pairs"]
    hook.remove()
    features, added = (rearrange(each, "b c h w -> b (h w) c") for each in seen[:2])

    def right(scores: Tensor) -> float:
        return (scores.argmax(1) == y).double().mean().item()

    swapped = maps.exchanged(model, x, right)
    return {
        "input": spread(features),
        "added": spread(added),
        "map": spread(pairs),
        "size": (added.norm() / features.norm()).item(),
        "own": swapped.own,
        "another": swapped.another,
        "mean": swapped.mean,
    }


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train the four networks with one seed, and look into the one with the block."""
    size, task = SIZES[budget.name], data(budget.name).to(budget.device)
    x, y = (part[: size["looked at"]] for part in task.test)
    found: dict[str, Any] = {}

    def keep(arm: str, _: int, model: nn.Module) -> None:
        if arm == "non-local":
            found["trained"] = look(model, x, y)

    compared = compare(
        {arm: partial(network, arm) for arm in ARMS},
        task,
        seeds=(seed,),
        steps=size["steps"],
        batch=size["batch"],
        lr=LR,
        device=budget.device,
        keep=keep,
    )
    return found | {"comparison": compared.to_dict()}


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: the comparison, and what was measured of each trained block."""
    return {
        "settings": SIZES[budget.name] | {"lr": LR, "classes": list(data(budget.name).labels)},
        "comparison": Comparison.merge(Comparison.from_dict(each["comparison"]) for each in results).to_dict(),
        "looked": [each["trained"] for each in results],
    }
