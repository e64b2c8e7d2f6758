"""The picture of a comparison shows each score and each paired difference, says them, and reads on a phone."""

from collections.abc import Sequence
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attention.lab import record, style
from attention.lab.comparison import Comparison
from tests.lab.test_training import result

Shown = list[tuple[Figure, str, dict[str, Any]]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """The figures that were shown; each has passed the checks of style.show: no overlap, nothing too small."""
    seen: Shown = []
    real = style.show

    def show(fig: Figure, alt: str, **options: Any) -> None:
        real(fig, alt, **options)
        seen.append((fig, alt, options))

    monkeypatch.setattr(style, "show", show)
    return seen


def dots(ax: Axes) -> list[list[float]]:
    """The values of each row of dots."""
    return [list(line.get_xdata()) for line in ax.lines if line.get_marker() == "o"]


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def labels(ax: Axes) -> list[str]:
    return [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]


def at(ax: Axes, colour: str) -> list[list[float]]:
    """Where lines of one colour lie."""
    return [list(line.get_xdata()) for line in ax.lines if line.get_color() == style.COLOURS[colour]]


ARMS = {"plain": [0.5, 0.6, 0.55], "parameter-matched control": [0.7, 0.9, 0.8]}


@pytest.mark.parametrize(("measure", "factor"), [("accuracy", 100), ("R²", 1)])
def test_every_score_is_a_dot_and_every_difference_a_dot_below(shown: Shown, measure: str, factor: int) -> None:
    comparison = result(ARMS, measure)
    comparison.plot()
    ((fig, alt, _),) = shown
    top, below = fig.axes
    assert dots(top) == [pytest.approx([factor * s for s in each]) for each in ARMS.values()]
    assert labels(top) == list(ARMS)
    assert dots(below) == [pytest.approx([factor * d for d in (0.2, 0.3, 0.25)])]
    assert labels(below) == ["parameter-matched control"]
    assert below.get_title(loc="left") == "Each minus plain, seed by seed; line: 95% interval"
    found = comparison.difference("parameter-matched control", "plain")
    ends = next(line for line in at(below, "ink") if line[0] != line[1])
    assert ends == pytest.approx([factor * found.low, factor * found.high])
    assert [factor * found.mean] * 2 in [pytest.approx(line) for line in at(below, "ink")]
    assert [0, 0] in at(below, "muted")
    means, words = (["55.0%", "80.0%"], "+25.0 (+12.6 to +37.4)") if factor == 100 else (["0.55", "0.80"], "")
    words = words or "+0.25 (+0.13 to +0.37)"
    assert [text for text in texts(top) if text in means] == means
    assert texts(below) == [words]
    assert f"plain: mean {'55.0 %' if factor == 100 else '0.55'}" in alt
    assert f"parameter-matched control minus plain {words}" in alt
    assert not any(ax.get_legend() for ax in fig.axes)


def test_no_line_joins_the_runs_of_a_seed(shown: Shown) -> None:
    result(ARMS).plot()
    for ax in shown[0][0].axes:
        for line in ax.lines:
            if line.get_marker() == "o":
                assert line.get_linestyle() == "None"


def test_pairs_are_those_that_are_asked_for(shown: Shown) -> None:
    of = {"a": [0.1, 0.3], "b": [0.2, 0.5], "c": [0.9, 0.8]}
    comparison = result(of, "R²")
    comparison.plot(pairs=[("c", "b"), ("b", "a")])
    comparison.plot(pairs=[])
    (fig, alt, _), (alone, alone_alt, _) = shown
    assert labels(fig.axes[1]) == ["c − b", "b − a"]
    assert dots(fig.axes[1]) == [pytest.approx([0.7, 0.3]), pytest.approx([0.1, 0.2])]
    assert "c minus b +0.50" in alt
    assert len(alone.axes) == 1
    assert "differences" not in alone_alt
    with pytest.raises(ValueError, match="'a' is paired with itself; name two models of a, b, c"):
        comparison.plot(pairs=[("a", "a")])
    with pytest.raises(ValueError, match="name='d' is not one of a, b, c"):
        comparison.plot(pairs=[("a", "d")])


def test_limits_are_lines_with_their_names_and_chance_is_one_where_it_does_not_squeeze(shown: Shown) -> None:
    near = result({"a": [0.6, 0.7], "b": [0.7, 0.8]}, chance=0.5)
    near.plot(limits={"the best without the block": 0.75})
    top = shown[0][0].axes[0]
    assert {"the best without the block", "chance"} <= set(texts(top))
    assert [75.0, 75.0] in at(top, "wrong")
    assert [50.0, 50.0] in at(top, "muted")
    assert "The best without the block: 75.0 %. Chance: 50.0 %." in shown[0][1]
    far = result({"a": [0.95, 0.96], "b": [0.96, 0.97]}, chance=0.5)
    far.plot()
    top = shown[1][0].axes[0]
    assert "chance" not in texts(top)
    assert top.get_xlabel() == "accuracy, test (%); chance: 50%"
    assert "Chance: 50.00 %." in shown[1][1]
    result({"a": [0.1, 0.4]}, "R²", chance=0.0).plot()
    assert "always the mean" in texts(shown[2][0].axes[0])


def test_one_seed_has_no_interval_and_says_so(shown: Shown) -> None:
    result({"plain": [0.5], "SE": [0.7]}).plot()
    ((fig, alt, _),) = shown
    top, below = fig.axes
    assert top.get_title(loc="left") == "One seed"
    assert not at(below, "ink")
    assert below.get_xlabel().endswith("one seed gives no interval")
    assert texts(below) == ["+20.0"]
    assert "one seed gives no interval" in alt
    assert "interval:" not in alt.replace("no interval:", "")


def test_an_interval_of_two_seeds_does_not_squeeze_the_dots(shown: Shown) -> None:
    comparison = result({"plain": [0.5, 0.5], "SE": [0.49, 0.51]})
    comparison.plot()
    below = shown[0][0].axes[1]
    low, high = below.get_xlim()
    found = comparison.difference("SE", "plain")
    assert 100 * found.low < low
    assert 100 * found.high > high  # it goes on: an arrow says so
    assert [line.get_marker() for line in below.lines if line.get_marker() in "<>"] == ["<", ">"]
    assert high - low < 21
    assert f"{100 * found.high:+.1f}" in texts(below)[0]


def test_equal_scores_and_many_seeds_are_drawn_apart(shown: Shown) -> None:
    result({"a": [0.5] * 5, "b": [0.5, 0.5, 0.6, 0.6, 0.7]}).plot()
    rows = [line for line in shown[0][0].axes[0].lines if line.get_marker() == "o"]
    for row in rows:
        places = list(zip(row.get_xdata(), row.get_ydata(), strict=True))
        assert len(set(places)) == len(places)


@pytest.mark.parametrize(
    ("measure", "near", "far"),
    [("accuracy", ["95.20%", "95.40%"], ["95.2%", "50.0%"]), ("R²", ["0.952", "0.954"], ["0.95", "0.50"])],
)
def test_means_that_are_close_have_a_digit_more(shown: Shown, measure: str, near: list, far: list) -> None:
    result({"a": [0.951, 0.953], "b": [0.953, 0.955]}, measure).plot()
    result({"a": [0.951, 0.953], "b": [0.4, 0.6]}, measure).plot()
    for (fig, _, _), means in zip(shown, (near, far), strict=True):
        assert [text for text in texts(fig.axes[0]) if text[0].isdigit()] == means


def test_alt_and_caption_can_be_given(shown: Shown) -> None:
    result(ARMS).plot(alt="mine", caption="What to see.")
    assert shown[0][1:] == ("mine", {"caption": "What to see."})
    result(ARMS).plot("positional")
    assert shown[1][1:] == ("positional", {"caption": ""})
    with pytest.raises(ValueError, match="level=1"):
        result(ARMS).plot(level=1)


def recorded() -> Sequence[tuple[str, dict[str, Any]]]:
    """All comparisons that are kept in records."""
    found = []
    for chapter in ("se", "sk", "cbam", "stn"):
        experiment = record.load(chapter)["experiment"]
        parts = [experiment, *(each for each in experiment.values() if isinstance(each, dict))]
        found += [(chapter, part["comparison"]) for part in parts if "comparison" in part]
    return found


def test_all_recorded_comparisons_can_be_read_on_a_phone(shown: Shown) -> None:
    kept = recorded()
    assert {chapter for chapter, _ in kept} == {"se", "sk", "cbam", "stn"}
    for _, each in kept:
        comparison = Comparison.from_dict(each)
        comparison.plot(limits={"a limit with a rather long name": comparison.mean(comparison.names[0])})
        fig = shown[-1][0]
        assert len(dots(fig.axes[1])) == len(comparison.names) - 1
        assert all(text.get_rotation() == 0 for ax in fig.axes for text in (*ax.texts, *ax.get_yticklabels()))
