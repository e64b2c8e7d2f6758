"""What a choice of the window is worth, by the number of channels that could specialise: `make record NAME=sk.choice`.

Four blocks read *near or far* (:func:`attention.experiments.sk.tasks.near_or_far`) in the same small network. The block
gets each of the two input channels once, twice or four times, and its kernels see one channel each:

* ``SK``: two windows, and a choice per channel and picture.
* ``no choice``: the same branches and layers, and so exactly as many parameters; one gate per channel on their sum.
* ``5 × 5 + gate``: one kernel of 5 × 5 per channel, and a gate per channel.
* ``frozen at ½``: the branches of SK with equal weights in every picture.
"""

from functools import partial
from typing import Any

from attention.experiments.sk.tasks import ARMS, near_or_far, reader_of_copies
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.training import compare

__all__ = ["COPIES", "compared"]

CODE = [
    "attention/contract.py",
    "attention/numerics.py",
    "attention/branch/sk.py",
    "attention/experiments/sk/tasks.py",
    "attention/lab/training.py",
]

#: By budget: the seeds and the steps, the same for all blocks.
SIZES: dict[str, dict[str, int]] = {
    "smoke": {"seeds": 2, "steps": 3},
    "cpu": {"seeds": 12, "steps": 500},
    "gpu": {"seeds": 12, "steps": 500},
}
#: How often the block gets each channel.
COPIES = (1, 2, 4)
LR, BATCH = 2e-2, 32


def compared(
    copies: int, seeds: list[int], steps: int, names: tuple[str, ...] = tuple(ARMS), **options: Any
) -> Comparison:
    """Train the blocks; the chapter does so too, with one seed.

    :param copies: how often the block gets each channel.
    :param seeds: the seeds.
    :param steps: optimiser steps.
    :param names: which of the blocks.
    :param options: of :func:`attention.lab.training.compare`.
    :returns: the comparison.
    """
    models = {name: partial(reader_of_copies, ARMS[name], copies) for name in names}
    return compare(models, near_or_far, seeds=seeds, steps=steps, lr=LR, batch=BATCH, **options)


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one per number of copies and seed."""
    return [{"copies": copies, "seed": seed} for copies in COPIES for seed in range(SIZES[budget.name]["seeds"])]


def one_run(budget: Budget, copies: int, seed: int) -> dict[str, Any]:
    """Train the blocks with one number of copies and one seed."""
    return compared(copies, [seed], SIZES[budget.name]["steps"], device=budget.device).to_dict()


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: a comparison for each number of copies."""
    count = SIZES[budget.name]["seeds"]
    parts = [results[i : i + count] for i in range(0, len(results), count)]
    found = {
        str(copies): Comparison.merge(map(Comparison.from_dict, part)).to_dict()
        for copies, part in zip(COPIES, parts, strict=True)
    }
    return found | {"lr": LR}
