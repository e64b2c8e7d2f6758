"""How an answer is judged: by its type, its shape, its values, its words, or a function of the grading file's own."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from attention.grading.replies import Reply, Tensor
from attention.grading.values import (
    ARRAYS,
    alike,
    begin,
    coarse,
    describe,
    differences,
    kind,
    numbers_of,
    short,
    unusual,
)
from attention.grading.verdicts import Unanswered, Wrong

__all__ = ["Check", "Close", "Equal", "Judge", "Number", "Raises", "Shape", "Words"]

_SAME = "Let the result have the dtype of the input."


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Something that raises ``Wrong`` unless an answer is right.

    :param of: which entry of a dictionary is judged, a key or several, one within the other.
    """

    of: str | int | tuple[str | int, ...] = ()

    def __call__(self, reply: Reply) -> None:
        """Judge what came of a request."""
        value = _there(reply.value)
        for key in self.of if isinstance(self.of, tuple) else (self.of,):
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                raise Wrong(f"The answer has no part {key!r}: it is {describe(reply.value)}.") from None
            if isinstance(value, Exception):
                raise value
        self.judge(value)

    def judge(self, value: Any) -> None:
        """Judge a value."""
        raise NotImplementedError


def _there(value: Any) -> Any:
    """Return an answer; raise where it is none yet, or what :class:`Steps` came to instead of one."""
    if value is None or value is Ellipsis:
        raise Unanswered
    if isinstance(value, Exception):
        raise value
    return value


@dataclass(frozen=True)
class Close(Judge):
    """Ask for a tensor: its type, shape, dtype, that it is finite, and its values.

    :param expected: the right values.
    :param what: what they are, for the message.
    :param tolerance: how far a value may lie off, as a share of its size and of 1.
    :param dtype: name of the dtype; empty for any floating-point one.
    :param library: ``torch``, or empty for arrays and lists as well.
    :param mistakes: values that a known mistake leads to, each with the hint that fits it.
    :param shape_share: share of the points for the right shape with wrong values.
    :param known_share: share of the points for a known mistake, where another part has taken its points already.
    """

    expected: Any
    what: str = "the result"
    tolerance: float = 1e-4
    dtype: str = ""
    library: str = "torch"
    mistakes: Sequence[tuple[Any, str]] = ()
    shape_share: float = 0.0
    known_share: float = 0.0

    def judge(self, value: Any) -> None:
        """Compare values, as plain numbers."""
        expected = np.asarray(self.expected)
        if self.library and not (isinstance(value, Tensor) and value.library == self.library):
            raise Wrong(
                f"Expected {ARRAYS[self.library]} for {self.what}, received {describe(value)}.",
                brief=f"Expected {ARRAYS[self.library]} for {self.what}, received {kind(value)}.",
            )
        numbers = numbers_of(value)
        if numbers is None:
            raise Wrong(f"Expected numbers for {self.what}, received {describe(value)}.", brief="Expected numbers.")
        if numbers.shape != expected.shape:
            known = self._known(numbers)
            near = known or next((hint for shape, hint in self._shapes() if shape == numbers.shape), "")
            raise Wrong(
                f"Expected shape {expected.shape} for {self.what}, received {numbers.shape}.",
                near,
                brief=f"The shape of {self.what} is not right for an input of another shape.",
                known=near,
                share=self.known_share if known else 0.0,
            )
        name = value.dtype if isinstance(value, Tensor) else str(numbers.dtype)
        if (self.dtype and name != self.dtype) or (not self.dtype and numbers.dtype.kind not in "f"):
            wanted = self.dtype or "a floating-point dtype"
            if expected.dtype.kind == "f" or self.dtype:
                raise Wrong(
                    f"Expected {wanted} for {self.what}, received {name}.",
                    _SAME,
                    brief=f"Expected {wanted} for {self.what}, received {name}.",
                    share=self.shape_share,
                )
        wrong, off = differences(numbers, expected, self.tolerance)
        if not wrong.any():
            return
        hint, type_ = self._known(numbers), unusual(value, self.what)
        share = max(self.shape_share, self.known_share if hint else 0.0)
        if not hint and type_ and alike(numbers, expected, coarse(value)):
            hint = _SAME
        lost = int(np.size(numbers) - np.isfinite(numbers).sum())
        if lost and np.isfinite(expected).all():
            text = f"{lost} of {numbers.size} numbers in {self.what} are inf or nan.{type_}"
            raise Wrong(text, hint, brief=f"Numbers in {self.what} are inf or nan.{type_}", known=hint, share=share)
        at = np.unravel_index(int(np.argmax(off)), off.shape)
        place = f" at {[int(i) for i in at]}" if off.ndim else ""
        raise Wrong(
            f"{int(wrong.sum())} of {wrong.size} numbers in {self.what} are wrong; the largest difference is "
            f"{float(off[at]):.3g}{place}: expected {short(expected[at])}, received {short(numbers[at])}.{type_}",
            hint,
            brief=f"The shape of {self.what} is right, its values are not.{type_}",
            known=hint,
            share=share,
        )

    def _known(self, numbers: np.ndarray) -> str:
        return next((hint for values, hint in self.mistakes if alike(numbers, values, self.tolerance)), "")

    def _shapes(self) -> list[tuple[tuple[int, ...], str]]:
        return [(np.asarray(values).shape, hint) for values, hint in self.mistakes]


@dataclass(frozen=True)
class Number(Judge):
    """Ask for one number: of Python's, numpy's or torch's, without axes.

    :param expected: the right one.
    :param what: what it is, for the message.
    :param tolerance: as a share of it; 0 for a count.
    :param mistakes: numbers that a known mistake leads to, each with the hint that fits it.
    :param reveal: whether the message shows the right one.
    """

    expected: float
    what: str = "the answer"
    tolerance: float = 0.0
    mistakes: Sequence[tuple[float, str]] = ()
    reveal: bool = True

    def judge(self, value: Any) -> None:
        """Compare two numbers."""
        numbers = numbers_of(value)
        single = numbers is not None and numbers.ndim == 0 and not isinstance(value, list | tuple)
        if not single or isinstance(value, bool) or numbers.dtype.kind not in "iuf":
            message = f"Expected a number for {self.what}, received {describe(value)}."
            raise Wrong(message, brief=f"Expected a number for {self.what}, received {kind(value)}.")
        got = numbers.item()
        if self._is(got, self.expected):
            return
        hint = next((hint for number, hint in self.mistakes if self._is(got, number)), "")
        message = f"Expected {short(self.expected)} for {self.what}, received {short(got)}."
        if not self.reveal:
            message = f"{short(got)} is not right for {self.what}."
        type_ = unusual(value, self.what)
        raise Wrong(f"{message}{type_}", hint, brief=f"{begin(self.what)} is not right.{type_}", known=hint)

    def _is(self, got: float, right: float) -> bool:
        return got == right or (math.isfinite(got) and abs(got - right) <= self.tolerance * abs(right))


@dataclass(frozen=True)
class Equal(Judge):
    """Ask for a value that is the same: text, truth, whole numbers, lists and dictionaries of them.

    :param expected: the right one.
    :param what: what it is, for the message.
    """

    expected: Any
    what: str = "the answer"

    def judge(self, value: Any) -> None:
        """Compare."""
        if _equal(value, self.expected):
            return
        raise Wrong(
            f"Expected {self.expected!r:.200} for {self.what}, received {describe(value)}.",
            brief=f"{begin(self.what)} is not right.",
        )


def _equal(value: Any, expected: Any) -> bool:
    if isinstance(expected, list | tuple):
        alike = isinstance(value, list | tuple) and len(value) == len(expected)
        return alike and all(map(_equal, value, expected))
    if isinstance(expected, dict):
        alike = isinstance(value, dict) and set(value) == set(expected)
        return alike and all(_equal(value[key], expected[key]) for key in expected)
    if isinstance(expected, int | float) and not isinstance(expected, bool):
        numbers = None if isinstance(value, bool | list | tuple) else numbers_of(value)
        return numbers is not None and numbers.ndim == 0 and numbers.dtype.kind in "iuf" and numbers.item() == expected
    if isinstance(value, Tensor) and value.numbers.ndim == 0:
        value = value.numbers.item()
    return type(value) is type(expected) and value == expected


@dataclass(frozen=True)
class Shape(Judge):
    """Ask for a tensor of a shape, whatever its values.

    :param expected: the shape.
    :param what: what has it, for the message.
    """

    expected: tuple[int, ...]
    what: str = "the result"

    def judge(self, value: Any) -> None:
        """Compare shapes."""
        if not isinstance(value, Tensor):
            raise Wrong(f"Expected a tensor for {self.what}, received {describe(value)}.", brief="Expected a tensor.")
        if value.shape != tuple(self.expected):
            raise Wrong(
                f"Expected shape {tuple(self.expected)} for {self.what}, received {value.shape}.",
                brief=f"The shape of {self.what} is not right for an input of another shape.",
            )


@dataclass(frozen=True)
class Raises(Judge):
    """Ask that an error is raised.

    :param kinds: names of built-in errors that will do: ``("ValueError",)``.
    :param mentions: words that its message must hold, whatever their case.
    """

    kinds: tuple[str, ...] = ("ValueError",)
    mentions: tuple[str, ...] = ()

    def __call__(self, reply: Reply) -> None:
        """Judge the error."""
        wanted = " or ".join(self.kinds)
        if reply.kind == "value":
            raise Wrong(
                f"Expected a {wanted}, but {describe(reply.value)} was returned.", brief=f"Expected a {wanted}."
            )
        if not set(self.kinds) & set(reply.kinds):
            raise Wrong(f"Expected a {wanted}, received {reply.error}: {reply.message}", brief=f"Expected a {wanted}.")
        lacking = [word for word in self.mentions if word.lower() not in reply.message.lower()]
        if lacking:
            message = f"The {reply.error} is right, but its message does not name {', '.join(lacking)}."
            raise Wrong(message, "Say what was received and what would have been right.", brief=message, share=0.5)


@dataclass(frozen=True)
class Words(Judge):
    """Ask for a text of some length; what it says, only a person can judge.

    :param least: number of words.
    :param mentions: patterns, each of which must be found, and what to call it in the message.
    """

    least: int
    mentions: Mapping[str, str] = field(default_factory=dict)

    def judge(self, value: Any) -> None:
        """Count words."""
        if not isinstance(value, str):
            raise Wrong(f"Expected a text, received {describe(value)}.")
        count = len({word.lower() for word in re.findall(r"[^\W_]+", value)})
        if count < self.least:
            message = f"Expected at least {self.least} different words, received {count}."
            raise Wrong(message, brief=message)
        lacking = [name for pattern, name in self.mentions.items() if not re.search(pattern, value, re.I)]
        if lacking:
            message = f"Nothing is said of {', '.join(lacking)}."
            raise Wrong(message, brief=message, share=1 - len(lacking) / len(self.mentions))


@dataclass(frozen=True)
class Check(Judge):
    """Judge by a function of the grading file's own.

    :param function: takes the value (numbers, texts, lists, dictionaries, ``Tensor``, ``Opaque``) and raises
        :class:`Wrong` unless it is right.
    """

    function: Callable[[Any], object]

    def judge(self, value: Any) -> None:
        """Call the function."""
        self.function(value)
