"""Checks of exercises: what was expected, what came, the equation it belongs to, and one hint.

``check("se.2", answer)`` looks up the exercise in ``attention/exercises/se.py`` and puts the answer to its questions,
in order: its type, its shape, its values, its behaviour. The first that fails is the one that is reported.
"""

import inspect
import math
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attention.lab.comparison import Comparison, Interval

__all__ = [
    "CheckFailed",
    "Exercise",
    "Result",
    "Wrong",
    "call",
    "check",
    "describe",
    "expect",
    "expect_close",
    "expect_function",
    "expect_numbers",
    "expect_research",
    "expect_shape",
    "expect_tensor",
    "find",
    "judge",
]

_WIDTH = 76
_SHOWN = 12  # tensors of at most so many numbers are printed whole


class Wrong(Exception):
    """An answer did not pass: raised by the questions of an exercise.

    :param message: what was expected and what came.
    :param hint: a hint at this very mistake; without it the exercise's own hint is given.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Unanswered(Exception):
    """There is no answer yet."""


class CheckFailed(AssertionError):
    """What ``check(…, strict=True)`` raises; a notebook shows its message alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@dataclass(frozen=True)
class Exercise:
    """An exercise that can be checked.

    :param id: chapter and number: ``"se.2"``.
    :param title: a few words.
    :param equation: the equation of the chapter that the exercise belongs to, in plain text.
    :param questions: functions that take the answer and raise :class:`Wrong`; asked in order.
    :param hint: one hint, which does not give the answer away.
    :param verified: what an answer that passes has been shown to be.
    """

    id: str
    title: str
    equation: str
    questions: tuple[Callable[[Any], None], ...]
    hint: str
    verified: str


@dataclass(frozen=True)
class Result:
    """What became of an answer; true if it passed.

    :param exercise: the exercise's id.
    :param passed: whether every question was answered.
    :param answered: whether there was an answer at all.
    :param message: what was printed.
    """

    exercise: str
    passed: bool
    answered: bool
    message: str = field(repr=False)

    def __bool__(self) -> bool:
        return self.passed

    def _ipython_display_(self) -> None:
        """Show nothing: ``check`` has printed the message."""


def check(identifier: str, answer: Any, *, strict: bool = False) -> Result:
    """Check an answer to an exercise and print what was found.

    :param identifier: the exercise's id, ``"se.2"``.
    :param answer: the answer: a number, a tensor, a function, whatever the exercise asks for.
    :param strict: raise instead of printing where the answer does not pass.
    :returns: the result, true if the answer passed. A notebook shows nothing for it.
    :raises ValueError: for an unknown exercise.
    :raises CheckFailed: with ``strict``, where the answer does not pass or there is none.
    """
    result = judge(find(identifier), answer)
    if strict and not result:
        raise CheckFailed(result.message)
    print(result.message)
    return result


def find(identifier: str) -> Exercise:
    """Look up an exercise by its id.

    :raises TypeError: for an id that is no string.
    :raises ValueError: for an unknown chapter or exercise.
    """
    if not isinstance(identifier, str):
        raise TypeError(f"identifier: expected a string such as 'se.2', received {type(identifier).__name__}")
    chapter = identifier.partition(".")[0]
    if not chapter.isidentifier() or chapter.startswith("_") or find_spec(f"attention.exercises.{chapter}") is None:
        raise ValueError(f"identifier={identifier!r}: there are no exercises {chapter!r}")
    known = {each.id: each for each in import_module(f"attention.exercises.{chapter}").EXERCISES}
    if identifier not in known:
        near = get_close_matches(identifier, known, n=1)
        did = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"identifier={identifier!r} is not one of {', '.join(known)}{did}")
    return known[identifier]


def judge(exercise: Exercise, answer: Any) -> Result:
    """Put an answer to an exercise's questions, without printing.

    Questions run from a fixed seed and with gradients, whatever the caller's mode, and leave torch's random state as
    it was.
    """
    head = f"{exercise.id} · {exercise.title}"
    try:
        if answer is None or answer is ...:
            raise Unanswered
        with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=_devices(answer)):
            for question in exercise.questions:
                torch.manual_seed(0)
                question(answer)
    except Unanswered:
        lines = [f"… {head}", *_wrapped("No answer yet: run this again when there is one.")]
        return Result(exercise.id, passed=False, answered=False, message="\n".join(lines))
    except Wrong as wrong:
        hint = wrong.hint or exercise.hint
        lines = [f"✗ {head}", *_wrapped(str(wrong))]
        lines += [*_wrapped(f"Belongs to: {exercise.equation}"), *_wrapped(f"Hint: {hint}")]
        return Result(exercise.id, passed=False, answered=True, message="\n".join(lines))
    lines = [f"✓ {head}", *_wrapped(f"Verified: {exercise.verified}")]
    return Result(exercise.id, passed=True, answered=True, message="\n".join(lines))


def expect(condition: bool, message: str, hint: str = "") -> None:
    """Ask for a condition.

    :raises Wrong: with the message where it does not hold.
    """
    if not condition:
        raise Wrong(message, hint)


def expect_function(answer: Any, what: str = "a function") -> None:
    """Ask for something that can be called; a class is taken for a mistake.

    :raises Wrong: otherwise.
    """
    if isinstance(answer, type):
        raise Wrong(f"Expected {what}, received the class {answer.__name__}.", "Pass the function, not a class.")
    if not callable(answer):
        raise Wrong(
            f"Expected {what}, received {describe(answer)}.",
            "Pass the function itself, check(…, squeeze), not what it returns, check(…, squeeze(x)).",
        )


def call(function: Callable[..., Any], *arguments: Any, about: str, returns: bool = True) -> Any:
    """Call an answer that is a function, on copies of tensors, on the device that a module's parameters are on.

    :param arguments: what it is called with.
    :param about: what it is called with, in words, for the message: ``"x of shape (2, 3, 4, 5)"``.
    :param returns: whether it has to return something.
    :returns: what it returns.
    :raises Wrong: where it raises, with its own line where that is known, or changes a tensor that it was given.
    """
    place = next((p.device for p in function.parameters()), None) if isinstance(function, nn.Module) else None
    given = [a.clone().to(place) if isinstance(a, Tensor) else a for a in arguments]
    try:
        returned = function(*given)
    except NotImplementedError as error:
        raise Unanswered from error
    except (Wrong, Unanswered):
        raise
    except Exception as error:
        said = f": {error}" if str(error) else ""
        raise Wrong(
            f"Called with {about}, your function raised {type(error).__name__}{said}{_line(error, function)}",
            "Call your function with such arguments yourself, and read the whole message.",
        ) from error
    for before, after in zip(arguments, given, strict=True):
        if isinstance(before, Tensor) and not torch.equal(before, after.to(before.device)):
            raise Wrong(
                f"Called with {about}, your function changed its input.",
                "Methods whose names end in an underscore, and x *= …, work in place: use x * … instead.",
            )
    if returns and (returned is None or returned is ...):
        raise Wrong(f"Called with {about}, your function returned {returned}.", "Does it end in a return statement?")
    return returned


def expect_numbers(answer: Any, shape: tuple[int, ...], what: str) -> Tensor:
    """Ask for numbers of a shape, written by hand: a tensor, an array, a list or a number.

    :param shape: the shape they must have.
    :param what: what they are, for the message: ``"the two gates"``.
    :returns: the numbers, float64, on the CPU.
    :raises Wrong: for anything that is not finite numbers of that shape.
    """
    try:
        raw = answer.detach().cpu() if isinstance(answer, Tensor) else torch.as_tensor(np.asarray(answer))
    except (RuntimeError, TypeError, ValueError):  # the first for numbers in a list that still have a gradient
        raise Wrong(f"Expected {what} as numbers of shape {shape}, received {describe(answer)}.") from None
    if raw.dtype == torch.bool or raw.is_complex():
        raise Wrong(f"Expected {what} as real numbers, received {describe(answer)}.")
    numbers = raw.double()
    expect_shape(numbers, shape, what)
    expect(bool(numbers.isfinite().all()), f"Expected finite numbers for {what}, received {_text(numbers)}.")
    return numbers


def expect_tensor(
    received: Any, like: Tensor, what: str, *, shapes: Mapping[tuple[int, ...], str] | None = None
) -> Tensor:
    """Ask for a torch tensor of the same shape and dtype as another, and finite.

    :param received: what came.
    :param like: what was expected.
    :param what: what it is, for the message.
    :param shapes: shapes that a known mistake leads to, each with the hint that fits it.
    :returns: what came, detached, on the CPU.
    :raises Wrong: otherwise.
    """
    if not isinstance(received, Tensor):
        raise Wrong(
            f"Expected a torch.Tensor for {what}, received {describe(received)}.",
            "Stay within torch: gradients do not flow through NumPy or lists." if _foreign(received) else "",
        )
    received = received.detach().cpu()
    expect_shape(received, tuple(like.shape), what, (shapes or {}).get(tuple(received.shape), ""))
    expect(
        received.dtype == like.dtype,
        f"Expected dtype {like.dtype} for {what}, received {received.dtype}.",
        "The result should have the dtype of the input: convert nothing, and make no new tensors of a fixed dtype.",
    )
    expect(
        bool(received.isfinite().all()) or not bool(like.isfinite().all()),
        f"Expected finite numbers for {what}, received {int((~received.isfinite()).sum())} that are inf or nan.",
    )
    return received


def expect_shape(received: Tensor, shape: tuple[int, ...], what: str, hint: str = "") -> None:
    """Ask for a shape.

    :raises Wrong: otherwise.
    """
    expect(
        tuple(received.shape) == shape, f"Expected shape {shape} for {what}, received {tuple(received.shape)}.", hint
    )


def expect_close(
    received: Tensor,
    expected: Tensor,
    what: str,
    *,
    tolerance: float = 1e-5,
    reveal: bool = True,
    mistakes: Sequence[tuple[Tensor, str]] = (),
) -> None:
    """Ask for values, in a tensor whose shape has been checked.

    :param received: what came.
    :param expected: the right values, of the same shape.
    :param what: what they are, for the message.
    :param tolerance: how far a value may lie off, as a share of its size and of 1.
    :param reveal: whether the message shows the right values; for a computation by hand it must not.
    :param mistakes: values that a known mistake leads to, each with the hint that fits it.
    :raises Wrong: with the largest difference and where it is.
    """
    received, expected = received.double(), expected.double()
    off = (received - expected).abs()
    wrong = (received != expected) & ~(off <= tolerance * expected.abs().clamp(min=1))  # so that nan is wrong
    if not wrong.any():
        return
    at = np.unravel_index(int(off.argmax()), off.shape)
    place = f"[{', '.join(str(int(i)) for i in at)}]" if off.ndim else ""
    count = f"{int(wrong.sum())} of {wrong.numel()} numbers" if wrong.numel() > 1 else "The number"
    message = f"{count} in {what} {'are' if int(wrong.sum()) > 1 else 'is'} wrong."
    if reveal:
        message += f" The largest difference is {float(off[at]):.3g}{f', at {place}' if place else ''}:"
        message += f" expected {float(expected[at]):.4g}, received {float(received[at]):.4g}."
    else:
        message += f" You have {_text(received)}"
        message += f"; look again at {', '.join(f'[{int(i)}]' for i in wrong.flatten().nonzero())}." if place else "."
    hint = next((hint for values, hint in mistakes if _same(received, values, tolerance)), "")
    raise Wrong(message, hint)


def expect_research(answer: Any, sizes_hint: str) -> None:
    """Ask for a small piece of research: its form, not what it found.

    :param answer: a dictionary with ``claim``, a sentence; ``comparison``, two models or more with three seeds or more;
        ``interval``, the paired one of two models with equally many parameters; ``verdict``, which follows from it.
    :param sizes_hint: the hint where the two models differ in parameters.
    :raises Wrong: for the first of these that is not as asked.
    """
    keys = ("claim", "comparison", "interval", "verdict")
    if not isinstance(answer, dict) or set(answer) != set(keys):
        received = f"the keys {', '.join(map(str, answer))}" if isinstance(answer, dict) else type(answer).__name__
        raise Wrong(f"Expected a dictionary with the keys {', '.join(keys)}, received {received}.")
    claim, comparison, interval, verdict = (answer[key] for key in keys)
    expect(
        isinstance(claim, str) and len(claim.split()) >= 5,
        f"Expected a claim of at least five words, received {describe(claim)}.",
        "Say what is better than what, on which task, by which measure: a sentence that can turn out false.",
    )
    expect(
        isinstance(comparison, Comparison),
        f"Expected comparison to be a training.Comparison, received {type(comparison).__name__}.",
        "training.compare({…}, task, seeds=…, steps=…) makes one.",
    )
    expect(
        len(comparison.names) >= 2,
        f"Expected at least two models in the comparison, received {len(comparison.names)}.",
    )
    expect(
        len(comparison.seeds) >= 3,
        f"Expected at least 3 seeds, received {len(comparison.seeds)}.",
        "With one or two seeds there is no telling an effect from chance.",
    )
    sizes = {name: comparison.of(name)[0].parameters for name in comparison.names}
    pair = isinstance(interval, Interval) and f"{interval.first} and {interval.second}"
    described = pair or describe(interval)
    expect(
        isinstance(interval, Interval) and {interval.first, interval.second} <= set(comparison.names),
        f"Expected interval to compare two of {', '.join(comparison.names)}, received {described}.",
        "comparison.difference(first, second) computes it.",
    )
    expect(
        sizes[interval.first] == sizes[interval.second],
        f"The two models differ in parameters: {sizes[interval.first]:,} and {sizes[interval.second]:,}.",
        sizes_hint,
    )
    right = comparison.difference(interval.first, interval.second)
    same = all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(_ends(interval), _ends(right), strict=True))
    expect(
        same,
        f"Expected the paired 95% interval {right.low:.4f} to {right.high:.4f}, received {interval.low:.4f} to "
        f"{interval.high:.4f}.",
        "Subtract seed by seed, and take the interval of those differences.",
    )
    expect(
        interval.low < interval.high,
        "The differences of all seeds are identical.",
        "Does each seed draw other weights? Or do both models saturate the task, so that it cannot tell them apart?",
    )
    allowed = ("higher", "lower", "undecided")
    known = isinstance(verdict, str) and verdict in allowed
    expect(known, f"Expected the verdict to be one of {', '.join(allowed)}, received {describe(verdict)}.")
    expect(
        verdict == right.verdict,
        f"The interval goes from {right.low:.4f} to {right.high:.4f}, and your verdict is {verdict!r}.",
        "Does the interval hold 0?",
    )


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.mean, interval.low, interval.high


def _same(received: Tensor, values: Tensor, tolerance: float) -> bool:
    values = values.double()
    return received.shape == values.shape and torch.allclose(received, values, rtol=tolerance, atol=tolerance)


def _foreign(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic | list | tuple)


def _devices(answer: Any) -> list[int]:
    """List the CUDA devices that an answer lies on: their random state is kept as well."""
    if isinstance(answer, nn.Module):
        tensors = [*chain(answer.parameters(), answer.buffers())]
    else:
        tensors = [answer] if isinstance(answer, Tensor) else []
    return sorted({t.device.index for t in tensors if t.is_cuda})


def describe(value: Any) -> str:
    """Name a value for a message: its type, and its shape, or the value itself where that is short."""
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__} of dtype {value.dtype} and shape {tuple(value.shape)}"
    try:
        shown = repr(value)
    except Exception:  # a whole number of thousands of digits, an object half made
        return type(value).__name__
    return type(value).__name__ + (f" {shown}" if len(shown) <= 40 and " at 0x" not in shown else "")


def _text(numbers: Tensor) -> str:
    """Print a small tensor whole, with few digits."""
    if numbers.numel() > _SHOWN:
        return f"{numbers.numel()} numbers from {float(numbers.min()):.4g} to {float(numbers.max()):.4g}"
    rounded = [
        [f"{float(v):.4g}" for v in row] for row in numbers.reshape(-1, numbers.shape[-1] if numbers.ndim else 1)
    ]
    rows = [f"[{', '.join(row)}]" for row in rounded]
    return rows[0] if numbers.ndim == 1 else rounded[0][0] if numbers.ndim == 0 else f"[{', '.join(rows)}]"


def _line(error: Exception, function: Callable[..., Any]) -> str:
    """Name the line of the answer's own code in which an error arose."""
    code = inspect.unwrap(function)
    code = getattr(code, "__func__", code)
    name = getattr(getattr(code, "__code__", None), "co_filename", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    if not frames:
        return ""
    last = frames[-1]
    return f" (line {last.lineno}: {textwrap.shorten(last.line, 60)})" if last.line else f" (line {last.lineno})"


def _wrapped(text: str) -> list[str]:
    """Break a paragraph into indented lines."""
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False)
