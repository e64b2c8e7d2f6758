"""The first table compares what it says, misses no block, and a result that misses the aim is named."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from attention import registry
from attention.contract import Attention, Gate, Map
from attention.lab import cost
from benchmarks import forms, measuring

ROW = forms.Row("made up", (8, 64, 56, 56), "forward", 0.2, 0.1, 0.4, 0.6, 9, 400, 100)


class Doubled(Attention):
    """A block whose forms differ in cost: the literal one spends time, on the clock of these tests, and memory."""

    now = 0.0

    def __init__(self, channels: int, wrong: float = 1.0) -> None:
        super().__init__()
        self.maps: dict[str, Map] = {}
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.wrong = wrong

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        Doubled.now += 0.05
        large = torch.cat([x * self.weight, x, x, x])
        return large[: len(x)] + 0 * large[len(x) : 2 * len(x)], {}

    def forward(self, x: Tensor) -> Tensor:
        Doubled.now += 0.02
        return x * self.weight * self.wrong


def result(*rows: forms.Row, reasons: tuple = ()) -> dict:
    return {
        "environment": measuring.environment(),
        "rows": [json.loads(json.dumps(asdict(row))) for row in rows],
        "literal": ["se"],
        "left_out": {"captioner": "a network"},
        "reasons": [list(reason) for reason in reasons],
    }


# What is compared


def test_every_block_has_a_case_or_a_reason() -> None:
    named = {case.name.partition(",")[0] for case in forms.cases()} | set(forms.LEFT_OUT)
    assert named == set(registry.names())
    assert set(forms.VARIANTS) | set(forms.LEFT_OUT) <= set(registry.entries())


@pytest.mark.parametrize("case", forms.cases(), ids=lambda case: case.name)
def test_every_case_can_be_built(case: forms.Case) -> None:
    """At the sizes that are measured; the forms are compared when they are timed, and held together by law 3."""
    for _, channels, *_ in (*measuring.SHAPES, *measuring.SMOKE):
        assert isinstance(case.build(channels), Attention)


def test_literal_means_that_forward_is_attend() -> None:
    assert forms.Case("se", registry.entry("se").load()).literal
    assert not forms.Case("made up", Doubled).literal
    inherited = type("Inherited", (Gate,), {"__init__": lambda self, channels: Gate.__init__(self)})
    assert forms.Case("made up", inherited).literal


# How


def test_ratios_are_of_fast_to_literal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=lambda: Doubled.now))
    rows = forms.compare(forms.Case("made up", Doubled), (2, 4, 3, 5), seconds=0)
    assert [row.run for row in rows] == ["forward", "forward + backward"]
    for row in rows:
        assert (row.fast, row.literal) == pytest.approx((0.02, 0.05))
        assert row.time == row.fast / row.literal
        assert row.low == pytest.approx(0.4) == row.high
        assert row.memory < 0.75
        assert not row.slower()
        assert row.repeats == measuring.LEAST


def test_memory_is_that_of_the_lab() -> None:
    torch.manual_seed(0)
    for row, training in zip(forms.compare(forms.Case("made up", Doubled), (2, 4, 3, 5), seconds=0), (False, True),
                             strict=True):  # fmt: skip
        x = torch.randn(2, 4, 3, 5, requires_grad=True)
        assert row.fast_bytes == cost.peak(Doubled(4), x, training=training)


def test_forms_that_differ_are_not_compared() -> None:
    wrong = forms.Case("made up", lambda channels: Doubled(channels, wrong=1.01))
    with pytest.raises(AssertionError, match=r"made up, forward: the forms differ by 0\.01 of the largest value"):
        forms.compare(wrong, (2, 4, 3, 5), seconds=0)


# What is said of it


def test_a_result_that_meets_the_aim() -> None:
    both = ROW, replace(ROW, run="forward + backward", fast_bytes=400)
    text = forms.report(result(*both))
    assert "made up  8 × 64 × 56 × 56  0.50 (0.40 to 0.60)  0.25    0.50 (0.40 to 0.60)  1.00" in text
    assert "Only a literal form: se" in text
    assert "Left out: captioner, a network" in text
    assert text.endswith("At most 1.0 in all 2 comparisons, in time and in memory.")


def test_what_misses_the_aim_is_named_with_its_reason() -> None:
    slow = replace(ROW, fast=0.3, low=1.2, high=1.7)
    large = replace(ROW, shape=(8, 256, 14, 14), run="forward + backward", fast_bytes=500)
    both = replace(slow, run="forward + backward", fast_bytes=401)
    other = replace(large, run="forward", fast_bytes=400)
    text = forms.report(result(slow, both, large, other, reasons=(("made up", ROW.shape, "it has more to do"),)))
    assert text.partition("Above 1.0:\n")[2].splitlines() == [
        "  made up, 8 × 64 × 56 × 56, forward: time 1.50; it has more to do",
        "  made up, 8 × 64 × 56 × 56, forward + backward: time 1.50 and memory 1.00; it has more to do",
        "  made up, 8 × 256 × 14 × 14, forward + backward: memory 1.25; no reason known",
    ]


def test_reasons_are_of_cases_that_there_are() -> None:
    assert {name for name, _ in forms.REASONS} <= {case.name for case in forms.cases()}
    assert {shape for _, shape in forms.REASONS} <= set(measuring.SHAPES)


def test_a_median_above_1_within_the_noise_is_not_slower() -> None:
    assert not replace(ROW, fast=0.21, low=0.9, high=1.2).slower()
    assert replace(ROW, fast=0.21, low=1.01, high=1.2).slower()
