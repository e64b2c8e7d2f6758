"""Time things against each other on a machine that also does other work: in turn, and by their medians."""

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import Any

from attention.contract import check_positive

__all__ = ["ROUNDS", "milliseconds"]

ROUNDS = 9


def milliseconds(calls: Mapping[str, Callable[[], Any]], *, rounds: int = ROUNDS) -> dict[str, float]:
    """Time each call once a round, after one round that is not counted; return the medians over the rounds.

    In turn, so that a slow minute of the machine meets all of them; by the median, so that a slow call does not count.

    :param calls: what is timed, by name; what runs on another device must wait for it.
    :param rounds: number of rounds that count.
    :returns: milliseconds, by name.
    """
    check_positive(rounds=rounds)
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            began = perf_counter()
            call()
            found[name].append(1000 * (perf_counter() - began))
    return {name: median(times[1:]) for name, times in found.items()}
