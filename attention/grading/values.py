"""The values of an answer: as plain numbers, what they are called in a message, and how they differ."""

import math
from typing import Any

import numpy as np

from attention.grading.replies import Tensor
from attention.grading.wire import Opaque

__all__ = ["ARRAYS", "alike", "begin", "coarse", "describe", "differences", "kind", "numbers_of", "short", "unusual"]

ARRAYS = {"torch": "a torch tensor", "numpy": "a numpy array"}
_USUAL = ("float32", "float64", "int64")
# Of the dtypes that keep few digits: how many, the largest number, and how far a right result may be off.
_COARSE = {"float16": ("3 digits and numbers up to 65,504", 0.02), "bfloat16": ("2 digits", 0.1)}


def numbers_of(value: Any) -> np.ndarray | None:
    """Return an answer as numbers; ``None`` for anything else."""
    if isinstance(value, Tensor):
        return value.numbers
    if isinstance(value, bool | str | Opaque) or value is None:
        return np.asarray(value) if isinstance(value, bool) else None
    if isinstance(value, int | float):
        small = isinstance(value, float) or abs(value) < 2**63
        return np.asarray(value if small else math.inf if value > 0 else -math.inf)
    if isinstance(value, list | tuple):
        parts = [numbers_of(each) for each in value]
        if any(part is None or part.shape != parts[0].shape for part in parts):
            return None
        return np.stack(parts) if parts else np.zeros(0)
    return None


def describe(value: Any) -> str:
    """Name a value for a message."""
    if isinstance(value, Tensor):
        return f"{ARRAYS[value.library]} of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, Opaque):
        return repr(value)
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a whole number of more than 30 digits"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"a value of type {type(value).__name__}"


def kind(value: Any) -> str:
    """Name a value's type, and nothing of what it holds."""
    if isinstance(value, Tensor):
        return ARRAYS[value.library]
    known = isinstance(value, bool | int | float | str | list | tuple | dict)
    return f"a value of type {type(value).__name__}" if known else "something else"


def coarse(value: Any) -> float:
    """Return how far a right answer may be off for its dtype alone, as a share of its size and of 1."""
    return _COARSE[value.dtype][1] if isinstance(value, Tensor) and value.dtype in _COARSE else 0.0


def unusual(value: Any, what: str) -> str:
    """Name the dtype of a wrong answer where that could be why it is wrong."""
    if not isinstance(value, Tensor) or value.dtype in _USUAL:
        return ""
    keeps = f", which keeps {_COARSE[value.dtype][0]}" if value.dtype in _COARSE else ""
    return f" The dtype of {what} is {value.dtype}{keeps}."


def differences(numbers: np.ndarray, expected: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which numbers are wrong, and by how much; nan is wrong where none is expected."""
    both_nan = np.isnan(numbers.astype(complex)) & np.isnan(expected.astype(complex))
    wide = np.complex128 if "c" in (numbers.dtype.kind, expected.dtype.kind) else np.float64
    a, b = numbers.astype(wide), expected.astype(wide)
    with np.errstate(all="ignore"):
        off = np.abs(a - b)
        near = (off <= tolerance * np.maximum(np.abs(b), 1)) & np.isfinite(b)
        wrong = (a != b) & ~near & ~both_nan
    return wrong, np.where(wrong, np.nan_to_num(off, nan=np.inf), 0)


def alike(numbers: np.ndarray, values: Any, tolerance: float) -> bool:
    """Whether numbers have the shape and the values of others."""
    values = np.asarray(values)
    return numbers.shape == values.shape and not differences(numbers, values, tolerance)[0].any()


def begin(what: str) -> str:
    """Let a sentence begin with a name; a symbol such as k stays as it is."""
    return what if len(what.split(" ")[0]) == 1 else what[:1].upper() + what[1:]


def short(number: Any) -> str:
    """Write a number for a message."""
    if isinstance(number, int | np.integer):
        return f"{int(number):,}" if abs(int(number)) < 10**30 else "a number of more than 30 digits"
    return f"{number:.5g}"
