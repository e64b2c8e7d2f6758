"""Timing: whose turn it is, and which of the times counts; no test asserts how long something takes."""

import pytest

from attention.lab import timing


def test_calls_take_turns_and_the_median_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that each call moves on: by 1 s, but the first call by 9 s and one in a round by 100 s."""
    now, turns = [0.0], []
    late = {("a", 0): 9.0, ("b", 2): 100.0}

    def call(name: str, seconds: float) -> None:
        now[0] += late.get((name, turns.count(name)), seconds)
        turns.append(name)

    monkeypatch.setattr(timing, "perf_counter", lambda: now[0])
    found = timing.milliseconds({"a": lambda: call("a", 1.0), "b": lambda: call("b", 2.0)}, rounds=3)
    assert found == {"a": 1000, "b": 2000}
    assert turns == ["a", "b"] * 4
    with pytest.raises(ValueError, match="rounds=0"):
        timing.milliseconds({}, rounds=0)
