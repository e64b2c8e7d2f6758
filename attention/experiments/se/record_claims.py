"""The claims of the chapter on tasks that are small enough for seconds, eight seeds each: `make record NAME=se.claims`.

* ``conditional``: without a block, wider, with a hidden layer behind the mean, and with SE.
* ``waist``: gates that must follow 64 independent means, for each reduction, and for eight groups without a waist.
* ``elsewhere``: the same where each gate must follow the mean of another channel.
* ``together``: one gate open or eight, with softmax, with softmax and a learned factor, with sigmoid.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from attention.channel.se import SqueezeExcitation
from attention.experiments.se import tasks
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.tasks.gates import GateOf, gate_patterns
from attention.lab.tasks.task import Task
from attention.lab.training import compare

CODE = [
    "attention/contract.py",
    "attention/channel/se.py",
    "attention/experiments/se/tasks.py",
    "attention/lab/tasks/gates.py",
    "attention/lab/training.py",
]

REDUCTIONS = (32, 16, 8, 4, 2, 1)
_SEEDS = {"smoke": 2, "cpu": 8, "gpu": 8}

Builder = Callable[[], nn.Module]


def se_reader() -> nn.Module:
    """Build the reader of the conditional channel with SE."""
    return tasks.reader(SqueezeExcitation(16, reduction=2))


def _waist(reduction: int) -> Builder:
    return lambda: GateOf(SqueezeExcitation(64, reduction, bias=True))


def _groups() -> nn.Module:
    return GateOf(tasks.Grouped(64))


#: By experiment: the models, the task of a seed, steps, and the largest learning rate.
EXPERIMENTS: dict[str, tuple[dict[str, Builder], Callable[[int], Task], int, float]] = {
    "conditional": (
        {
            "no block": tasks.reader,
            "wider": partial(tasks.reader, channels=20),
            "hidden layer": partial(tasks.reader, hidden=16),
            "SE": se_reader,
        },
        tasks.conditional_channel,
        200,
        1e-2,
    ),
    "waist": ({f"r = {r}": _waist(r) for r in REDUCTIONS} | {"8 groups": _groups}, gate_patterns, 600, 3e-2),
    "elsewhere": (
        {"r = 16": _waist(16), "8 groups": _groups},
        partial(gate_patterns, permute=True),
        600,
        3e-2,
    ),
    "longer": ({"r = 1": _waist(1)}, gate_patterns, 1800, 3e-2),
    "together": (
        {
            "softmax": lambda: GateOf(tasks.SoftmaxExcitation(16)),
            "softmax, factor": lambda: GateOf(tasks.SoftmaxExcitation(16, learned=True)),
            "sigmoid": lambda: GateOf(SqueezeExcitation(16, reduction=1, bias=True)),
        },
        tasks.open_together,
        600,
        3e-2,
    ),
}


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one for each experiment and seed."""
    return [{"name": name, "seed": seed} for name in EXPERIMENTS for seed in range(_SEEDS[budget.name])]


def one_run(budget: Budget, name: str, seed: int) -> dict[str, Any]:
    """Train the models of one experiment with one seed."""
    models, task, steps, lr = EXPERIMENTS[name]
    steps = budget.pick(smoke=3, cpu=steps)
    return compare(models, task, seeds=(seed,), steps=steps, lr=lr, device=budget.device).to_dict()


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: a comparison for each experiment."""
    count = _SEEDS[budget.name]
    parts = [results[i : i + count] for i in range(0, len(results), count)]
    return {name: Comparison.joined(part).to_dict() for name, part in zip(EXPERIMENTS, parts, strict=True)}
