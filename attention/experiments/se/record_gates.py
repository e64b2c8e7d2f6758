"""What trained gates know, with controls, and whether they are needed: `make record NAME=se.gates`.

The small ResNet with SE on Fashion-MNIST, with r = 1, so that no waist limits its gates. At the start and after the
training, for each block: the share of variance that lies between classes, of the gates and of the statistic
*z* that they are computed from. After the training: how many gates are saturated; how many directions hold 95% of the
variance of what goes into the sigmoid; and the accuracy where all blocks at once get the gates of another image, which
is of another class, or always the mean gates of 500 images.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from attention.backbones.resnet import small_resnet
from attention.channel.se import SqueezeExcitation
from attention.contract import Attention
from attention.lab.classes import class_share
from attention.lab.comparison import Comparison
from attention.lab.gating import always_the_mean, another_image, gated_by, gates_of
from attention.lab.session import Budget
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import Task
from attention.lab.training import compare, evaluate

CODE = [
    "attention/contract.py",
    "attention/channel/se.py",
    "attention/backbones/resnet.py",
    "attention/lab/training.py",
    "attention/lab/classes.py",
    "attention/lab/gating.py",
    "attention/lab/tasks/fashion.py",
    "attention/data/fashion_mnist.npz.sha256",
]

#: By budget: the network, the seeds, and the training.
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"widths": (8, 16), "seeds": 2, "steps": 3, "batch": 16, "images": (100, 100)},
    "cpu": {"widths": (16, 32, 64), "seeds": 8, "steps": 500, "batch": 64, "images": (6000, 2000)},
    "gpu": {"widths": (32, 64, 128), "seeds": 16, "steps": 3000, "batch": 128, "images": (6000, 2000)},
}
LR = 3e-3
REDUCTION = 1
SATURATED = 0.05  # a gate is, below this or above 1 minus this


@cache
def data(budget: str) -> Task:
    """Load the images."""
    return fashion_mnist(*SIZES[budget]["images"])


@torch.no_grad()
def seen(model: nn.Module, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Compute statistic and gates of each block, each (samples, channels), in the order in which the blocks act."""
    found: dict[Attention, list[tuple[Tensor, Tensor]]] = {}

    def rule(block: Attention, inputs: Tensor) -> Tensor:
        gate = gates_of(block, inputs)
        found.setdefault(block, []).append((inputs.mean((2, 3)), gate.flatten(1)))
        return gate

    with gated_by(model.eval(), rule):
        for part in x.split(500):
            model(part)
    joined = [tuple(torch.cat(each).double().cpu() for each in zip(*parts, strict=True)) for parts in found.values()]
    return [(z, gate) for z, gate in joined]


def shares(model: nn.Module, task: Task) -> dict[str, list[float]]:
    """Compute for each block the share of variance between classes, of its statistic and of its gates."""
    x, y = task.test
    pairs = seen(model, x)
    return {
        "statistic": [round(class_share(z, y), 4) for z, _ in pairs],
        "gates": [round(class_share(gate, y), 4) for _, gate in pairs],
    }


def directions(gates: Tensor) -> int:
    """Count the directions that hold 95% of the variance of what goes into the sigmoid.

    :param gates: (samples, channels), between 0 and 1.
    """
    logits = gates.double().logit(1e-6)
    variance = torch.linalg.svdvals(logits - logits.mean(0)).square()
    return int((variance.cumsum(0) < 0.95 * variance.sum()).sum()) + 1


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train the network with one seed, and look into it before and after."""
    size, task = SIZES[budget.name], data(budget.name).to(budget.device)
    looked: dict[str, Any] = {}

    def build() -> nn.Module:
        model = small_resnet(size["widths"], attention=lambda channels: SqueezeExcitation(channels, REDUCTION))
        looked["start"] = shares(model.to(budget.device), task)
        return model

    def look(name: str, _: int, model: nn.Module) -> None:
        gates = [gate for _, gate in seen(model, task.test[0])]
        looked["trained"] = shares(model, task)
        looked["saturated"] = [((g < SATURATED) | (g > 1 - SATURATED)).double().mean().item() for g in gates]
        looked["directions"] = [directions(gate) for gate in gates]
        for label, rule in (("another image", another_image), ("always the mean", always_the_mean)):
            with gated_by(model, rule):
                looked[label] = evaluate(model, task)

    compared = compare(
        {"SE": build},
        task,
        seeds=(seed,),
        steps=size["steps"],
        batch=size["batch"],
        lr=LR,
        device=budget.device,
        keep=look,
    )
    return {"comparison": compared.to_dict(), "looked": looked}


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: scores, and what was seen, an entry a seed."""
    size = SIZES[budget.name]
    return {
        "settings": {"widths": size["widths"], "reduction": REDUCTION, "images": size["images"], "lr": LR},
        "comparison": Comparison.joined(each["comparison"] for each in results).to_dict(),
        "looked": [each["looked"] for each in results],
    }
