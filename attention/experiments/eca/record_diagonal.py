"""Gates that see the mean of their own channel and no other, a weight for each: `make record NAME=eca.diagonal`.

The tasks ``own`` and ``permuted`` of `eca.patterns`, with the same data, seeds and training.
"""

from typing import Any

from attention.experiments.eca import tasks
from attention.experiments.eca.record_patterns import LR, SIZES, TASKS
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.training import compare

CODE = [
    "attention/contract.py",
    "attention/experiments/eca/tasks.py",
    "attention/experiments/eca/record_patterns.py",
    "attention/lab/tasks/gates.py",
    "attention/lab/training.py",
]
ASKED = ("own", "permuted")


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train the gates on both tasks with one seed."""
    options = {"seeds": (seed,), "steps": SIZES[budget.name]["steps"], "lr": LR, "device": budget.device}
    return {name: compare({"diagonal": tasks.diagonal}, TASKS[name], **options).to_dict() for name in ASKED}


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: a comparison for each task."""
    return {name: Comparison.joined(each[name] for each in results).to_dict() for name in ASKED}
