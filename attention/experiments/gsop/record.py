"""What covariances tell that means do not, on tasks that are small enough for seconds: `make record NAME=gsop`.

* ``partners``: two classes of equal means, read from one statistic; for each of the three controls of the task.
* ``gates``: the statistic decides which channel counts; without a block, with SE, and with three statistics of the same
  mixtures.
* ``pairs``: sixteen questions an image, asked of the same three statistics with 4 to 16 mixtures, and of the means of
  more mixtures.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from attention.experiments.gsop import tasks
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.tasks.task import Task
from attention.lab.training import compare

__all__ = ["EXPERIMENTS", "LR", "compared"]

CODE = [
    "attention/contract.py",
    "attention/channel/gsop.py",
    "attention/channel/se.py",
    "attention/experiments/gsop/tasks.py",
    "attention/lab/tasks/gates.py",
    "attention/lab/training.py",
]

LR = 1e-2
_SEEDS = {"smoke": 2, "cpu": 8, "gpu": 8}


def _readers() -> dict[str, Callable[[], nn.Module]]:
    named = {name: partial(tasks.statistic_reader, name) for name in tasks.STATISTICS}
    return named | {"mixed means": tasks.rectified_reader}


#: By experiment: the models, the task of a seed, and the steps.
EXPERIMENTS: dict[str, tuple[dict[str, Callable[[], nn.Module]], Callable[[int], Task], int]] = {
    **{control: (_readers(), partial(tasks.partners, control=control), 200) for control in tasks.CONTROLS},
    "gates": (tasks.gated_readers(), tasks.together_or_not, 300),
    "pairs": (tasks.pair_gates(), tasks.which_pairs, 600),
}


def compared(name: str, seeds: list[int], *, steps: int = 0, arms: tuple[str, ...] = (), **options: Any) -> Comparison:
    """Train the models of one experiment; the chapter does so too, with one seed.

    :param name: one of :data:`EXPERIMENTS`.
    :param seeds: the seeds.
    :param steps: optimiser steps; by default those of the record.
    :param arms: which of the models; all by default.
    :param options: of :func:`attention.lab.training.compare`.
    """
    models, task, recorded = EXPERIMENTS[name]
    chosen = {arm: build for arm, build in models.items() if not arms or arm in arms}
    return compare(chosen, task, seeds=seeds, steps=steps or recorded, lr=LR, **options)


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one for each experiment and seed."""
    return [{"name": name, "seed": seed} for name in EXPERIMENTS for seed in range(_SEEDS[budget.name])]


def one_run(budget: Budget, name: str, seed: int) -> dict[str, Any]:
    """Train the models of one experiment with one seed."""
    return compared(name, [seed], steps=budget.pick(smoke=3, cpu=0), device=budget.device).to_dict()


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: a comparison for each experiment, without the curves of the losses."""
    count = _SEEDS[budget.name]
    for each in results:
        each["runs"] = [run | {"losses": []} for run in each["runs"]]
    parts = [results[i : i + count] for i in range(0, len(results), count)]
    return {name: Comparison.joined(part).to_dict() for name, part in zip(EXPERIMENTS, parts, strict=True)}
