"""Count every arithmetic operation of a run, by watching the tensor operations that PyTorch executes."""

from collections import Counter
from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["CONVENTION", "Operations"]

#: What counts how much, in words for a reader.
CONVENTION = """\
A multiplication, an addition, a comparison and an elementary function (exp, sigmoid, square root) count one each.
A sum of n numbers counts n, so a multiply–add counts two. In particular, with n the numbers that come in:
- convolution, linear layer, matrix product: two for each multiply–add, one for each bias added;
- elementwise function or arithmetic: one for each number that comes out; a fused activation counts one as well;
- sum, maximum, product: n; mean: n and one division for each result; variance: 4n and two divisions;
- pooling: the numbers in each window, and a division for each average; padding counts as numbers;
- softmax: 5n (maximum, difference, exp, sum, division);
- batch normalisation in eval mode: 2n (a scale and a shift, known before the run); a normalisation by statistics of its
  own input: 6n, and 2n for weights and biases that differ within a group; work once for each group is left out;
- bilinear interpolation: 8 for each number that comes out, and where the grid is an input 14 for each location;
- views, copies, concatenation, padding, indexing, creation, random draws: none.
An operation that this list does not cover is not guessed: it is named, and the count is then a lower bound."""

#: How many operations a call with these arguments and this result is; None where that cannot be said.
_Rule = Callable[[tuple, dict, Any], int | None]


def _numbers(tree: Any) -> int:
    """Return how many numbers the first tensor of a nest of tensors holds."""
    return next((leaf.numel() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)), 0)


def _argument(args: tuple, kwargs: dict, index: int, name: str, default: Any = None) -> Any:
    return args[index] if len(args) > index else kwargs.get(name, default)


def _each(factor: int) -> _Rule:
    """Count ``factor`` for each number that comes out."""
    return lambda args, kwargs, out: factor * _numbers(out)


def _elementwise(args: tuple, kwargs: dict, out: Any) -> int:
    """One for each number that comes out, two where a factor ``alpha`` comes with an addition."""
    return _numbers(out) * (1 if kwargs.get("alpha", 1) == 1 else 2)


def _fold(per_input: int, per_output: int = 0) -> _Rule:
    """Count so much for each number that comes in, and so much for each that comes out."""
    return lambda args, kwargs, out: per_input * _numbers(args) + per_output * _numbers(out)


def _log_softmax(args: tuple, kwargs: dict, out: Tensor) -> int:
    """Maximum, difference, exp, sum, difference, and a logarithm for each row."""
    return 5 * out.numel() + (out.numel() // out.shape[args[1]] if out.ndim else 1)


def _pool(divide: int) -> _Rule:
    def rule(args: tuple, kwargs: dict, out: Any) -> int:
        first = tree_leaves(out)[0]
        kernel = args[1] if len(args[1]) > 1 else [args[1][0]] * 2
        return first.numel() * (prod(kernel) + divide)

    return rule


def _adaptive_pool(divide: int) -> _Rule:
    def rule(args: tuple, kwargs: dict, out: Any) -> int:
        first, source = tree_leaves(out)[0], args[0]
        axes = len(args[1])
        read = [_windows(a, b) for a, b in zip(source.shape[-axes:], first.shape[-axes:], strict=True)]
        return prod(first.shape[:-axes]) * prod(read) + divide * first.numel()

    return rule


def _windows(size: int, cells: int) -> int:
    """Return how many numbers all windows of adaptive pooling read along one axis; windows may overlap."""
    return sum(-(-(i + 1) * size // cells) - i * size // cells for i in range(cells))


def _batch_norm(args: tuple, kwargs: dict, out: Any) -> int:
    return (6 if args[5] else 2) * args[0].numel()


def _layer_norm(args: tuple, kwargs: dict, out: Any) -> int:
    affine = sum(_argument(args, kwargs, i, n) is not None for i, n in ((2, "weight"), (3, "bias")))
    return (6 + affine) * args[0].numel()


def _grid_sample(args: tuple, kwargs: dict, out: Tensor) -> int | None:
    """Eight for each number (four multiply–adds); 14 for each location, shared by its channels.

    The location's: four to scale both coordinates, two floors, four for the distances to the corners, four weights.
    """
    bilinear = _argument(args, kwargs, 2, "interpolation_mode") == 0
    return 8 * out.numel() + 14 * (out.numel() // out.shape[1]) if bilinear else None


def _scatter_add(args: tuple, kwargs: dict, out: Tensor) -> int:
    """One for each number that is added to what is there."""
    return args[3].numel()


def _index_put(args: tuple, kwargs: dict, out: Tensor) -> int:
    """Nothing to put numbers in their places, one for each that is added to what is there."""
    return args[2].numel() if _argument(args, kwargs, 3, "accumulate", False) else 0


def _bias(index: int) -> _Rule:
    return lambda args, kwargs, out: 0 if _argument(args, kwargs, index, "bias") is None else out.numel()


def _scaled_dot_product(args: tuple, kwargs: dict, out: Any) -> int:
    """The scale and the softmax over all keys, and the mask where there is one; the products are counted apart."""
    queries, keys = args[:2]
    mask = any(isinstance(value, Tensor) for value in (*args[3:], *kwargs.values()))
    return (6 + mask) * prod(queries.shape[:-1]) * keys.shape[-2]


def _sdpa_flops(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return 2 * prod(query[:-1]) * key[-2] * (key[-1] + value[-1])


def _mv_flops(matrix: Any, *args: Any, **kwargs: Any) -> int:
    return 2 * prod(matrix)


def _addmv_flops(start: Any, matrix: Any, *args: Any, **kwargs: Any) -> int:
    return 2 * prod(matrix)


def _affine_grid_flops(theta: Any, size: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """Each location of the grid is a 2 × 3 matrix times (x, y, 1), or 3 × 4 in space."""
    return 2 * size[0] * prod(size[2:]) * prod(theta[1:])


aten = torch.ops.aten

#: Products that PyTorch's own counter passes over in silence (torch 2.13).
_MISSED = {
    aten.mv: _mv_flops,
    aten.dot: _mv_flops,
    aten.vdot: _mv_flops,
    aten.addmv: _addmv_flops,
    aten.affine_grid_generator: _affine_grid_flops,
    aten._scaled_dot_product_flash_attention_for_cpu: _sdpa_flops,
}

#: What a product does beside its multiply–adds.
_BESIDE: dict[str, _Rule] = {
    "convolution": _bias(2),
    "_convolution": _bias(2),
    "addmm": _each(1),
    "addmv": _each(1),
    "baddbmm": _each(1),
    "_scaled_dot_product_flash_attention_for_cpu": _scaled_dot_product,
    "_scaled_dot_product_flash_attention": _scaled_dot_product,
    "_scaled_dot_product_efficient_attention": _scaled_dot_product,
    "_scaled_dot_product_cudnn_attention": _scaled_dot_product,
}

_RULES: dict[str, _Rule] = {
    **dict.fromkeys(("sum", "prod", "amax", "amin", "max", "min", "argmax", "argmin", "any", "all"), _fold(1)),
    **dict.fromkeys(("cumsum", "cumprod", "nansum", "aminmax"), _fold(1)),
    "mean": _fold(1, 1),
    "var": _fold(4, 2),
    "var_mean": _fold(4, 2),
    "std": _fold(4, 3),
    "std_mean": _fold(4, 3),
    "linalg_vector_norm": _fold(2, 1),
    "norm": _fold(2, 1),
    "logsumexp": _fold(4, 2),
    "_softmax": _each(5),
    "_safe_softmax": _each(5),
    "_log_softmax": _log_softmax,
    "addcmul": _each(2),
    "addcdiv": _each(2),
    "lerp": _each(3),
    "max_pool2d_with_indices": _pool(0),
    "avg_pool2d": _pool(1),
    "adaptive_max_pool2d": _adaptive_pool(0),
    "_adaptive_avg_pool2d": _adaptive_pool(1),
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit": _batch_norm,
    "_native_batch_norm_legit_no_training": _each(2),
    "cudnn_batch_norm": _batch_norm,
    "miopen_batch_norm": _batch_norm,
    "native_dropout": _each(2),
    "native_group_norm": _fold(6),
    "native_layer_norm": _layer_norm,
    "upsample_bilinear2d": _each(8),
    "grid_sampler_2d": _grid_sample,
    "index_put": _index_put,
    "index_add": _scatter_add,
    "scatter_add": _scatter_add,
    "col2im": _fold(1),
    **dict.fromkeys(("rsub", "hardswish", "hardsigmoid", "leaky_relu", "elu", "glu", "softplus"), _each(1)),
    **dict.fromkeys(("_prelu_kernel", "floor_divide", "log_sigmoid_forward"), _each(1)),
}

_MOVES = """
    empty zeros ones full arange linspace eye scalar_tensor empty_like zeros_like ones_like full_like empty_strided
    new_empty new_zeros new_ones new_full new_empty_strided rand randn randint randperm rand_like randn_like bernoulli
    uniform normal exponential multinomial
    clone copy _to_copy fill zero lift lift_fresh set resize _unsafe_view _reshape_alias _reshape_copy is_same_size
    cat stack repeat repeat_interleave roll flip rot90 tril triu diag_embed unsafe_split unsafe_chunk
    index index_select _unsafe_index gather scatter take embedding nonzero masked_select _local_scalar_dense
    slice_scatter select_scatter diagonal_scatter
    constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d im2col
    pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle
    upsample_nearest1d upsample_nearest2d _upsample_nearest_exact2d
"""
#: Operations that make, move or select numbers and compute none; views are recognised by PyTorch's own mark.
_FREE = frozenset(_MOVES.split())


class Operations(TorchDispatchMode):
    """A context in which every tensor operation is counted, by :data:`CONVENTION`.

    ``macs`` are the multiply–adds of convolutions, linear layers and matrix products; ``total`` counts all operations;
    ``unknown`` names the operations that the convention does not cover, and how often each ran.
    """

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0
        self.total = 0
        self.unknown: Counter[str] = Counter()
        self._products = FlopCounterMode(display=False, custom_mapping=_MISSED).flop_registry

    def __torch_dispatch__(self, func: Any, types: Iterable[type], args: tuple = (), kwargs: Any = None) -> Any:
        """Run one operation and count it."""
        kwargs = kwargs or {}
        product = self._products.get(func._overloadpacket)
        rule = _BESIDE.get(_name(func), _each(0)) if product else _rule(func, args)
        if rule is None:
            with self:  # an operation that is made of others is counted by its parts
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        out = func(*args, **kwargs)
        macs = product(*args, **kwargs, out_val=out) // 2 if product else 0
        count = rule(args, kwargs, out) if rule else None
        self.macs += macs
        self.total += 2 * macs + (count or 0)
        if count is None:
            self.unknown[_name(func)] += 1
        return out


def _rule(func: Any, args: tuple) -> _Rule | None:
    """Return how the convention counts an operation that is no product; None where it says nothing."""
    name = _name(func)
    if func.is_view or name in _FREE:
        return _each(0)
    if name in _RULES and not _elementwise_maximum(name, args):
        return _RULES[name]
    return _elementwise if _pointwise(func) else None


def _elementwise_maximum(name: str, args: tuple) -> bool:
    """Tell the maximum of two tensors from the maximum over an axis: they share a name."""
    return name in ("max", "min") and len(args) > 1 and isinstance(args[1], Tensor)


def _name(func: Any) -> str:
    """Return an operation's name; the form that works in place counts as the one that does not."""
    name = func._overloadpacket.__name__
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def _pointwise(func: Any) -> bool:
    """Say whether PyTorch marks the operation, or the form of it that is not in place, as elementwise."""
    forms = [func]
    packet = getattr(aten, _name(func), None) if func.namespace == "aten" else None
    if packet is not None and packet is not func._overloadpacket:
        forms += [getattr(packet, overload) for overload in packet.overloads()]
    return any(torch.Tag.pointwise in form.tags for form in forms)
