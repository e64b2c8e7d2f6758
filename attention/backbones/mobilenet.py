"""MobileNetV2, plain or with an attention block in its inverted residual units."""

from collections.abc import Iterable, Sequence
from numbers import Real

from jaxtyping import Float
from torch import Tensor, nn

from attention.backbones import seats
from attention.backbones.resnet import Factory, as_factory
from attention.contract import check_flags, check_input, check_positive

__all__ = ["MOBILE_PLACES", "SETTINGS", "InvertedResidual", "MobileNetV2"]

#: Table 2 of the paper: expansion, channels that go out, number of units, stride of the first.
SETTINGS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

#: Where an attention block may sit in an inverted residual unit.
MOBILE_PLACES: dict[str, str] = {
    "hidden": "at the hidden width, after the depthwise convolution with its normalisation and ReLU6",
    "projection": "after the 1 × 1 projection with its normalisation, before the addition",
}


class InvertedResidual(nn.Module):
    """An inverted residual unit: 1 × 1 to more channels, a depthwise 3 × 3, 1 × 1 to few channels without a ReLU.

    Input and output are added where they have one shape. The unit is plain until :meth:`attach` is called.

    :param in_channels: channels that come in.
    :param out_channels: channels that go out.
    :param stride: how much smaller height and width become.
    :param expansion: how many times more channels the hidden maps have; with 1 there is no first convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, expansion: int = 6) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expansion = expansion
        self.meets = {"hidden": hidden, "projection": out_channels}
        self.adds = stride == 1 and in_channels == out_channels
        self.expand = nn.Sequential() if expansion == 1 else _convolution(in_channels, hidden, 1)
        self.depthwise = _convolution(hidden, hidden, 3, stride, groups=hidden)
        self.project = nn.Sequential(nn.Conv2d(hidden, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))

    def attach(self, make: Factory, where: str = "hidden") -> None:
        """Put an attention block into the unit, as the child ``attention`` of the layers that it comes after.

        :param make: makes the block for the number of channels that it meets there.
        :param where: one of :data:`MOBILE_PLACES`.
        :raises ValueError: for another place.
        """
        _check_place(where)
        seats.put(self.depthwise if where == "hidden" else self.project, None, make(self.meets[where]))

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels new_height new_width"]:
        """Compute the branch, and add the input where it has the same shape.

        :param x: (batch, in_channels, height, width).
        :returns: (batch, out_channels, height / stride, width / stride), rounded up.
        """
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.adds else out


class MobileNetV2(nn.Module):
    """MobileNetV2: inverted residual units, from which attention for small networks is measured.

    The plain network is built first and the attention blocks are added last. So the same seed gives the same
    convolutions with and without them, and a plain network's state dict lacks exactly the keys of the blocks.
    :func:`attention.backbones.insertion.remove` takes them out.

    :param attention: a mechanism's name, or what makes a block for a number of channels
        (``functools.partial(attention.create, "se", reduction=24)``); ``None``, the default, is the plain network.
    :param where: the block's place in a unit, one of :data:`MOBILE_PLACES`.
    :param unexpanded: whether units of expansion 1 have the block as well, as the first unit is in the paper's table.
        Coordinate Attention's released network leaves it out: ``False``.
    :param width: the width multiplier: how many times as many channels all layers have, rounded to multiples of 8 and
        by no more than 10 % downwards. The last convolution never has fewer than 1280.
    :param settings: one (expansion, channels, units, stride) for each group of units, by default :data:`SETTINGS`, the
        paper's table. The stem puts out 32 channels.
    :param stem_stride: stride of the stem.
    :param in_channels: channels of the images.
    :param classes: number of classes.
    :raises TypeError: for sizes that are not whole numbers, a ``width`` that is not a number, an ``unexpanded`` that is
        not a bool, an ``attention`` that is neither name nor factory.
    :raises ValueError: for sizes below 1, a ``width`` that is not above 0, a ``where`` that is not listed, ``settings``
        that are not quadruples; for an input that is not (batch, in_channels, height, width).

    Source: Mark Sandler, Andrew Howard, Menglong Zhu, Andrey Zhmoginov, Liang-Chieh Chen, *MobileNetV2: Inverted
    Residuals and Linear Bottlenecks*, CVPR 2018, arXiv 1801.04381, Tables 1 and 2.

    Differs from common code: no dropout before the last layer. The paper does not mention one.
    """

    def __init__(
        self,
        attention: str | Factory | None = None,
        where: str = "hidden",
        *,
        unexpanded: bool = True,
        width: float = 1.0,
        settings: Sequence[tuple[int, int, int, int]] = SETTINGS,
        stem_stride: int = 2,
        in_channels: int = 3,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        _check_settings(settings)
        _check_place(where)
        check_flags(unexpanded=unexpanded)
        check_positive(stem_stride=stem_stride, in_channels=in_channels, classes=classes)
        if isinstance(width, bool) or not isinstance(width, Real):
            raise TypeError(f"width={width!r} is not a number; allowed: above 0")
        if not width > 0:
            raise ValueError(f"width={width} is not positive; allowed: above 0")
        make = None if attention is None else as_factory(attention)

        self.in_channels = in_channels
        channels = _rounded(32 * width)
        self.stem = _convolution(in_channels, channels, 3, stem_stride)
        self.units = nn.Sequential()
        for expansion, out, count, first in settings:
            out = _rounded(out * width)
            for stride in [first] + [1] * (count - 1):
                self.units.append(InvertedResidual(channels, out, stride, expansion))
                channels = out
        last = _rounded(1280 * max(1.0, width))
        self.last = _convolution(channels, last, 1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for unit in self.units if make else ():
            if unexpanded or unit.expansion != 1:
                unit.attach(make, where)

    def forward(self, x: Float[Tensor, "batch in_channels height width"]) -> Float[Tensor, "batch classes"]:
        """Compute the scores of the classes.

        :param x: images, (batch, in_channels, height, width).
        :returns: scores before the softmax, (batch, classes).
        """
        check_input(x, "b c h w", c=self.in_channels)
        return self.head(self.last(self.units(self.stem(x))))


def _convolution(in_channels: int, out_channels: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU6())


def _rounded(channels: float) -> int:
    """Round to the nearest multiple of 8, at least 8, and up where rounding down would take more than a tenth."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def _check_place(where: str) -> None:
    if where not in MOBILE_PLACES:
        raise ValueError(f"where={where!r} is not one of {', '.join(map(repr, MOBILE_PLACES))}")


def _check_settings(settings: Sequence[tuple[int, int, int, int]]) -> None:
    if not isinstance(settings, Iterable):
        raise TypeError(f"settings={settings!r} is not a sequence of (expansion, channels, units, stride)")
    if not settings:
        raise ValueError("settings is empty: a network has at least one unit")
    for index, row in enumerate(settings):
        if not isinstance(row, tuple | list) or len(row) != 4:
            raise ValueError(f"settings[{index}]={row!r} is not (expansion, channels, units, stride)")
        check_positive(**{f"settings[{index}][{place}]": value for place, value in enumerate(row)})
