"""Copy from afar, with 4 to 64 names, by all that could do it: `make record NAME=non_local`.

The networks of :func:`attention.experiments.non_local.tasks.copiers` learn
:func:`attention.experiments.non_local.tasks.distant_copy`. :data:`NETWORKS` says which learn it with how many names:
all of them with 64, the dot product with every number. With :data:`LONGER` the dot product learns four times as long,
which tells what it cannot do from what it had no time to learn.
"""

from dataclasses import replace
from functools import partial
from typing import Any

from attention.experiments.non_local import tasks
from attention.experiments.non_local.tasks import copiers, distant_copy
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.training import compare

__all__ = ["compared"]

CODE = [
    "attention/contract.py",
    "attention/numerics.py",
    "attention/self_attention/non_local.py",
    "attention/channel/se.py",
    "attention/experiments/non_local/tasks.py",
    "attention/lab/training.py",
]

#: By budget: the seeds, the images and the steps, the same for all networks.
SIZES: dict[str, dict[str, int]] = {
    "smoke": {"seeds": 2, "steps": 3, "train": 100},
    "cpu": {"seeds": 8, "steps": 400, "train": 8000},
    "gpu": {"seeds": 8, "steps": 400, "train": 8000},
}
BATCH, LR = 16, 1e-2
#: By number of names: the networks that learn the task.
NETWORKS: dict[int, tuple[str, ...]] = {
    4: ("embedded Gaussian", "dot product", "concatenation", "SE"),
    8: ("dot product",),
    16: ("embedded Gaussian", "dot product"),
    32: ("dot product",),
    64: tasks.NETWORKS,
}
#: The numbers of names with which the dot product also learns :data:`TIMES` as long.
LONGER = (16, 64)
TIMES = 4


def compared(
    names: int, seeds: list[int], budget: Budget, which: tuple[str, ...] = (), *, longer: bool = False, **options: Any
) -> Comparison:
    """Train the networks on one number of names; the chapter does so too, with one seed.

    :param names: number of names.
    :param seeds: the seeds.
    :param budget: says for how many steps, on how many images.
    :param which: the networks; by default those of :data:`NETWORKS`.
    :param longer: whether they learn :data:`TIMES` as long.
    :param options: of :func:`attention.lab.training.compare`.
    """
    size = SIZES[budget.name]
    task = partial(distant_copy, names=names, train=size["train"])
    steps = size["steps"] * (TIMES if longer else 1)
    fixed = {"steps": steps, "batch": BATCH, "lr": LR, "device": budget.device}
    return compare(copiers(which or NETWORKS[names]), task, seeds=seeds, **fixed, **options)


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one for each number of names and each seed; those that take longer last."""
    seeds = range(SIZES[budget.name]["seeds"])
    found = [{"names": names, "seed": seed, "longer": False} for names in NETWORKS for seed in seeds]
    return found + [{"names": names, "seed": seed, "longer": True} for names in LONGER for seed in seeds]


def one_run(budget: Budget, names: int, seed: int, longer: bool) -> dict[str, Any]:
    """Train the networks on one number of names with one seed. Of their losses the last is kept."""
    found = compared(names, [seed], budget, ("dot product",) if longer else (), longer=longer)
    return replace(found, runs=tuple(replace(run, losses=run.losses[-1:]) for run in found.runs)).to_dict()


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: a comparison for each number of names, and those that learned longer."""
    kept: dict[str, dict[str, list[Comparison]]] = {"comparisons": {}, "longer": {}}
    for run, result in zip(runs(budget), results, strict=True):
        where = kept["longer" if run["longer"] else "comparisons"]
        where.setdefault(str(run["names"]), []).append(Comparison.from_dict(result))
    merged = {
        name: {names: Comparison.merge(parts).to_dict() for names, parts in of.items()} for name, of in kept.items()
    }
    return merged | {"settings": SIZES[budget.name] | {"batch": BATCH, "lr": LR}}
