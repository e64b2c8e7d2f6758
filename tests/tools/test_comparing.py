"""The numbers of the page on comparisons come from the records, and mean what the page says."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from attention.lab.power import seeds_needed
from tools.chapters import ROOT
from tools.writing import catching, comparing, courses, explaining
from tools.writing.markers import Stale


def rows(part: str) -> list[list[str]]:
    lines = [line for line in comparing.PARTS[part]().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


@pytest.mark.parametrize("told", [comparing, explaining, catching, courses], ids=lambda told: told.PAGE.stem)
def test_the_pages_are_current(told) -> None:
    assert comparing.parts(ROOT, told.PAGE, told.PARTS) == (ROOT / told.PAGE).read_text(encoding="utf-8")


def test_a_page_without_its_markers_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("no markers")
    with pytest.raises(Stale, match=r"page\.md: needs one <!-- part: begin -->"):
        comparing.parts(tmp_path, Path("page.md"), {"part": str})


def test_paired_and_unpaired_spreads() -> None:
    for (name, part, first, second), row in zip(comparing.PAIRS, rows("pairing"), strict=True):
        found = comparing.compared(name, part)
        one, other = (100 * np.array(found.scores(arm)) for arm in (first, second))
        unpaired, paired = np.hypot(one.std(ddof=1), other.std(ddof=1)), (one - other).std(ddof=1)
        assert row[1:] == [str(len(one)), f"{unpaired:.2f}", f"{paired:.2f}"]


def test_seeds_are_counted_with_the_spread_of_the_record() -> None:
    for (name, part, first, second), row in zip(comparing.PAIRS, rows("seeds"), strict=True):
        spread = np.std(comparing.gaps(comparing.compared(name, part), first, second), ddof=1)
        assert [int(cell.replace(",", "")) for cell in row[3:]] == [seeds_needed(d, spread) for d in comparing.WANTED]


def test_several_comparisons_are_judged_by_their_p_values() -> None:
    found, told = comparing.compared(comparing.SEVERAL), rows("several")
    base = found.names[0]
    p = [ttest_rel(found.scores(row[0].removesuffix(f" − {base}")), found.scores(base)).pvalue for row in told]
    assert p == sorted(p)
    assert len(told) == len(found.names) - 1
    claimed = [row[-1] != "undecided" for row in told]
    strict = [value <= 0.05 / (len(p) - i) for i, value in enumerate(p)]
    assert claimed == [all(strict[: i + 1]) for i in range(len(p))]
    for value, row in zip(p, told, strict=True):
        ends = [float(end.replace("−", "-")) for end in row[2].split(" to ")]
        assert (ends[0] * ends[1] > 0) == (value < 0.05)


def test_the_sign_test_says_nothing_with_five_seeds_and_asks_ten_of_twelve() -> None:
    told = {row[0]: row for row in rows("signs")}
    assert told["5"] == ["5", "0.0625", "–", "–"]
    assert told["12"][2] == "10 of 12"


def test_published_gains_are_those_of_the_table() -> None:
    told = comparing.trials()["simam"]
    for row in rows("published"):
        (base, _), *others = told["accuracy"][row[0]]
        gains = [float(cell.strip("*").replace("−", "-")) for cell in row[2:]]
        assert gains == pytest.approx([mean - base for mean, _ in others], abs=0.0051)
    first = rows("published")[0]
    assert first[2:4] + first[4:5] == ["**+0.57**", "**+0.59**", "+0.01"]
