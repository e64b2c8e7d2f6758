"""The task of the chapter on Selective Kernel networks: which of two window sizes counts depends on the picture.

It comes with two limits, both exact on its test set: what a network can reach whose windows all have one size, and what
a network can reach that sees both sizes with weights that are the same for every picture. The controls are blocks that
see both sizes and choose less, or not at all.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from attention.branch.sk import SelectiveKernel
from attention.contract import check_positive
from attention.lab.tasks.task import Task

__all__ = [
    "ARMS",
    "Half",
    "NoChoice",
    "OneWindow",
    "near_or_far",
    "one_window_limit",
    "reader",
    "reader_of_copies",
    "sum_limit",
    "twins",
    "with_dilations",
]

_HEIGHT, _WIDTH = 20, 26
_MARK = 22  # where the mark begins; no window of 5 × 5 sees a dot and the mark
_CELL = 9  # from pair to pair: no window of 5 × 5 sees dots of two pairs
_HIDDEN = 8  # the width in which a choice is made, or a gate
_MARGIN = 2  # from the dots to the border: all windows that see a dot lie inside
_JITTER = 3  # places that the whole arrangement may take, each way
_NEAR = (((0, 0), (0, 1)), ((0, 0), (1, 0)))  # lying, standing: side by side, seen together by 3 × 3 only
_COUNTS = tuple((near, far) for near in (1, 2, 3) for far in (1, 2, 3) if near + far <= 4)  # pairs in four cells
_FAR = (((0, -2), (0, 2)), ((-2, 0), (2, 0)))  # four apart: seen together by the dilated 3 × 3 only


def near_or_far(seed: int = 0, *, train: int = 2000, test: int = 1000) -> Task:
    """A mark says whether the near pairs of dots tell the class or the far ones.

    The picture's first channel holds two to four pairs of bright dots: in one to three of them the dots touch, in one
    to three they are four pixels apart. All near pairs lie, or all stand; so do, independently, all far ones. The
    second channel is bright or dark at its right edge. Where it is bright the class is the direction of the near pairs,
    where it is dark that of the far ones. Numbers, places and brightnesses of the pairs are random. Each arrangement
    occurs in all eight cases.

    *What a single size of window misses, exactly.* A 3 × 3 window sees one dot of a far pair at the most. Turn the far
    pairs: the same windows occur as often as before, and so all means over positions are the same, and everything that
    is computed from them. A 3 × 3 kernel of dilation 2 sees pixels that are 0, 2 or 4 apart, so it sees one dot of a
    near pair at the most, and turning the near pairs changes nothing. :func:`one_window_limit` is what remains.

    *What a fixed sum of both misses.* Where near and far pairs disagree, the class is an exclusive-or of the
    arrangement and the mark; no window sees both, so means of windows make a decision of the form ``f(pairs) +
    g(mark)``, which is right in at most three of those four cases. :func:`sum_limit` is what remains.

    :param seed: the same seed gives the same data.
    :param train: number of training samples, a multiple of 8.
    :param test: number of test samples, a multiple of 8.
    :returns: the task; inputs are (samples, 2, 20, 26), the channels *pairs* and *mark*; two classes.
    :raises ValueError: for numbers that 8 does not divide.
    """
    check_positive(train=train, test=test)
    if train % 8 or test % 8:
        raise ValueError(f"train={train} and test={test} must be multiples of 8: an arrangement occurs in eight cases")
    generator = torch.Generator().manual_seed(seed)
    return Task(
        name="near or far",
        train=_draw(train, generator),
        test=_draw(test, generator),
        classes=2,
        chance=0.5,
        about="Pairs of dots, some near and some far apart; each kind lies or stands. If the mark is bright, the "
        "direction of the near pairs is the class; if it is dark, that of the far pairs.",
        labels=("lying", "standing"),
        channels=("pairs", "mark"),
    )


def _draw(n: int, generator: torch.Generator, shuffle: bool = True) -> tuple[Tensor, Tensor]:
    """Draw arrangements, each in all eight cases: near, far and mark count up, fastest first."""
    arrangements = n // 8
    corner = torch.randint(_JITTER, (arrangements, 2), generator=generator) + 2 * _MARGIN
    cells = torch.rand(arrangements, 4, generator=generator).argsort(1)
    held = torch.tensor(_COUNTS)[torch.randint(len(_COUNTS), (arrangements,), generator=generator)]
    light = 0.75 + 0.5 * torch.rand(arrangements, 4, generator=generator)
    case = torch.arange(8)
    near, far, bright = case % 2, case // 2 % 2, case // 4
    x = torch.zeros(arrangements, 8, 2, _HEIGHT, _WIDTH)
    x[:, :, 1, :, _MARK:] = (2.0 * bright - 1)[:, None, None]
    for k in range(4):
        row = corner[:, 0] + _CELL * (cells[:, k] // 2)
        column = corner[:, 1] + _CELL * (cells[:, k] % 2)
        is_near, is_far = k < held[:, 0], k >= 4 - held[:, 1]  # near pairs come first, far ones last
        for rows, shapes, turned in ((is_near, _NEAR, near), (is_far, _FAR, far)):
            here = rows.nonzero()[:, 0]
            for c in range(8):
                for down, right in shapes[turned[c]]:
                    x[here, c, 0, row[here] + down, column[here] + right] = light[here, k]
    y = torch.where(bright == 1, near, far).expand(arrangements, 8)
    order = torch.randperm(n, generator=generator) if shuffle else torch.arange(n)
    return x.flatten(0, 1)[order], y.flatten()[order]


def twins(kind: str, n: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw pictures of :func:`near_or_far` twice, once with a kind of pair lying and once with it standing.

    :param kind: ``"near"`` or ``"far"``: which pairs are turned; all else is the same.
    :param n: number of pictures, a multiple of 4.
    :param seed: the same seed gives the same pictures.
    :returns: the pictures with these pairs lying, and the same with them standing, (n, 2, 20, 26) each.
    :raises ValueError: for another kind, or a number that 4 does not divide.
    """
    check_positive(n=n)
    cases = {"near": ([0, 2, 4, 6], [1, 3, 5, 7]), "far": ([0, 1, 4, 5], [2, 3, 6, 7])}
    if kind not in cases or n % 4:
        raise ValueError(f"kind={kind!r} and n={n}: allowed are 'near' and 'far', and multiples of 4")
    x, _ = _draw(2 * n, torch.Generator().manual_seed(seed), shuffle=False)
    by_case = x.unflatten(0, (n // 4, 8))
    lying, standing = (by_case[:, chosen].flatten(0, 1) for chosen in cases[kind])
    return lying, standing


def one_window_limit() -> float:
    """The best accuracy on :func:`near_or_far` with windows of one size, whatever is done with their means: 75%.

    Two samples that differ only in the direction of the pairs that the windows cannot see get the same answer. Where
    the mark asks for these pairs their classes differ, so half of those answers are right.
    """
    return 0.5 * 1.0 + 0.5 * 0.5


def sum_limit() -> float:
    """The best accuracy on :func:`near_or_far` of a decision ``f(pairs) + g(mark)``: 87.5%.

    Where near and far pairs agree all can be right; where they disagree, three of four.
    """
    return 0.5 * 1.0 + 0.5 * 0.75


def reader(block: nn.Module, *, channels: int = 8) -> nn.Sequential:
    """The network that reads :func:`near_or_far`: one pixel's channels mixed, the block, means, a linear decision.

    Dots are few among many pixels and their means small, so the means are normalised, each channel by itself.

    :param block: a block on ``channels`` channels: it alone sees more than one pixel.
    :param channels: number of channels.
    :returns: the network, from (batch, 2, height, width) to (batch, 2).
    """
    mean = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(channels))
    return nn.Sequential(nn.Conv2d(2, channels, 1, bias=False), block, *mean, nn.Linear(channels, 2))


def with_dilations(block: nn.Module, dilations: Sequence[int]) -> nn.Module:
    """Give the branches of a block other dilations, and with them other windows; the parameters stay.

    :param block: changed in place.
    :param dilations: one for each branch.
    :returns: the block.
    :raises ValueError: for a number of dilations that is not that of the branches.
    """
    check_positive(**{f"dilations[{i}]": each for i, each in enumerate(dilations)})
    if len(dilations) != len(block.kernels):
        raise ValueError(f"dilations={tuple(dilations)} does not give one for each of {len(block.kernels)} branches")
    for kernel, dilation in zip(block.kernels, dilations, strict=True):
        kernel[0].dilation = kernel[0].padding = (dilation, dilation)
    return block


class NoChoice(SelectiveKernel):
    """The control that weighs channels: the block's layers make one gate per channel for the sum of its branches.

    The gate is σ of what the block computes as the difference of two scores; it is the weight of *both* branches.
    """

    def weights(self, u: Tensor) -> Tensor:
        """Return the second branch's weight for both."""
        both = super().weights(u)
        return both[:, 1:].expand_as(both)


class Half(SelectiveKernel):
    """The control whose choice is frozen: every branch has the same weight, in every picture."""

    def weights(self, u: Tensor) -> Tensor:
        """Return equal weights."""
        return torch.full_like(u[..., :1, :1], 1 / u.shape[1])


class OneWindow(nn.Module):
    """The control with one kernel of 5 × 5 and a gate per channel, computed as SK computes its choice.

    :param channels: number of channels.
    :param groups: of the kernel.
    :param floor: the width between the gate's two layers.
    """

    def __init__(self, channels: int, groups: int, floor: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(channels, channels, 5, padding=2, groups=groups, bias=False)
        self.kernel = nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())
        self.gate = nn.Sequential(
            nn.Linear(channels, floor, bias=False),
            nn.BatchNorm1d(floor),
            nn.ReLU(),
            nn.Linear(floor, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the kernel's maps, each times its gate."""
        u = self.kernel(x)
        return u * self.gate(u.mean((2, 3)))[..., None, None]  # b c h w -> b c, and back


def _selective(kind: type[SelectiveKernel]) -> Callable[[int], nn.Module]:
    return lambda channels: kind(channels, groups=channels, reduction=1, floor=_HIDDEN)


#: The blocks that :func:`reader_of_copies` compares, each a function of the number of channels.
ARMS: dict[str, Callable[[int], nn.Module]] = {
    "SK": _selective(SelectiveKernel),
    "no choice": _selective(NoChoice),
    "5 × 5 + gate": lambda channels: OneWindow(channels, groups=channels, floor=_HIDDEN),
    "frozen at ½": _selective(Half),
}


class _Copies(nn.Module):
    """Give every channel several times."""

    def __init__(self, copies: int) -> None:
        super().__init__()
        self.copies = copies

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(self.copies, 1)


def reader_of_copies(block: Callable[[int], nn.Module], copies: int) -> nn.Sequential:
    """The network in which the number of gates is what is varied: each channel some times, the block, means, a line.

    The channels are not mixed before the block, and the block's kernels see one channel each. So with one copy the
    pairs are seen by one channel, which has one gate; with two copies, one channel could look at near pairs and the
    other at far ones.

    :param block: a function of the number of channels.
    :param copies: how often the block gets each of the two channels.
    :returns: the network, from (batch, 2, height, width) to (batch, 2).
    """
    check_positive(copies=copies)
    channels = 2 * copies
    mean = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(channels))
    return nn.Sequential(_Copies(copies), block(channels), *mean, nn.Linear(channels, 2))
