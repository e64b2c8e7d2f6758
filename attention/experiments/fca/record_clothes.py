"""Fashion-MNIST, a small ResNet with SE, FcaNet and two controls: `make record NAME=fca.clothes`.

Five networks, trained alike. Outside the blocks all of them start from the same weights.

* ``plain``: no block.
* ``SE``: Squeeze-and-Excitation, without biases.
* ``FcaNet``: the sixteen frequencies of the authors' choice.
* ``(0, 0) alone``: the same block with this frequency for all channels, that is SE on means times the root of HW. What
  FcaNet has beyond it comes from its frequencies, and not from their scale.
* ``random``: sixteen fixed random patterns of length 1 in the place of the frequencies.

The strides are 2, 2 and 1: the blocks see maps of 14 × 14, 7 × 7 and 7 × 7.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from attention.backbones.resnet import small_resnet
from attention.channel.fca import FrequencyChannelAttention
from attention.channel.se import SqueezeExcitation
from attention.contract import Attention
from attention.experiments.fca.tasks import Patterns, patterns
from attention.lab.comparison import Comparison
from attention.lab.gating import always_the_mean, another_image, gated_by, gates_of
from attention.lab.session import Budget
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import Task
from attention.lab.training import compare, evaluate

CODE = [
    "attention/contract.py",
    "attention/numerics.py",
    "attention/channel/fca.py",
    "attention/channel/se.py",
    "attention/backbones/resnet.py",
    "attention/experiments/fca/tasks.py",
    "attention/lab/gating.py",
    "attention/lab/training.py",
    "attention/lab/tasks/fashion.py",
    "attention/data/fashion_mnist.npz.sha256",
]

#: By budget: the seeds, and the training, the same for all networks.
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"seeds": 2, "steps": 3, "batch": 16, "images": (100, 100)},
    "cpu": {"seeds": 8, "steps": 300, "batch": 64, "images": (6000, 2000)},
    "gpu": {"seeds": 16, "steps": 3000, "batch": 128, "images": (6000, 2000)},
}
LR = 3e-3
REDUCTION = 4
#: Channels of the stages, and the side of the maps that their blocks see.
STAGES = {16: 14, 32: 7, 64: 7}


def arms() -> dict[str, Any]:
    """Name the blocks that are compared, each a function of the number of channels."""

    def fca(frequencies: str) -> Any:
        return lambda channels: FrequencyChannelAttention(channels, REDUCTION, frequencies)

    return {
        "plain": None,
        "SE": lambda channels: SqueezeExcitation(channels, REDUCTION),
        "FcaNet": fca("top16"),
        "(0, 0) alone": fca("top1"),
        "random": lambda channels: Patterns(patterns(16, STAGES[channels]), channels, REDUCTION),
    }


def network(block: Any = None) -> nn.Module:
    """Build the small ResNet, with a block in each unit or without.

    A block draws its weights from random numbers of its own, so that it changes none of the network's.
    """

    def make(channels: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            return block(channels)

    return small_resnet(tuple(STAGES), strides=[2, 2, 1], attention=None if block is None else make)


@cache
def data(budget: str) -> Task:
    """Load the images."""
    return fashion_mnist(*SIZES[budget]["images"])


@torch.no_grad()
def spread(model: nn.Module, x: Tensor) -> dict[str, dict[str, float]]:
    """Say of the gates of each block how far they reach: mean, deviation over images, and the share near 0 or 1."""
    found: dict[str, list[Tensor]] = {}
    names = {block: name for name, block in model.named_modules() if isinstance(block, Attention)}

    def rule(block: Attention, inputs: Tensor) -> Tensor:
        gate = gates_of(block, inputs)
        found.setdefault(names[block], []).append(gate.flatten(1))
        return gate

    with gated_by(model, rule):
        for part in x.split(500):
            model(part)
    gates = {name: torch.cat(parts).double().cpu() for name, parts in found.items()}
    return {
        name: {
            "mean": round(gate.mean().item(), 4),
            "over images": round(gate.std(0).mean().item(), 4),
            "ends": round(((gate < 0.05) | (gate > 0.95)).double().mean().item(), 4),
        }
        for name, gate in gates.items()
    }


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train all networks with one seed, and try those with blocks with other gates than their own."""
    size, task = SIZES[budget.name], data(budget.name).to(budget.device)
    tried: dict[str, dict[str, float]] = {}
    looked: dict[str, dict[str, dict[str, float]]] = {}

    def look(label: str, _: int, model: nn.Module) -> None:
        if label == "plain":
            return
        looked[label] = spread(model, task.test[0])
        tried[label] = {}
        for name, rule in {"another image": another_image, "always the mean": always_the_mean}.items():
            with gated_by(model, rule):
                tried[label][name] = evaluate(model, task)

    found = compare(
        {label: lambda block=block: network(block) for label, block in arms().items()},
        task,
        seeds=(seed,),
        steps=size["steps"],
        batch=size["batch"],
        lr=LR,
        device=budget.device,
        keep=look,
    )
    return {"comparison": found.to_dict(), "tried": tried, "looked": looked}


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: the comparison, and of each other part a list with one entry a seed."""
    task = data(budget.name)
    return {
        "settings": {
            "widths": list(STAGES),
            "sides": list(STAGES.values()),
            "reduction": REDUCTION,
            "lr": LR,
            "train": len(task.train[0]),
            "test": len(task.test[0]),
        },
        "comparison": Comparison.joined(each["comparison"] for each in results).to_dict(),
        "tried": [each["tried"] for each in results],
        "looked": [each["looked"] for each in results],
    }
