"""Torch functions in words that a reader knows: "mean over H, W", "conv 3×3, 64 → 64, stride 2", "×"."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor

from attention.lab.shapes.axes import PERMUTES, RESHAPES, Axes, label

__all__ = ["SIGNS", "Call", "describe", "family", "kind_of", "plain_name", "reduced"]

#: Operations that are drawn as a sign in a circle.
SIGNS = ("×", "+", "−", "÷")
_REDUCTIONS = {
    "mean": "mean", "sum": "sum", "amax": "max", "max": "max", "amin": "min", "min": "min", "var": "variance",
    "std": "standard deviation", "prod": "product", "norm": "norm", "vector_norm": "norm", "logsumexp": "log-sum-exp",
    "argmax": "position of the max", "argmin": "position of the min", "median": "median", "all": "all", "any": "any",
}  # fmt: skip
_OPERATORS = {
    "mul": "×", "multiply": "×", "add": "+", "sub": "−", "subtract": "−", "rsub": "−", "div": "÷", "truediv": "÷",
    "divide": "÷", "floordiv": "÷", "mod": "mod", "gt": ">", "lt": "<", "ge": "≥", "le": "≤", "eq": "=", "ne": "≠",
    "maximum": "maximum", "minimum": "minimum", "pow": "to the power",
}  # fmt: skip
_SWAPPED = {"rsub", "rdiv", "rtruediv", "rfloordiv", "rmod", "rpow"}  # the second operand stands first
_OPERATORS |= {name: _OPERATORS[name[1:]] for name in _SWAPPED}
_OVER_ONE_AXIS = {
    "softmax": "softmax", "log_softmax": "log-softmax", "softmin": "softmin", "normalize": "normalise",
    "cumsum": "running sum", "sort": "sort", "cat": "concatenate", "concat": "concatenate", "glu": "GLU",
    "chunk": "split", "split": "split", "tensor_split": "split", "flip": "flip", "roll": "roll",
}  # fmt: skip
_DIM_AT = {"normalize": 2, "cumsum": 1, "flip": 1, "roll": 2, "chunk": 2, "split": 2, "tensor_split": 2}
_PLAIN = {
    "relu": "ReLU", "relu6": "ReLU6", "gelu": "GELU", "elu": "ELU", "selu": "SELU", "silu": "SiLU", "mish": "Mish",
    "prelu": "PReLU", "leaky_relu": "leaky ReLU", "hardtanh": "hard tanh", "hardsigmoid": "hard sigmoid",
    "hardswish": "hard swish", "neg": "negative", "rsqrt": "1 ÷ square root", "sqrt": "square root",
    "reciprocal": "1 ÷ ·", "square": "square", "abs": "absolute value", "matmul": "matrix product",
    "bmm": "matrix product", "mm": "matrix product", "addmm": "matrix product, +", "baddbmm": "matrix product, +",
    "mv": "matrix × vector", "batch_norm": "batch norm", "layer_norm": "layer norm", "instance_norm": "instance norm",
    "rms_norm": "RMS norm", "scaled_dot_product_attention": "scaled dot-product attention",
    "multi_head_attention_forward": "multi-head attention", "lstm": "LSTM", "gru": "GRU", "rfft2": "Fourier transform",
    "fft2": "Fourier transform", "irfft2": "inverse Fourier transform", "getitem": "slice", "select": "slice",
    "narrow": "slice", "setitem": "write into a slice", "where": "choose where", "masked_fill": "fill where masked",
    "copy": "copy into", "affine_grid": "affine grid", "unfold": "unfold patches", "fold": "fold patches",
    "pixel_shuffle": "pixel shuffle", "stack": "stack", "unbind": "unbind", "expand": "expand", "repeat": "repeat",
    "expand_as": "expand", "broadcast_to": "expand", "transpose": "transpose", "swapaxes": "transpose",
    "swapdims": "transpose", "t": "transpose", "T": "transpose", "mT": "transpose", "adjoint": "transpose",
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One call of a torch function, as it happened.

    :param name: the function's plain name: ``mul`` for ``torch.mul``, ``Tensor.__imul__`` and ``*``.
    :param args: its positional arguments.
    :param kwargs: its keyword arguments.
    :param result: what it returned, or the tensor that it changed.
    :param axes: gives a tensor's axes.
    :param operand: gives the name of a tensor that is not data (a parameter, a constant), and None for data.
    """

    name: str
    args: tuple
    kwargs: dict
    result: Any
    axes: Callable[[Tensor], Axes]
    operand: Callable[[Tensor], str | None]

    def get(self, position: int, name: str, otherwise: Any = None) -> Any:
        """Return an argument by its position or its name."""
        return self.kwargs.get(name, self.args[position] if len(self.args) > position else otherwise)

    @property
    def first(self) -> Any:
        """The first argument; the first tensor where that is a list of tensors."""
        value = self.args[0] if self.args else next(iter(self.kwargs.values()))
        return value[0] if isinstance(value, list | tuple) else value

    def over(self, dims: int | Sequence[int]) -> str:
        """Name axes of the first tensor."""
        return label(self.axes(self.first), [dims] if isinstance(dims, int) else list(dims))


def plain_name(function: Any) -> str:
    """Give a torch function's name without the marks of how it was called: ``__imul__`` and ``mul_`` are ``mul``."""
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":
        return function.__self__.__name__
    if re.fullmatch(r"__\w+__", name):
        name = name.strip("_")
        plain = {*_OPERATORS, "matmul"} - _SWAPPED
        return name[1:] if name[0] in "ri" and name[1:] in plain and name not in _SWAPPED else name
    return name.strip("_")


def family(name: str) -> str:
    """Say whether an operation only changes how numbers are laid out: ``reshape``, ``permute``, ``copy`` or ``""``."""
    if name in RESHAPES:
        return "reshape"
    if name in PERMUTES:
        return "permute"
    return "copy" if name in ("contiguous", "clone", "expand", "expand_as", "broadcast_to", "detach", "data") else ""


_PARTS = frozenset(("getitem", "select", "narrow", "chunk", "split", "tensor_split", "unbind", "index_select"))
_CASTS = frozenset(
    ("to", "type", "float", "double", "half", "bfloat16", "type_as", "cpu", "cuda", "int", "long", "bool")
)
#: Operations of one tensor that leave it as many numbers, each computed by itself or with a normalisation.
_SAME = frozenset(
    (
        *(
            "relu",
            "relu6",
            "gelu",
            "elu",
            "selu",
            "celu",
            "silu",
            "mish",
            "prelu",
            "leaky_relu",
            "hardtanh",
            "softplus",
        ),
        *("hardsigmoid", "hardswish", "sigmoid", "tanh", "logsigmoid", "softsign", "threshold", "clamp", "exp", "log"),
        *("softmax", "log_softmax", "softmin", "normalize", "batch_norm", "layer_norm", "group_norm", "instance_norm"),
        *("rms_norm", "neg", "rsqrt", "sqrt", "reciprocal", "square", "abs", "masked_fill", "alpha_dropout"),
        *("dropout", "dropout1d", "dropout2d", "dropout3d", *_OPERATORS),
    )
)


def kind_of(name: str) -> str:
    """Say what kind of operation a plain name is, as :class:`~attention.lab.shapes.Node` has it."""
    if family(name):
        return "layout"
    groups = {"part": _PARTS, "cast": _CASTS, "stack": frozenset(("stack",)), "same": _SAME}
    return next((kind for kind, names in groups.items() if name in names), "")


def reduced(name: str, args: tuple, kwargs: dict) -> list[int] | None:
    """Give the axes that a reduction runs over; None for anything that is not a reduction."""
    first = args[0] if args else kwargs.get("input")
    if name not in _REDUCTIONS or not isinstance(first, Tensor):
        return None
    where = 2 if name in ("norm", "vector_norm") else 1
    dims = kwargs.get("dim", kwargs.get("axis", args[where] if len(args) > where else None))
    if isinstance(dims, Tensor) or "other" in kwargs:
        return None
    if dims is None or isinstance(dims, bool) or dims == ():
        return list(range(first.ndim))
    return [dims] if isinstance(dims, int) else list(dims)


def describe(call: Call) -> str:
    """Say what a call does, in words."""
    name = call.name
    if name in ("max", "min") and isinstance(call.get(1, "other"), Tensor):
        return _operator(call, f"{name}imum")
    dims = reduced(name, call.args, call.kwargs)
    if dims is not None:
        return f"{_REDUCTIONS[name]} over {call.over(dims) if dims else 'nothing'}"
    if name in _OPERATORS:
        return _operator(call, _OPERATORS[name])
    if name in _OVER_ONE_AXIS:
        return _over_one_axis(call)
    if found := re.fullmatch(r"(conv|conv_transpose)(\d)d", name):
        return _convolution(call, transposed="transpose" in found[1])
    if found := re.fullmatch(r"(adaptive_)?(max|avg|lp)_pool\dd(_with_indices)?", name):
        return _pool(call, found[2], adaptive=bool(found[1]))
    special = _SPECIAL.get(name)
    return special(call) if special else _PLAIN.get(name, family(name) or name.replace("_", " "))


def _number(value: Any) -> str:
    return f"{value:.4g}".replace("-", "−") if isinstance(value, int | float) else str(value)


def _operator(call: Call, sign: str) -> str:
    first, second = call.get(0, "input"), call.get(1, "other", call.kwargs.get("exponent"))
    if call.name in _SWAPPED:
        first, second = second, first
    if sign == "to the power" and isinstance(second, int | float):
        return {2: "square", 0.5: "square root", -1: "1 ÷ ·"}.get(second, f"to the power {_number(second)}")
    left, right = ((call.operand(v) if isinstance(v, Tensor) else _number(v)) for v in (first, second))
    if left is None and right is None:
        return sign
    if left is None:
        return f"{sign} {right}"
    return f"{sign} {left}" if sign in ("×", "+", "maximum", "minimum", "=", "≠") else f"{left} {sign} ·"


def _over_one_axis(call: Call) -> str:
    dim = call.get(_DIM_AT.get(call.name, 1), "dim", call.kwargs.get("dims"))
    rank = call.first.ndim
    usual = {"cat": 0, "concat": 0, "chunk": 0, "split": 0, "tensor_split": 0, "normalize": 1}.get(call.name, -1)
    dims = [usual if dim is None else dim] if not isinstance(dim, list | tuple) else list(dim)
    joint = "along" if _OVER_ONE_AXIS[call.name] in ("concatenate", "split", "flip", "roll") else "over"
    count = f" in {len(call.result)}" if _OVER_ONE_AXIS[call.name] == "split" else ""
    return f"{_OVER_ONE_AXIS[call.name]}{count} {joint} {call.over([d % rank for d in dims])}"


def _times(values: Any, rank: int) -> str:
    values = [values] * rank if isinstance(values, int) else list(values)
    values = values * rank if len(values) == 1 else values
    return "×".join(map(str, values))


def _once(values: Any, rank: int) -> str:
    """Write a size that is the same along all axes only once."""
    text = _times(values, rank).split("×")
    return text[0] if len(set(text)) == 1 else "×".join(text)


def _convolution(call: Call, transposed: bool) -> str:
    weight = call.get(1, "weight")
    rank = weight.ndim - 2
    groups = call.get(6, "groups", 1)
    out, into = weight.shape[0], weight.shape[1] * groups
    if transposed:
        out, into = into, out
    kind = "transposed conv" if transposed else "conv"
    alone = groups > 1 and groups == into == out
    parts = [f"{'depthwise ' * alone}{kind} {_times(weight.shape[2:], rank)}", str(out) if alone else f"{into} → {out}"]
    stride, dilation = call.get(3, "stride", 1), call.get(7 if transposed else 5, "dilation", 1)
    parts += [f"stride {_once(stride, rank)}"] if _once(stride, rank) != "1" else []
    parts += [f"dilation {_once(dilation, rank)}"] if _once(dilation, rank) != "1" else []
    parts += [f"{groups} groups"] if groups > 1 and not alone else []
    return ", ".join(parts)


def _pool(call: Call, kind: str, adaptive: bool) -> str:
    first, over = call.first, {"avg": "mean", "lp": "norm"}.get(kind, kind)
    kind = "average" if kind == "avg" else kind
    rank = int(re.search(r"(\d)d", call.name)[1])
    size = call.get(1, "output_size" if adaptive else "kernel_size")
    axes = range(first.ndim - rank, first.ndim)
    if adaptive:
        result = call.result if isinstance(call.result, Tensor) else call.result[0]
        if prod(result.shape[-rank:]) == 1:
            return f"{over} over {call.over(axes)}"
        gone = [d for d in axes if result.shape[d] == 1 and first.shape[d] > 1]
        same = [d for d in axes if result.shape[d] == first.shape[d]]
        if gone and len(gone) + len(same) == rank:
            return f"{over} over {call.over(gone)}"
        return f"{kind} pool to {'×'.join(map(str, result.shape[-rank:]))}"
    if _times(size, rank) == "×".join(str(first.shape[d]) for d in axes):
        return f"{over} over {call.over(axes)}"
    stride = call.get(2, "stride") or size
    return f"{kind} pool {_times(size, rank)}" + (
        f", stride {_once(stride, rank)}" if _once(stride, rank) != "1" else ""
    )


def _linear(call: Call) -> str:
    weight = call.get(1, "weight")
    return f"linear {weight.shape[-1]} → {weight.shape[0]}"


def _resize(call: Call) -> str:
    before, after = call.first.shape[2:], call.result.shape[2:]
    factors = {b / a for a, b in zip(before, after, strict=True)}
    mode = call.get(3, "mode", "nearest")
    factor = factors.pop() if len(factors) == 1 else 0
    size = f"resize ×{_number(factor)}" if factor in (2, 4, 8, 0.5, 0.25) else "resize to " + "×".join(map(str, after))
    return f"{size}, {mode}"


def _dropout(call: Call) -> str:
    return f"dropout {_number(call.get(1, 'p', 0.5))}"


def _group_norm(call: Call) -> str:
    groups = call.get(1, "num_groups")
    return f"group norm, {groups} group{'s' * (groups != 1)}"


def _einsum(call: Call) -> str:
    equation = call.args[0]
    return f"einsum {equation.replace('->', ' → ').replace(',', ', ')}" if isinstance(equation, str) else "einsum"


def _sample(call: Call) -> str:
    mode = call.get(2, "mode", "bilinear")
    return {"bilinear": "sample bilinearly", "nearest": "sample the nearest"}.get(mode, f"sample, {mode}")


def _topk(call: Call) -> str:
    return f"{call.get(1, 'k')} largest over {call.over(call.get(2, 'dim', -1))}"


def _cast(call: Call) -> str:
    same = call.result.dtype == call.first.dtype
    return f"to {call.result.device.type}" if same else f"to {str(call.result.dtype).removeprefix('torch.')}"


_SPECIAL: dict[str, Callable[[Call], str]] = {
    "linear": _linear, "interpolate": _resize, "upsample": _resize, "group_norm": _group_norm, "einsum": _einsum,
    "grid_sample": _sample, "topk": _topk, "to": _cast, "type": _cast, "float": _cast, "double": _cast, "half": _cast,
    "bfloat16": _cast, "type_as": _cast, "cpu": _cast, "cuda": _cast, "dropout": _dropout, "dropout2d": _dropout,
}  # fmt: skip
