"""How a law runs: over random or fixed cases, with documented exceptions, and messages that name the case."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Flaky
from torch import Tensor

from tests.laws.spec import Case, Spec

__all__ = [
    "EXACT",
    "EXAMPLES",
    "LAWS",
    "cast",
    "excepting",
    "for_all",
    "for_fixed",
    "law",
    "naming",
    "same",
    "same_maps",
]

#: How many random cases a cheap law draws.
EXAMPLES = 200
#: Two float64 computations of one formula differ by no more than this, relative to the largest value.
EXACT = 1e-9

Law = Callable[..., None]
LAWS: dict[int, Law] = {}


def law(number: int, title: str) -> Callable[[Callable[[Spec, int], None]], Law]:
    """Make a law of a function: it counts, has a title, and whatever goes wrong in it becomes an AssertionError."""

    def decorate(check: Callable[[Spec, int], None]) -> Law:
        @functools.wraps(check)
        def run(spec: Spec, examples: int = EXAMPLES) -> None:
            try:
                with excepting(spec, f"law {number}"):
                    check(spec, examples)
            except Exception as error:
                raise AssertionError(f"law {number} ({title}), {spec.name}: {describe(error)}") from error

        run.number, run.title = number, title  # type: ignore[attr-defined]
        LAWS[number] = run
        return run

    return decorate


def describe(error: Exception) -> str:
    """Return an exception's message; where it is no assertion, with its type."""
    if isinstance(error, Flaky):  # hypothesis runs a failing case twice
        return f"the block gives other results for the same case when it runs again ({error})"
    return str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"


@contextmanager
def excepting(spec: Spec, what: str) -> Iterator[None]:
    """Run a law or a part of one; where the Spec documents an exception, it must fail."""
    if what not in spec.exceptions:
        yield
        return
    try:
        yield
    except Exception:
        return
    raise AssertionError(f"the exception {what!r} is no longer needed ({spec.exceptions[what]}); delete it")


def for_all(spec: Spec, examples: int, check: Callable[[Case], None]) -> None:
    """Check many random cases, the same ones in every run; the message names the smallest case that fails."""

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=spec.cases)
    def run(case: Case) -> None:
        with naming(case):
            check(case)

    run()


def for_fixed(spec: Spec, check: Callable[[Case], None]) -> None:
    """Check the Spec's fixed cases."""
    for case in spec.fixed:
        with naming(case):
            check(case)


@contextmanager
def naming(case: Case) -> Iterator[None]:
    """Add the case to the message of whatever goes wrong."""
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{describe(error)}\n  with {case}") from error


def same(name: str, found: Tensor, expected: Tensor, tolerance: float = EXACT) -> None:
    """Assert that two tensors have one shape and agree, relative to the largest expected value."""
    assert found.shape == expected.shape, f"{name} has shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
    if not found.numel():
        return
    found, expected = found.detach().to(torch.float64), expected.detach().to(torch.float64)
    assert found.isfinite().all(), f"{name} is not finite"
    error = (found - expected).abs().max().item()
    allowed = tolerance * max(1.0, expected.abs().max().item())
    assert error <= allowed, f"{name} differs by {error:.3g}, allowed {allowed:.3g}"


def same_maps(found: dict[str, Tensor], expected: dict[str, Any], tolerance: float = EXACT) -> None:
    """Assert that two sets of maps have the same names and values."""
    assert set(found) == set(expected), f"maps are {sorted(found)}, expected {sorted(expected)}"
    for name, value in found.items():
        same(f"the map {name!r}", value, torch.as_tensor(expected[name], dtype=torch.float64), tolerance)


def cast(inputs: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Convert the floating-point inputs; words and masks stay."""
    return tuple(x.to(dtype) if x.is_floating_point() else x for x in inputs)
