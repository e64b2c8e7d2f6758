"""What tells that channels vary together, and whether gates that know it help: `make record NAME=gsop`.

Three parts, each with the same seeds for all of its networks.

* ``statistics``: the two classes of :func:`attention.experiments.gsop.tasks.partners`, under each of its three
  controls, read from the mean, the maximum, the variance or the covariance by the same two layers, and from the means
  of rectified mixtures.
* ``together``: the exclusive-or of :func:`attention.experiments.gsop.tasks.together_or_not`, in one network without a
  block, with SE, GSoP, GSoP on the variances alone, and SE on rectified mixtures.
* ``clothes``: Fashion-MNIST, a small ResNet with the same blocks in each unit. For the trained networks with gates: the
  accuracy with the gates of another image, and with gates that are always their mean.

With ``ATTENTION_FASHION_MNIST`` set to a folder of the original files, the full set is used (GPU only).
"""

import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import nn

from attention.backbones.resnet import small_resnet
from attention.channel.gsop import SecondOrderPooling
from attention.channel.se import SqueezeExcitation
from attention.experiments.gsop import tasks
from attention.lab.comparison import Comparison
from attention.lab.gating import always_the_mean, another_image, gated_by
from attention.lab.session import Budget
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import Task
from attention.lab.training import compare, evaluate

__all__ = ["LR", "SIZES", "network", "readers"]

CODE = [
    "attention/contract.py",
    "attention/channel/gsop.py",
    "attention/channel/se.py",
    "attention/backbones/resnet.py",
    "attention/experiments/gsop/tasks.py",
    "attention/lab/training.py",
    "attention/lab/gating.py",
    "attention/lab/tasks/fashion.py",
    "attention/data/fashion_mnist.npz.sha256",
]

#: By budget: the seeds, the steps of each part, and the small ResNet with its training, the same for all networks.
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {
        "seeds": 2,
        "reading": 3,
        "gating": 3,
        "widths": (8, 16),
        "reduced": 4,
        "units": 1,
        "steps": 3,
        "batch": 16,
        "images": (100, 100),
    },
    "cpu": {
        "seeds": 8,
        "reading": 200,
        "gating": 400,
        "widths": (16, 32, 64),
        "reduced": 16,
        "units": 1,
        "steps": 500,
        "batch": 64,
        "images": (6000, 2000),
    },
    "gpu": {
        "seeds": 16,
        "reading": 200,
        "gating": 400,
        "widths": (32, 64, 128),
        "reduced": 32,
        "units": 2,
        "steps": 3000,
        "batch": 128,
        "images": (6000, 2000),
    },
}
LR = {"reading": 1e-2, "gating": 1e-2, "clothes": 3e-3}
REDUCTION = 4  # of SE


def readers() -> dict[str, Callable[[], nn.Module]]:
    """Name the readers of one statistic each."""
    found = {name: partial(tasks.statistic_reader, name) for name in tasks.STATISTICS}
    return {**found, "mean of rectified mixtures": tasks.rectified_reader}


def blocks(budget: str) -> dict[str, Any]:
    """Name the blocks of the small ResNet, each a function of the number of channels."""
    reduced = SIZES[budget]["reduced"]
    return {
        "plain": None,
        "SE": lambda channels: SqueezeExcitation(channels, REDUCTION, bias=True),
        "variances": lambda channels: tasks.Variances(channels, reduced),
        "GSoP": lambda channels: SecondOrderPooling(channels, reduced),
        "mixed SE": lambda channels: tasks.MixedExcitation(channels, 4 * reduced, reduced),
    }


def network(budget: str, block: Any = None) -> nn.Module:
    """Build the small ResNet, with a block in each unit or without.

    A block draws its weights from random numbers of its own, so that it changes none of the network's.
    """
    size = SIZES[budget]
    drawn = 0

    def make(channels: int) -> nn.Module:
        nonlocal drawn
        drawn += 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch.initial_seed() + 1000 * drawn)
            return block(channels)

    return small_resnet(
        size["widths"], attention=None if block is None else make, layers=[size["units"]] * len(size["widths"])
    )


@cache
def data(budget: str) -> Task:
    """Load the images: the shipped part, or on a GPU the full set where it is at hand."""
    folder = os.environ.get("ATTENTION_FASHION_MNIST")
    if budget == "gpu" and folder:
        return fashion_mnist(60000, 10000, folder=folder)
    return fashion_mnist(*SIZES[budget]["images"])


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train all networks of the three parts with one seed."""
    size, options = SIZES[budget.name], {"seeds": (seed,), "device": budget.device}
    reading = {"steps": size["reading"], "lr": LR["reading"], **options}
    gating = {"steps": size["gating"], "lr": LR["gating"], **options}
    found: dict[str, Any] = {
        "statistics": {
            control: compare(readers(), partial(tasks.partners, control=control), **reading).to_dict()
            for control in tasks.CONTROLS
        },
        "together": compare(tasks.gated_readers(), tasks.together_or_not, **gating).to_dict(),
    }
    task, scores = data(budget.name).to(budget.device), {}

    def look(label: str, _: int, model: nn.Module) -> None:
        if label in ("SE", "variances", "GSoP"):
            scores[label] = {}
            for name, rule in (("another image", another_image), ("always the mean", always_the_mean)):
                with gated_by(model, rule):
                    scores[label][name] = evaluate(model, task)

    made = {name: partial(network, budget.name, block) for name, block in blocks(budget.name).items()}
    clothes = {"steps": size["steps"], "batch": size["batch"], "lr": LR["clothes"], **options}
    return {**found, "clothes": compare(made, task, keep=look, **clothes).to_dict(), "gates": scores}


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: a comparison for each part and control, and the scores with other gates."""
    size = SIZES[budget.name]
    return {
        "settings": {name: size[name] for name in ("widths", "reduced", "units")},
        "statistics": {
            control: Comparison.joined(each["statistics"][control] for each in results).to_dict()
            for control in tasks.CONTROLS
        },
        **{part: Comparison.joined(each[part] for each in results).to_dict() for part in ("together", "clothes")},
        "gates": [each["gates"] for each in results],
    }
