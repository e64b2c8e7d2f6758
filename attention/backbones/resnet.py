"""Residual networks of He et al., with an attention block at any of the places that the SE paper tries.

The plain network is built first and the attention blocks are added last. So the same seed gives the same
convolutions with and without them, and a plain network's state dict lacks exactly the keys of the blocks.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import check_input, check_positive
from attention.registry import create, entry

__all__ = [
    "PLACES",
    "Basic",
    "Bottleneck",
    "Convolution",
    "Factory",
    "ResNet",
    "Residual",
    "as_factory",
    "resnet50",
    "resnet101",
    "small_resnet",
]

#: What makes an attention block for a number of channels.
Factory = Callable[[int], nn.Module]

#: What makes a block in place of a 3 × 3 convolution: ``make(channels, stride=…)``, with as many channels coming out.
Convolution = Callable[..., nn.Module]

#: Where an attention block may sit in a residual unit: Figure 5 of the SE paper (TPAMI), and Table 15 for the last.
PLACES: dict[str, str] = {
    "standard": "at the end of the residual branch, before the addition",
    "pre": "at the start of the residual branch",
    "post": "after the addition and its ReLU",
    "identity": "on the shortcut, after its projection where it has one",
    "after_3x3": "in the residual branch, after the 3 × 3 convolution with its normalisation and ReLU",
}


class Residual(nn.Module):
    """A residual unit: what its two forms have in common.

    A subclass builds its convolutions and writes :meth:`branch`. The unit is plain until :meth:`attach` is called.

    :param in_channels: channels that come in.
    :param out_channels: channels that go out; where they differ, or the stride is not 1, the shortcut is a 1 × 1
        convolution (the paper's option B).
    :param stride: how much smaller height and width become.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.meets = {"standard": out_channels, "pre": in_channels, "post": out_channels, "identity": out_channels}
        self.place: str | None = None
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            self.shortcut.append(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(out_channels))

    def attach(self, make: Factory, where: str = "standard") -> None:
        """Put an attention block into the unit, as its child ``attention``.

        :param make: makes the block for the number of channels that it meets there.
        :param where: one of :data:`PLACES`.
        :raises ValueError: for a place that this unit does not have.
        """
        _check_one_of("where", where, self.meets)
        self.attention = make(self.meets[where])
        self.place = where

    def branch(self, x: Tensor) -> Tensor:
        """Compute the residual branch, up to its last normalisation."""
        raise NotImplementedError

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels new_height new_width"]:
        """Add the branch to the shortcut, with the attention block where it was attached.

        :param x: (batch, in_channels, height, width).
        :returns: (batch, out_channels, height / stride, width / stride), rounded up.
        """
        kept = self._attend("identity", self.shortcut(x))
        added = self._attend("standard", self.branch(self._attend("pre", x)))
        return self._attend("post", (kept + added).relu())

    def _attend(self, here: str, x: Tensor) -> Tensor:
        return self.attention(x) if here == self.place else x


class Basic(Residual):
    """The basic unit: two 3 × 3 convolutions, the first with the stride.

    :param in_channels: channels that come in.
    :param width: channels of both convolutions, and channels that go out.
    :param stride: how much smaller height and width become.
    """

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride)
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def branch(self, x: Tensor) -> Tensor:
        """Compute 3 × 3, ReLU, 3 × 3."""
        x = self.norm1(self.conv1(x)).relu()
        return self.norm2(self.conv2(x))


class Bottleneck(Residual):
    """The bottleneck unit: 1 × 1 to fewer channels, 3 × 3, 1 × 1 to four times the width.

    :param in_channels: channels that come in.
    :param width: a quarter of the channels that go out.
    :param stride: how much smaller height and width become.
    :param stride_in: which convolution has the stride, ``"1x1"`` (the first) or ``"3x3"``.
    :param groups: groups of the 3 × 3 convolution.
    :param width_per_group: channels of each group at width 64; in proportion to the width.
    :param convolution: makes what takes the place of the 3 × 3 convolution, its normalisation and its ReLU, called
        as ``convolution(channels, stride=…)``; by default nothing does.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        *,
        stride_in: str = "3x3",
        groups: int = 1,
        width_per_group: int = 64,
        convolution: Convolution | None = None,
    ) -> None:
        super().__init__(in_channels, 4 * width, stride)
        middle = width * width_per_group // 64 * groups
        first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
        self.meets["after_3x3"] = middle
        self.conv1 = nn.Conv2d(in_channels, middle, 1, first, bias=False)
        self.norm1 = nn.BatchNorm2d(middle)
        if convolution is None:
            self.conv2 = nn.Conv2d(middle, middle, 3, second, 1, groups=groups, bias=False)
            self.norm2 = nn.BatchNorm2d(middle)
        else:
            self.conv2 = convolution(middle, stride=second)
            self.norm2 = None
        self.conv3 = nn.Conv2d(middle, self.out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(self.out_channels)

    def branch(self, x: Tensor) -> Tensor:
        """Compute 1 × 1, ReLU, 3 × 3, ReLU, 1 × 1."""
        x = self.conv2(self.norm1(self.conv1(x)).relu())
        x = x if self.norm2 is None else self.norm2(x).relu()
        return self.norm3(self.conv3(self._attend("after_3x3", x)))


class ResNet(nn.Module):
    """A residual network, plain or with an attention block in its units.

    :param layers: number of units in each stage.
    :param block: ``"bottleneck"`` or ``"basic"``.
    :param attention: a mechanism's name, or what makes a block for a number of channels
        (``functools.partial(attention.create, "se", reduction=8)``); ``None``, the default, is the plain network.
    :param where: the block's place in a unit, one of :data:`PLACES`.
    :param stages: which stages have the block, counted from 1; by default all. Papers that count the stem
        as the first call our stage 1 their stage 2, or conv2_x.
    :param stride_in: which convolution of a bottleneck has the stride, ``"1x1"`` (the first; version 1, the
        paper) or ``"3x3"`` (version 1.5, the default, as in most networks that are used today).
    :param stem: ``"imagenet"`` (7 × 7 of stride 2 and max pooling of stride 2) or ``"small"`` (3 × 3 of stride 1).
    :param widths: width of each stage; a bottleneck stage puts out four times as many channels.
    :param strides: stride of each stage; by default 1, then 2s.
    :param in_channels: channels of the images.
    :param classes: number of classes.
    :param groups: groups of a bottleneck's 3 × 3 convolution: the cardinality of ResNeXt.
    :param width_per_group: channels of each group at width 64, in proportion to the width. ResNeXt-50 32×4d is
        ``resnet50(groups=32, width_per_group=4)``.
    :param convolution: a mechanism that replaces a convolution, by name, or what makes its block, called as
        ``convolution(channels, stride=…)``: it takes the place of the 3 × 3 convolution in every bottleneck, with its
        normalisation and ReLU. SKNet-50 is ``resnet50(groups=32, width_per_group=4, convolution="sk")``.
    :param zero_init: whether the last normalisation of each branch starts with weight 0, so that each unit starts as
        its shortcut (Goyal et al., arXiv 1706.02677). Off by default: it came after the papers below, and a gate
        behind a branch that is all zeros starts without a gradient.
    :raises TypeError: for sizes that are not whole numbers, a number in the place of a sequence, an ``attention`` that
        is neither name nor factory.
    :raises ValueError: for sizes below 1, names that are not listed here, and sequences of different lengths.

    Source: Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun, *Deep Residual Learning for Image Recognition*,
    CVPR 2016, arXiv 1512.03385, Table 1. Groups: Saining Xie, Ross Girshick, Piotr Dollár, Zhuowen Tu, Kaiming He,
    *Aggregated Residual Transformations for Deep Neural Networks*, CVPR 2017, arXiv 1611.05431, Table 1.
    """

    def __init__(
        self,
        layers: Sequence[int],
        block: str = "bottleneck",
        *,
        attention: str | Factory | None = None,
        where: str = "standard",
        stages: Sequence[int] | None = None,
        stride_in: str = "3x3",
        stem: str = "imagenet",
        widths: Sequence[int] = (64, 128, 256, 512),
        strides: Sequence[int] | None = None,
        in_channels: int = 3,
        classes: int = 1000,
        groups: int = 1,
        width_per_group: int = 64,
        convolution: str | Convolution | None = None,
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        _check_sequences(layers=layers, widths=widths, strides=strides, stages=stages)
        strides = [1] + [2] * (len(layers) - 1) if strides is None else strides
        stages = range(1, len(layers) + 1) if stages is None else stages
        _check_lengths(layers=layers, widths=widths, strides=strides)
        check_positive(in_channels=in_channels, classes=classes)
        for stage in stages:
            _check_one_of("stages", stage, range(1, len(layers) + 1))
        _check_one_of("stem", stem, ("imagenet", "small"))
        _check_one_of("where", where, PLACES)
        convolution = None if convolution is None else _as_convolution(convolution)
        unit = _unit(
            block,
            widths,
            stride_in=stride_in,
            groups=groups,
            width_per_group=width_per_group,
            convolution=convolution,
        )
        make = None if attention is None else as_factory(attention)

        self.in_channels = in_channels
        self.stem = _stem(stem, in_channels, widths[0])
        self.stages = nn.Sequential()
        channels = widths[0]
        for depth, width, stride in zip(layers, widths, strides, strict=True):
            stage = nn.Sequential()
            for step in [stride] + [1] * (depth - 1):
                stage.append(unit(channels, width, step))
                channels = stage[-1].out_channels
            self.stages.append(stage)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
        self._initialise(zero_init)
        for stage in sorted(set(stages)) if make else ():
            for residual in self.stages[stage - 1]:
                residual.attach(make, where)

    def forward(self, x: Float[Tensor, "batch in_channels height width"]) -> Float[Tensor, "batch classes"]:
        """Compute the scores of the classes.

        :param x: images, (batch, in_channels, height, width).
        :returns: scores before the softmax, (batch, classes).
        """
        check_input(x, "b c h w", c=self.in_channels)
        return self.head(self.stages(self.stem(x)))

    def _initialise(self, zero: bool) -> None:
        """Draw the convolutions as He et al. do (arXiv 1502.01852); normalisations start as PyTorch makes them."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, Residual) and zero:
                last = [child for child in module.children() if isinstance(child, nn.BatchNorm2d)][-1]
                nn.init.zeros_(last.weight)


def resnet50(**options: Any) -> ResNet:
    """Build ResNet-50: bottleneck units, 3, 4, 6 and 3 in the stages.

    :param options: those of :class:`ResNet`.
    """
    return ResNet((3, 4, 6, 3), **options)


def resnet101(**options: Any) -> ResNet:
    """Build ResNet-101: bottleneck units, 3, 4, 23 and 3 in the stages.

    :param options: those of :class:`ResNet`.
    """
    return ResNet((3, 4, 23, 3), **options)


def small_resnet(
    widths: Sequence[int] = (16, 32, 64),
    classes: int = 10,
    in_channels: int = 1,
    layers: Sequence[int] | None = None,
    **options: Any,
) -> ResNet:
    """Build a residual network for small images, fast enough to train on a CPU.

    Basic units, every stage of stride 2: on 28 × 28 images the stages see 14 × 14, 7 × 7 and 4 × 4. The default has
    78,042 parameters, and 78,714 with SE of its default reduction.

    :param widths: channels of the stages.
    :param classes: number of classes.
    :param in_channels: channels of the images.
    :param layers: number of units in each stage; by default one.
    :param options: those of :class:`ResNet`.
    """
    layers = [1] * len(widths) if layers is None else layers
    settings = {"block": "basic", "stem": "small", "strides": [2] * len(widths)} | options
    return ResNet(layers, widths=widths, classes=classes, in_channels=in_channels, **settings)


def as_factory(attention: str | Factory, name: str = "attention") -> Factory:
    """Return what makes an attention block, given that or a mechanism's name.

    :param attention: the name, or the function.
    :param name: what a message calls it.
    :raises TypeError: for anything else.
    :raises ValueError: for an unknown name, with the nearest known one.
    """
    if isinstance(attention, str):
        return partial(create, entry(attention).name)
    if not callable(attention):
        raise TypeError(f"{name}={attention!r} is neither a mechanism's name nor makes a block from channels")
    return attention


def _as_convolution(convolution: str | Convolution) -> Convolution:
    make = as_factory(convolution, "convolution")
    if isinstance(convolution, str) and entry(convolution).kind != "branch":
        found = entry(convolution)
        raise ValueError(f"convolution={convolution!r} is a {found.kind} and replaces no convolution; use attention=")
    return make


def _stem(kind: str, in_channels: int, width: int) -> nn.Sequential:
    size, stride = (7, 2) if kind == "imagenet" else (3, 1)
    convolution = nn.Conv2d(in_channels, width, size, stride, size // 2, bias=False)
    stem = nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())
    return stem.append(nn.MaxPool2d(3, 2, 1)) if kind == "imagenet" else stem


def _unit(block: str, widths: Sequence[int], **options: Any) -> Callable[[int, int, int], Residual]:
    """Return what makes a unit for channels, width and stride, having checked what only bottlenecks have."""
    _check_one_of("block", block, ("bottleneck", "basic"))
    _check_one_of("stride_in", options["stride_in"], ("1x1", "3x3"))
    check_positive(groups=options["groups"], width_per_group=options["width_per_group"])
    if block == "bottleneck":
        for width in widths:
            if width * options["width_per_group"] % 64:
                raise ValueError(
                    f"width_per_group={options['width_per_group']} counts at width 64; at width {width} a group has "
                    f"{width * options['width_per_group'] / 64:g} channels, which is not a whole number"
                )
        return partial(Bottleneck, **options)
    if options != {"stride_in": "3x3", "groups": 1, "width_per_group": 64, "convolution": None}:
        raise ValueError(
            f"block='basic' has no 1 × 1 convolution, no groups, and no convolution to replace, received {options}"
        )
    return Basic


def _check_sequences(**arguments: Sequence[int] | None) -> None:
    """Refuse a number in the place of a sequence of numbers."""
    for name, value in arguments.items():
        if value is not None and not isinstance(value, Iterable):
            raise TypeError(f"{name}={value!r} is not a sequence; for one stage, write ({value!r},)")


def _check_lengths(**sequences: Sequence[int]) -> None:
    (first, reference), *_ = sequences.items()
    for name, values in sequences.items():
        if not values or len(values) != len(reference):
            raise ValueError(f"{name}={values} does not give one number for each stage of {first}={reference}")
        check_positive(**{f"{name}[{index}]": value for index, value in enumerate(values)})


def _check_one_of(name: str, value: Any, allowed: Container[Any]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, allowed))}")
