"""The control that needs no window: a network that pools over all places. `make record NAME=stn.pooled`.

The displaced clothes of the record ``stn``, with the same seeds, steps and batches. Two networks of three convolutions,
whose decision comes from the mean and the maximum of each channel over all places, so that they do not know where a
thing is:

* ``pooled``: about as many multiply–adds as the CNN of ``stn``, and a third of its parameters.
* ``pooled, wider``: nearly as many parameters as ``affine``, and five times its multiply–adds.
"""

from functools import partial
from typing import Any

import torch
from einops import reduce
from torch import Tensor, nn

from attention.experiments.stn.record import SIZES
from attention.experiments.stn.tasks import LR, displaced
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.training import compare

__all__ = ["NETWORKS", "Pooled"]

CODE = [
    "attention/contract.py",
    "attention/experiments/stn/tasks.py",
    "attention/lab/training.py",
    "attention/lab/tasks/canvases.py",
    "attention/lab/tasks/fashion.py",
    "attention/data/fashion_mnist.npz.sha256",
]


class Pooled(nn.Module):
    """Three convolutions, and a linear decision from the mean and the maximum of each channel over all places.

    :param widths: channels of the three convolutions.
    """

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        first, second, third = widths
        self.features = nn.Sequential(
            *(nn.Conv2d(1, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(second, third, 3, padding=1), nn.ReLU()),
        )
        self.decide = nn.Linear(2 * third, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Decide on pictures (batch, 1, height, width): (batch, 10)."""
        u = self.features(x)
        return self.decide(torch.cat([reduce(u, "b c h w -> b c", how) for how in ("mean", "max")], dim=1))


NETWORKS = {"pooled": partial(Pooled, (6, 14, 24)), "pooled, wider": partial(Pooled, (16, 24, 36))}


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train both networks with one seed, briefly and longer."""
    size = SIZES[budget.name]
    train, test = size["images"]
    task = partial(displaced, train=train, test=test)
    options = {"seeds": (seed,), "batch": size["batch"], "lr": LR, "device": budget.device}
    return {
        name: compare(NETWORKS, task, steps=size[steps], **options).to_dict()
        for name, steps in (("first", "first"), ("displaced", "steps"))
    }


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: a comparison for each number of steps, without the curves of the losses."""
    found = {name: Comparison.joined(each[name] for each in results).to_dict() for name in ("first", "displaced")}
    for each in found.values():
        each["runs"] = [run | {"losses": []} for run in each["runs"]]
    return found
