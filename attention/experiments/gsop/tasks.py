"""The tasks of the chapter on second-order pooling: what varies together, with nothing else to tell by.

Each channel of an image holds the *same* numbers as every other channel of every other image; only their arrangement
differs. So the mean, the maximum, the variance and any other statistic of a single channel are constant: what is
chance for them is chance by construction. :func:`partners` also has the two weaker controls, in which they leak.
"""

from collections.abc import Callable
from functools import partial

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from attention.channel.gsop import SecondOrderPooling
from attention.channel.se import SqueezeExcitation
from attention.contract import Gate, Map, check_input, check_positive
from attention.lab.tasks.gates import GateOf
from attention.lab.tasks.task import Task

__all__ = [
    "CONTROLS",
    "STATISTICS",
    "MixedExcitation",
    "MixedMeans",
    "Variances",
    "gated_readers",
    "pair_gates",
    "partners",
    "reader",
    "rectified_reader",
    "same_numbers",
    "statistic_reader",
    "together_or_not",
    "which_pairs",
]

#: How far single channels are made alike: as drawn; mean 0 and variance 1 in each image; the same numbers in each.
CONTROLS = ("as drawn", "unit variance", "same numbers")

_SIDE = 12  # of an image, in pixels
_RHO = 0.9  # correlation of two partners
_SMALL = 8  # the same, where there are many channels
_WINDOW = 5  # side of the reader's convolution
_GAP = _WINDOW - 1  # columns of zeros after each half: no window sees both
_PERIOD = 4  # of the stripes, in pixels; it divides _SIDE, so stripes have mean 0


def same_numbers(x: Tensor) -> Tensor:
    """Give all channels the same numbers, in the order that each channel's own numbers have.

    :param x: (..., positions); the numbers of a channel stand on the last axis.
    :returns: of the same shape, each row holding the quantiles of the normal distribution, of mean 0 and variance 1.
    """
    count = x.shape[-1]
    values = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)
    values = (values / values.square().mean().sqrt()).to(x.dtype)
    return values[x.argsort(-1).argsort(-1)]


def partners(
    seed: int = 0, *, control: str = "same numbers", channels: int = 8, train: int = 2000, test: int = 1000
) -> Task:
    """Two classes of equal means: in one the channels vary in pairs, in the other each on its own.

    Noise in every pixel. In the second class channels 0 and 1 are correlated over the positions (0.9), and so are 2
    and 3, and so on; in the first no two channels are.

    :param seed: the same seed gives the same data.
    :param control: one of ``CONTROLS``. ``as drawn``: noise of mean 0. Over a finite image, partners have means that
        resemble each other, and so have their variances and maxima: each leaks. ``unit variance``: each channel of each
        image has mean 0 and variance 1, so these two are blind; the maximum leaks. ``same numbers``: each channel of
        each image holds the same numbers, so all statistics of single channels are blind.
    :param channels: number of channels, even.
    :param train: number of training samples.
    :param test: number of test samples.
    :returns: the task; inputs are (samples, channels, 12, 12); two classes.
    :raises ValueError: for an odd number of channels, or another control.
    """
    check_positive(channels=channels, train=train, test=test)
    if channels % 2 or control not in CONTROLS:
        raise ValueError(f"channels={channels} must be even, and control={control!r} one of {', '.join(CONTROLS)}")
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        label = torch.randperm(n, generator=generator) % 2
        noise = torch.randn(n, channels // 2, 2, _SIDE**2, generator=generator)
        rho = _RHO * label[:, None, None].float()
        first = noise[:, :, 0]
        x = torch.stack([first, rho * first + (1 - rho**2).sqrt() * noise[:, :, 1]], dim=2)
        if control == "unit variance":
            x = (x - x.mean(-1, keepdim=True)) / x.std(-1, correction=0, keepdim=True)
        elif control == "same numbers":
            x = same_numbers(x)
        return rearrange(x, "n pair two (h w) -> n (pair two) h w", h=_SIDE), label

    return Task(
        name=f"partners, {control}",
        train=draw(train),
        test=draw(test),
        classes=2,
        chance=0.5,
        about="Noise. In one class each two channels vary together, in the other every channel on its own.",
        labels=("alone", "in pairs"),
    )


class _Statistic(nn.Module):
    """A square of numbers (batch, channels, channels): a statistic of single channels on its diagonal, or of pairs."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """Compute the square from feature maps, (batch, channels, height, width)."""
        x = rearrange(x, "b c h w -> b c (h w)")
        if self.name == "mean":
            return torch.diag_embed(x.mean(-1))
        if self.name == "maximum":
            return torch.diag_embed(x.amax(-1))
        centred = x - x.mean(-1, keepdim=True)
        sigma = centred @ (centred / x.shape[-1]).transpose(1, 2)
        return torch.diag_embed(sigma.diagonal(dim1=1, dim2=2)) if self.name == "variance" else sigma


#: The statistics that are read: three of single channels, and one of pairs.
STATISTICS = ("mean", "maximum", "variance", "covariance")


def statistic_reader(statistic: str, *, channels: int = 8, hidden: int = 32) -> nn.Sequential:
    """Build a reader of one statistic, the same for all: two layers on channels × channels numbers.

    :param statistic: one of ``STATISTICS``. Those of single channels stand on the diagonal of the square, with zeros
        beside it: the variance is the covariance without what lies off the diagonal.
    :param channels: number of channels.
    :param hidden: size of the hidden layer.
    :returns: the network, from (batch, channels, height, width) to (batch, 2).
    """
    layers = [_Statistic(statistic), nn.Flatten(), nn.BatchNorm1d(channels**2)]
    return nn.Sequential(*layers, nn.Linear(channels**2, hidden), nn.ReLU(), nn.Linear(hidden, 2))


def rectified_reader(*, channels: int = 8, mixtures: int = 64, hidden: int = 32) -> nn.Sequential:
    """Build a reader of means alone that may mix the channels first: a 1 × 1 convolution, a ReLU, and the mean.

    For Gaussian channels the mean of the rectified sum of two is √((1 + ρ) / π): it tells their correlation ρ. By
    default it reads as many numbers as :func:`statistic_reader`.

    :param channels: number of channels.
    :param mixtures: number of mixtures whose means are read.
    :param hidden: size of the hidden layer.
    :returns: the network, from (batch, channels, height, width) to (batch, 2).
    """
    mixing = [nn.Conv2d(channels, mixtures, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(
        *mixing, nn.BatchNorm1d(mixtures), nn.Linear(mixtures, hidden), nn.ReLU(), nn.Linear(hidden, 2)
    )


def together_or_not(seed: int = 0, *, train: int = 2000, test: int = 1000, noise: float = 0.3) -> Task:
    """Channel I tells the class if A and B vary together; if they do not, channel II does.

    At the left, I and II hold stripes, one of them horizontal and the other vertical, and noise. At the right, A and B
    hold the same numbers in all images: arranged alike (correlation near 0.9), or each on its own. The rest is 0. As in
    :func:`attention.experiments.se.tasks.conditional_channel`, whose mark is bright or dark: there a mean tells which
    channel counts, here what A and B have in common does. The means of all four channels are 0.

    *What must fail, and why.* No window of :func:`reader`, which is padded in circles, sees stripes and A or B. So
    without a block the decision is a sum, one part from the stripes and one from A and B, and a sum is no exclusive-or:
    see there. And the mean of a convolution in circles is a sum of the channels' means, so SE's gates are constant.

    :param seed: the same seed gives the same data.
    :param train: number of training samples.
    :param test: number of test samples.
    :param noise: standard deviation of the noise on the stripes, whose amplitude is 1.
    :returns: the task; inputs are (samples, 4, 12, 32), the channels I, II, A, B; two classes.
    """
    check_positive(train=train, test=test)
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        case = torch.randperm(n, generator=generator) % 4  # each of the four cases equally often, to within one
        standing_first, together = case % 2, case // 2
        x = noise * torch.randn(n, 2, _SIDE, _SIDE, generator=generator)
        phase = 2 * torch.pi * torch.rand(n, 2, 1, generator=generator)
        wave = torch.sin(2 * torch.pi * torch.arange(_SIDE) / _PERIOD + phase)
        for channel, standing in enumerate((standing_first == 1, standing_first == 0)):
            lines = wave[:, channel]
            x[:, channel] += torch.where(standing[:, None, None], lines[:, None, :], lines[:, :, None])
        left = x - x.mean((2, 3), keepdim=True)
        drawn = torch.randn(n, 2, _SIDE**2, generator=generator)
        rho = _RHO * together[:, None].float()
        drawn[:, 1] = rho * drawn[:, 0] + (1 - rho**2).sqrt() * drawn[:, 1]
        right = rearrange(same_numbers(drawn), "n c (h w) -> n c h w", h=_SIDE)
        x = torch.zeros(n, 4, _SIDE, 2 * (_SIDE + _GAP))
        x[:, :2, :, :_SIDE], x[:, 2:, :, -_SIDE - _GAP : -_GAP] = left, right
        return x, torch.where(together == 1, standing_first, 1 - standing_first)

    return Task(
        name="together or not",
        train=draw(train),
        test=draw(test),
        classes=2,
        chance=0.5,
        about="At the left, channels I and II hold stripes, one horizontal and one vertical. If A and B vary together "
        "at the right, the direction in I is the class; if not, the direction in II.",
        labels=("horizontal", "vertical"),
        channels=("I", "II", "A", "B"),
    )


class Variances(SecondOrderPooling):
    """The control: GSoP on the variances alone; what lies off the diagonal of the covariances is blanked.

    The arguments and the parameters are those of :class:`attention.channel.gsop.SecondOrderPooling`.
    """

    def normalised(self, sigma: Tensor) -> Tensor:
        """Normalise the rows of the diagonal, (batch, reduced, reduced)."""
        return super().normalised(torch.diag_embed(sigma.diagonal(dim1=1, dim2=2)))


class MixedMeans(SecondOrderPooling):
    """The control of first order: the means of the rectified mixtures stand where the variances stand in Variances.

    The arguments and the parameters are those of :class:`attention.channel.gsop.SecondOrderPooling`.
    """

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gates, (batch, channels, 1, 1)."""
        check_input(x, "b c h w", c=self.channels)
        means = self.normalised(torch.diag_embed(self.reduce(x).mean((2, 3))))
        h = leaky_relu(self.rows(rearrange(means, "b i j -> b i j 1")), self.slope)
        return self.expand(h).sigmoid()


class MixedExcitation(Gate):
    """The control with as many parameters: the means of more mixtures, and one layer from them to the gates.

    With 32 channels and 24 mixtures it has the 1,640 parameters of GSoP with ``reduced=8``.

    :param channels: number of channels.
    :param mixtures: number of mixtures.
    """

    def __init__(self, channels: int, mixtures: int) -> None:
        super().__init__()
        self.channels, mixtures = check_positive(channels=channels, mixtures=mixtures)
        self.maps = {"channel": Map("b c 1 1", "sigmoid", about="how much of this channel passes")}
        self.steps = {}
        self.mix = nn.Sequential(nn.Conv2d(channels, mixtures, 1), nn.BatchNorm2d(mixtures), nn.ReLU())
        self.expand = nn.Linear(mixtures, channels)

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gates, (batch, channels, 1, 1)."""
        check_input(x, "b c h w", c=self.channels)
        return rearrange(self.expand(self.mix(x).mean((2, 3))).sigmoid(), "b c -> b c 1 1")


def reader(block: nn.Module | None = None, *, channels: int = 16) -> nn.Sequential:
    """Build the network that reads :func:`together_or_not`: a convolution, the block, a ReLU, and a linear decision.

    :param block: a block on ``channels`` channels, between the convolution and its ReLU; none by default.
    :param channels: number of channels of the convolution.
    :returns: the network, from (batch, 4, 12, 32) to (batch, 2).
    """
    convolution = nn.Conv2d(4, channels, _WINDOW, padding=_WINDOW // 2, padding_mode="circular")
    layers = [convolution, *([] if block is None else [block])]
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2))


def gated_readers(channels: int = 16, reduced: int = 8) -> dict[str, Callable[[], nn.Module]]:
    """Name the networks that are compared on :func:`together_or_not`.

    :param channels: number of channels of the convolution.
    :param reduced: number of mixed channels of GSoP.
    """

    def with_block(make: Callable[[], nn.Module] | None) -> Callable[[], nn.Module]:
        return lambda: reader(make and make(), channels=channels)

    return {
        "no block": with_block(None),
        "SE": with_block(partial(SqueezeExcitation, channels, 1, bias=True)),
        "mixed means": with_block(partial(MixedMeans, channels, reduced)),
        "variances": with_block(partial(Variances, channels, reduced)),
        "GSoP": with_block(partial(SecondOrderPooling, channels, reduced)),
    }


def which_pairs(seed: int = 0, *, pairs: int = 16, train: int = 4000, test: int = 1000) -> Task:
    """Open the gates of exactly those pairs of channels that vary together: the model's output is the gate.

    Channels 0 and 1 are a pair, 2 and 3, and so on. In each image each pair is correlated (near 0.9) or not, by a coin
    of its own, so an image asks as many questions as there are pairs. Each channel of each image holds the same
    numbers: no statistic of single channels tells anything.

    :param seed: the same seed gives the same data.
    :param pairs: number of pairs of channels.
    :param train: number of training samples.
    :param test: number of test samples.
    :returns: the task; inputs are (samples, 2 · pairs, 8, 8), and so many labels.
    """
    check_positive(pairs=pairs, train=train, test=test)
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        together = torch.randint(2, (n, pairs), generator=generator).float()
        noise = torch.randn(n, pairs, 2, _SMALL**2, generator=generator)
        rho = _RHO * together[..., None]
        first = noise[:, :, 0]
        x = same_numbers(torch.stack([first, rho * first + (1 - rho**2).sqrt() * noise[:, :, 1]], dim=2))
        return rearrange(x, "n pair two (h w) -> n (pair two) h w", h=_SMALL), together.repeat_interleave(2, 1)

    return Task(
        name="which pairs",
        train=draw(train),
        test=draw(test),
        classes=2 * pairs,
        chance=0.5,
        about="A gate must be 1 where its channel and the channel's partner vary together, else 0.",
        loss="multi-label",
    )


def pair_gates(channels: int = 32, widths: tuple[int, ...] = (4, 6, 8, 12, 16)) -> dict[str, Callable[[], GateOf]]:
    """Name the gates that are compared on :func:`which_pairs`: three statistics of so many mixtures, and a fourth gate.

    The fourth, ``more means``, has 24 mixtures; with 32 channels it has as many parameters as GSoP with 8.

    :param channels: number of channels.
    :param widths: the numbers of mixtures.
    """
    kinds = {"mixed means": MixedMeans, "variances": Variances, "GSoP": SecondOrderPooling}

    def gate(kind: type[SecondOrderPooling], reduced: int) -> Callable[[], GateOf]:
        return lambda: GateOf(kind(channels, reduced))

    named = {f"{name}, d = {d}": gate(kind, d) for name, kind in kinds.items() for d in widths}
    return named | {"more means": lambda: GateOf(MixedExcitation(channels, 24))}
