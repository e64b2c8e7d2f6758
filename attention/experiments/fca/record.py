"""Textures of equal mean, and which patterns tell them: `make record NAME=fca`.

Seven blocks read four textures (:func:`attention.experiments.fca.tasks.textures`). They differ in what they know of
each channel: its mean, its maximum, or its sum with a pattern. The patterns are the two or the nine lowest frequencies,
nine random ones, or nine that are trained, from random numbers or from the lowest frequencies. The tasks differ in one
thing each:

* ``coarse``: the textures are among the nine lowest frequencies. 4,000 pictures to learn from.
* ``fine``: they are not.
* ``shifted``: coarse, and each begins at a random place.
* ``coarse, 200`` and ``fine, 200``: the same with 200 pictures to learn from.
"""

from functools import partial
from typing import Any

from attention.experiments.fca.tasks import ARMS, HIGH, textures
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.training import compare

__all__ = ["TASKS", "compared"]

CODE = [
    "attention/contract.py",
    "attention/numerics.py",
    "attention/channel/fca.py",
    "attention/experiments/fca/tasks.py",
    "attention/lab/training.py",
]

#: By budget: the seeds and the steps, the same for all blocks.
SIZES: dict[str, dict[str, int]] = {
    "smoke": {"seeds": 2, "steps": 3},
    "cpu": {"seeds": 8, "steps": 400},
    "gpu": {"seeds": 8, "steps": 400},
}
LR = 1e-2
#: What the tasks are: the arguments of ``textures``.
TASKS: dict[str, dict[str, Any]] = {
    "coarse": {},
    "fine": {"kinds": HIGH},
    "shifted": {"shifted": True},
    "coarse, 200": {"train": 200},
    "fine, 200": {"kinds": HIGH, "train": 200},
}


def compared(
    task: str, seeds: list[int], steps: int, names: tuple[str, ...] = tuple(ARMS), **options: Any
) -> Comparison:
    """Train the blocks on one of the tasks; the chapter does so too, with one seed.

    :param task: one of :data:`TASKS`.
    :param seeds: the seeds.
    :param steps: optimiser steps.
    :param names: which of the blocks.
    :param options: of :func:`attention.lab.training.compare`.
    :returns: the comparison.
    """
    models = {name: ARMS[name] for name in names}
    return compare(models, partial(textures, **TASKS[task]), seeds=seeds, steps=steps, lr=LR, **options)


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one per task and seed."""
    return [{"task": task, "seed": seed} for task in TASKS for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, task: str, seed: int) -> dict[str, Any]:
    """Train all blocks on one task with one seed."""
    return compared(task, [seed], SIZES[budget.name]["steps"], device=budget.device).to_dict()


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: a comparison for each task, without the curves of the losses."""
    count = SIZES[budget.name]["seeds"]
    parts = [results[i : i + count] for i in range(0, len(results), count)]
    found = {task: Comparison.joined(part).to_dict() for task, part in zip(TASKS, parts, strict=True)}
    for each in found.values():
        each["runs"] = [run | {"losses": []} for run in each["runs"]]
    return found
