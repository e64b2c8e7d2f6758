"""Two changes to residual networks that came after their paper: a stem of three convolutions, means in shortcuts."""

from torch import nn

from attention.backbones.resnet import Residual, ResNet
from attention.contract import check_positive

__all__ = ["average_shortcuts", "check_network", "deepen_stem"]


def deepen_stem(network: ResNet, width: int = 32) -> None:
    """Replace the 7 × 7 convolution at the start by three 3 × 3 convolutions, the first of stride 2.

    They put out ``width``, ``width`` and as many channels as the 7 × 7 convolution did, each with its normalisation
    and ReLU; the pooling after them stays.

    :param network: a residual network with the stem for ImageNet; it is changed.
    :param width: channels of the first two convolutions.
    :raises TypeError: for a ``width`` that is not a whole number, a ``network`` that is no ``ResNet``.
    :raises ValueError: for a ``width`` below 1, and for a network whose stem is another one.

    Source: Tong He, Zhi Zhang, Hang Zhang, Zhongyue Zhang, Junyuan Xie, Mu Li, *Bag of Tricks for Image Classification
    with Convolutional Neural Networks*, CVPR 2019, arXiv 1812.01187, Figure 2(b), ResNet-C.
    """
    check_network(network)
    check_positive(width=width)
    first = network.stem[0]
    if not isinstance(first, nn.Conv2d) or first.kernel_size != (7, 7):
        raise ValueError("network: its stem has no 7 × 7 convolution; allowed: a ResNet of stem='imagenet'")
    stem = nn.Sequential()
    for into, out, stride in ((first.in_channels, width, 2), (width, width, 1), (width, first.out_channels, 1)):
        convolution = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        for layer in (convolution, nn.BatchNorm2d(out), nn.ReLU()):
            stem.append(layer)
    network.stem = stem.append(network.stem[-1])


def average_shortcuts(network: ResNet) -> None:
    """Let the shortcuts of strided units average where they left pixels out.

    The 1 × 1 convolution of such a shortcut has stride 1 afterwards, and the mean over windows of the stride comes
    before it. At the right and lower edge a window may be cut off; the mean is then over what is left of it. No
    parameter changes, and none is added.

    :param network: a residual network; it is changed.
    :raises TypeError: for a ``network`` that is no ``ResNet``.

    Source: He et al., *Bag of Tricks for Image Classification with Convolutional Neural Networks*, CVPR 2019, arXiv
    1812.01187, Figure 2(c), ResNet-D.
    """
    check_network(network)
    for unit in network.modules():
        first = unit.shortcut[0] if isinstance(unit, Residual) and len(unit.shortcut) else None
        if isinstance(first, nn.Conv2d) and first.stride != (1, 1):
            stride, first.stride = first.stride, (1, 1)
            unit.shortcut.insert(0, nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False))


def check_network(network: ResNet) -> None:
    """Refuse what is no residual network of this package.

    :raises TypeError: saying what came.
    """
    if not isinstance(network, ResNet):
        raise TypeError(f"network: expected a ResNet of this package, received {type(network).__name__}")
