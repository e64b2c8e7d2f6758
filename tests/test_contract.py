"""The contract: how maps are declared and matched, what the base classes do, how bad input is refused."""

import re

import pytest
import torch
from torch import Tensor, nn

from attention.contract import KINDS, Attention, Gate, Map, check_divides, check_input, check_positive

KNOWN = {"b": 2, "c": 8, "h": 5, "w": 7}


@pytest.mark.parametrize(
    ("dims", "axes"),
    [
        ("b c 1 1", (("b",), ("c",), ("1",), ("1",))),
        ("b (h w) (h w)", (("b",), ("h", "w"), ("h", "w"))),
        ("(b g) 1 h w", (("b", "g"), ("1",), ("h",), ("w",))),
        ("  b   c ", (("b",), ("c",))),
        ("b (c)", (("b",), ("c",))),
        ("b heads h w 2", (("b",), ("heads",), ("h",), ("w",), ("2",))),
        ("b (2 c) 12", (("b",), ("2", "c"), ("12",))),
    ],
)
def test_dims_are_read(dims: str, axes: tuple) -> None:
    assert Map(dims, "real").axes == axes


@pytest.mark.parametrize(
    "dims", ["", "  ", "b (h w", "b h w)", "b ()", "b ( )", "b, c", "b ((h w))", "b -> c", "b c-1"]
)
def test_unreadable_dims_are_refused(dims: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"dims={dims!r} cannot be read; write for example 'b c 1 1'")):
        Map(dims)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "tanh"}, "kind='tanh' is not one of sigmoid, softmax, mask, real"),
        ({"kind": "softmax"}, r"kind='softmax' with sums=\(\)"),
        ({"sums": (1,)}, r"kind='sigmoid' with sums=\(1,\)"),
        ({"kind": "softmax", "sums": (4,)}, r"sums=\(4,\) names an axis outside dims='b c 1 1'"),
        ({"kind": "softmax", "sums": (-1,)}, r"sums=\(-1,\) names an axis outside"),
        ({"kind": "softmax", "sums": (1, 1)}, r"sums=\(1, 1\) names an axis .*twice"),
    ],
)
def test_impossible_maps_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Map("b c 1 1", **arguments)


def test_maps_are_values() -> None:
    assert Map("b c 1 1") == Map("b c 1 1", "sigmoid", (), "")
    assert hash(Map("b c 1 1")) == hash(Map("b c 1 1"))
    with pytest.raises(AttributeError):
        Map("b c 1 1").dims = "b"
    assert {kind: Map("b m", kind, sums=(1,) if kind == "softmax" else ()).kind for kind in KINDS} == {
        k: k for k in KINDS
    }


@pytest.mark.parametrize(
    ("dims", "shape", "added"),
    [
        ("b c 1 1", (2, 8, 1, 1), {}),
        ("b (h w) (h w)", (2, 35, 35), {}),
        ("b m c", (2, 3, 8), {"m": 3}),
        ("m b m", (4, 2, 4), {"m": 4}),
        ("(b g) 1 h w", (8, 1, 5, 7), {"g": 4}),
        ("b (c m)", (2, 8), {"m": 1}),
        ("b (c 2 m)", (2, 48), {"m": 3}),
        ("b m n", (2, 0, 1), {"m": 0, "n": 1}),
    ],
)
def test_shapes_are_matched(dims: str, shape: tuple, added: dict) -> None:
    assert Map(dims, "real").sizes(shape, KNOWN) == {**KNOWN, **added}


@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        ("b c 1 1", (2, 8, 1)),  # an axis is missing
        ("b c 1 1", (2, 8, 1, 2)),  # a number is an exact size
        ("b c 1 1", (2, 9, 1, 1)),
        ("b h w", (2, 7, 5)),  # h and w confused
        ("b (h w)", (2, 36)),
        ("b m m", (2, 3, 4)),  # one letter, two sizes
        ("(b g) 1", (9, 1)),  # 9 is no multiple of b = 2
        ("b (m n)", (2, 6)),  # nobody can tell 2 · 3 from 3 · 2
        ("b (m m)", (2, 9)),
        ("b", ()),
    ],
)
def test_other_shapes_are_refused(dims: str, shape: tuple) -> None:
    with pytest.raises(ValueError, match=re.escape(f"the map has shape {shape}, declared {dims!r}")):
        Map(dims, "real").sizes(shape, KNOWN)


def test_matching_leaves_what_is_known_alone() -> None:
    known = dict(KNOWN)
    Map("b m", "real").sizes((2, 3), known)
    assert known == KNOWN


class Scaled(Gate):
    """A gate that anyone can compute."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = {"half": Map("b 1 h w")}

    def weights(self, x: Tensor) -> Tensor:
        return torch.full_like(x[:, :1], 0.5)


def test_gate_multiplies_and_names_its_map() -> None:
    x = torch.arange(12.0).view(1, 3, 2, 2)
    output, maps = Scaled().attend(x)
    assert output.equal(x / 2)
    assert list(maps) == ["half"]
    assert maps["half"].shape == (1, 1, 2, 2)
    assert Scaled()(x).equal(output)


def test_unwritten_equations_say_so() -> None:
    for call in (Attention().attend, Attention(), Gate().weights):
        with pytest.raises(NotImplementedError):
            call(torch.zeros(1))
    assert isinstance(Scaled(), Attention)
    assert isinstance(Scaled(), nn.Module)


def test_gate_with_two_maps_is_refused() -> None:
    gate = Scaled()
    gate.maps = {**gate.maps, "other": Map("b c 1 1")}
    with pytest.raises(ValueError, match="too many values"):
        gate.attend(torch.zeros(1, 1, 1, 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_any_floating_point_input_is_accepted(dtype: torch.dtype) -> None:
    check_input(torch.zeros(2, 8, 1, 1, dtype=dtype), c=8)
    check_input(torch.zeros(0, 8, 3, 4, dtype=dtype), c=8)  # an empty batch
    check_input(torch.zeros(2, 5, dtype=dtype), "b t")


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            torch.zeros(8, 3, 4),
            ValueError,
            "x: expected shape (batch, channels=8, height, width), received shape (8, 3, 4)",
        ),
        (
            torch.zeros(1, 9, 3, 4),
            ValueError,
            "expected shape (batch, channels=8, height, width), received shape (1, 9, 3, 4)",
        ),
        (torch.zeros(1, 8, 3, 0), ValueError, "received shape (1, 8, 3, 0)"),
        (torch.zeros(()), ValueError, "received shape ()"),
        (torch.zeros(1, 8, 3, 4).long(), TypeError, "received dtype torch.int64 and shape (1, 8, 3, 4)"),
        (torch.zeros(1, 8, 3, 4).bool(), TypeError, "received dtype torch.bool and shape (1, 8, 3, 4)"),
        (torch.zeros(1, 8, 3, 4).cfloat(), TypeError, "received dtype torch.complex64 and shape (1, 8, 3, 4)"),
        ([[1.0]], TypeError, "x: expected a floating-point tensor (batch, channels=8, height, width), received list"),
        (None, TypeError, "received NoneType"),
    ],
)
def test_other_inputs_are_refused(x: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        check_input(x, c=8)


def test_inputs_are_called_by_their_name() -> None:
    with pytest.raises(ValueError, match=r"^words: expected shape \(batch, t, d=16\), received shape \(2, 3\)$"):
        check_input(torch.zeros(2, 3), "b t d", name="words", d=16)


@pytest.mark.parametrize("value", [1, 2, 10**9])
def test_positive_whole_numbers_are_accepted(value: int) -> None:
    check_positive(channels=value, reduction=value)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (0, ValueError, "reduction=0 is not positive; allowed: 1, 2, 3, …"),
        (-3, ValueError, "reduction=-3 is not positive"),
        (2.0, TypeError, "reduction=2.0 is not a whole number"),
        (True, TypeError, "reduction=True is not a whole number"),
        ("4", TypeError, "reduction='4' is not a whole number"),
        (None, TypeError, "reduction=None is not a whole number"),
    ],
)
def test_other_numbers_are_refused(value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        check_positive(channels=3, reduction=value)


def test_divisors() -> None:
    check_divides(channels=32, groups=8)
    check_divides(channels=8, groups=8)
    with pytest.raises(
        ValueError, match=r"^channels=30 is not divisible by groups=8; allowed for groups: 1, 2, 3, 5, 6, 10, 15, 30$"
    ):
        check_divides(channels=30, groups=8)
    with pytest.raises(
        ValueError, match=r"^channels=8 is not divisible by reduction=16; allowed for reduction: 1, 2, 4, 8$"
    ):
        check_divides(channels=8, reduction=16)
