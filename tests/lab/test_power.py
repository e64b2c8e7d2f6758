"""Seeds needed, and several comparisons at once."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from attention.lab.power import holm, power, seeds_needed


def test_power_is_how_often_the_interval_excludes_zero() -> None:
    """Against a simulation of 20,000 comparisons of 8 seeds."""
    draws = np.random.default_rng(0).normal(0.9, 1.0, (20_000, 8))
    found = ttest_1samp(draws, 0, axis=1)
    assert power(8, 0.9, 1.0) == pytest.approx(np.mean((found.pvalue < 0.05) & (found.statistic > 0)), abs=0.01)


def test_power_depends_on_the_share_alone_and_not_on_the_sign() -> None:
    assert power(6, 0.5, 0.4) == pytest.approx(power(6, -50, 40))


def test_without_a_difference_half_of_the_false_findings_lie_on_either_side() -> None:
    assert power(10, 0.0, 1.0) == pytest.approx(0.025)


@pytest.mark.parametrize(("difference", "spread"), [(1.0, 0.2), (0.5, 0.9), (0.2, 1.1)])
def test_the_number_of_seeds_is_the_least(difference: float, spread: float) -> None:
    needed = seeds_needed(difference, spread)
    assert power(needed, difference, spread) >= 0.8
    assert needed == 2 or power(needed - 1, difference, spread) < 0.8


def test_a_textbook_number_of_seeds() -> None:
    """For a difference of half a standard deviation, tables of the paired t-test give 34 pairs."""
    assert seeds_needed(0.5, 1.0) == 34


def test_holm_keeps_more_than_bonferroni_and_stops_at_the_first_that_fails() -> None:
    assert holm({"a": 0.03, "b": 0.012, "c": 0.02}) == {"a": True, "b": True, "c": True}  # .05/3 keeps b alone
    assert holm({"a": 0.001, "b": 0.03, "c": 0.04}) == {"a": True, "b": False, "c": False}  # c alone would pass .05
    assert holm({"a": 0.001}, level=0.9995) == {"a": False}
    assert holm({}) == {}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: power(1, 1, 1), "seeds=1 gives no interval"),
        (lambda: power(5, 1, 0), "spread=0 is not positive"),
        (lambda: power(5, 1, 1, level=1), "level=1 is not between"),
        (lambda: seeds_needed(0, 1), "difference=0 is not positive"),
        (lambda: seeds_needed(1, float("inf")), "spread=inf is not positive and finite"),
        (lambda: seeds_needed(1, 1, often=1.0), "often=1.0 is not between"),
        (lambda: seeds_needed(1e-6, 1), "100,000 seeds are too few"),
        (lambda: holm({"a": 1.5}), r"p\['a'\]=1.5 is not between"),
        (lambda: holm({"a": 0.5}, level=0), "level=0 is not between"),
    ],
)
def test_what_makes_no_sense_is_refused(call, says) -> None:
    with pytest.raises(ValueError, match=says):
        call()
