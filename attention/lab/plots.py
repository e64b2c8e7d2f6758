"""The picture of a comparison: every score, and the differences that the seeds pair."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attention.lab import style

__all__ = ["Paired", "scores"]

_SIZE = 10.0  # points: the size of a panel's text, readable on a phone
_ROW = 0.36  # inches
_LINE = 0.21  # inches that a line of text takes
_DOT = 5.0  # points
_SHORT = 14  # letters of a name that a title has room for
_ACROSS = 2.4  # inches: about the width of a panel without its names and numbers


@dataclass(frozen=True)
class Paired:
    """The differences of two models' scores, seed by seed.

    :param first: the model …
    :param second: … whose scores are subtracted.
    :param values: the differences, one for each seed.
    :param mean: their mean.
    :param low: the lower end of the mean's interval; minus infinity for a single seed, which gives none.
    :param high: its upper end.
    :param level: of the interval, between 0 and 1.
    """

    first: str
    second: str
    values: Sequence[float]
    mean: float
    low: float
    high: float
    level: float


def scores(
    of: Mapping[str, Sequence[float]],
    *,
    task: str,
    measure: str,
    chance: float,
    pairs: Sequence[Paired] = (),
    limits: Mapping[str, float] | None = None,
) -> tuple[Figure, str]:
    """Draw a row of dots for each model, and below them a row for each paired difference, with interval and zero.

    Means, and the ends of intervals, stand as numbers beside their row. Limits are lines with their names above them;
    so is chance, unless its line would squeeze the dots together: then the axis names it in words.

    :param of: each model's scores, a score a seed, all in the same order of seeds.
    :param task: the task's name.
    :param measure: what the scores are called; accuracies are drawn in percent, their differences in points.
    :param chance: what guessing scores.
    :param pairs: the differences to draw; with none there is one panel.
    :param limits: further scores to mark, each by what it is: ``{"the best without the block": 0.75}``.
    :returns: the figure and its alt text.
    """
    share = measure.startswith("accuracy")
    factor = 100.0 if share else 1.0
    rows = {name: [factor * score for score in each] for name, each in of.items()}
    every = [value for each in rows.values() for value in each]
    close = max(every) - min(every) < factor / 10  # then models differ in one more digit
    digits = (1 if share else 2) + close
    guess = "chance" if share else "always the mean"
    marks = {name: factor * at for name, at in (limits or {}).items()}
    near = factor * chance > min(every) - 0.6 * (max(every) - min(every))
    if near:
        marks |= {guess: factor * chance}
    names = [_wrapped(name) for name in rows]
    single = len(next(iter(rows.values()))) == 1
    shared = {each.second for each in pairs}
    against = shared.pop() if len(shared) == 1 and len(next(iter(shared))) <= _SHORT else ""
    contrasts = [_wrapped(each.first if against else f"{each.first} − {each.second}") for each in pairs]
    heights = [
        _LINE * len(marks) + sum(map(_height, names)),
        _LINE + sum(map(_height, contrasts)),
    ][: 2 if pairs else 1]
    fig, grid = style.figure(
        len(heights), 1, width=5.6, height=sum(heights) + 0.95 * len(heights), squeeze=False, height_ratios=heights
    )
    unit = "%" if share else ""
    top = grid[0, 0]
    top.set_title("One seed" if single else "A dot for each seed; bar: mean", loc="left", fontsize=_SIZE)
    _rows(top, names, list(rows.values()), [[*every, *marks.values()]] * len(rows))
    means = {name: math.fsum(each) / len(each) for name, each in rows.items()}
    for y, mean in zip(_places(names), means.values(), strict=True):
        if not single:
            _bar(top, mean, y)
        _beside(top, y, f"{mean:.{digits}f}{unit}")
    _lines(top, marks, guess)
    told_chance = "" if near else f"; {guess}: {factor * chance:.{0 if share else 2}f}{unit}"
    top.set_xlabel(f"{measure}, test{f' ({unit})' if unit else ''}{told_chance}", fontsize=_SIZE)
    if pairs:
        below = grid[1, 0]
        _differences(below, contrasts, pairs, factor, digits)
        what = f"Each minus {against}, seed by seed" if against else "Differences, seed by seed"
        line = "" if single else f"; line: {pairs[0].level:.0%} interval"
        below.set_title(what + line, loc="left", fontsize=_SIZE)
        points = " (points)" if share else ""
        alone = "; one seed gives no interval" if single else ""
        below.set_xlabel(f"difference in {measure}{points}{alone}", fontsize=_SIZE)
    return fig, _told(rows, means, pairs, task, measure, digits, marks | {guess: factor * chance})


def _wrapped(name: str) -> str:
    return textwrap.fill(name, 17, break_long_words=False)


def _height(name: str) -> float:
    """Say how many inches a row takes whose name may have several lines."""
    return max(_ROW, _LINE * (1 + name.count("\n")) + 0.1)


def _places(names: Sequence[str]) -> list[float]:
    """Find the middle of each row, in inches from the top of the first."""
    places, at = [], 0.0
    for name in names:
        places.append(at + _height(name) / 2)
        at += _height(name)
    return places


def _rows(ax: Axes, names: Sequence[str], rows: Sequence[Sequence[float]], reach: Sequence[Sequence[float]]) -> None:
    """Draw a row of dots for each name; the vertical axis is in inches, downwards.

    :param reach: for each row the values that the horizontal axis must hold.
    """
    inside = [value for each in reach for value in each]
    low, high = min(inside), max(inside)
    room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.02
    ax.set_xlim(low - room, high + room)
    step = (high - low + 2 * room) * _DOT / 72 / _ACROSS
    places = _places(names)
    for y, values in zip(places, rows, strict=True):
        offsets = _swarm(values, step)
        ax.plot(
            values,
            [y + offset * 0.045 for offset in offsets],
            "o",
            color=style.COLOURS["block"],
            markersize=_DOT,
            markeredgewidth=0,
            alpha=0.85,
            zorder=2,
        )
    ax.set_ylim(places[-1] + _height(names[-1]) / 2, 0)
    ax.set_yticks(places, names, fontsize=_SIZE)
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize=_SIZE)
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))


def _swarm(values: Sequence[float], step: float) -> list[int]:
    """Move dots that would hide each other up and down, by whole steps: the nearest place that is free."""
    placed: list[tuple[float, int]] = []
    offsets = [0] * len(values)
    for i in sorted(range(len(values)), key=values.__getitem__):
        free = (
            offset
            for offset in (0, -1, 1, -2, 2)
            if all(abs(values[i] - x) >= step or abs(offset - y) >= 2 for x, y in placed)
        )
        offsets[i] = next(free, (-1) ** i * 3)
        placed.append((values[i], offsets[i]))
    return offsets


def _bar(ax: Axes, mean: float, y: float) -> None:
    ax.plot([mean, mean], [y - 0.15, y + 0.15], color=style.COLOURS["ink"], linewidth=2.5, zorder=3)


def _beside(ax: Axes, y: float, text: str) -> None:
    ax.annotate(text, (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=_SIZE)


def _lines(ax: Axes, marks: Mapping[str, float], guess: str) -> None:
    """Mark scores by lines, each with its name above the rows, on a line of its own."""
    bottom, _ = ax.get_ylim()
    low, high = ax.get_xlim()
    for i, (name, at) in enumerate(marks.items()):
        y = -_LINE * (len(marks) - i - 0.5)
        colour = style.COLOURS["muted" if name == guess else "wrong"]
        ax.plot([at, at], [y - _LINE / 2, bottom], color=colour, linestyle="--", linewidth=1.2, zorder=0)
        right = at > (low + high) / 2
        ax.annotate(
            name,
            (at, y),
            xytext=(-4 if right else 4, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="center",
            color=colour,
            fontsize=_SIZE,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},  # another limit's line may pass behind
        )
    ax.set_ylim(bottom, -_LINE * len(marks))
    ax.set_xlim(low, high)


def _differences(ax: Axes, names: Sequence[str], pairs: Sequence[Paired], factor: float, digits: int) -> None:
    """Draw the paired differences, with the mean's interval and zero."""
    single = len(pairs[0].values) == 1
    rows = [[factor * value for value in each.values] for each in pairs]
    reach = []
    for each, values in zip(pairs, rows, strict=True):
        # Of two seeds an interval may be ten times as wide as what they are apart: it must not squeeze the dots.
        room = max(4 * (max(values) - min(values)), max(*values, 0.0) - min(*values, 0.0))
        ends = (
            [] if single else [max(factor * each.low, min(values) - room), min(factor * each.high, max(values) + room)]
        )
        reach.append([0.0, *values, *ends])
    _rows(ax, names, rows, reach)
    bottom, _ = ax.get_ylim()
    ax.plot([0, 0], [0, bottom], color=style.COLOURS["muted"], linewidth=1.2, zorder=0)
    low, high = ax.get_xlim()
    ink = style.COLOURS["ink"]
    for y, each in zip(_places(names), pairs, strict=True):
        if not single:
            _bar(ax, factor * each.mean, y)
            ends = [max(factor * each.low, low), min(factor * each.high, high)]
            ax.plot(ends, [y, y], color=ink, linewidth=1.6, zorder=3)
            for end, beyond, sign in zip(ends, (factor * each.low, factor * each.high), "<>", strict=True):
                if end != beyond:
                    ax.plot([end], [y], sign, color=ink, markersize=6, zorder=3, clip_on=False)
        _beside(ax, y, _difference(each, factor, digits))
    ax.set_ylim(bottom, 0)
    ax.set_xlim(low, high)


def _difference(each: Paired, factor: float, digits: int) -> str:
    """Write a mean difference, with its interval where there is one."""
    mean, low, high = (_signed(factor * value, digits) for value in (each.mean, each.low, each.high))
    return mean if math.isinf(each.low) else f"{mean} ({low} to {high})"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _told(
    rows: Mapping[str, Sequence[float]],
    means: Mapping[str, float],
    pairs: Sequence[Paired],
    task: str,
    measure: str,
    digits: int,
    marks: Mapping[str, float],
) -> str:
    """Say what the figure shows, in numbers."""
    share = measure.startswith("accuracy")
    unit = " %" if share else ""
    seeds = len(next(iter(rows.values())))
    told = "; ".join(
        f"{name}: mean {means[name]:.{digits}f}{unit}, from {min(each):.{digits}f} to {max(each):.{digits}f}"
        for name, each in rows.items()
    )
    lines = ". ".join(f"{name[:1].upper()}{name[1:]}: {at:.{digits}f}{unit}" for name, at in marks.items())
    alt = f"Test {measure} on the task {task}, {seeds} seed{'s' if seeds > 1 else ''} a model. {told}. {lines}."
    if not pairs:
        return alt
    points = " points" if share else ""
    interval = f"mean and {pairs[0].level:.0%} interval" if seeds > 1 else "one seed gives no interval"
    factor = 100.0 if share else 1.0
    listed = "; ".join(f"{p.first} minus {p.second} {_difference(p, factor, digits)}{points}" for p in pairs)
    return f"{alt} Paired differences, {interval}: {listed}."
