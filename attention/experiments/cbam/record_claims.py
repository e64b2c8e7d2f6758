"""The claims of the chapter, on tasks of seconds, eight seeds each: ``make record NAME=cbam.claims``.

* ``far`` and ``near``: a spot that has a mark three pixels away, or beside it, with SE, 3 × 3 and 7 × 7.
* ``statistics``: gates of channels from means, from maxima, and from both.
* ``one region``, ``own regions``, ``longer``: two channels that are needed in the same place, or each in its own.
* ``spot``, ``cued``, ``together``: what the three orders do at the output: where gates of channels are nearly enough,
  where the map has to know a cue, and where the gates have to know who stands beside whom.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from attention.channel.se import SqueezeExcitation
from attention.contract import Attention
from attention.experiments.cbam import tasks
from attention.hybrid.cbam import ConvolutionalBlockAttention
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.tasks.gates import GateOf
from attention.lab.tasks.task import Task
from attention.lab.training import compare

__all__ = ["EXPERIMENTS", "se_reader"]

CODE = [
    "attention/contract.py",
    "attention/channel/se.py",
    "attention/hybrid/cbam.py",
    "attention/experiments/cbam/tasks.py",
    "attention/lab/tasks/gates.py",
    "attention/lab/training.py",
]

ORDERS = {"channels first": "channel-space", "positions first": "space-channel", "parallel": "parallel"}
_SEEDS = {"smoke": 2, "cpu": 8, "gpu": 8}

Builder = Callable[[], nn.Module]


def cbam(channels: int, reduction: int = 1, **options: Any) -> Attention:
    """Build the block with the biases and the normalisation of the authors' code."""
    return ConvolutionalBlockAttention(channels, reduction, bias=True, norm=True, **options)


def reader(kernel_size: int = 7) -> nn.Module:
    """Build the reader of the spot and its mark with CBAM."""
    return tasks.reader(cbam(16, 2, kernel_size=kernel_size))


def se_reader() -> nn.Module:
    """Build the reader of the spot and its mark with SE."""
    return tasks.reader(SqueezeExcitation(16, 2, bias=True))


def gate_from(*statistics: str) -> nn.Module:
    """Build a gate of 16 channels from two statistics, or from one that is named twice."""
    return GateOf(ConvolutionalBlockAttention(16, 1, bias=True, statistics=statistics), "channel")


def in_order(order: str, channels: int, times: int = 1) -> nn.Module:
    """Build what leaves the lamp behind a block, or several in a row, of one order."""
    return tasks.lamp_of(*(cbam(channels, order=ORDERS[order]) for _ in range(times)))


def _lamps(channels: int) -> dict[str, Builder]:
    return {
        "SE": lambda: tasks.lamp_of(SqueezeExcitation(channels, 1, bias=True)),
        **{order: partial(in_order, order, channels) for order in ORDERS},
        "parallel, twice": partial(in_order, "parallel", channels, 2),
    }


def _kept(block: Callable[[], nn.Module]) -> Builder:
    return lambda: nn.Sequential(block(), nn.Flatten())


def _spots() -> dict[str, Builder]:
    orders = {name: _kept(partial(cbam, 3, order=order)) for name, order in ORDERS.items()}
    return {"SE": _kept(lambda: SqueezeExcitation(3, 1, bias=True)), **orders}


_REGIONS = {"CBAM": _kept(lambda: cbam(2)), "own maps": _kept(lambda: tasks.OwnMaps(2))}

#: By experiment: the models, the task of a seed, and the training.
EXPERIMENTS: dict[str, tuple[dict[str, Builder], Callable[[int], Task], dict[str, Any]]] = {
    "far": (
        {"SE": se_reader, "3 × 3": partial(reader, 3), "7 × 7": reader},
        tasks.beside_the_mark,
        {"steps": 400, "batch": 32, "lr": 1e-2},
    ),
    "near": (
        {"3 × 3": partial(reader, 3)},
        partial(tasks.beside_the_mark, distance=1),
        {"steps": 400, "batch": 32, "lr": 1e-2},
    ),
    "statistics": (
        {
            "means": partial(gate_from, "mean", "mean"),
            "maxima": partial(gate_from, "max", "max"),
            "both": partial(gate_from, "mean", "max"),
        },
        tasks.peak_or_level,
        {"steps": 400, "lr": 1e-2},
    ),
    "one region": (_REGIONS, partial(tasks.own_regions, shared=True), {"steps": 200, "lr": 3e-2}),
    "own regions": (_REGIONS, tasks.own_regions, {"steps": 200, "lr": 3e-2}),
    "longer": ({"CBAM": _REGIONS["CBAM"]}, tasks.own_regions, {"steps": 800, "lr": 3e-2}),
    "spot": (_spots(), tasks.spot_that_is_cued, {"steps": 400, "lr": 3e-2}),
    "cued": (_lamps(4), tasks.lamp_where_cued, {"steps": 400, "lr": 3e-2}),
    "together": (_lamps(9), tasks.lamp_if_together, {"steps": 600, "lr": 3e-2}),
}


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs: one for each experiment and seed."""
    return [{"name": name, "seed": seed} for name in EXPERIMENTS for seed in range(_SEEDS[budget.name])]


def one_run(budget: Budget, name: str, seed: int) -> dict[str, Any]:
    """Train the models of one experiment with one seed."""
    models, task, options = EXPERIMENTS[name]
    options = options | {"steps": budget.pick(smoke=3, cpu=options["steps"])}
    return compare(models, task, seeds=(seed,), device=budget.device, **options).to_dict()


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps: a comparison for each experiment, without the curves of the losses."""
    count = _SEEDS[budget.name]
    parts = [results[i : i + count] for i in range(0, len(results), count)]
    merged = (Comparison.merge(map(Comparison.from_dict, part)) for part in parts)
    return {
        name: replace(each, runs=tuple(replace(run, losses=()) for run in each.runs)).to_dict()
        for name, each in zip(EXPERIMENTS, merged, strict=True)
    }
