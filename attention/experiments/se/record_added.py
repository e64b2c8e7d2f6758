"""The conditional channel with SE's numbers added to the channels, and not multiplied: `make record NAME=se.added`.

The arm ``SE`` is trained again beside it: with the same seeds it must score what ``conditional`` of `se.claims` has.
"""

from typing import Any

from torch import nn

from attention.experiments.se import tasks
from attention.experiments.se.record_claims import EXPERIMENTS, se_reader
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.training import compare

CODE = [
    "attention/contract.py",
    "attention/channel/se.py",
    "attention/experiments/se/tasks.py",
    "attention/experiments/se/record_claims.py",
    "attention/lab/training.py",
]
_SEEDS = {"smoke": 2, "cpu": 8, "gpu": 8}


def added_reader() -> nn.Module:
    """Build the reader of the conditional channel with the numbers added that SE multiplies by."""
    return tasks.reader(tasks.AddedExcitation(16, reduction=2))


ARMS = {"SE": se_reader, "added": added_reader}


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(_SEEDS[budget.name])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train both readers with one seed, as the other arms were."""
    _, task, steps, lr = EXPERIMENTS["conditional"]
    steps = budget.pick(smoke=3, cpu=steps)
    return compare(ARMS, task, seeds=(seed,), steps=steps, lr=lr, device=budget.device).to_dict()


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps."""
    return Comparison.joined(results).to_dict()
