"""How a law runs: over random or fixed cases, with documented exceptions, and messages that name the case."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hypothesis import given
from hypothesis.errors import Flaky

from attention.laws import comparing
from attention.laws.material import repeatable
from tests.laws.spec import Case, Spec

__all__ = ["EXAMPLES", "LAWS", "excepting", "for_all", "for_fixed", "law", "naming"]

#: How many random cases a cheap law draws.
EXAMPLES = 200

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
    return comparing.describe(error)


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

    @repeatable(examples)
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
