"""Gates that follow one channel each, their own or another: `make record NAME=eca.patterns`.

Seven gates are trained to open where the mean of a channel is positive (:func:`attention.lab.tasks.gate_patterns`, with
64 channels): SE with three reductions, a full matrix, and ECA with three kernel sizes. Three tasks differ in one thing,
where that channel stands in the list:

* ``own``: the gate's own channel.
* ``permuted``: a channel that was drawn for it. Every gate still depends on one mean.
* ``relabelled``: the permuted task with its channels renamed, so that each gate finds its channel at its own place.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from attention.experiments.eca.tasks import arms, relabelled
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.tasks.gates import gate_patterns
from attention.lab.tasks.task import Task
from attention.lab.training import compare

CODE = [
    "attention/contract.py",
    "attention/channel/eca.py",
    "attention/channel/se.py",
    "attention/experiments/eca/tasks.py",
    "attention/lab/tasks/gates.py",
    "attention/lab/training.py",
]

#: By budget: the seeds and the steps, the same for all gates.
SIZES: dict[str, dict[str, int]] = {
    "smoke": {"seeds": 2, "steps": 3},
    "cpu": {"seeds": 8, "steps": 600},
    "gpu": {"seeds": 8, "steps": 600},
}
LR = 3e-2
TASKS: dict[str, Callable[[int], Task]] = {
    "own": gate_patterns,
    "permuted": partial(gate_patterns, permute=True),
    "relabelled": relabelled,
}
RELABELLED = ("ECA, k = 3",)  # of the arms; for the others the order makes no difference


def compared(task: str, seeds: list[int], steps: int, names: tuple[str, ...] = (), **options: Any) -> Comparison:
    """Train the gates on one of the tasks; the chapter does so too, with one seed.

    :param task: one of :data:`TASKS`.
    :param seeds: the seeds.
    :param steps: optimiser steps.
    :param names: which of the arms; all by default.
    :param options: of :func:`attention.lab.training.compare`.
    """
    chosen = {name: build for name, build in arms().items() if not names or name in names}
    return compare(chosen, TASKS[task], seeds=seeds, steps=steps, lr=LR, **options)


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one a seed."""
    return [{"seed": seed} for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train all gates on all tasks with one seed."""
    steps = SIZES[budget.name]["steps"]
    names = {"relabelled": RELABELLED}
    return {task: compared(task, [seed], steps, names.get(task, ()), device=budget.device).to_dict() for task in TASKS}


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: a comparison for each task."""
    return {task: Comparison.joined(each[task] for each in results).to_dict() for task in TASKS} | {"lr": LR}
