"""Checks of exercises: what was expected, what came, the equation it belongs to, and one hint.

``check("se.2", answer)`` looks up the exercise in ``attention/exercises/se.py`` and puts the answer to its questions,
in order: its type, its shape, its values, its behaviour. The first that fails is the one that is reported.
"""

import inspect
import math
import os
import pkgutil
import re
import site
import sysconfig
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attention import registry
from attention.lab.comparison import Comparison, Interval

__all__ = [
    "CheckFailed",
    "Exercise",
    "Misused",
    "Result",
    "Wrong",
    "call",
    "check",
    "describe",
    "equation",
    "expect",
    "expect_close",
    "expect_function",
    "expect_numbers",
    "expect_parameters",
    "expect_refusal",
    "expect_research",
    "expect_shape",
    "expect_tensor",
    "expect_truth",
    "expect_unchanged",
    "expect_whole",
    "find",
    "judge",
    "span",
    "whole",
]

_ABSENT = object()
_WIDTH = 76
_SHOWN_TEXT = 40  # values are printed whole if it takes no more characters
_SHOWN_ERROR = 400  # so much of an error's message
#: Folders of code that is nobody's answer: the package's, Python's own, those of libraries.
_LIBRARIES = tuple(
    os.path.realpath(folder) + os.sep
    for folder in (
        os.path.dirname(os.path.dirname(__file__)),
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    )
)
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


class _Brief(Exception):
    """An error that a notebook shows as its message alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class CheckFailed(_Brief, AssertionError):
    """What ``check(…, strict=True)`` raises; a notebook shows its message alone, without a traceback."""


class Misused(_Brief, ValueError):
    """``check`` was called in another way than ``check("se.2", answer)``; the message says what to write."""


@dataclass(frozen=True)
class Exercise:
    """An exercise that can be checked.

    :param id: chapter and number: ``"se.2"``.
    :param title: a few words.
    :param equation: the equation of the chapter that the exercise belongs to, as :func:`equation` writes it.
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


def check(identifier: str, answer: Any = _ABSENT, *, strict: bool = False) -> Result:
    """Check an answer to an exercise and print what was found.

    :param identifier: the exercise's id, ``"se.2"``.
    :param answer: the answer: a number, a tensor, a function, whatever the exercise asks for.
    :param strict: raise instead of printing where the answer does not pass.
    :returns: the result, true if the answer passed. A notebook shows nothing for it.
    :raises Misused: for an unknown exercise, or without an answer.
    :raises CheckFailed: with ``strict``, where the answer does not pass or there is none.
    """
    if not isinstance(identifier, str):
        named = (isinstance(answer, str) and _meant(answer)) or "se.2"
        raise Misused(
            f'The exercise comes first, as a string, and then the answer: check("{named}", answer). '
            f"Received {describe(identifier)} in its place."
        )
    exercise = find(identifier)
    if answer is _ABSENT:
        raise Misused(f'The answer is missing: check("{identifier}", answer).')
    result = judge(exercise, answer)
    if strict and not result:
        raise CheckFailed(result.message)
    print(result.message)
    return result


def find(identifier: str) -> Exercise:
    """Look up an exercise by its id.

    :raises Misused: for an unknown chapter or exercise, with what may have been meant.
    """
    chapter, _, number = identifier.partition(".")
    known = _exercises(chapter)
    if identifier in known:
        return known[identifier]
    if meant := _meant(identifier):
        raise Misused(f'There is no exercise {identifier!r}. Did you mean check("{meant}", answer)?')
    if known and not number:
        raise Misused(f"{identifier!r} names a chapter. Its exercises are {', '.join(known)}.")
    if known:
        raise Misused(f"There is no exercise {identifier!r} that can be checked. There are {', '.join(known)}.")
    raise Misused(f"There are no exercises {chapter!r}. Chapters with exercises: {', '.join(_chapters())}.")


def _chapters() -> list[str]:
    """List the chapters that have exercises."""
    return [module.name for module in pkgutil.iter_modules(import_module("attention.exercises").__path__)]


def _exercises(chapter: str) -> dict[str, Exercise]:
    """Return a chapter's exercises by id; none for an unknown chapter."""
    if chapter not in _chapters():
        return {}
    return {each.id: each for each in import_module(f"attention.exercises.{chapter}").EXERCISES}


def _meant(identifier: str) -> str:
    """Guess the exercise that a slip of the keyboard was to name: ``"SE1"``; nothing where there is none near."""
    parts = re.fullmatch(r"\W*([a-z_-]*[a-z])[\W_]*0*(\d+)\W*", identifier.lower())
    if not parts:
        return ""
    near = get_close_matches(parts[1].replace("-", "_"), _chapters(), n=1)
    meant = f"{near[0]}.{parts[2]}" if near else ""
    return meant if near and meant in _exercises(near[0]) else ""


def equation(chapter: str, number: int, formula: str, paper: str = "") -> str:
    """Name an equation of a chapter for a message, with the number that it has in the book.

    :param chapter: the chapter's name.
    :param number: which of the chapter's numbered equations it is, from 1.
    :param formula: the equation in plain text.
    :param paper: its number in the paper, ``"(2)"``; nothing for an equation of our own.
    """
    order = [entry.name for entry in registry.chapters() if entry.ready]
    source = f", {paper} in the paper" if paper else ""
    return f"equation ({order.index(chapter) + 1}.{number}){source}: {formula}"


def judge(exercise: Exercise, answer: Any) -> Result:
    """Put an answer to an exercise's questions, without printing.

    Questions run from a fixed seed and with gradients, whatever the caller's mode, and leave torch's random state as
    it was. Whatever the answer is, there is a result: an error on the way to it is one more way to be wrong.
    """
    head = f"{exercise.id} · {exercise.title}"
    try:
        if answer is None or answer is ...:
            raise Unanswered
        with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=_devices(answer)):
            for question in exercise.questions:
                torch.manual_seed(0)
                _ask(question, answer)
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


def _ask(question: Callable[[Any], None], answer: Any) -> None:
    """Put one question, and take an error that it did not foresee for an answer of another kind than was asked for."""
    try:
        question(answer)
    except (Wrong, Unanswered):
        raise
    except Exception as error:
        if _unwritten(error):
            raise Unanswered from error
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if _outside(frame.filename)]
        said = f"{_said(error)}{_place(own[-1])}" if own else f"{type(error).__name__}."
        raise Wrong(
            f"Expected another kind of answer: what was received, {describe(answer)}, led to {said}",
            "Compare what your answer is, or what it returns, with what the exercise asks for.",
        ) from error


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
        raise Wrong(f"Expected {what}, received {describe(answer)}.", "Pass the function, not a class.")
    if not callable(answer):
        raise Wrong(
            f"Expected {what}, received {describe(answer)}.",
            "Pass the function by its name alone, without brackets: it is called by the check, more than once.",
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
    _expect_arguments(function, given, about)
    try:
        returned = function(*given)
    except (Wrong, Unanswered):
        raise
    except (Exception, SystemExit) as error:
        if _unwritten(error):
            raise Unanswered from error
        raise Wrong(
            f"Called with {about}, your function raised {_said(error)}{_line(error, function)}",
            "Call your function with such arguments yourself, and read the whole message.",
        ) from error
    for before, after in zip(arguments, given, strict=True):
        if isinstance(before, Tensor) and not _unchanged(before, after):
            raise Wrong(
                f"Expected your function to leave its input alone. Called with {about}, it changed it.",
                "Methods whose names end in an underscore, and x *= …, work in place: use x * … instead.",
            )
    if returns and (returned is None or returned is ...):
        raise Wrong(
            f"Expected your function to return something. Called with {about}, it returned {returned}.",
            "Does it end in a return statement?",
        )
    return returned


def _expect_arguments(function: Callable[..., Any], given: Sequence[Any], about: str) -> None:
    """Ask that a function takes so many arguments, where its signature tells."""
    try:
        signature = inspect.signature(function.forward if isinstance(function, nn.Module) else function)
    except (TypeError, ValueError):  # some functions of C have none
        return
    try:
        signature.bind(*given)
    except TypeError:
        count = f"{len(given)} argument{'s' if len(given) > 1 else ''}"
        name = getattr(function, "__name__", type(function).__name__)
        raise Wrong(
            f"Expected a function of {count}, to be called with {about}; received {name}{signature}.",
            "Keep the line with def as the exercise has it.",
        ) from None


def _unchanged(before: Tensor, after: Tensor) -> bool:
    """Say whether a tensor that was handed out is as it was."""
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    after = after.to(before.device)
    return bool(((before == after) | (before.isnan() & after.isnan())).all())


def _unwritten(error: BaseException) -> bool:
    """Say whether an error is a stub's ``raise NotImplementedError``; torch has errors of that name as well."""
    if not isinstance(error, NotImplementedError):
        return False
    last = traceback.extract_tb(error.__traceback__)[-1]
    return not str(error) or (last.line or "").startswith("raise NotImplementedError")


def expect_refusal(function: Callable[..., Any], *arguments: Any, about: str, hint: str) -> None:
    """Ask that an answer that is a function raises a :class:`ValueError`.

    :param arguments: what it is called with.
    :param about: what it is called with, in words, for the message: ``"a block without biases"``.
    :param hint: the hint where it returns.
    :raises Wrong: where it returns, or raises another error.
    """
    _expect_arguments(function, arguments, about)
    try:
        returned = function(*arguments)
    except ValueError:
        return
    except (Exception, SystemExit) as error:
        raise Wrong(
            f"For {about}, expected a ValueError, received {_said(error)}{_line(error, function)}", hint
        ) from error
    raise Wrong(f"For {about}, expected a ValueError, but your function returned {describe(returned)}.", hint)


def expect_parameters(module: nn.Module, before: Mapping[str, Tensor]) -> None:
    """Ask that a module still has its parameters, with their shapes and dtypes, and that all can be trained.

    :param before: what its parameters were, by name.
    :raises Wrong: otherwise, with those that differ.
    """
    wanted = {name: f"{name} {tuple(p.shape)} {p.dtype}" for name, p in before.items()}
    found = {
        name: f"{name} {tuple(p.shape)} {p.dtype}" + ("" if p.requires_grad else " frozen")
        for name, p in module.named_parameters()
    }
    if found == wanted:
        return
    differ = [name for name in wanted | found if wanted.get(name) != found.get(name)]
    expected, received = ([each[name] for name in differ if name in each] for each in (wanted, found))
    raise Wrong(
        f"Expected the block to keep its trainable parameters: {_some(expected)}; received {_some(received)}.",
        "Change values in place, within torch.no_grad(): tensor.fill_, tensor.zero_, tensor.copy_.",
    )


def expect_unchanged(module: nn.Module, before: Mapping[str, Tensor], about: str, hint: str) -> None:
    """Ask that an answer left the block that it was given as it was.

    :param module: the block, after the call.
    :param before: its state before, copied.
    :param about: what the answer was called with, in words, for the message.
    :param hint: what to do instead.
    :raises Wrong: otherwise.
    """
    expect(
        all(torch.equal(value, before[name]) for name, value in module.state_dict().items()),
        f"Expected your function to leave the block alone. Called with {about}, it changed it.",
        hint,
    )


def _some(words: list[str]) -> str:
    """List a few, and say how many more there are."""
    more = f", and {len(words) - 3} more" if len(words) > 3 else ""
    return (", ".join(f"({each})" for each in words[:3]) or "none") + more


def span(low: float, high: float) -> str:
    """Print a range of values; one number where the two look the same."""
    ends = f"{low:.4f}", f"{high:.4f}"
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def expect_numbers(
    answer: Any, shape: tuple[int, ...], what: str, *, shapes: Mapping[tuple[int, ...], str] | None = None
) -> Tensor:
    """Ask for numbers of a shape, written by hand: a tensor, an array, a list or a number.

    :param shape: the shape they must have.
    :param what: what they are, for the message: ``"the two gates"``.
    :param shapes: shapes that a known mistake leads to, each with the hint that fits it.
    :returns: the numbers, float64, on the CPU.
    :raises Wrong: for anything that is not finite numbers of that shape.
    """
    raw = _ordinary(answer, what) if isinstance(answer, Tensor) else _array(answer)
    if raw is None or not _is_real(raw):
        raise Wrong(
            f"Expected {what} as real numbers of shape {shape}, received {describe(answer)}.",
            "Write a list of plain numbers, such as [0.5, 2]; a tensor of them will do as well.",
        )
    expect_shape(raw, shape, what, (shapes or {}).get(tuple(raw.shape), ""))
    numbers = raw.double() if isinstance(raw, Tensor) else torch.from_numpy(np.array(raw, dtype=np.float64))
    expect(
        bool(numbers.isfinite().all()),
        f"Expected finite numbers for {what}, received {_text(numbers)}.",
        "inf and nan come from a division by 0, or from the logarithm of 0: in which step?",
    )
    return numbers


def _array(answer: Any) -> np.ndarray | None:
    """Make an array of what was written by hand, of fractions too; ``None`` for what is no numbers."""
    try:
        array = np.asarray(answer)
        return array.astype(float) if array.dtype == object else array
    except Exception:  # whatever an object does when it is asked for its numbers
        return None


def _is_real(numbers: Tensor | np.ndarray) -> bool:
    """Say whether numbers are real; truth values and text are none."""
    if isinstance(numbers, np.ndarray):
        return numbers.dtype.kind in "iuf"
    return numbers.dtype != torch.bool and not numbers.is_complex()


_UNREADABLE: tuple[tuple[str, Callable[[Tensor], bool], str], ...] = (
    ("a nested tensor", lambda t: t.is_nested, "Rows of equal length make an ordinary tensor: torch.stack."),
    ("a meta tensor, which has no numbers", lambda t: t.is_meta, "Compute it on the CPU: without device='meta'."),
    ("a quantised tensor", lambda t: t.is_quantized, "Its method dequantize() makes an ordinary tensor of it."),
    ("a sparse tensor", lambda t: t.layout != torch.strided, "Its method to_dense() makes an ordinary tensor of it."),
)


def _ordinary(tensor: Tensor, what: str) -> Tensor:
    """Ask for a tensor whose numbers can be read, and return it detached, on the CPU."""
    for kind, found, hint in _UNREADABLE:
        if found(tensor):
            raise Wrong(f"Expected an ordinary tensor for {what}, received {kind}.", hint)
    return tensor.detach().cpu()


def whole(value: Any) -> int | None:
    """Read a whole number, of whatever type it came in.

    :returns: the number; ``None`` for anything else, and for what is too large for any count of the book.
    """
    value = _single(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**63:
        return None
    return int(value) if value == int(value) else None


def expect_whole(received: Any, about: str, what: str, hint: str = "") -> int:
    """Ask for a whole number, of whatever type.

    :param about: for what it was computed, for the message: ``"channels=8 and reduction=2"``.
    :param what: what it is, for the message: ``"a power of two"``.
    :raises Wrong: otherwise.
    """
    number = whole(received)
    if number is None:
        raise Wrong(f"For {about}: expected {what}, received {describe(received)}.", hint)
    return number


def expect_truth(received: Any, about: str, hint: str = "") -> bool:
    """Ask for a truth value, of Python, NumPy or torch.

    :param about: for what it was computed, for the message.
    :raises Wrong: otherwise.
    """
    value = _single(received)
    if not isinstance(value, bool):
        raise Wrong(f"For {about}: expected True or False, received {describe(received)}.", hint)
    return value


def _single(value: Any) -> Any:
    """Take the one number out of a tensor or array that holds one; return anything else as it is."""
    if isinstance(value, Tensor):
        readable = not any(found(value) for _, found, _ in _UNREADABLE)
        return value.item() if readable and value.numel() == 1 else value
    return value.item() if isinstance(value, np.generic | np.ndarray) and value.size == 1 else value


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
            _way_back(received),
        )
    received = _ordinary(received, what)
    expect_shape(received, tuple(like.shape), what, (shapes or {}).get(tuple(received.shape), ""))
    expect(
        received.dtype == like.dtype,
        f"Expected dtype {like.dtype} for {what}, received {received.dtype}.",
        "The result should have the dtype of the input: convert nothing, and make no new tensors of a fixed dtype.",
    )
    expect(
        bool(received.isfinite().all()) or not bool(like.isfinite().all()),
        f"Expected finite numbers for {what}, received {int((~received.isfinite()).sum())} that are inf or nan.",
        "inf and nan come from a division by 0, a logarithm of 0, or the exponential of a large number: in which step?",
    )
    return received


def expect_shape(received: Tensor | np.ndarray, shape: tuple[int, ...], what: str, hint: str = "") -> None:
    """Ask for a shape.

    :raises Wrong: otherwise.
    """
    came = tuple(received.shape)
    note = ", a single number" if not came else ", which is empty" if 0 in came else ""
    expect(came == shape, f"Expected shape {shape} for {what}, received {came}{note}.", hint)


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
    off = torch.where(received == expected, 0.0, (received - expected).abs())  # also where both are infinite
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


def expect_research(answer: Any, sizes_hint: str, measured: str = "") -> None:
    """Ask for a small piece of research: its form, not what it found.

    :param answer: a dictionary with ``claim``, a sentence; ``comparison``, two models or more with three seeds or more;
        ``interval``, the paired one of two models with equally many parameters; ``verdict``, which follows from it.
    :param sizes_hint: the hint where the two models differ in parameters.
    :param measured: one key more, under which stands what the interval compares, where that is not the score: for each
        model a list with one number a seed.
    :raises Wrong: for the first of these that is not as asked.
    """
    keys = ("claim", "comparison", *((measured,) if measured else ()), "interval", "verdict")
    if not isinstance(answer, dict) or set(answer) != set(keys):
        received = (
            f"the keys {', '.join(map(str, answer))}" if isinstance(answer, dict) and answer else describe(answer)
        )
        raise Wrong(
            f"Expected a dictionary with the keys {', '.join(keys)}, received {received}.",
            'Write {"claim": …, …} with a value for each key, the claim before you run anything.',
        )
    if any(value is ... or value is None for value in answer.values()):
        raise Unanswered
    claim, comparison, interval, verdict = (answer[key] for key in keys if key != measured)
    expect(
        isinstance(claim, str) and len(claim.split()) >= 5,
        f"Expected a claim of at least five words, received {describe(claim)}.",
        "Say what is better than what, on which task, by which measure: a sentence that can turn out false.",
    )
    expect(
        isinstance(comparison, Comparison),
        f"Expected comparison to be a training.Comparison, received {describe(comparison)}.",
        "training.compare({…}, task, seeds=…, steps=…) makes one.",
    )
    _expect_fair(comparison)
    described = f"one of {interval.first} and {interval.second}" if isinstance(interval, Interval) else ""
    expect(
        isinstance(interval, Interval) and {interval.first, interval.second} <= set(comparison.names),
        f"Expected an interval of two of {', '.join(comparison.names)}, received {described or describe(interval)}.",
        "comparison.difference(first, second) computes it."
        if not measured
        else "training.Interval.paired(…, …, first=…, second=…) computes it, and takes the names of the models.",
    )
    first, second = interval.first, interval.second
    expect(
        first != second,
        f"Expected an interval of two models, received one of {first} with itself.",
        "What is compared with what? The claim says it.",
    )
    sizes = [comparison.of(name)[0].parameters for name in (first, second)]
    expect(
        sizes[0] == sizes[1],
        f"Expected two models with equally many parameters, received {sizes[0]:,} ({first}) and {sizes[1]:,} "
        f"({second}).",
        sizes_hint,
    )
    if measured:
        right = _interval_of(answer[measured], measured, first, second, len(comparison.seeds))
    else:
        right = comparison.difference(first, second)
    hint = "Subtract seed by seed, and take the interval of those differences."
    if interval.level != right.level:
        hint = f"Yours is an interval of level {interval.level:g}; leave the level as it is, 0.95."
    elif measured and _equal(interval, comparison.difference(first, second)):
        hint = f"That is the interval of the scores; the question is for that of the {measured}."
    elif math.isclose(interval.mean, -right.mean):
        hint = f"The sign is turned round: it compares {first} with {second}, in this order."
    expect(
        _equal(interval, right),
        f"Expected the paired 95% interval {right.low:.4f} to {right.high:.4f}, received {interval.low:.4f} to "
        f"{interval.high:.4f}.",
        hint,
    )
    expect(
        interval.low < interval.high,
        f"Expected differences that vary from seed to seed, received {interval.mean:.4g} with every seed.",
        "Does each seed draw other weights? Or do both models saturate the task, so that it cannot tell them apart?",
    )
    allowed = ("higher", "lower", "undecided")
    known = isinstance(verdict, str) and verdict in allowed
    expect(
        known,
        f"Expected the verdict to be one of {', '.join(allowed)}, received {describe(verdict)}.",
        "The verdict says where the first of the two models lies: interval.verdict reads it off.",
    )
    expect(
        verdict == right.verdict,
        f"Expected the verdict that follows from the interval, {right.low:.4f} to {right.high:.4f}; received "
        f"{verdict!r}.",
        "Does the interval hold 0? If not, on which side of it does it lie?",
    )


def _expect_fair(comparison: Comparison) -> None:
    """Ask for two models or more, each with the same three seeds or more, and for scores that are numbers."""
    expect(
        len(comparison.names) >= 2,
        f"Expected at least two models in the comparison, received {len(comparison.names)}.",
        "Compare with something: a control that differs in the one thing that the claim is about.",
    )
    expect(
        len(comparison.seeds) >= 3,
        f"Expected at least 3 seeds, received {len(comparison.seeds)}.",
        "With one or two seeds there is no telling an effect from chance.",
    )
    runs = {name: len(comparison.of(name)) for name in comparison.names}
    expect(
        set(runs.values()) == {len(comparison.seeds)},
        f"Expected {len(comparison.seeds)} runs of each model, one a seed, received "
        f"{', '.join(f'{n} ({name})' for name, n in runs.items())}.",
        "Models can be compared seed by seed only if all of them ran with the same seeds.",
    )
    broken = sum(not math.isfinite(run.score) for run in comparison.runs)
    expect(
        not broken,
        f"Expected finite scores, received {broken} that are inf or nan.",
        "A run that diverged has no score. A smaller learning rate, the same for all models, keeps it from that.",
    )


def _interval_of(values: Any, what: str, first: str, second: str, seeds: int) -> Interval:
    """Compute the interval of two lists of numbers, one number a seed.

    :raises Wrong: where they are no such lists.
    """
    expect(
        isinstance(values, dict) and {first, second} <= set(values),
        f"Expected {what} to be a dictionary with a list for each of {first} and {second}, received "
        f"{describe(values)}.",
        "keep=… of training.compare is called with name, seed and model after each run: measure there, and append.",
    )
    pair = []
    for name in (first, second):
        numbers = _array(values[name])
        good = numbers is not None and _is_real(numbers) and numbers.shape == (seeds,) and np.isfinite(numbers).all()
        expect(
            bool(good),
            f"Expected {what} of {name} to be {seeds} numbers, one a seed, received {describe(values[name])}.",
            "One number a seed, of every model, in the order of the seeds.",
        )
        pair.append([float(number) for number in numbers])
    return Interval.paired(*pair)


def _equal(one: Interval, other: Interval) -> bool:
    """Say whether two intervals are the same, up to rounding."""
    pairs = ((one.mean, other.mean), (one.low, other.low), (one.high, other.high))
    return all(math.isclose(a, b, abs_tol=1e-9) for a, b in pairs)


def _same(received: Tensor, values: Tensor, tolerance: float) -> bool:
    values = values.double()
    return received.shape == values.shape and torch.allclose(received, values, rtol=tolerance, atol=tolerance)


def _way_back(value: Any) -> str:
    """Hint at how a value that is no tensor becomes one, or should have stayed one."""
    if isinstance(value, list | tuple) and value and all(isinstance(each, Tensor) for each in value):
        return "One tensor is asked for: torch.stack and torch.cat make one of several."
    if isinstance(value, np.ndarray | np.generic | list | tuple | int | float):
        return "Stay within torch: gradients do not flow through NumPy, lists, or item()."
    return ""


def _devices(answer: Any) -> list[int]:
    """List the CUDA devices that an answer lies on: their random state is kept as well."""
    if isinstance(answer, nn.Module):
        tensors = [*chain(answer.parameters(), answer.buffers())]
    else:
        tensors = [answer] if isinstance(answer, Tensor) else []
    return sorted({t.device.index for t in tensors if t.is_cuda})


def describe(value: Any) -> str:
    """Name a value for a message: its type, and its shape, or the value itself where that is short."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None:
        return "None"
    try:
        if isinstance(value, Tensor | np.ndarray):
            return f"{type(value).__name__} of dtype {value.dtype} and shape {tuple(value.shape)}"
        shown = repr(value)
    except Exception:  # a whole number of thousands of digits, an object half made
        return type(value).__name__
    if len(shown) <= _SHOWN_TEXT and " at 0x" not in shown:
        return f"{type(value).__name__} {shown}"
    sized = isinstance(value, str | bytes | list | tuple | dict | set | frozenset)
    return type(value).__name__ + (f" of length {len(value)}" if sized else "")


def _text(numbers: Tensor) -> str:
    """Print a small tensor whole, with few digits."""
    if numbers.numel() > _SHOWN:
        return f"{numbers.numel()} numbers from {float(numbers.min()):.4g} to {float(numbers.max()):.4g}"
    rounded = [
        [f"{float(v):.4g}" for v in row] for row in numbers.reshape(-1, numbers.shape[-1] if numbers.ndim else 1)
    ]
    rows = [f"[{', '.join(row)}]" for row in rounded]
    return rows[0] if numbers.ndim == 1 else rounded[0][0] if numbers.ndim == 0 else f"[{', '.join(rows)}]"


def _said(error: BaseException) -> str:
    """Name an error, with its message as far as that is not endless."""
    try:
        said = textwrap.shorten(str(error), _SHOWN_ERROR)
    except Exception:  # an error that cannot say what it is
        said = ""
    return type(error).__name__ + (f": {said}" if said else "")


def _line(error: BaseException, function: Callable[..., Any]) -> str:
    """Name the line of the answer's own code in which an error arose."""
    code = inspect.unwrap(function)
    code = getattr(code, "__func__", code)
    name = getattr(getattr(code, "__code__", None), "co_filename", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    if not frames:
        return ""
    return _place(frames[-1])


def _place(last: traceback.FrameSummary) -> str:
    """Name a line, with what stands there where that is known."""
    return f" (line {last.lineno}: {textwrap.shorten(last.line, 60)})" if last.line else f" (line {last.lineno})"


def _outside(file: str) -> bool:
    """Say whether a file is neither of this package nor of a library: a cell of a notebook, as a rule."""
    if file.startswith("<frozen "):
        return False
    return not os.path.realpath(file).startswith(_LIBRARIES)


def _wrapped(text: str) -> list[str]:
    """Break a paragraph into indented lines."""
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False)
