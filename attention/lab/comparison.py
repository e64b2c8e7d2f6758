"""Records of trained models, and what they tell: mean, spread, paired intervals."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from attention.lab.tables import Table

__all__ = ["Comparison", "Interval", "Run"]


@dataclass(frozen=True)
class Run:
    """One model, trained once.

    :param name: the model's name in a comparison.
    :param seed: the seed of its initial weights and of its data order.
    :param score: on the test data, as the task measures it.
    :param losses: the training loss, in at most 50 means over equally many steps.
    :param seconds: wall-clock time of training and scoring.
    :param parameters: number of trainable parameters.
    """

    name: str
    seed: int
    score: float
    losses: tuple[float, ...]
    seconds: float
    parameters: int


@dataclass(frozen=True)
class Interval:
    """The mean of paired differences, and the interval that Student's t gives it.

    :param mean: mean of the differences.
    :param low: lower end; minus infinity for a single pair, which tells nothing of the spread.
    :param high: upper end.
    :param n: number of pairs, one a seed.
    :param first: what is compared …
    :param second: … with what.
    :param measure: what is measured.
    :param level: share of such intervals that hold the true mean, if differences are normally distributed.
    """

    mean: float
    low: float
    high: float
    n: int
    first: str = "first"
    second: str = "second"
    measure: str = "score"
    level: float = 0.95

    @classmethod
    def paired(cls, ours: Sequence[float], theirs: Sequence[float], *, level: float = 0.95, **names: str) -> "Interval":
        """Compute the interval of ``ours − theirs``.

        :param ours: scores, one a seed.
        :param theirs: scores with the same seeds.
        :param level: between 0 and 1.
        :param names: ``first``, ``second`` and ``measure``, for the sentence.
        :raises ValueError: for no scores, unequal numbers of them, or a level outside (0, 1).
        """
        from scipy.stats import t

        if len(ours) != len(theirs) or not ours:
            raise ValueError(f"{len(ours)} scores cannot be paired with {len(theirs)}")
        if not 0 < level < 1:
            raise ValueError(f"level={level} is not between 0 and 1")
        differences = [a - b for a, b in zip(ours, theirs, strict=True)]
        n = len(differences)
        mean = math.fsum(differences) / n
        if n == 1:
            return cls(mean, -math.inf, math.inf, n, level=level, **names)
        error = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1) / n)
        half = float(t.ppf((1 + level) / 2, n - 1)) * error
        return cls(mean, mean - half, mean + half, n, level=level, **names)

    @property
    def verdict(self) -> str:
        """``higher``, ``lower``, or ``undecided`` where the interval holds 0."""
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "undecided"

    def sentence(self) -> str:
        """Say what was found, and what follows, on two lines that fit a page."""
        factor, unit, digits = _unit(self.measure)
        found = f"{self.first} minus {self.second}: {factor * self.mean:+.{digits}f}{unit}"
        if self.n == 1:
            return f"{found}; one seed gives no interval."
        ends = f"{factor * self.low:+.{digits}f} to {factor * self.high:+.{digits}f}"
        words = f"{self.first} scores {self.verdict}."
        if self.verdict == "undecided":
            words = "The interval holds 0: no difference is shown."
        return f"{found} ({self.level:.0%} interval {ends}, {self.n} seeds).\n  {words}"


def _unit(measure: str) -> tuple[float, str, int]:
    """Factor, unit and digits in which a difference of scores is told."""
    return (100.0, " points", 2) if measure.startswith("accuracy") else (1.0, "", 3)


@dataclass(frozen=True)
class Comparison:
    """Several models, each trained with the same seeds on the same data in the same order.

    :param task: the task's name.
    :param measure: what its score is called.
    :param chance: what guessing scores.
    :param steps: optimiser steps of each run.
    :param batch: samples in a step.
    :param device: the kind of device.
    :param runs: all runs, model by model.
    """

    task: str
    measure: str
    chance: float
    steps: int
    batch: int
    device: str
    runs: tuple[Run, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The models, in the order in which they were given."""
        return tuple(dict.fromkeys(run.name for run in self.runs))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in the order in which they ran."""
        return tuple(dict.fromkeys(run.seed for run in self.runs))

    def of(self, name: str) -> tuple[Run, ...]:
        """Return one model's runs, a run a seed.

        :raises ValueError: for an unknown name.
        """
        found = tuple(run for run in self.runs if run.name == name)
        if not found:
            raise ValueError(f"name={name!r} is not one of {', '.join(self.names)}")
        return found

    def scores(self, name: str) -> list[float]:
        """Return one model's scores, a score a seed."""
        return [run.score for run in self.of(name)]

    def mean(self, name: str) -> float:
        """Return one model's mean score."""
        scores = self.scores(name)
        return math.fsum(scores) / len(scores)

    def spread(self, name: str) -> float:
        """Return the standard deviation of one model's scores over seeds (n − 1); ``nan`` for one seed."""
        scores, mean = self.scores(name), self.mean(name)
        if len(scores) < 2:
            return math.nan
        return math.sqrt(math.fsum((s - mean) ** 2 for s in scores) / (len(scores) - 1))

    def difference(self, first: str, second: str, *, level: float = 0.95) -> Interval:
        """Return the paired interval of ``first − second``."""
        pair = self.scores(first), self.scores(second)
        return Interval.paired(*pair, level=level, first=first, second=second, measure=self.measure)

    def table(self, digits: int = 2) -> Table:
        """Return mean, standard deviation, lowest and highest score and the number of parameters of each model.

        :param digits: of the scores, after the point; the spread gets one more.
        """
        head = ("model", "mean", "std", "lowest", "highest", "parameters")
        rows = []
        for name in self.names:
            scores = self.scores(name)
            spread = "–" if len(scores) < 2 else f"{self.spread(name):.{digits + 1}f}"
            told = (f"{score:.{digits}f}" for score in (min(scores), max(scores)))
            rows.append((name, f"{self.mean(name):.{digits}f}", spread, *told, f"{self.of(name)[0].parameters:,}"))
        seeds = f"{len(self.seeds)} seed" + ("s" if len(self.seeds) > 1 else "")
        note = f"{self.measure} on {self.task}; chance {self.chance:.2f}; {seeds}, {self.steps} steps each"
        return Table(head, tuple(rows), note)

    def plot(
        self,
        alt: str | None = None,
        *,
        pairs: Iterable[tuple[str, str]] | None = None,
        limits: Mapping[str, float] | None = None,
        level: float = 0.95,
        caption: str = "",
    ) -> None:
        """Show every score as a dot in its model's row, and paired differences with their mean, interval and zero.

        Means and intervals stand as numbers beside their rows. The dots of a difference are the seeds'.

        :param alt: the alt text; by default it is made from the numbers.
        :param pairs: the pairs whose difference, first minus second, is shown; by default each model minus the first.
        :param limits: scores to mark by a line, each by what it is, in the unit of the scores:
            ``{"the best without the block": 0.75}``. Chance is always told.
        :param level: of the intervals, between 0 and 1.
        :param caption: what is to be seen, below the figure.
        :raises ValueError: for an unknown model, a model paired with itself, or a level outside (0, 1).
        """
        from attention.lab import style
        from attention.lab.plots import Paired, scores

        chosen = [(name, self.names[0]) for name in self.names[1:]] if pairs is None else list(pairs)
        drawn = []
        for first, second in chosen:
            if first == second:
                raise ValueError(f"pairs: {first!r} is paired with itself; name two models of {', '.join(self.names)}")
            found = self.difference(first, second, level=level)
            values = [a - b for a, b in zip(self.scores(first), self.scores(second), strict=True)]
            drawn.append(Paired(first, second, values, found.mean, found.low, found.high, level))
        of = {name: self.scores(name) for name in self.names}
        fig, words = scores(of, task=self.task, measure=self.measure, chance=self.chance, pairs=drawn, limits=limits)
        style.show(fig, alt or words, caption=caption)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, texts and lists, as JSON takes them."""
        return asdict(self) | {"runs": [asdict(run) | {"losses": list(run.losses)} for run in self.runs]}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> "Comparison":
        """Build the comparison that :meth:`to_dict` wrote down."""
        runs = tuple(Run(**(run | {"losses": tuple(run["losses"])})) for run in kept["runs"])
        return cls(**(kept | {"runs": runs}))

    def renamed(self, names: Mapping[str, str]) -> "Comparison":
        """Return the same comparison with other names for some of its models.

        :param names: the new name of each, by the old one.
        :raises ValueError: for a name that no model has, and for two models of one name.
        """
        if missing := set(names) - set(self.names):
            raise ValueError(f"names: there is no {', '.join(sorted(missing))}; the models: {', '.join(self.names)}")
        now = [names.get(name, name) for name in self.names]
        if len(set(now)) != len(now):
            raise ValueError(f"names: two models would have one name: {', '.join(now)}")
        return replace(self, runs=tuple(replace(run, name=names.get(run.name, run.name)) for run in self.runs))

    @classmethod
    def joined(cls, kept: Iterable[dict[str, Any]]) -> "Comparison":
        """Join what :meth:`to_dict` wrote down of comparisons that differ in their seeds alone, as runs of a record do.

        :raises ValueError: as :meth:`merge`.
        """
        return cls.merge(map(cls.from_dict, kept))

    @classmethod
    def merge(cls, parts: Iterable["Comparison"]) -> "Comparison":
        """Join comparisons of the same models and sizes, made with different seeds, into one.

        :raises ValueError: for parts that differ in more than their seeds, share a seed, or are none.
        """
        parts = list(parts)
        if not parts:
            raise ValueError("parts is empty: there is nothing to join")
        for part in parts:
            if replace(part, runs=()) != replace(parts[0], runs=()) or part.names != parts[0].names:
                raise ValueError("parts differ in task, sizes, device or models, and cannot be joined")
        seeds = [seed for part in parts for seed in part.seeds]
        if len(set(seeds)) != len(seeds):
            raise ValueError(f"parts share seeds: {seeds}")
        return replace(parts[0], runs=tuple(run for name in parts[0].names for part in parts for run in part.of(name)))
