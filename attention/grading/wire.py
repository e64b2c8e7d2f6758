"""Messages between the grader and the process that runs a submission: JSON and raw numbers, and no pickle.

A message is one frame: a mark, two lengths, a JSON text, and the bytes of all arrays behind each other. An array is
described in the JSON by dtype, shape and place; dtypes are taken from a list, sizes must agree, and each array begins
where the one before it ends, so that reading a frame runs nobody's code and takes no more memory than the frame itself,
however often it lists the same bytes. (An ``.npz`` would be a zip archive, whose
members can unpack to a thousand times their size.)
"""

import json
import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["HEAD", "Nonsense", "Opaque", "decode", "encode", "frame", "lengths", "parse"]

_MARK = b"ABbB"
HEAD = struct.Struct("<4sIQ")
_TEXT = 1 << 20  # bytes of JSON in a frame
_ITEMS = 20_000  # values in a message
_DEPTH = 12
_RANGE = 1000  # numbers of a range that is sent as the list that it stands for
_DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
}
# Bound once, so that a submission which replaces json.dumps or struct.pack does not change what is sent.
_to_json = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_pack, _unpack = HEAD.pack, HEAD.unpack_from


class Nonsense(Exception):
    """A frame, or what stands in it, is not what this module writes."""


class Opaque:
    """Something that is no data, or too large to send: all that is known of it is its type and a few words.

    :param kind: the name of its type.
    :param text: a few words on it, for a message.
    """

    def __init__(self, kind: str, text: str = "") -> None:
        self.kind, self.text = kind[:80], text[:200]

    def __repr__(self) -> str:
        return f"{self.kind} {self.text}".rstrip()


def frame(message: dict[str, Any], buffers: list[bytes]) -> bytes:
    """Write a frame.

    :param message: what JSON takes.
    :param buffers: the bytes of the arrays that the message describes.
    :raises Nonsense: for a message that is too long.
    """
    text = _to_json(message).encode("ascii")
    if len(text) > _TEXT:
        raise Nonsense("the message is too long")
    return b"".join((_pack(_MARK, len(text), sum(map(len, buffers))), text, *buffers))


def lengths(head: bytes | bytearray, limit: int) -> tuple[int, int]:
    """Return the lengths of a frame's text and of its arrays, from its first ``HEAD.size`` bytes.

    :raises Nonsense: for what is no frame, or too long.
    """
    mark, text, body = _unpack(head)
    if mark != _MARK or text > _TEXT or body > limit:
        raise Nonsense("no frame, or too long a one")
    return text, body


def parse(text: bytes) -> dict[str, Any]:
    """Read a frame's JSON.

    :raises Nonsense: for anything that is not an object.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Nonsense("not JSON") from error
    if not isinstance(message, dict):
        raise Nonsense("not an object")
    return message


class _Writer:
    """Turns values into a tree of JSON and a list of buffers, without running a method of the values' own classes."""

    def __init__(self, limit: int, tensor: Callable[[Any], Any]) -> None:
        self.buffers: list[bytes] = []
        self.left, self.at, self.items, self.tensor = limit, 0, 0, tensor

    def tree(self, value: Any, depth: int = 0) -> Any:
        self.items += 1
        if self.items > _ITEMS or depth > _DEPTH:
            return self.opaque(value, "with too many parts to send")
        if value is None or value is True or value is False:
            return value
        if value is Ellipsis:
            return {"ellipsis": 0}
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, bool | int):
            whole = int.__add__(value, 0)
            if whole.bit_length() > 4096:
                return self.opaque(value, f"of {whole.bit_length()} bits")
            return whole if -(2**53) < whole < 2**53 else {"int": hex(whole)}
        if isinstance(value, float):
            real = float.__add__(value, 0.0)
            return real if math.isfinite(real) else {"float": repr(real)}
        if isinstance(value, str):
            text = str.__getitem__(value, slice(None))
            return {"text": [text[:20_000].encode("utf-8", "replace").decode(), len(text)]}
        if isinstance(value, list):
            return {"list": [self.tree(each, depth + 1) for each in list.__iter__(value)]}
        if isinstance(value, tuple):
            return {"tuple": [self.tree(each, depth + 1) for each in tuple.__iter__(value)]}
        if isinstance(value, range) and len(value) <= _RANGE:
            return {"list": [self.tree(each, depth + 1) for each in value]}
        if isinstance(value, dict):
            pairs = list(dict.items(value))
            return {"dict": [[self.tree(k, depth + 1), self.tree(v, depth + 1)] for k, v in pairs]}
        described = self.tensor(value)
        if described is None and isinstance(value, np.ndarray):
            described = (value, "numpy", value.dtype.name, False)
        return self.opaque(value) if described is None else self.array(value, *described)

    def array(self, value: Any, numbers: Any, library: str, dtype: str, grad: bool) -> Any:
        if isinstance(numbers, str):
            return self.opaque(value, numbers)
        shape = tuple(int(size) for size in numbers.shape)
        if numbers.dtype.name not in _DTYPES:
            return self.opaque(value, f"of dtype {numbers.dtype}")
        size = math.prod(shape) * numbers.dtype.itemsize
        if size > self.left:
            return self.opaque(value, f"of shape {shape}, {size / 1e6:,.0f} MB: too large to send")
        raw = np.ascontiguousarray(numbers, dtype=_DTYPES[numbers.dtype.name]).tobytes()
        described = {"library": library, "dtype": dtype, "grad": grad, "shape": shape, "at": self.at, "bytes": size}
        self.buffers.append(raw)
        self.at, self.left = self.at + size, self.left - size
        return {"array": described | {"numbers": numbers.dtype.name}}

    @staticmethod
    def opaque(value: Any, text: str = "") -> Any:
        return {"opaque": [str(type.__dict__["__name__"].__get__(type(value)))[:80], text[:200]]}


def encode(value: Any, limit: int, tensor: Callable[[Any], Any] = lambda value: None) -> tuple[Any, list[bytes]]:
    """Turn a value into JSON and the bytes of its arrays.

    Numbers, texts, lists, tuples, dictionaries and arrays are sent; anything else, and what is too large, is named.

    :param value: anything.
    :param limit: bytes that its arrays may take.
    :param tensor: what knows more kinds of arrays: returns numbers (or words on why there are none), the library, the
        dtype's name and whether it has a gradient; or ``None``.
    """
    writer = _Writer(limit, tensor)
    return writer.tree(value), writer.buffers


def decode(tree: Any, body: bytes, make: Callable[[np.ndarray, dict[str, Any]], Any]) -> Any:
    """Turn what :func:`encode` returned back into a value.

    :param make: makes an array or tensor of numbers and their description.
    :raises Nonsense: for anything that :func:`encode` does not write.
    """
    try:
        return _Reader(body, make).value(tree, 0)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError, RecursionError, AttributeError) as error:
        raise Nonsense("a value that cannot be read") from error


class _Reader:
    """Turns a tree of JSON into values; its arrays take up the body one after the other, as they were written."""

    def __init__(self, body: bytes, make: Callable[[np.ndarray, dict[str, Any]], Any]) -> None:
        self.body, self.make, self.at = body, make, 0

    def value(self, tree: Any, depth: int) -> Any:
        if depth > _DEPTH + 1:
            raise Nonsense("too deep")
        if tree is None or isinstance(tree, bool | int | float):
            return tree
        ((tag, inner),) = tree.items()
        if tag in ("list", "tuple"):
            values = [self.value(each, depth + 1) for each in inner]
            return values if tag == "list" else tuple(values)
        if tag == "dict":
            return {self.value(k, depth + 1): self.value(v, depth + 1) for k, v in inner}
        if tag == "array":
            return self.make(self.numbers(inner), inner)
        if tag == "text":
            text, length = inner
            return str(text) if len(text) == length else Opaque("str", f"of {int(length)} characters")
        if tag == "opaque":
            return Opaque(str(inner[0]), str(inner[1]))
        if tag == "int" and len(inner) < 1100:
            return int(inner, 16)
        if tag == "float" and inner in ("nan", "inf", "-inf"):
            return float(inner)
        if tag == "ellipsis":
            return Ellipsis
        raise Nonsense(f"unknown tag {tag!r:.40}")

    def numbers(self, described: dict[str, Any]) -> np.ndarray:
        dtype, at, size, shape = (described[key] for key in ("numbers", "at", "bytes", "shape"))
        whole = all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in (at, size, *shape))
        if not whole or len(shape) > 32 or at != self.at or at + size > len(self.body):
            raise Nonsense("an array out of place")
        if math.prod(shape) * _DTYPES[dtype].itemsize != size:
            raise Nonsense("an array of another size than it says")
        self.at += size
        if dtype == "bool":  # a byte that is neither 0 nor 1 is no bool
            return (np.frombuffer(self.body, np.uint8, size, at) != 0).reshape(shape)
        return np.frombuffer(self.body, _DTYPES[dtype], math.prod(shape), at).reshape(shape).astype(dtype)
