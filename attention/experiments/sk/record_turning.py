"""Which way the choice turns, in each of twelve networks: `make record NAME=sk.turning`.

SK with one copy of each channel, as in `sk.choice`, with the same seeds: one channel holds all pairs. For each trained
network: the mean weight of the wider window in that channel over the test pictures with a bright mark, and over those
with a dark one.
"""

from typing import Any

import torch
from torch import nn

from attention.contract import Attention
from attention.experiments.sk.record_choice import SIZES, compared
from attention.experiments.sk.tasks import near_or_far
from attention.lab.session import Budget

CODE = [
    "attention/contract.py",
    "attention/numerics.py",
    "attention/branch/sk.py",
    "attention/experiments/sk/record_choice.py",
    "attention/experiments/sk/tasks.py",
    "attention/lab/training.py",
]


@torch.no_grad()
def wider(model: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """Compute the weight of the second branch in the first channel, one number a picture, of a network with one block.

    :param model: the trained network.
    :param pictures: (samples, 2, height, width).
    """
    found = []
    (block,) = (module for module in model.modules() if isinstance(module, Attention))

    def keep(block: Attention, inputs: tuple[torch.Tensor, ...]) -> None:
        found.append(block.attend(*inputs)[1]["branch"][:, 1, 0].flatten())

    hook = block.register_forward_pre_hook(keep)
    model.eval()(pictures)
    hook.remove()
    return found[0]


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train one network and look at its choice."""
    nets: list[nn.Module] = []
    steps = SIZES[budget.name]["steps"]
    found = compared(1, [seed], steps, ("SK",), device=budget.device, keep=lambda *run: nets.append(run[2]))
    pictures = near_or_far(seed).test[0].to(budget.device)
    bright = pictures[:, 1].amax(dim=(1, 2)) > 0
    weights = wider(nets[0], pictures)
    means = {name: weights[rows].mean().item() for name, rows in (("bright", bright), ("dark", ~bright))}
    return {name: round(mean, 4) for name, mean in means.items()} | {"accuracy": found.mean("SK")}


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: one entry a seed."""
    return {"networks": results}
