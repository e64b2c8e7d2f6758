"""A small U-Net for segmentation, plain or with an attention block after the levels of its encoder and decoder."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attention.backbones import seats
from attention.backbones.resnet import Factory, as_factory
from attention.contract import check_flags, check_input, check_positive

__all__ = ["LEVELS", "UNet"]

#: After which levels a U-Net has attention blocks.
LEVELS: dict[str, str] = {
    "both": "after each level of the encoder and of the decoder",
    "encoder": "after each level of the encoder, the lowest one included",
    "decoder": "after each level of the decoder",
}


class UNet(nn.Module):
    """A U-Net: an encoder that halves height and width, a decoder that doubles them, and maps handed across.

    A level is two 3 × 3 convolutions, each with a ReLU behind it. Between two levels of the encoder stands a maximum
    over 2 × 2 windows, between two of the decoder a transposed convolution of 2 × 2 and stride 2. A level of the
    decoder reads what the encoder's level of the same size put out, and behind it what came from below. A 1 × 1
    convolution makes the scores.

    **Sizes.** Any height and width will do, and the scores have those of the image. Pooling rounds odd sizes up; what
    comes from below is then one row or column too large, and the last one is cropped. Nothing of the image is cropped
    and nothing padded but the borders of the 3 × 3 convolutions, with zeros.

    **Attention.** The block acts on a level's output, so what the encoder hands across has passed it: the placement of
    scSE's paper. The plain network is built first and the blocks are added last. So the same seed gives the same
    convolutions with and without them, and a plain network's state dict lacks exactly the keys of the blocks.
    :func:`attention.backbones.insertion.remove` takes them out.

    :param attention: a mechanism's name, or what makes a block for a number of channels
        (``functools.partial(attention.create, "scse", combine="max")``); ``None``, the default, is the plain network.
    :param where: after which levels, one of :data:`LEVELS`.
    :param widths: channels of the levels, from the largest maps to the smallest; their number is the depth. The paper
        has (64, 128, 256, 512, 1024).
    :param norm: whether each 3 × 3 convolution has a batch normalisation in place of a bias. The paper has none.
    :param in_channels: channels of the images.
    :param classes: number of scores of each pixel.
    :raises TypeError: for sizes that are not whole numbers, ``widths`` that are no sequence, a ``norm`` that is not a
        bool, an ``attention`` that is neither name nor factory.
    :raises ValueError: for sizes below 1, an empty ``widths``, a ``where`` that is not listed; for an input that is not
        (batch, in_channels, height, width).

    Source: Olaf Ronneberger, Philipp Fischer, Thomas Brox, *U-Net: Convolutional Networks for Biomedical Image
    Segmentation*, MICCAI 2015, arXiv 1505.04597, Figure 1. Placement of the blocks: Abhijit Guha Roy, Nassir Navab,
    Christian Wachinger, *Concurrent Spatial and Channel 'Squeeze & Excitation' in Fully Convolutional Networks*, MICCAI
    2018, arXiv 1803.02579, Section 2.

    Differs from the paper: its convolutions have no padding, so that its scores are smaller than the image, and what is
    handed across is cropped. Batch normalisation is ours, and can be left out.
    """

    def __init__(
        self,
        attention: str | Factory | None = None,
        where: str = "both",
        *,
        widths: Sequence[int] = (16, 32, 64),
        norm: bool = True,
        in_channels: int = 1,
        classes: int = 2,
    ) -> None:
        super().__init__()
        if not isinstance(widths, Iterable):
            raise TypeError(f"widths={widths!r} is not a sequence; for one level, write ({widths!r},)")
        widths = check_positive(**{f"widths[{index}]": width for index, width in enumerate(widths)})
        if not widths:
            raise ValueError("widths is empty: a network has at least one level")
        check_flags(norm=norm)
        in_channels, classes = check_positive(in_channels=in_channels, classes=classes)
        if where not in LEVELS:
            raise ValueError(f"where={where!r} is not one of {', '.join(map(repr, LEVELS))}")
        make = None if attention is None else as_factory(attention)

        self.in_channels = in_channels
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.encoder = nn.ModuleList(_level(into, out, norm) for into, out in pairwise((in_channels, *widths)))
        rising = list(pairwise(widths[::-1]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(below, width, 2, 2) for below, width in rising)
        self.decoder = nn.ModuleList(_level(2 * width, width, norm) for _, width in rising)
        self.head = nn.Conv2d(widths[0], classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module is not self.head:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if make:
            levels = [*zip(self.encoder, widths, strict=True), *zip(self.decoder, widths[-2::-1], strict=True)]
            depth = len(widths)
            for level, width in {"both": levels, "encoder": levels[:depth], "decoder": levels[depth:]}[where]:
                seats.put(level, None, make(width))

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        """Compute the scores of each pixel.

        :param x: images, (batch, in_channels, height, width).
        :returns: scores before the softmax, (batch, classes, height, width).
        """
        check_input(x, "b c h w", c=self.in_channels)
        x = self.encoder[0](x)
        handed = []
        for level in self.encoder[1:]:
            handed.append(x)
            x = level(self.pool(x))
        for up, level, across in zip(self.up, self.decoder, reversed(handed), strict=True):
            height, width = across.shape[-2:]
            x = level(torch.cat([across, up(x)[..., :height, :width]], dim=1))
        return self.head(x)


def _level(in_channels: int, out_channels: int, norm: bool) -> nn.Sequential:
    layers = nn.Sequential()
    for into in (in_channels, out_channels):
        layers.append(nn.Conv2d(into, out_channels, 3, padding=1, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.ReLU())
    return layers
