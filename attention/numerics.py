"""What blocks need of arithmetic: half precision, starts of their own, and derivatives that a fused kernel lacks."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.fx import Proxy

__all__ = ["first_derivatives", "full_precision", "has_tangent", "starting", "wide", "zeros"]


def starting(layer: nn.Module, start: Callable[[nn.Module], Any]) -> nn.Module:
    """Give a layer a start of its own, now and whenever its ``reset_parameters`` is called.

    Its class stays the one that PyTorch's tools know.

    :param layer: changed in place.
    :param start: sets the layer's parameters; a function of a module, such as :func:`zeros`, so that it can be pickled.
    :returns: the layer.
    """
    layer.reset_parameters = partial(_restart, layer, start)
    with torch.no_grad():
        start(layer)
    return layer


def _restart(layer: nn.Module, start: Callable[[nn.Module], Any]) -> None:
    type(layer).reset_parameters(layer)
    with torch.no_grad():
        start(layer)


def zeros(layer: nn.Module) -> None:
    """Set the parameters of a layer to 0: a :func:`starting` in which it lets nothing through."""
    for parameter in layer.parameters():
        parameter.zero_()


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the type in which long sums, squares and softmax are taken: float32 for half precision, else ``dtype``.

    float16 ends at 65504: 700 values of 100 have a larger sum, and the product of two vectors of 256 values of 16 is
    larger too.
    """
    return torch.promote_types(dtype, torch.float32)


def full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """Switch autocast off for the body of a ``with``, where there is one and it is on."""
    kind = x.device.type
    on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if on else nullcontext()


def has_tangent(*tensors: Tensor) -> bool:
    """Say whether a derivative is being carried forwards through one of the tensors, as by ``torch.func.jvp``."""
    if torch.compiler.is_compiling() or any(isinstance(t, Proxy) for t in tensors):
        return False
    return any(forward_ad.unpack_dual(t).tangent is not None for t in tensors)


def first_derivatives(y: Tensor, *sources: Tensor) -> Tensor:
    """Mark the result of a fused kernel that has first derivatives alone: a second one is refused in our words.

    :param y: what the kernel made; returned as it is.
    :param sources: the tensors that it was made of.
    """
    if not torch.compiler.is_compiling() and not isinstance(y, Proxy):
        for source in sources:
            if source.requires_grad and "ScaledDotProduct" in (y.grad_fn.name() if y.grad_fn else ""):
                source.register_hook(_once)
    return y


class _Once(torch.autograd.Function):
    """The identity on a gradient; a gradient of it is refused."""

    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> NoReturn:
        raise NotImplementedError(
            "a second derivative was asked of a block whose forward uses a fused kernel, which has only the first; "
            "block.attend(x)[0] is the same function and has both, and so has forward inside "
            "torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)"
        )


def _once(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else _Once.apply(gradient)
