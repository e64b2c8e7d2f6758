"""Write the numbers of the page on how the book compares, and draw its picture: all from the chapters' records.

``book/statistics.md`` has parts between markers; ``make sync`` writes them. What the literature reports stands in
``tools/writing/trials.toml``. No number of these parts is typed.
"""

import math
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import NormalDist, median, stdev
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import binomtest, ttest_ind_from_stats, ttest_rel

from attention.lab import record
from attention.lab.comparison import Comparison, Interval
from attention.lab.power import holm, seeds_needed
from attention.lab.style import COLOURS, PHONE
from tools.chapters import ROOT
from tools.writing.markers import between

__all__ = ["PAGE", "PARTS", "PICTURED", "between_ends", "compared", "differences", "parts", "signed", "table"]

PAGE = Path("book", "statistics.md")
TRIALS = Path("tools", "writing", "trials.toml")
#: The comparisons of the tables: the record, where it lies in it, and the two arms.
PAIRS = (
    ("se", "", "SE", "plain"),
    ("cbam", "", "CBAM", "plain"),
    ("sk", "", "SK", "no choice"),
    ("stn", "turned", "affine", "frozen, wider"),
    ("stn", "displaced", "affine", "CNN"),
)
#: Differences, in points of accuracy, for which the seeds are counted.
WANTED = (0.2, 0.5, 1.0)
#: The record whose arms are drawn, and the one in which several are compared at once.
PICTURED, SEVERAL = "se", "cbam"
#: Names of arms in records that the book no longer uses, and what it says for them.
RENAMED = {"cbam": {"space first": "positions first"}}
LEVEL = 0.95
_SMALL = 0.2  # points: the difference of which the last section speaks
_SEEDS = (3, 5, 6, 8, 12, 16)


@cache
def compared(name: str, part: str = "") -> Comparison:
    """Read a comparison from a chapter's record.

    :param name: the record.
    :param part: where the comparison lies in it.
    """
    kept = record.load(name)["experiment"]
    return Comparison.from_dict((kept[part] if part else kept)["comparison"]).renamed(RENAMED.get(name, {}))


def gaps(found: Comparison, first: str, second: str) -> list[float]:
    """Return the differences of two arms, seed by seed, in points."""
    return [100 * (a - b) for a, b in zip(found.scores(first), found.scores(second), strict=True)]


def table(head: list[str], rows: list[list[str]]) -> str:
    """Write a table whose columns but the first are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|:--|" + "--:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def signed(value: float, digits: int = 2) -> str:
    """Write a number with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−")


def between_ends(found: Interval, digits: int = 2) -> str:
    """Write the ends of an interval, in points."""
    return f"{signed(100 * found.low, digits)} to {signed(100 * found.high, digits)}"


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 1e-4 else "< 0.0001"


def _called(name: str, part: str, first: str, second: str) -> str:
    told = {"stn": "STN", "se": "SE", "sk": "SK", "cbam": "CBAM"}[name] + (f", {part}" if part else "")
    return f"{told}: {first} − {second}"


def pairing() -> str:
    """Compare the spread of differences with and without pairing."""
    rows, helped, best, worst = [], 0, None, None
    for name, part, first, second in PAIRS:
        found = compared(name, part)
        alone = [100 * found.spread(arm) for arm in (first, second)]
        unpaired, paired = math.hypot(*alone), stdev(gaps(found, first, second))
        helped += paired < unpaired
        share = (paired / unpaired, _called(name, part, first, second))
        best, worst = min(best or share, share), max(worst or share, share)
        numbers = [str(len(found.seeds)), f"{unpaired:.2f}", f"{paired:.2f}"]
        rows.append([share[1], *numbers])
    head = ["Record and arms", "seeds", "sd, unpaired", "sd, paired"]
    return (
        f"{table(head, rows)}\n\nIn points of accuracy. Pairing made the spread smaller in {helped} of "
        f"{len(rows)} comparisons. Of the unpaired spread it left {best[0]:.0%} in *{best[1]}*, the least, and "
        f"{worst[0]:.0%} in *{worst[1]}*, the most."
    )


def images() -> str:
    """Say how far the test images alone leave an accuracy open."""
    found, settings = compared(PICTURED), record.load(PICTURED)["experiment"]["settings"]
    accuracy, count = found.mean("plain"), settings["test"]
    return (
        f"An example: the plain network of the record of SE has an accuracy of {100 * accuracy:.1f}% on {count:,} test "
        f"images. On other {count:,} images of the same kind, the accuracy of the same network would vary with a "
        f"standard deviation of {100 * math.sqrt(accuracy * (1 - accuracy) / count):.2f} points; from seed to seed, on "
        f"the same images, it varies with {100 * found.spread('plain'):.2f}."
    )


def interval() -> str:
    """Give what the code on the page prints."""
    return f"```text\n{compared(SEVERAL).difference('CBAM', 'plain').sentence()}\n```"


def margin() -> str:
    """Say within which margin the two arms of an undecided comparison are alike."""
    found = compared(PICTURED).difference("SE", "plain")
    reach = 100 * max(abs(found.low), abs(found.high))
    return (
        f"In the record of SE, *SE − plain* is {signed(100 * found.mean)} points, from {between_ends(found)}. So it is "
        f"{found.verdict}, and a difference of more than {reach:.2f} points either way is ruled out, on this task and "
        "at this level. That says more than the verdict alone."
    )


def several() -> str:
    """Judge all arms of a record against the first: one by one, and together."""
    found = compared(SEVERAL)
    base, *arms = found.names
    level = 1 - (1 - LEVEL) / len(arms)
    p = {arm: float(ttest_rel(found.scores(arm), found.scores(base)).pvalue) for arm in arms}
    together, rows = holm(p), []
    single = {arm: found.difference(arm, base) for arm in arms}
    strict = {arm: found.difference(arm, base, level=level) for arm in arms}
    for arm in sorted(arms, key=p.get):
        wide = strict[arm]
        verdict = single[arm].verdict if together[arm] else "undecided"
        cells = (signed(100 * wide.mean), between_ends(single[arm]), _p(p[arm]), between_ends(wide), verdict)
        rows.append([f"{arm} − {base}", *cells])
    decided = [sum(each.verdict != "undecided" for each in kind.values()) for kind in (single, strict)]
    head = ["Arms", "mean", f"{LEVEL:.0%} interval", "p", f"{level:.2%} interval", "by Holm"]
    return (
        f"The record of CBAM compares {len(arms)} networks with *{base}*, on the same {len(found.seeds)} seeds. If "
        f"none differed from it, and the comparisons were independent, one or more of {len(arms)} intervals of "
        f"{LEVEL:.0%} would still exclude 0 with a probability of {1 - LEVEL ** len(arms):.0%}.\n\n"
        f"{table(head, rows)}\n\n"
        f"Of the {LEVEL:.0%} intervals {decided[0]} exclude 0; of those widened by Bonferroni, {decided[1]}; by Holm, "
        f"{sum(together.values())} differences are claimed."
    )


def seeds() -> str:
    """Count the seeds that a difference takes, with the spreads of our records."""
    rows = []
    for name, part, first, second in PAIRS:
        found = compared(name, part)
        spread = stdev(gaps(found, first, second))
        needed = [f"{seeds_needed(each, spread):,}" for each in WANTED]
        rows.append([_called(name, part, first, second), f"{spread:.2f}", str(len(found.seeds)), *needed])
    return table(
        ["Record and arms", "sd", "seeds it has", *(f"{each:g} point{'' if each == 1 else 's'}" for each in WANTED)],
        rows,
    )


def signs() -> str:
    """Count the wins that the sign test asks for."""
    rows = []
    for count in _SEEDS:
        enough = [k for k in range(count // 2 + 1, count + 1) if binomtest(k, count).pvalue < 1 - LEVEL]
        least = [f"{enough[0]} of {count}", _p(binomtest(enough[0], count).pvalue)] if enough else ["–", "–"]
        rows.append([str(count), _p(binomtest(count, count).pvalue), *least])
    head = ["Seeds", "p if all point one way", f"least that gives p < {1 - LEVEL:.2g}", "its p"]
    found = compared("sk")
    told = gaps(found, "SK", "no choice")
    wins, ties = sum(each > 0 for each in told), sum(each == 0 for each in told)
    left = len(told) - ties
    return (
        f"{table(head, rows)}\n\nIn the record of SK, *SK* beats *no choice* with {wins} of {left} seeds"
        + (f", and {ties} {'is a tie' if ties == 1 else 'are ties'}, which the test leaves out" if ties else "")
        + f": p = {binomtest(wins, left).pvalue:.3f}."
    )


@cache
def trials() -> dict[str, Any]:
    """Read what authors repeated."""
    return tomllib.loads((ROOT / TRIALS).read_text(encoding="utf-8"))


def published() -> str:
    """Put repeated results of the literature in a table, and say what single runs can show."""
    told = trials()["simam"]
    blocks, n = told["blocks"][1:], told["trials"]
    rows, p = [], {}
    for network, ((base, spread), *others) in told["accuracy"].items():
        cells = []
        for block, (mean, sd) in zip(blocks, others, strict=True):
            key = f"{network}, {block}"
            p[key] = float(ttest_ind_from_stats(mean, sd, n, base, spread, n, equal_var=False).pvalue)
            gain = signed(mean - base)
            cells.append(f"**{gain}**" if p[key] < 1 - LEVEL else gain)
        rows.append([network, f"{base:.2f} ± {spread:.2f}", *cells])
    spreads = [sd for row in told["accuracy"].values() for _, sd in row]
    usual, alone = median(spreads), sum(each < 1 - LEVEL for each in p.values())
    by_chance = 1 - NormalDist(0, usual * math.sqrt(2)).cdf(_SMALL)
    drawn = table(["Network", "no block", *blocks], rows)
    return (
        f"{{cite:t}}`{told['cite']}` trained every network {n} times ({told['where']}, {told['data']}, accuracy in per "
        f"cent, gain over the network without a block):\n\n{drawn}\n\n"
        f"**Bold**: the {LEVEL:.0%} interval of the difference excludes 0. It does for {alone} of {len(p)} gains; "
        f"{sum(holm(p).values())} of them hold when all {len(p)} are judged together by Holm. The trials are not "
        f"paired, so this is Welch's interval.\n\nThe spread of one cell is between {min(spreads):.2f} and "
        f"{max(spreads):.2f}, half of them above {usual:.2f}. With that spread, take two methods that are equally "
        f"good, and train each once: the second comes out {_SMALL:g} points ahead or more with a probability of "
        f"{by_chance:.0%}, the first likewise."
    )


#: The parts of the page, by their markers' name.
PARTS: dict[str, Callable[[], str]] = {
    each.__name__: each for each in (pairing, images, interval, margin, several, seeds, signs, published)
}


def parts(root: Path, page: Path, made: dict[str, Callable[[], str]]) -> str:
    """Return a page with its parts between markers made current.

    :param root: the repository.
    :param page: the page, from there.
    :param made: what makes each part, by the name in its markers.
    :raises Stale: where markers are missing.
    """
    text = (root / page).read_text(encoding="utf-8")
    for name, make in made.items():
        # An empty line on either side: a comment directly above a table would swallow it.
        text = between(text, (f"<!-- {name}: begin -->", f"<!-- {name}: end -->"), f"\n{make()}\n", page.as_posix())
    return text


# --- the picture --------------------------------------------------------------------------------------------------


def differences() -> Figure:
    """Draw one record twice: as bars on a cut axis, and as paired differences with their interval and zero."""
    found = compared(PICTURED)
    base, *arms = found.names
    colours = {base: COLOURS["plain"]} | dict.fromkeys(arms, COLOURS["control"]) | {arms[0]: COLOURS["block"]}
    fig = Figure(figsize=(PHONE / 72, 280 / 72), facecolor="white")
    FigureCanvasAgg(fig)  # which knows where labels of axes come to stand
    bars = _panel(fig, 0.67, 0.235, "Bars on an axis that is cut: a clear order?")
    pairs = _panel(fig, 0.13, 0.31, f"Paired with {base}: each seed, the interval, and zero")
    means = {arm: 100 * found.mean(arm) for arm in found.names}
    low, high = min(means.values()), max(means.values())
    bars.barh(list(means), list(means.values()), color=list(colours.values()), height=0.62)
    bars.set(xlim=(low - (high - low) / 3, high + (high - low) / 3), xlabel=f"{found.measure}, per cent")
    for row, mean in enumerate(means.values()):
        bars.text(1.03, row, f"{mean:.2f}", transform=bars.get_yaxis_transform(), size=9, va="center")
    for row, arm in enumerate(arms):
        each, told = gaps(found, arm, base), found.difference(arm, base)
        pairs.plot(each, [row - 0.22] * len(each), "o", ms=3.5, mfc="none", mec=COLOURS["muted"], mew=0.8)
        ends = [100 * told.low, 100 * told.high]
        pairs.plot(ends, [row + 0.15] * 2, color=colours[arm], lw=3, solid_capstyle="butt")
        pairs.plot(100 * told.mean, row + 0.15, "o", ms=6, color=colours[arm])
        mean = signed(100 * told.mean)
        pairs.text(1.03, row + 0.15, mean, transform=pairs.get_yaxis_transform(), size=9, va="center")
    pairs.axvline(0, color=COLOURS["ink"], lw=1, zorder=0)
    pairs.set(yticks=range(len(arms)), yticklabels=arms, ylim=(-0.6, len(arms) - 0.4), xlabel="difference, points")
    for axes in (bars, pairs):
        axes.invert_yaxis()
        low, high = axes.get_xlim()
        axes.set(xticks=[tick for tick in axes.get_xticks() if low <= tick <= high], xlim=(low, high))
    return fig


def _panel(fig: Figure, bottom: float, height: float, title: str) -> Axes:
    """Add axes of the page's width, their title flush with the picture's left edge."""
    axes = fig.add_axes((0.22, bottom, 0.63, height))
    axes.tick_params(labelsize=9, length=3)
    axes.xaxis.label.set_size(9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.locator_params(axis="x", nbins=5)
    fig.text(0.02, bottom + height + 0.025, title, size=9.5, weight="bold", color=COLOURS["ink"])
    return axes
