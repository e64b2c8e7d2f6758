"""Fashion-MNIST, twelve residual units, the gate on the branch or on the trunk: `make record NAME=se.position`.

Four arms, those of :data:`attention.experiments.se.position.ARMS`: no gate; the gate on the branch, before the
addition; on the trunk, after the addition; and on the trunk with gates that start nearly open. Each with batch
normalisation and without.

Trunk minus branch says what the place costs. The opened arm says whether the cost comes from the halving at the start;
the networks without normalisation, whether the normalisations hide it.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from attention.contract import Attention
from attention.experiments.se.position import ARMS, deep
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.tasks.fashion import fashion_mnist
from attention.lab.tasks.task import Task
from attention.lab.training import compare

CODE = [
    "attention/contract.py",
    "attention/channel/se.py",
    "attention/backbones/resnet.py",
    "attention/lab/training.py",
    "attention/lab/tasks/fashion.py",
    "attention/data/fashion_mnist.npz.sha256",
    "attention/experiments/se/position.py",
]

#: By budget: units in each of three stages, the seeds, and the training, the same for all networks.
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"units": 1, "seeds": 2, "steps": 3, "batch": 16, "images": (100, 100)},
    "cpu": {"units": 4, "seeds": 8, "steps": 240, "batch": 32, "images": (6000, 1000)},
    "gpu": {"units": 4, "seeds": 16, "steps": 400, "batch": 32, "images": (6000, 2000)},
}
LR = 3e-3
_LOOKED_AT = 500  # test images over which a run returns the mean gate of each unit


@cache
def data(budget: str) -> Task:
    """Load the images."""
    return fashion_mnist(*SIZES[budget]["images"])


@torch.no_grad()
def mean_gates(model: nn.Module, x: Tensor) -> list[float]:
    """Compute the mean gate of each unit of a trained model, over images and channels, in their order."""
    found: list[float] = []
    hooks = [
        module.register_forward_hook(lambda block, inputs, _: found.append(block.weights(*inputs).mean().item()))
        for module in model.modules()
        if isinstance(module, Attention)
    ]
    model(x)
    for hook in hooks:
        hook.remove()
    return found


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: with and without normalisation, one a seed."""
    seeds = range(SIZES[budget.name]["seeds"])
    return [{"normalised": normalised, "seed": seed} for normalised in (True, False) for seed in seeds]


def one_run(budget: Budget, normalised: bool, seed: int) -> dict[str, Any]:
    """Train the four arms with one seed."""
    size, task = SIZES[budget.name], data(budget.name)
    gates: dict[str, list[float]] = {}

    def look(arm: str, _: int, model: nn.Module) -> None:
        found = mean_gates(model, task.test[0][:_LOOKED_AT].to(budget.device))
        if found:
            gates[arm] = found

    compared = compare(
        {arm: lambda arm=arm: deep(arm, layers=(size["units"],) * 3, normalised=normalised) for arm in ARMS},
        task,
        seeds=(seed,),
        steps=size["steps"],
        batch=size["batch"],
        lr=LR,
        device=budget.device,
        keep=look,
    )
    return {"comparison": compared.to_dict(), "gates": gates}


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: two comparisons, and each unit's mean gate after training."""
    size, half = SIZES[budget.name], len(results) // 2
    kept: dict[str, Any] = {"settings": {"units": 3 * size["units"], "lr": LR}}
    for name, part in (("normalised", results[:half]), ("not normalised", results[half:])):
        gated = part[0]["gates"]
        kept[name] = {
            "comparison": Comparison.joined(each["comparison"] for each in part).to_dict(),
            "gates": {arm: [each["gates"][arm] for each in part] for arm in gated},
        }
    return kept
