"""Frames: what arrives as it was, what is only named, what is nonsense."""

import json
import math
import os
import re

import numpy as np
import pytest

from attention.grading import Opaque, wire


def there_and_back(value: object, limit: int = 10_000) -> object:
    tree, buffers = wire.encode(value, limit)
    raw = wire.frame({"value": tree}, buffers)
    text, body = wire.lengths(raw, limit)
    start = wire.HEAD.size
    assert len(raw) == start + text + body
    read = wire.parse(raw[start : start + text])
    return wire.decode(read["value"], raw[start + text :], lambda numbers, described: numbers)


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 0, -5, 2**52, 2**53, -(2**70), 2**4000, 1.5, math.inf, -math.inf, "", "ä😀", "x" * 20_000, ...),
        *([], [1, [2, (3, "4")]], (), (1.0,), {}, {"a": [1], 2: None, (1, 2): "b"}),
    ],
    ids=repr,
)
def test_values_arrive_as_they_were(value: object) -> None:
    assert there_and_back(value) == value
    assert type(there_and_back(value)) is type(value)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int32", "int64", "float16", "float32", "float64", "complex64"]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_arrays_arrive_as_they_were(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.asarray(np.random.default_rng(0).normal(size=shape) * 3).astype(dtype)
    for given in (array, np.array(array, order="F"), array.astype(array.dtype.newbyteorder(">"))):
        received = there_and_back([given])[0]
        np.testing.assert_array_equal(received, array)
        assert (received.dtype, received.shape) == (array.dtype, shape)


class Odd:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None

    def __reduce__(self) -> tuple:
        return os.system, ("false",)


def endless() -> list:
    loop = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Odd(), "Odd"),
        (iter(int, 1), "callable_iterator"),
        (2**5000, "int of 5001 bits"),
        (np.zeros(10**6), r"ndarray of shape \(1000000,\), 8 MB: too large to send"),
        (np.broadcast_to(np.zeros(()), (10**6, 10**6)), "too large"),
        (np.array([Odd()]), "ndarray of dtype object"),
        (np.array(["text"]), "ndarray of dtype <U4"),
        ("x" * 20_001, "str of 20001 characters"),
        (1j, "complex"),
        (type, "type"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_data_is_only_named(value: object, said: str) -> None:
    received = there_and_back(value)
    assert isinstance(received, Opaque)
    assert re.search(said, repr(received))


def test_lists_within_themselves_and_long_ones_come_to_an_end() -> None:
    assert "with too many parts" in repr(there_and_back(endless()))
    assert there_and_back(range(3), 1 << 20) == [0, 1, 2]
    assert isinstance(there_and_back(range(10**18), 1 << 20), Opaque)
    assert isinstance(there_and_back(list(range(30_000)), 1 << 20)[-1], Opaque)


def test_no_method_of_the_value_is_run() -> None:
    class Sly(float):
        def __float__(self):
            raise AssertionError

        __repr__ = __str__ = __eq__ = __add__ = __float__

        def __hash__(self):
            raise AssertionError

    class Slyer(dict):
        def items(self):
            raise AssertionError

        __iter__ = __len__ = __getitem__ = items

    assert there_and_back([Sly(2.0), Slyer(a=1)]) == [2.0, {"a": 1}]


DESCRIBED = {"numbers": "float32", "dtype": "float32", "library": "torch", "grad": False, "at": 0}


@pytest.mark.parametrize(
    "tree",
    [
        *(
            {},
            {"what": 1},
            {"list": 3},
            {"dict": [[1]]},
            {"dict": [[{"list": []}, 1]]},
            {"text": 3},
            {"float": "1e999"},
        ),
        *({"int": "zz"}, {"int": "0x" + "f" * 2000}, {"list": [], "tuple": []}, [], [1], {"opaque": []}, "text"),
        {"array": DESCRIBED | {"shape": [3], "bytes": 8}},
        {"array": DESCRIBED | {"shape": [-1, -2], "bytes": 8}},
        {"array": DESCRIBED | {"shape": [4], "bytes": 16}},
        {"array": DESCRIBED | {"shape": [10**12], "bytes": 4 * 10**12}},
        {"array": DESCRIBED | {"shape": [2], "bytes": 8, "numbers": "object"}},
        {"array": DESCRIBED | {"shape": [2], "bytes": 8, "numbers": ["float32"]}},
        {"array": DESCRIBED | {"shape": [True, 2], "bytes": 8}},
        {"array": DESCRIBED | {"shape": [2] + [1] * 60, "bytes": 8}},
        {"array": DESCRIBED | {"shape": [1], "bytes": 4, "at": 9}},
        {"array": DESCRIBED | {"shape": [1], "bytes": 4, "at": -4}},
        {"array": {}},
    ],
    ids=lambda tree: json.dumps(tree)[:60],
)
def test_a_value_that_is_none_is_nonsense(tree: object) -> None:
    with pytest.raises(wire.Nonsense):
        wire.decode(tree, b"\0" * 8, lambda numbers, described: numbers)


def test_a_bool_is_0_or_1_whatever_its_byte() -> None:
    tree = {"array": DESCRIBED | {"numbers": "bool", "shape": [3], "bytes": 3}}
    received = wire.decode(tree, b"\0\1\2", lambda numbers, described: numbers)
    assert received.view(np.uint8).tolist() == [0, 1, 1]


def test_deep_and_false_frames_are_nonsense() -> None:
    deep = 0
    for _ in range(100):
        deep = {"list": [deep]}
    with pytest.raises(wire.Nonsense):
        wire.decode(deep, b"", lambda numbers, described: numbers)
    for text in (b"[" * 100_000, b"[]", b"{", b"\xff", b'{"id": ' + b"9" * 9000 + b"}"):
        with pytest.raises(wire.Nonsense):
            wire.parse(text)
    for head in (b"ABbX", b"ABbB"):
        with pytest.raises(wire.Nonsense):
            wire.lengths(wire.HEAD.pack(head, 10, 11), 10)
    with pytest.raises(wire.Nonsense):
        wire.lengths(wire.HEAD.pack(b"ABbB", 2**31, 0), 10)
    with pytest.raises(wire.Nonsense):
        wire.frame({"text": "x" * 2**21}, [])


def test_bytes_are_listed_once() -> None:
    """Sixty arrays of the same 16 MB would take a gigabyte on this side."""
    body = bytes(16)
    array = {"array": DESCRIBED | {"shape": [2], "bytes": 8}}
    second, overlapping = ({"array": array["array"] | {"at": at}} for at in (8, 4))

    def read(*trees: object) -> list[np.ndarray]:
        return wire.decode({"list": list(trees)}, body, lambda numbers, described: numbers)

    assert sum(each.nbytes for each in read(array, second)) == len(body)
    for trees in ([array] * 60, [array, overlapping], [second, array], [second]):
        with pytest.raises(wire.Nonsense):
            read(*trees)


def test_whatever_can_be_read_takes_no_more_memory_than_the_frame() -> None:
    shared = np.arange(5.0)
    values = there_and_back(
        {"a": [shared, shared], "b": (shared[:0], {"c": shared > 2, "d": shared.astype("float16")})}
    )
    np.testing.assert_array_equal(values["a"][1], shared)
    assert values["b"][1]["c"].tolist() == [False] * 3 + [True] * 2
