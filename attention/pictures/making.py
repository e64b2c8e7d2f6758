"""What several pictures are made of: inputs that show something, and weights that one can calculate with."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from attention import registry
from attention.lab.live import Picture

__all__ = [
    "block",
    "bright",
    "like",
    "noise",
    "one_bright",
    "said",
    "sloping",
    "spots",
    "stripes",
    "uniform",
    "weighted",
]


def uniform(channels: int, size: int, value: float = 0.3) -> Tensor:
    """Return (1, channels, size, size), the same number everywhere."""
    return torch.full((1, channels, size, size), value, dtype=torch.float64)


def one_bright(channels: int, size: int, which: int = 0, high: float = 0.9, low: float = 0.15) -> Tensor:
    """Return (1, channels, size, size): one channel bright, the others dark."""
    x = uniform(channels, size, low)
    x[:, which] = high
    return x


def noise(channels: int, size: int, seed: int = 0) -> Tensor:
    """Return (1, channels, size, size): numbers from 0 to 1 with two decimals, each by itself."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, channels, size, size, generator=generator, dtype=torch.float64).round(decimals=2)


def stripes(channels: int, size: int) -> Tensor:
    """Return (1, channels, size, size): channels of upright, lying and slanting stripes in turn, and an even one."""
    i, j = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    kinds = [j % 2, i % 2, (i + j) % 2, torch.full_like(i, 1) * 0.5]
    return torch.stack([kinds[c % 4].double() * 0.8 + 0.1 for c in range(channels)])[None].round(decimals=2)


def spots(channels: int, size: int, width: float = 1.2) -> Tensor:
    """Return (1, channels, size, size): one soft bright spot per channel, each at another place."""
    i, j = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    found = []
    for c in range(channels):
        row, column = (size - 1) * (0.2 + 0.6 * ((c * 0.62) % 1)), (size - 1) * (0.2 + 0.6 * ((c * 0.38 + 0.3) % 1))
        found.append(torch.exp(-((i - row) ** 2 + (j - column) ** 2) / (2 * width**2)))
    return torch.stack(found)[None].double().round(decimals=2)


def bright(channels: int, size: int, *places: tuple[int | slice, ...], high: float = 0.9, low: float = 0.15) -> Tensor:
    """Return (1, channels, size, size): bright at some places, dark elsewhere.

    :param channels: number of channels.
    :param size: height and width.
    :param places: (channel, row, column), each a number or a slice: ``(slice(None), 2, slice(None))`` is a row.
    :param high: the number of the bright places.
    :param low: that of the others.
    """
    x = uniform(channels, size, low)
    for place in places:
        x[(0, *place)] = high
    return x


def sloping(channels: int, size: int, down: float = 0.0, across: float = 0.0, mean: float = 0.5) -> Tensor:
    """Return (1, channels, size, size): brightness that changes evenly, with one mean whichever way it goes.

    :param channels: number of channels, all alike.
    :param size: height and width.
    :param down: by how much the last row is brighter than the first.
    :param across: by how much the last column is brighter than the first.
    :param mean: the mean of each channel.
    """
    steps = torch.linspace(-0.5, 0.5, size, dtype=torch.float64)
    return (mean + down * steps[:, None] + across * steps).expand(1, channels, size, size).clone()


def like(kind: type[nn.Module], own: nn.Module, *arguments: object, **options: Any) -> nn.Module:
    """Build a variant that has the weights of another block, in double precision and eval mode.

    :param kind: its class.
    :param own: the block whose weights it gets; both have the same.
    :param arguments: of the class.
    :param options: of the class.
    """
    made = kind(*arguments, **options).double().eval()
    made.load_state_dict(own.state_dict())
    return made


def said(shown: Picture, variant: str, equations: Mapping[str, str], about: Mapping[str, str] | None = None) -> Picture:
    """Give steps of one variant other equations, and other words, than those of the others.

    :param shown: the picture; it is changed.
    :param variant: its name.
    :param equations: HTML by the name of the step.
    :param about: what the step's numbers are, by its name.
    :returns: the picture.
    """
    for each in shown.drawn[variant]:
        each.equation = equations.get(each.name, each.equation)
        each.about = (about or {}).get(each.name, each.about)
    return shown


def weighted(module: nn.Module, seed: int = 0, gain: float = 1.0, bias: float = 0.3) -> nn.Module:
    """Give a module weights with two decimals, drawn at random: visible ones, for nothing is trained here.

    :param module: the module; it is changed and set to double precision and eval mode.
    :param seed: of the draw.
    :param gain: the deviation of what a layer makes of inputs of size 1; more makes gates that differ more.
    :param bias: the deviation of biases.
    :returns: the module. Normalisations get a weight of 1, a bias of 0, a mean of 0 and a variance of 1.
    """
    generator = torch.Generator().manual_seed(seed)
    module.double().eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.ndim > 1:
                parameter.copy_((gain * drawn / parameter[0].numel() ** 0.5).round(decimals=2))
            elif name.endswith("bias"):
                parameter.copy_((bias * drawn).round(decimals=2))
        for layer in module.modules():
            if (
                isinstance(layer, nn.GroupNorm | nn.LayerNorm | nn.modules.batchnorm._BatchNorm)
                and layer.weight is not None
            ):
                layer.weight.fill_(1)
                layer.bias.zero_()
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.reset_running_stats()
    return module


def block(
    name: str,
    channels: int,
    *,
    seed: int = 0,
    gain: float = 1.0,
    bias: float = 0.3,
    weights: Mapping[str, Any] | None = None,
    then: Callable[[Any], None] | None = None,
    **options: Any,
) -> Any:
    """Build a block of the registry with weights for a picture.

    :param name: of the mechanism.
    :param channels: its channels.
    :param seed: as for :func:`weighted`.
    :param gain: as for :func:`weighted`.
    :param bias: as for :func:`weighted`.
    :param weights: parameters and buffers by name that are given by hand.
    :param then: called with the block in the end, without gradients.
    :param options: of the block.
    """
    made = weighted(registry.create(name, channels, **options), seed, gain, bias)
    held = {**dict(made.named_parameters()), **dict(made.named_buffers())}
    with torch.no_grad():
        for key, values in (weights or {}).items():
            held[key].copy_(torch.tensor(values, dtype=torch.float64).reshape(held[key].shape))
        if then:
            then(made)
    return made
