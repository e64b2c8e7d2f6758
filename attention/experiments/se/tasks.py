"""The tasks of the chapter on Squeeze-and-Excitation: each tests one claim, and can be failed.

Each comes with a limit: what the arm that should fail can reach at best, by an argument or by a computation, so that a
low score is a property of the mechanism and not of the training.
"""

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from attention.channel.se import SqueezeExcitation
from attention.contract import check_positive
from attention.lab.tasks.gates import with_means
from attention.lab.tasks.task import Task

__all__ = [
    "AddedExcitation",
    "Grouped",
    "PerChannelScale",
    "SoftmaxExcitation",
    "conditional_channel",
    "open_together",
    "reader",
    "softmax_limit",
]

_SIZE = 12  # side of the stripes, in pixels; the map is twice as wide
_MARK = 8  # width of the bright or dark area at the right edge
_WINDOW = 5  # side of the reader's convolution: no window sees stripes and mark together
_PERIOD = 4  # of the stripes, in pixels; it divides _SIZE, so stripes have mean 0


def conditional_channel(seed: int = 0, *, train: int = 2000, test: int = 1000, noise: float = 0.3) -> Task:
    """Channel I tells the class if the mean of the mark is high; if it is low, channel II does.

    I and II hold stripes, one of them horizontal and the other vertical, in the left half. The channel between them,
    the mark, is bright or dark at the right edge. The class is the direction of the stripes in I where the mark is
    bright, and in II where it is dark. All three carry noise. The means of I and II are exactly 0, whatever their
    stripes: only the mean of the mark tells anything.

    *What must fail, and why.* Call ``a`` the arrangement (horizontal in I, or horizontal in II) and ``b`` the mark.
    The class is ``a`` exclusive-or ``b``: knowing only one of the two leaves a fair coin. In :func:`reader`, no
    window of the convolution sees stripes and mark at once, and what the windows found is averaged and weighted, so
    without a block its decision is the sign of ``f(a) + g(b)``. Such a sum is right in at most three of the four
    cases, 75%, and cross-entropy, which is convex in ``f`` and ``g``, is least at ``f = g = 0``: 50%, chance. A
    learned scale for each channel changes neither. A gate computed from the mean of the mark multiplies what I and II
    say. A product is not needed: :class:`AddedExcitation` adds, before the ReLU, and solves the task too.

    :param seed: the same seed gives the same data.
    :param train: number of training samples.
    :param test: number of test samples.
    :param noise: standard deviation of the noise; the stripes' and the mark's amplitude is 1.
    :returns: the task; inputs are (samples, 3, 12, 24), the channels I, mark, II; two classes.
    """
    check_positive(train=train, test=test)
    generator = torch.Generator().manual_seed(seed)
    return Task(
        name="conditional channel",
        train=_conditional(train, noise, generator),
        test=_conditional(test, noise, generator),
        classes=2,
        chance=0.5,
        about="Channels I and II hold stripes, one horizontal and one vertical. If the mark is bright, the direction "
        "in I is the class; if it is dark, the direction in II.",
        labels=("horizontal", "vertical"),
        channels=("I", "mark", "II"),
    )


def _conditional(n: int, noise: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    # Every one of the four cases is equally frequent, to within one sample.
    case = torch.randperm(n, generator=generator) % 4
    in_first, bright = case % 2, case // 2
    x = noise * torch.randn(n, 3, _SIZE, 2 * _SIZE, generator=generator)
    x = x - x.mean((2, 3), keepdim=True)
    phase = 2 * torch.pi * torch.rand(n, 2, 1, generator=generator)
    wave = torch.sin(2 * torch.pi * torch.arange(_SIZE) / _PERIOD + phase)
    for channel, stripes in ((0, wave[:, 0]), (2, wave[:, 1])):
        vertical = in_first == (1 if channel == 0 else 0)
        lying, standing = stripes[:, :, None], stripes[:, None, :]
        x[:, channel, :, :_SIZE] += torch.where(vertical[:, None, None], standing, lying)
    x[:, 1, :, -_MARK:] += (2.0 * bright - 1)[:, None, None]
    return x, torch.where(bright == 1, in_first, 1 - in_first)


def reader(block: nn.Module | None = None, *, channels: int = 16, hidden: int = 0) -> nn.Sequential:
    """The network that reads :func:`conditional_channel`: one convolution, the block, and a linear decision.

    :param block: a block on ``channels`` channels, placed between the convolution and its ReLU; none by default.
    :param channels: number of channels of the convolution.
    :param hidden: numbers in a hidden layer behind the mean, with which the decision is no longer linear; none by
        default.
    :returns: the network, from (batch, 3, height, width) to (batch, 2).
    """
    layers = [nn.Conv2d(3, channels, _WINDOW, padding=_WINDOW // 2), *([] if block is None else [block])]
    layers += [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    layers += [nn.Linear(channels, hidden), nn.ReLU()] if hidden else []
    return nn.Sequential(*layers, nn.Linear(hidden or channels, 2))


class PerChannelScale(nn.Module):
    """The control without input: a learned number for each channel, the same for every image.

    :param channels: number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        check_positive(channels=channels)
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Scale each channel (axis 1), whatever the axes after it."""
        return x * self.scale.view(-1, *[1] * (x.ndim - 2))


class SoftmaxExcitation(SqueezeExcitation):
    """SE with full layers and biases whose gates compete: a softmax over the channels, times a common factor.

    :param channels: number of channels.
    :param learned: whether the factor is learned; else it is 1.
    """

    def __init__(self, channels: int, learned: bool = False) -> None:
        super().__init__(channels, reduction=1, bias=True)
        self.factor = nn.Parameter(torch.ones(()), requires_grad=learned)

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gates, (batch, channels, 1, 1), which sum to the factor."""
        gates = self.expand(self.reduce(x.mean((2, 3))).relu()).softmax(1)
        return rearrange(self.factor * gates, "b c -> b c 1 1")


class AddedExcitation(SqueezeExcitation):
    """The control without a product: what SE multiplies each channel by is added to it.

    The numbers see the whole image, as SE's gates do, but they move all positions of a channel alike.

    :param channels: number of channels.
    :param reduction: as in SE; there are as many parameters.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Add its number to each channel of (batch, channels, height, width)."""
        return x + self.weights(x)


class Grouped(SqueezeExcitation):
    """The control without a waist: each gate from the means of its own group of channels, in one linear layer.

    With 64 channels in eight groups it has 576 parameters; SE with r = 16 and biases has 580.

    :param channels: number of channels.
    :param groups: number of groups.
    """

    def __init__(self, channels: int, groups: int = 8) -> None:
        super().__init__(channels, reduction=channels)
        self.reduce, self.expand = nn.Identity(), nn.Identity()
        self.mix = nn.Conv2d(channels, channels, 1, groups=groups)

    def weights(self, x: Tensor) -> Tensor:
        """Compute the gates, (batch, channels, 1, 1)."""
        return self.mix(reduce(x, "b c h w -> b c 1 1", "mean")).sigmoid()


def open_together(
    seed: int = 0, *, channels: int = 16, open: tuple[int, ...] = (1, 8), train: int = 4000, test: int = 1000
) -> Task:
    r"""Open exactly the gates of the marked channels, of which there are now few, now many.

    A marked channel has mean 1, the others −1. In each sample the number of marked channels is drawn from ``open``.
    Gates that sum to 1 give each of :math:`n` open gates :math:`1/n` on average; a learned common factor can mend that
    for one number, not for two. :func:`softmax_limit` computes the best score that is left. (A factor for *each*
    channel finds a way round: it gives one channel up, which then takes what is left of the sum.)

    :param seed: the same seed gives the same data.
    :param channels: number of channels.
    :param open: the numbers of gates that must be open together, drawn equally often.
    :param train: number of training samples.
    :param test: number of test samples.
    :returns: the task; inputs are (samples, channels, 2, 2), noise of mean 0 around the channel's mean.
    :raises ValueError: for an empty ``open``, or numbers that are not between 1 and ``channels``.
    """
    check_positive(channels=channels, train=train, test=test)
    if not open or not all(1 <= n <= channels for n in open):
        raise ValueError(f"open={open} must name numbers between 1 and channels={channels}")
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        counts = torch.tensor(open)[torch.randperm(n, generator=generator) % len(open)]
        rank = torch.rand(n, channels, generator=generator).argsort(1).argsort(1)
        gates = (rank < counts[:, None]).float()
        return with_means(2 * gates - 1, generator), gates

    return Task(
        name="open together",
        train=draw(train),
        test=draw(test),
        classes=channels,
        chance=0.0,
        about=f"{channels} channels, of which {' or '.join(map(str, open))} are marked by a positive mean. The gates "
        "of the marked channels must be 1 and all others 0.",
        loss="mse",
    )


def softmax_limit(task: Task, *, scaled: bool = True) -> float:
    r"""The best R² on :func:`open_together` of gates :math:`\alpha\,p` with :math:`\sum_c p_c = 1`, computed.

    Where :math:`n` of :math:`C` gates should be 1, the squared error is least if the surplus or the lack
    :math:`\alpha - n` is shared equally: among all gates, :math:`(\alpha - n)^2 / C`, or, as none can be negative,
    among the open ones only, :math:`(\alpha - n)^2 / n` for :math:`\alpha < n`. The mean over the test samples is
    convex in :math:`\alpha`; its minimum is found numerically.

    :param task: the task, of which the test targets are used.
    :param scaled: whether the common factor :math:`\alpha` may be learned; else it is 1.
    :returns: the limit.
    """
    from scipy.optimize import minimize_scalar

    gates = task.test[1].double()
    n = gates.sum(1)

    def error(alpha: float) -> float:
        return ((alpha - n) ** 2 / torch.where(n > alpha, n, float(task.classes))).sum().item()

    least = minimize_scalar(error, bounds=(0, task.classes), method="bounded").fun if scaled else error(1.0)
    return 1 - least / (gates - gates.mean(0)).square().sum().item()
