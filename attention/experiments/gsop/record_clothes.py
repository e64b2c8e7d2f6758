"""Fashion-MNIST, a small ResNet with GSoP, with SE, and with its statistic replaced: `make record NAME=gsop.clothes`.

Five networks, trained alike on 6,000 images. A block stands in each of three units, at the end of the residual branch:

* ``plain``: no block.
* ``SE``: Squeeze-and-Excitation.
* ``GSoP``: global second-order pooling.
* ``variances``: the same block, in which the covariances off the diagonal are 0.
* ``mixed means``: the same block, in which the means of its rectified mixtures stand on the diagonal.

The last three have equal parameters: they differ in the statistic alone. Outside the blocks all networks start
from the same weights. The gates of the trained SE and GSoP are exchanged for those of another
image, and for their mean over the images.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from attention.backbones.resnet import small_resnet
from attention.channel.gsop import SecondOrderPooling
from attention.channel.se import SqueezeExcitation
from attention.contract import Attention
from attention.experiments.gsop.tasks import MixedMeans, Variances
from attention.lab.classes import class_means, class_share
from attention.lab.comparison import Comparison
from attention.lab.gating import Rule, always_the_mean, another_image, gated_by, gates_of
from attention.lab.session import Budget
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import Task
from attention.lab.training import compare, evaluate

CODE = [
    "attention/contract.py",
    "attention/channel/gsop.py",
    "attention/channel/se.py",
    "attention/experiments/gsop/tasks.py",
    "attention/backbones/resnet.py",
    "attention/lab/training.py",
    "attention/lab/classes.py",
    "attention/lab/gating.py",
    "attention/lab/tasks/fashion.py",
    "attention/data/fashion_mnist.npz.sha256",
]

#: By budget: the network, the seeds, and the training, the same for all networks.
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"widths": (8, 16), "units": 1, "seeds": 2, "steps": 3, "batch": 16, "images": (100, 100)},
    "cpu": {"widths": (16, 32, 64), "units": 1, "seeds": 8, "steps": 500, "batch": 64, "images": (6000, 2000)},
    "gpu": {"widths": (32, 64, 128), "units": 2, "seeds": 16, "steps": 3000, "batch": 128, "images": (6000, 2000)},
}
LR = 3e-3
REDUCTION = 4  # of SE
REDUCED = 16  # mixtures of GSoP

#: The blocks that are compared, each a function of the number of channels.
ARMS: dict[str, Any] = {
    "plain": None,
    "SE": lambda channels: SqueezeExcitation(channels, REDUCTION),
    "GSoP": lambda channels: SecondOrderPooling(channels, REDUCED),
    "variances": lambda channels: Variances(channels, REDUCED),
    "mixed means": lambda channels: MixedMeans(channels, REDUCED),
}


def network(budget: str, block: Any = None) -> nn.Module:
    """Build the small ResNet, with a block in each unit or without.

    A block draws its weights from random numbers of its own, so that it changes none of the network's.
    """
    size, made = SIZES[budget], iter(range(100))

    def make(channels: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch.initial_seed() + 1000 * (1 + next(made)))  # each unit's block another draw
            return block(channels)

    widths = size["widths"]
    return small_resnet(widths, attention=None if block is None else make, layers=[size["units"]] * len(widths))


@cache
def data(budget: str) -> Task:
    """Load the images."""
    return fashion_mnist(*SIZES[budget]["images"])


@torch.no_grad()
def gates(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Compute the gates (samples, channels) of every block of a trained model, in the order in which they act."""
    found: dict[str, list[Tensor]] = {}
    names = {block: name for name, block in model.named_modules() if isinstance(block, Attention)}

    def rule(block: Attention, inputs: Tensor) -> Tensor:
        gate = gates_of(block, inputs)
        found.setdefault(names[block], []).append(gate.flatten(1))
        return gate

    with gated_by(model, rule):
        for part in x.split(500):
            model(part)
    return {name: torch.cat(parts).double().cpu() for name, parts in found.items()}


def tried(model: nn.Module, task: Task) -> dict[str, float]:
    """Score a trained network with other gates than its own, by how they come about."""
    rules: dict[str, Rule] = {"another image": another_image, "always the mean": always_the_mean}
    scores = {}
    for name, rule in rules.items():
        with gated_by(model, rule):
            scores[name] = evaluate(model, task)
    return scores


def looked_at(model: nn.Module, task: Task, seed: int) -> dict[str, Any]:
    """Look into a trained network with blocks: how far the gates move, and what they know of the classes."""
    x, labels = task.test[0], task.test[1].cpu()
    found = gates(model, x)
    looked: dict[str, Any] = {
        "over images": {name: round(gate.std(0).mean().item(), 4) for name, gate in found.items()},
        "share of classes": {name: round(class_share(gate, labels), 4) for name, gate in found.items()},
    }
    if seed == 0:
        last = list(found)[-1]
        kept = class_means(found[last], labels).to_dict()
        looked["by class"] = kept | {"means": [[round(mean, 3) for mean in row] for row in kept["means"]]}
    return looked


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train all networks with one seed, and look into the one with GSoP."""
    name, size = budget.name, SIZES[budget.name]
    task = data(name).to(budget.device)
    found: dict[str, Any] = {"tried": {}, "looked": {}}

    def look(label: str, _: int, model: nn.Module) -> None:
        if label in ("SE", "GSoP"):
            found["tried"][label] = tried(model, task)
        if label == "GSoP":
            found["looked"] = looked_at(model, task, seed)

    compared = compare(
        {label: lambda block=block: network(name, block) for label, block in ARMS.items()},
        task,
        seeds=(seed,),
        steps=size["steps"],
        batch=size["batch"],
        lr=LR,
        device=budget.device,
        keep=look,
    )
    return {"comparison": compared.to_dict(), **found}


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: of each part, a list with one entry a seed."""
    size, task = SIZES[budget.name], data(budget.name)
    settings = {name: size[name] for name in ("widths", "units")}
    counts = {"train": len(task.train[0]), "test": len(task.test[0]), "classes": task.labels}
    return {
        "settings": settings | counts | {"lr": LR, "reduction": REDUCTION, "reduced": REDUCED},
        "comparison": Comparison.joined(each["comparison"] for each in results).to_dict(),
        **{part: [each[part] for each in results] for part in ("tried", "looked")},
    }
