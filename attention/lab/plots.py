"""The picture of a comparison."""

import math
import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from attention.lab import style

__all__ = ["scores"]


def scores(of: Mapping[str, Sequence[float]], *, task: str, measure: str, chance: float) -> tuple[Figure, str]:
    """Draw every score as a dot, the means as bars across, and the runs of one seed joined by a line.

    :param of: each model's scores, a score a seed, all in the same order of seeds.
    :param task: the task's name.
    :param measure: what the scores are called; accuracies are drawn in percent.
    :param chance: what guessing scores.
    :returns: the figure and its alt text.
    """
    names = list(of)
    share = measure.startswith("accuracy")
    factor = 100 if share else 1
    fig, ax = style.figure(width=5.6, height=3.2)
    columns = range(len(names))
    values = [[factor * s for s in each] for each in of.values()]
    means = [factor * (math.fsum(each) / len(each)) for each in of.values()]
    for seed in zip(*values, strict=True):
        ax.plot(columns, seed, color=style.COLOURS["muted"], linewidth=0.7, alpha=0.6, zorder=1)
    for x, ys in zip(columns, values, strict=True):
        ax.plot([x] * len(ys), ys, "o", color=style.COLOURS["block"], markersize=6, alpha=0.8, zorder=2)
        ax.plot([x - 0.22, x + 0.22], [means[x], means[x]], color=style.COLOURS["ink"], linewidth=2.5, zorder=3)
    chance = factor * chance
    low, high = (min(map(min, values)), max(map(max, values)))
    if chance > low - 0.6 * (high - low):  # else the line would squeeze the dots together
        ax.axhline(chance, color=style.COLOURS["wrong"], linestyle="--", linewidth=1.2, zorder=0)
        ax.annotate(
            "chance" if share else "always the mean",
            (1, chance),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            color=style.COLOURS["wrong"],
        )
    ax.set_xlim(-0.5, len(names) - 0.5)
    ax.set_xticks(list(columns), [textwrap.fill(name, 12, break_long_words=False) for name in names])
    ax.set_ylabel(f"{measure}, test{' (%)' if share else ''}")
    ax.margins(y=0.12)
    digits = 1 if share else 2
    told = "; ".join(
        f"{name}: mean {mean:.{digits}f}{' %' if share else ''}, from {min(ys):.{digits}f} to {max(ys):.{digits}f}"
        for name, mean, ys in zip(names, means, values, strict=True)
    )
    alt = (
        f"Test {measure} on the task {task}, {len(values[0])} seeds a model, the runs of "
        f"a seed joined by a line. {told}. Chance is {chance:.{digits}f}{' %' if share else ''}."
    )
    return fig, alt
