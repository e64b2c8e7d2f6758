"""How many seeds a comparison needs, and what several comparisons at once may claim."""

import math
from collections.abc import Mapping

__all__ = ["holm", "power", "seeds_needed"]

_MOST = 100_000  # seeds


def power(seeds: int, difference: float, spread: float, *, level: float = 0.95) -> float:
    """Compute how often the paired interval excludes 0 on the right side.

    The differences between runs with the same seed are taken as normally distributed; the paired t-statistic then
    follows a noncentral t-distribution.

    :param seeds: number of pairs, 2 or more.
    :param difference: the true mean difference, in the unit of ``spread``.
    :param spread: the standard deviation of the differences over seeds; positive.
    :param level: of the interval, between 0 and 1.
    :returns: the probability.
    :raises ValueError: for an argument outside its range.
    """
    from scipy.stats import nct, t

    if seeds < 2:
        raise ValueError(f"seeds={seeds} gives no interval; it takes 2 or more")
    _check(spread=spread)
    _check_share(level=level)
    limit = t.ppf((1 + level) / 2, seeds - 1)
    return float(nct.sf(limit, seeds - 1, abs(difference) / spread * math.sqrt(seeds)))


def seeds_needed(difference: float, spread: float, *, often: float = 0.8, level: float = 0.95) -> int:
    """Find the least number of seeds with which a true difference is found with a given probability.

    :param difference: the true mean difference, not 0, in the unit of ``spread``.
    :param spread: the standard deviation of the differences over seeds; positive.
    :param often: the share of comparisons in which the interval is to exclude 0 on the right side, between 0 and 1.
    :param level: of the interval, between 0 and 1.
    :returns: the number of seeds, 2 or more.
    :raises ValueError: for an argument outside its range, and where 100,000 seeds are too few.
    """
    _check(difference=abs(difference), spread=spread)
    _check_share(often=often, level=level)
    low, high = 1, 2  # the power grows with the seeds: double until it is enough, then halve what is left
    while power(high, difference, spread, level=level) < often:
        low, high = high, 2 * high
        if high > _MOST:
            raise ValueError(
                f"difference={difference:g} is too small for spread={spread:g}: {_MOST:,} seeds are too few"
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, difference, spread, level=level) >= often else (middle, high)
    return high


def holm(p: Mapping[str, float], *, level: float = 0.95) -> dict[str, bool]:
    """Say which of several comparisons hold together, by Holm's procedure.

    The smallest of m p-values is held against α/m, the next against α/(m − 1), and so on; at the first that is too
    large, this one and all larger ones fall. The probability of claiming one or more differences that are not real is
    at most α = 1 − ``level``, also where comparisons share runs.

    :param p: the p-value of each comparison, by its name.
    :param level: 1 − α, between 0 and 1.
    :returns: whether each comparison holds, in the order of ``p``.
    :raises ValueError: for a p-value or a level outside its range.

    Source: S. Holm, *A Simple Sequentially Rejective Multiple Test Procedure*, 1979.
    """
    _check_share(level=level)
    for name, value in p.items():
        if not 0 <= value <= 1:
            raise ValueError(f"p[{name!r}]={value} is not between 0 and 1")
    held: set[str] = set()
    for left, (name, value) in zip(range(len(p), 0, -1), sorted(p.items(), key=lambda item: item[1]), strict=True):
        if value > (1 - level) / left:
            break
        held.add(name)
    return {name: name in held for name in p}


def _check(**values: float) -> None:
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name}={value} is not positive and finite")


def _check_share(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < 1:
            raise ValueError(f"{name}={value} is not between 0 and 1")
