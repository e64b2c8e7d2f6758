"""Where the gate sits in a residual unit: deep networks with the gate on the branch, on the trunk, or without.

A gate on the *branch* multiplies what a unit adds; a gate on the *trunk* multiplies the sum. Fresh gates are near ½,
so a gate on the trunk halves in every unit what came from the image, and the gradient on its way back.
"""

import torch
from torch import Tensor, nn

from attention.backbones.resnet import ResNet
from attention.channel.se import SqueezeExcitation

__all__ = ["ARMS", "PerChannelAffine", "deep", "first_gradient", "opened"]

#: By arm: where the gates sit (``None``: nowhere), and whether they start at 0.98 and not near ½.
ARMS: dict[str, tuple[str | None, bool]] = {
    "no gate": (None, False),
    "branch": ("standard", False),
    "trunk": ("post", False),
    "trunk, opened": ("post", True),
}
_REDUCTION = 4


class PerChannelAffine(nn.Module):
    """What batch normalisation learns, without what it computes: a scale and a shift per channel.

    :param channels: number of channels.
    :param start: the scales at the start; the shifts start at 0.
    """

    def __init__(self, channels: int, start: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), start))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift each channel of (batch, channels, height, width)."""
        return x * self.weight[:, None, None] + self.bias[:, None, None]


def opened(channels: int, gate: float = 0.98) -> SqueezeExcitation:
    """Make a block whose gates all start at the same value, whatever the input, and which can still learn.

    :param channels: number of channels.
    :param gate: the value, between 0 and 1.
    """
    block = SqueezeExcitation(channels, _REDUCTION, bias=True)
    nn.init.zeros_(block.expand.weight)
    nn.init.constant_(block.expand.bias, torch.logit(torch.tensor(gate)).item())
    return block


def deep(
    arm: str,
    *,
    layers: tuple[int, ...] = (4, 4, 4),
    widths: tuple[int, ...] = (8, 16, 32),
    normalised: bool = True,
    stride: int = 2,
) -> ResNet:
    """Build a residual network of basic units for grey images, with the gates of an arm.

    Without normalisation each is replaced by :class:`PerChannelAffine`, with as many parameters. The last of each
    branch then starts at one over the square root of the number of units, so that what the units add up to is of the
    size of what came in, as deep as the network may be.

    :param arm: one of :data:`ARMS`.
    :param layers: number of units in each stage.
    :param widths: channels of each stage.
    :param normalised: whether the batch normalisations stay.
    :param stride: of the first unit of each stage.
    """
    where, open = ARMS[arm]
    make = opened if open else lambda channels: SqueezeExcitation(channels, _REDUCTION)
    gates = {} if where is None else {"attention": make, "where": where}
    strides = [stride] * len(widths)
    model = ResNet(layers, "basic", stem="small", widths=widths, strides=strides, in_channels=1, classes=10, **gates)
    if not normalised:
        _without_normalisation(model, sum(layers) ** -0.5)
    return model


def _without_normalisation(model: nn.Module, last: float) -> None:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                start = last if name == "norm2" else 1.0
                setattr(parent, name, PerChannelAffine(child.num_features, start))


def first_gradient(arm: str, units: int, *, normalised: bool = True, seed: int = 0) -> float:
    """Compute the length of the gradient that reaches the first unit of a fresh network, in training mode.

    The network has ``units`` units of 16 channels on 8 × 8 pixels. The same seed gives the same convolutions, images
    and loss to every arm; the loss is a random weighted sum of the scores.

    :param arm: one of :data:`ARMS`.
    :param units: number of units.
    :param normalised: whether the batch normalisations stay.
    :param seed: of the weights, the images and the loss.
    :returns: the length of the gradient by the first unit's input.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        images, weights = torch.randn(32, 1, 8, 8), torch.randn(32, 10)
        model = deep(arm, layers=(units,), widths=(16,), normalised=normalised, stride=1)
        entering = model.stem(images).detach().requires_grad_()
        (model.head(model.stages(entering)) * weights).sum().backward()
    return entering.grad.norm().item()
