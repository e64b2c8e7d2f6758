"""The tasks of the chapter on the non-local block, their limits, and the arms that are compared.

Each task tests one claim, and can be failed. :func:`counting_limit` says what an arm can reach at best, whatever it
learns; :func:`even_memory` what a linear memory reaches that spreads its numbers evenly over the names.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from math import comb, erf, sqrt

import torch
from einops import rearrange
from torch import Tensor, nn

from attention import registry
from attention.contract import check_positive
from attention.lab.tasks.task import Task

__all__ = [
    "CHANNELS",
    "CONTROLS",
    "FORMS",
    "NETWORKS",
    "Copier",
    "FixedWeights",
    "Itself",
    "Judge",
    "OneMap",
    "Read",
    "copiers",
    "counting_limit",
    "distant_copy",
    "even_memory",
    "spread",
    "which_is_left",
]

#: Channels between the two layers of :class:`Copier`, and of :class:`Judge`.
CHANNELS = 16

_SIDE = 8  # rows and columns of the square of holders, and of that of askers
_GAP = 4  # empty columns between the squares
_BITS = 6  # of a name: 2 ** 6 = 64 cells in a square


def distant_copy(seed: int = 0, *, names: int = 64, train: int = 2000, test: int = 500) -> Task:
    """Each position on the right shows a name, and asks for the bit that stands with this name on the left.

    The left 8 × 8 cells are *holders*: each has a name, a word of six bits, and a bit of its own. The right 8 × 8 cells
    are *askers*: each has a name and must answer with the bit of the holders of the same name. Names are scattered anew
    in each image, on either side, and the bit of each name is drawn anew. With 64 names each occurs once on each side;
    with fewer, each occurs ``64 / names`` times on each side, always with the same bit.

    *What must fail, and why.* Between the squares lie four empty columns. An output whose receptive field ends before
    the holders is independent of what it is asked for: 50%, for convolutions that reach less than five cells. Where all
    that an asker learns of the holders are ``width`` numbers, the same for all askers, or the product of its query with
    such a vector, :func:`counting_limit` bounds what it can get right.

    :param seed: the same seed gives the same data.
    :param names: number of different names; a power of two, at most 64.
    :param train: number of training samples.
    :param test: number of test samples.
    :returns: the task; inputs are (samples, 8, 8, 20): six channels with the bits of the name (−1 or 1), one with the
        holder's bit (−1 or 1, and 0 at askers), one with the role (1 holder, −1 asker, 0 in between). Targets are the
        64 answers, row by row.
    :raises ValueError: for a number of names that is no power of two between 2 and 64.
    """
    check_positive(names=names, train=train, test=test)
    if names not in (2, 4, 8, 16, 32, 64):
        raise ValueError(f"names={names} is not one of 2, 4, 8, 16, 32, 64")
    generator = torch.Generator().manual_seed(seed)
    splits = [_copies(n, names, generator) for n in (train, test)]
    return Task(
        name=f"distant copy, {names} names",
        train=splits[0],
        test=splits[1],
        classes=_SIDE**2,
        chance=0.5,
        about=f"On the left 64 cells with a name and a bit each, on the right 64 cells with a name; {names} names in "
        "all, scattered anew in each image. Each cell on the right must answer with the bit of its name.",
        loss="multi-label",
        channels=(*(f"name {i}" for i in range(_BITS)), "bit", "role"),
    )


def _copies(n: int, names: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    codes = torch.arange(_SIDE**2) % names
    holders, askers = (codes[torch.rand(n, _SIDE**2, generator=generator).argsort(1)] for _ in range(2))
    bits = torch.randint(0, 2, (n, names), generator=generator)
    x = torch.zeros(n, _BITS + 2, _SIDE, 2 * _SIDE + _GAP)
    for side, shown, role in ((slice(_SIDE), holders, 1), (slice(-_SIDE, None), askers, -1)):
        words = (rearrange(shown, "n p -> n 1 p") >> rearrange(torch.arange(_BITS), "c -> c 1")) & 1
        x[:, :_BITS, :, side] = rearrange(2.0 * words - 1, "n c (h w) -> n c h w", h=_SIDE)
        x[:, -1, :, side] = role
    x[:, _BITS, :, :_SIDE] = rearrange(2.0 * bits.gather(1, holders) - 1, "n (h w) -> n h w", h=_SIDE)
    return x, bits.gather(1, askers).float()


class Copier(nn.Module):
    """The network that answers :func:`distant_copy`: position by position, except for what is put into it.

    A 1 × 1 convolution with ReLU, the blocks, and a linear decision at each position on the right.

    :param blocks: what stands between the two: modules from (batch, channels, height, width) to the same.
    :param channels: number of channels between the two.
    """

    def __init__(self, *blocks: nn.Module, channels: int = CHANNELS) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(_BITS + 2, channels, 1), nn.ReLU())
        self.blocks = nn.Sequential(*blocks)
        self.decide = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the probability that the answer is 1, (batch, 64), row by row."""
        answers = self.decide(self.blocks(self.features(x)))
        return answers[..., -_SIDE:].flatten(1).sigmoid()


def counting_limit(names: int, width: int) -> float:
    r"""The best accuracy on :func:`distant_copy` where ``width`` numbers tell all askers of the bits, computed.

    Let the answer at an asker with name :math:`k` be the sign of :math:`c_k + q_k^\top m`. The offset :math:`c_k` and
    the vector :math:`q_k \in \mathbb{R}^d` depend on the name alone, and :math:`m \in \mathbb{R}^d`, the same for all
    askers, depends on the holders in any way. Each name is then a hyperplane in the space of the :math:`m`, and the
    answers of all :math:`K` names say on which side of each plane :math:`m` lies. So there are as many different sets
    of answers as cells, at most :math:`A = \sum_{i \le d} \binom{K}{i}`, and :math:`2^K` equally likely sets of bits.
    At best each answer serves the :math:`2^K / A` sets of bits nearest to it: none wrong, then one, then two, …

    :param names: :math:`K`.
    :param width: :math:`d`.
    :returns: the limit, between 0.5 and 1.
    """
    check_positive(names=names, width=width)
    cells = sum(comb(names, i) for i in range(min(names, width) + 1))
    left = whole = 2**names / cells
    wrong = 0.0
    for errors in range(names + 1):
        served = min(left, comb(names, errors))
        wrong += errors * served
        left -= served
    return 1 - wrong / (whole * names)


def even_memory(names: int, width: int) -> float:
    r"""How often a linear memory of ``width`` numbers answers rightly where all names share them evenly, computed.

    Bits :math:`b_k = \pm 1` of :math:`K` names are stored in :math:`m = \sum_k b_k a_k \in \mathbb{R}^d`; the answer at
    name :math:`k` is the sign of :math:`q_k^\top m`. With :math:`a_k = q_k` of equal lengths that point evenly in all
    directions, the name's own bit comes back with weight :math:`d/K`, and the other bits add noise of variance
    :math:`\frac{d}{K} (1 - \frac{d}{K})`. Taken as normally distributed, it leaves the sign right with probability
    :math:`\Phi(\sqrt{d / (K - d)})`. This is what one way to store them reaches, not a limit.

    :param names: :math:`K`.
    :param width: :math:`d`.
    :returns: the share, between 0.5 and 1.
    """
    check_positive(names=names, width=width)
    return 1.0 if names <= width else (1 + erf(sqrt(width / (names - width) / 2))) / 2


class Read(nn.Module):
    """A non-local block whose weights come from elsewhere: values, a read, the way back, and the shortcut.

    As in ``attention.NonLocal``, the batch normalisation starts with weight 0.

    :param channels: number of channels; the values have half of them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.values = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.out = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    @abstractmethod
    def read(self, x: Tensor, values: Tensor) -> Tensor:
        """Return what each position takes, as (batch, width, positions) or with 1 for positions.

        :param x: the features, (batch, channels, height, width).
        :param values: (batch, width, positions).
        """

    def forward(self, x: Tensor) -> Tensor:
        """Return the features with what was read added, in the same shape."""
        values = rearrange(self.values(x), "b d h w -> b d (h w)")
        taken = self.read(x, values).expand_as(values)
        return x + self.norm(self.out(rearrange(taken, "b d (h w) -> b d h w", h=x.shape[2])))


class FixedWeights(Read):
    """Learned weights for each pair of positions, the same for all images: reach, and no look at the content.

    :param channels: number of channels.
    :param positions: number of positions :math:`N`; the block learns :math:`N^2` scores, at first all equal.
    """

    def __init__(self, channels: int, positions: int) -> None:
        super().__init__(channels)
        self.scores = nn.Parameter(torch.zeros(positions, positions))

    def read(self, x: Tensor, values: Tensor) -> Tensor:
        """Average the values with the weights of each position."""
        return values @ self.scores.softmax(dim=1).T


class OneMap(Read):
    """Weights from the content, the same for all that look: a key for each position, and no queries.

    This is the core of the block that Cao et al. (arXiv 1904.11492) put in the place of the non-local one.

    :param channels: number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.keys = nn.Conv2d(channels, 1, 1, bias=False)

    def read(self, x: Tensor, values: Tensor) -> Tensor:
        """Average the values once for all positions."""
        return values @ rearrange(self.keys(x), "b 1 h w -> b (h w) 1").softmax(dim=1)


class Itself(Read):
    """Each position reads itself alone: the layers of the block without its reach."""

    def read(self, x: Tensor, values: Tensor) -> Tensor:
        """Return each position's own value."""
        return values


#: The four similarities of the block by the names that the comparison gives them.
FORMS = {
    "embedded Gaussian": "embedded gaussian",
    "Gaussian": "gaussian",
    "dot product": "dot product",
    "concatenation": "concatenation",
}
#: What is set against them: too little reach; reach by place and not by content, twice; content without a question.
CONTROLS = ("three convolutions", "dilated convolutions", "fixed weights", "SE")
NETWORKS = (*FORMS, *CONTROLS)


def copiers(which: Sequence[str] = NETWORKS) -> dict[str, Callable[[], nn.Module]]:
    """Say how the networks are built that are compared on :func:`distant_copy`.

    The dilated convolutions, with dilations of 1, 2, 4 and 12, reach from each asker to each holder.

    :param which: the networks, by name.
    :returns: for each, what builds it.
    """
    made: dict[str, Callable[[], nn.Module]] = {
        name: partial(_copier, "non_local", similarity=similarity) for name, similarity in FORMS.items()
    }
    made |= {
        "three convolutions": partial(_convolutions, 1, 1, 1),
        "dilated convolutions": partial(_convolutions, 1, 2, 4, 12),
        "fixed weights": lambda: Copier(FixedWeights(CHANNELS, _SIDE * (2 * _SIDE + _GAP))),
        "SE": partial(_copier, "se", reduction=1, bias=True),
    }
    return {name: made[name] for name in which}


def _copier(name: str, **options: object) -> Copier:
    return Copier(registry.create(name, CHANNELS, **options))


def _convolutions(*dilations: int) -> Copier:
    layers: list[nn.Module] = []
    for dilation in dilations:
        layers += [nn.Conv2d(CHANNELS, CHANNELS, 3, padding=dilation, dilation=dilation), nn.ReLU()]
    return Copier(*layers)


def spread(rows: Tensor) -> float:
    r"""How much the positions of an image differ: the mean of :math:`(1 - \cos) / 2` over all pairs, and over images.

    0 where all rows point in one direction; a half where their directions cancel.

    :param rows: a vector for each position, (batch, positions, width).
    :returns: the mean distance.

    Source: the measure of Table 1 in Yue Cao et al., *GCNet*, arXiv 1904.11492.
    """
    mean = nn.functional.normalize(rows.double(), dim=2).mean(dim=1)
    return (1 - mean.square().sum(dim=1).mean().item()) / 2


def which_is_left(seed: int = 0, *, size: int = 10, train: int = 2000, test: int = 1000, noise: float = 0.1) -> Task:
    """Say whether the dot of channel A is to the left of the dot of channel B, or to the right.

    Each test image comes with its mirror image, of the other class.

    *What must fail, and why.* Mirroring moves positions and changes nothing else. A network that treats all positions
    alike and ends in a mean over them answers both images alike, and is right in exactly one of the two.

    :param seed: the same seed gives the same data.
    :param size: height and width.
    :param train: number of training samples.
    :param test: number of test samples; an even number.
    :param noise: standard deviation of the noise; a dot is 1.
    :returns: the task; inputs are (samples, 2, size, size), the channels A and B; class 1 is "A is left".
    """
    check_positive(size=size, train=train, test=test)
    generator = torch.Generator().manual_seed(seed)
    x, y = _two_dots(train, size, noise, generator)
    half, classes = _two_dots(test // 2, size, noise, generator)
    mirrored = torch.stack([half, half.flip(3)], dim=1).flatten(0, 1)
    return Task(
        name="which is left",
        train=(x, y),
        test=(mirrored, torch.stack([classes, 1 - classes], dim=1).flatten()),
        classes=2,
        chance=0.5,
        about="Channel A has a dot, and channel B has one in another column. Is A's dot left of B's?",
        labels=("A is right", "A is left"),
        channels=("A", "B"),
    )


def _two_dots(n: int, size: int, noise: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    columns = torch.rand(n, size, generator=generator).argsort(1)[:, :2]
    rows = torch.randint(0, size, (n, 2), generator=generator)
    x = noise * torch.randn(n, 2, size, size, generator=generator)
    for dot in range(2):
        x[torch.arange(n), dot, rows[:, dot], columns[:, dot]] += 1
    return x, (columns[:, 0] < columns[:, 1]).long()


class Judge(nn.Module):
    """The network that answers :func:`which_is_left`: position by position but for its block, and a mean at the end.

    A 1 × 1 convolution with ReLU, the block, a mean over all positions, a linear decision. Shuffle the positions of
    the input, and without coordinates the answer is the same.

    :param block: a block on ``channels`` channels.
    :param coordinates: whether each position is told where it is: two more input channels, row and column from −1
        to 1.
    :param channels: number of channels of the convolution.
    """

    def __init__(self, block: nn.Module, *, coordinates: bool = False, channels: int = CHANNELS) -> None:
        super().__init__()
        self.coordinates = coordinates
        self.features = nn.Sequential(nn.Conv2d(4 if coordinates else 2, channels, 1), nn.ReLU())
        self.block = block
        self.decide = nn.Linear(channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of both classes, (batch, 2)."""
        if self.coordinates:
            rows, columns = (torch.linspace(-1, 1, n, device=x.device, dtype=x.dtype) for n in x.shape[2:])
            grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
            x = torch.cat([x, grid.expand(len(x), -1, -1, -1)], dim=1)
        return self.decide(self.block(self.features(x)).mean(dim=(2, 3)))
