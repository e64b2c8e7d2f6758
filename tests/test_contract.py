"""The contract: how maps are declared and matched, what the base classes do, how bad input is refused."""

import copy
import pickle
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import attention
from attention.contract import (
    KINDS,
    Attention,
    Gate,
    Map,
    check_divides,
    check_flags,
    check_input,
    check_positive,
    check_training,
)
from attention.numerics import full_precision, has_tangent, starting, wide, zeros

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
        (torch.zeros(1, 8, 3, 0), ValueError, "received shape (1, 8, 3, 0): width is 0, an empty map"),
        (torch.zeros(1, 8, 0, 4), ValueError, "received shape (1, 8, 0, 4): height is 0, an empty map"),
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


@pytest.mark.parametrize("value", [1, 2, 10**9, np.int64(64), np.uint8(3), np.array(5), torch.tensor(7)])
def test_positive_whole_numbers_are_accepted_and_made_plain(value: object) -> None:
    found = check_positive(channels=value, reduction=3)
    assert found == (int(value), 3)
    assert [type(number) for number in found] == [int, int]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (0, ValueError, "reduction=0 is not positive; allowed: 1, 2, 3, …"),
        (-3, ValueError, "reduction=-3 is not positive"),
        (2.0, TypeError, "reduction=2.0 is not a whole number"),
        (True, TypeError, "reduction=True is not a whole number"),
        (np.True_, TypeError, "reduction=np.True_ is not a whole number"),
        (torch.tensor(True), TypeError, "reduction=tensor(True) is not a whole number"),
        (np.float64(2), TypeError, "reduction=np.float64(2.0) is not a whole number"),
        (np.array([2]), TypeError, "reduction=array([2]) is not a whole number"),
        (np.int64(-3), ValueError, "reduction=-3 is not positive"),
        ("4", TypeError, "reduction='4' is not a whole number"),
        (None, TypeError, "reduction=None is not a whole number"),
    ],
)
def test_other_numbers_are_refused(value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        check_positive(channels=3, reduction=value)


@pytest.mark.parametrize("value", ["false", "", 1, 0, None, torch.tensor(True), np.int64(1)])
def test_what_is_neither_true_nor_false_is_refused(value: object) -> None:
    check_flags(bias=True, norm=False, scale=np.True_)
    with pytest.raises(TypeError, match=re.escape(f"norm={value!r} is neither True nor False")):
        check_flags(bias=True, norm=value)


@pytest.mark.parametrize(
    ("shape", "over", "message"),
    [
        (
            (1, 8, 3, 4),
            "b",
            "2 samples in training, received shape (1, 8, 3, 4): .* give more samples at once",
        ),
        (
            (1, 8, 1, 1),
            "b h w",
            "2 numbers a channel in training, .*; give more samples or pixels at once, or",
        ),
    ],
)
def test_one_number_is_not_normalised(shape: tuple, over: str, message: str) -> None:
    pattern = re.escape(message).replace(re.escape(".*"), ".*")
    with pytest.raises(ValueError, match=f"^x: expected at least {pattern}.*call eval"):
        check_training(torch.zeros(shape), over)
    check_training(torch.zeros(2, *shape[1:]), over)
    check_training(torch.zeros(0, *shape[1:]), over)
    check_training(torch.zeros(1, 8, 1, 2), "b h w")


def test_wide_types() -> None:
    assert [wide(d) for d in (torch.float16, torch.bfloat16, torch.float32, torch.float64)] == [
        torch.float32,
        torch.float32,
        torch.float32,
        torch.float64,
    ]


def test_autocast_is_switched_off_where_it_is_on() -> None:
    a = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
        with full_precision(a):
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16
    with full_precision(a):
        assert (a @ a).dtype == torch.float32


def test_tangents_are_seen() -> None:
    seen = []
    torch.func.jvp(lambda x: seen.append(has_tangent(x)) or x, (torch.ones(2),), (torch.ones(2),))
    assert seen == [True]
    assert not has_tangent(torch.ones(2))


@pytest.mark.parametrize("make", [lambda: nn.BatchNorm2d(3), lambda: nn.Conv2d(3, 3, 1)])
def test_layers_that_start_at_zero_are_set_to_zero_again(make) -> None:
    layer = starting(make(), zeros)
    for _ in range(2):
        assert all(not parameter.any() for parameter in layer.parameters())
        layer = layer.to("meta").to_empty(device="cpu")
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.fill_(7)
        layer.reset_parameters()
    assert type(layer) is type(make())


def test_a_copy_and_a_stored_layer_keep_their_own_start() -> None:
    layer = starting(nn.Linear(2, 2), zeros)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        with torch.no_grad():
            for parameter in (*layer.parameters(), *other.parameters()):
                parameter.fill_(7)
        other.reset_parameters()
        assert not any(parameter.any() for parameter in other.parameters())
        assert all((parameter == 7).all() for parameter in layer.parameters())


def test_a_block_is_reset_from_the_inside_out() -> None:
    class Own(Gate):
        def __init__(self) -> None:
            super().__init__()
            self.maps = {"half": Map("b c h w")}
            self.layers = nn.Sequential(nn.Linear(2, 2), starting(nn.BatchNorm2d(2), zeros))

    block = Own()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.fill_(7)
    block.reset_parameters()
    assert not block.layers[1].weight.any()
    assert (block.layers[0].weight.abs() < 1).all()


def test_script_is_refused_in_our_words() -> None:
    for module in (Scaled(), nn.Sequential(nn.ReLU(), Scaled())):
        with pytest.raises(TypeError, match=r"^Scaled: torch.jit.script cannot read it.*jit.trace\(block, x\).*export"):
            torch.jit.script(module)


def test_inputs_may_be_named() -> None:
    x = torch.ones(1, 3, 2, 2)
    assert Scaled()(x=x).equal(x / 2)
    assert Scaled().attend(x=x)[0].equal(x / 2)


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


@pytest.mark.parametrize("name", ["cbam", "non_local", "sk"])
def test_blocks_that_look_at_the_batch_in_training_compile_whole(name: str) -> None:
    """The check that a normalisation sees more than one number is part of what is compiled."""
    options = {"cbam": {"reduction": 2, "norm": True}, "non_local": {}, "sk": {"groups": 2}}[name]
    block, x = attention.create(name, 8, **options).train(), torch.randn(2, 8, 5, 6)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(block, fullgraph=True, backend="aot_eager")(x), block(x))
