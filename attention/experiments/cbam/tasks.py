"""The tasks of the chapter on CBAM: each tests one claim, and can be failed.

Each comes with a limit: what the arm that should fail can reach at best, by an argument or by a computation, so that a
low score is a property of the mechanism and not of the training.
"""

import torch
from torch import Tensor, nn

from attention.contract import check_positive
from attention.lab.tasks.task import Task

__all__ = [
    "OwnMaps",
    "beside_the_mark",
    "channel_gates_limit",
    "cued_place",
    "cued_place_limit",
    "edge_or_middle",
    "lamp_if_together",
    "lamp_if_together_limit",
    "lamp_of",
    "lamp_where_cued",
    "own_regions",
    "padded",
    "peak_or_level",
    "reader",
    "shared_map_limit",
    "spot_that_is_cued",
    "together",
]

_REACH = 3  # how far a 7 × 7 window sees from its middle, in pixels


def beside_the_mark(
    seed: int = 0, *, distance: int = 3, train: int = 2000, test: int = 1000, noise: float = 0.05
) -> Task:
    """Two spots of opposite sign; the class is the sign of the one that has a mark beside it.

    In channel A one pixel is +1 and another −1, far apart; in channel B a bar of seven pixels is 1, the mark, above,
    below, left or right of one of the two and exactly ``distance`` pixels from it.

    *What must fail, and why.* Whatever the class, an image holds the same pixels, and noise: the two classes differ in
    the *places* of pixels alone. So a network that looks at each pixel by itself and adds up what it found
    gives both classes the same outputs, equally often: 50%, whatever its weights. A gate for each channel from means
    or maxima over positions changes nothing about that. Nor does a gate of positions from windows of 3 × 3, where the
    distance is 3: no such window holds a spot and a mark, and the windows of both classes are the same too.

    :param seed: the same seed gives the same data.
    :param distance: from spot to mark, in pixels: 1, 2 or 3.
    :param train: number of training samples.
    :param test: number of test samples.
    :param noise: standard deviation of the noise in both channels.
    :returns: the task; inputs are (samples, 2, 10, 16), the channels A, B; two classes.
    :raises ValueError: for another distance.
    """
    check_positive(train=train, test=test)
    if distance not in range(1, _REACH + 1):
        raise ValueError(f"distance={distance} is not one of 1, 2, 3")
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        case = torch.randperm(n, generator=generator) % 4
        positive, marked = case % 2, case // 2  # which spot, left or right, is +1, and which has the mark
        x = noise * torch.randn(n, 2, 10, 16, generator=generator)
        rows = torch.randint(3, 7, (n, 2), generator=generator)
        columns = torch.randint(3, 5, (n, 2), generator=generator) + torch.tensor([0, 8])
        each = torch.arange(n)
        for side in (0, 1):
            x[each, 0, rows[:, side], columns[:, side]] += torch.where(positive == side, 1.0, -1.0)
        x[:, 1] += _bars(rows[each, marked], columns[each, marked], distance, generator)
        return x, (positive == marked).long()

    return Task(
        name="beside the mark",
        train=draw(train),
        test=draw(test),
        classes=2,
        chance=0.5,
        about="Channel A holds a bright and a dark spot; in channel B a bar lies beside one of them, "
        f"{distance} pixel{'s' if distance > 1 else ''} away. Is that spot bright?",
        labels=("dark", "bright"),
        channels=("A", "B"),
    )


def _bars(rows: Tensor, columns: Tensor, distance: int, generator: torch.Generator) -> Tensor:
    """Draw a bar of seven pixels on one of the four sides of each place, (samples, 10, 16)."""
    down, across = torch.arange(10) - rows[:, None], torch.arange(16) - columns[:, None]
    side = torch.randint(4, (len(rows), 1), generator=generator)
    at = torch.where(side % 2 == 0, distance, -distance)
    lying = ((down == at)[:, :, None] & (across.abs() <= _REACH)[:, None, :]).float()
    standing = ((down.abs() <= _REACH)[:, :, None] & (across == at)[:, None, :]).float()
    return torch.where(side[..., None] < 2, lying, standing)


class _Sum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum((2, 3))


def reader(block: nn.Module | None = None, *, channels: int = 16) -> nn.Sequential:
    """The network that reads :func:`beside_the_mark`: pixel by pixel, the block, a sum over positions, a decision.

    :param block: a block on ``channels`` channels, placed between the convolution and its ReLU; none by default.
    :param channels: number of channels of the 1 × 1 convolution.
    :returns: the network, from (batch, 2, height, width) to (batch, 2).
    """
    layers = [nn.Conv2d(2, channels, 1), *([] if block is None else [block])]
    return nn.Sequential(*layers, nn.ReLU(), _Sum(), nn.Linear(channels, 2))


def peak_or_level(seed: int = 0, *, channels: int = 16, train: int = 4000, test: int = 1000) -> Task:
    """Open the gates of the first half of the channels by their maximum, those of the second by their mean.

    A channel of the first half has mean 0 exactly, and in half of the samples one pixel that stands out: its gate
    must then be open. A channel of the second half has its maximum at exactly 1, and its mean is high or low: its gate
    must be open where it is high. All labels are independent fair coins.

    *What must fail, and why.* The means of the first half are always 0, so that no mean of any channel tells a thing
    about its labels: a gate computed from means gets them right half of the time, whatever it does. So does a gate
    computed from maxima with the labels of the second half. Either is limited to 75%.

    :param seed: the same seed gives the same data.
    :param channels: number of channels, even.
    :param train: number of training samples.
    :param test: number of test samples.
    :returns: the task; inputs are (samples, channels, 4, 4), labels (samples, channels).
    :raises ValueError: for an odd number of channels.
    """
    check_positive(channels=channels, train=train, test=test)
    if channels % 2:
        raise ValueError(f"channels={channels} is odd: there are two halves")
    generator, half = torch.Generator().manual_seed(seed), channels // 2

    def draw(n: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(2, (n, channels), generator=generator).float()
        x = 0.3 * torch.randn(n, channels, 16, generator=generator)
        pixel = torch.randint(16, (n, channels, 1), generator=generator)
        peaks = torch.zeros_like(x).scatter_(2, pixel, 1.0)
        first = x[:, :half] + 2 * labels[:, :half, None] * peaks[:, :half]
        first = first - first.mean(2, keepdim=True)
        second = (x[:, half:] + labels[:, half:, None] - 0.5).clamp(max=0.9)
        second = torch.where(peaks[:, half:] > 0, 1.0, second)
        return torch.cat([first, second], dim=1).unflatten(2, (4, 4)), labels

    return Task(
        name="peak or level",
        train=draw(train),
        test=draw(test),
        classes=channels,
        chance=0.5,
        about=f"{channels} channels. In the first half of them, all of mean 0, a gate must be 1 if a pixel stands out; "
        "in the second half, all of maximum 1, if the mean is high.",
        loss="multi-label",
    )


def own_regions(
    seed: int = 0, *, shared: bool = False, side: int = 12, train: int = 2000, test: int = 500, noise: float = 0.5
) -> Task:
    """Keep each of two channels where it is lit, and blank it elsewhere: the model's output is the block's.

    A channel is 1 inside a rectangle and −1 outside, plus noise. The output that is asked for is the channel itself
    inside its rectangle, and 0 outside.

    *What must fail, and why.* With ``shared`` both channels have the same rectangle, and one map of positions serves
    both. Without it each has its own, and where one is lit and the other is not, the one map has to give up one of
    them: :func:`shared_map_limit` computes what that costs at least.

    :param seed: the same seed gives the same data.
    :param shared: whether both channels have one rectangle.
    :param side: height and width of the maps in pixels.
    :param train: number of training samples.
    :param test: number of test samples.
    :param noise: standard deviation of the noise.
    :returns: the task; inputs are (samples, 2, side, side), targets (samples, 2 · side · side).
    """
    check_positive(side=side, train=train, test=test)
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        low = torch.randint(side // 2, (n, 2, 2), generator=generator)
        high = low + torch.randint(side // 2 - 1, side // 2 + 2, (n, 2, 2), generator=generator)
        at = torch.arange(side)
        inside = (at >= low[..., None]) & (at < high[..., None])  # sample, channel, axis, place
        lit = (inside[:, :, 0, :, None] & inside[:, :, 1, None, :]).float()
        if shared:
            lit = lit[:, :1].expand(-1, 2, -1, -1)
        x = 2 * lit - 1 + noise * torch.randn(n, 2, side, side, generator=generator)
        return x, (x * lit).flatten(1)

    kind = "the same rectangle" if shared else "a rectangle of its own"
    return Task(
        name="one region" if shared else "own regions",
        train=draw(train),
        test=draw(test),
        classes=2 * side * side,
        chance=0.0,
        about=f"Two channels, each bright inside {kind} and dark outside. Keep a channel where it is "
        "bright, and blank it elsewhere.",
        loss="mse",
        channels=("A", "B"),
    )


class OwnMaps(nn.Module):
    """A control: a map for each channel, from a window of that channel alone.

    :param channels: number of channels.
    :param kernel_size: side of the windows in pixels, odd.
    """

    def __init__(self, channels: int, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply each channel by its map: (batch, channels, height, width)."""
        return x * self.conv(x).sigmoid()


def shared_map_limit(task: Task, *, steps: int = 41) -> float:
    r"""The best R² on :func:`own_regions` of outputs :math:`g_c\, m(p)\, x_c(p)`, computed with the targets known.

    In each sample two gates of channels and one map of positions are chosen, all between 0 and 1, so that the squared
    error is least. For given gates the error is a parabola in each :math:`m(p)`, with its minimum at
    :math:`m = \sum_c g_c x_c t_c / \sum_c g_c^2 x_c^2`, clipped to [0, 1]; the gates are tried on a grid. No block
    whose maps have this form can do better, whatever it computes them from, but for the grid's step.

    :param task: the task, of which the test samples are used.
    :param steps: values tried for each gate, from 0 to 1.
    :returns: the limit.
    """
    x, t = (each.double() for each in (task.test[0].flatten(2), task.test[1].unflatten(1, (2, -1))))
    least = torch.full((len(x),), float("inf"), dtype=torch.float64)
    for a in torch.linspace(0, 1, steps).tolist():
        for b in torch.linspace(0, 1, steps).tolist():
            if max(a, b) < 1:  # a common factor of both gates is the map's business; below 1 it only narrows the map
                continue
            g = torch.tensor([a, b], dtype=torch.float64)[:, None]
            m = ((g * x * t).sum(1) / (g * x).square().sum(1).clamp(min=1e-12)).clamp(0, 1)
            least = torch.minimum(least, (g * m[:, None] * x - t).square().sum((1, 2)))
    y = t.flatten(1)
    return 1 - (least.sum() / (y - y.mean(0)).square().sum()).item()


def _blobs(rows: Tensor, columns: Tensor, height: int, width: int) -> Tensor:
    """Draw a square of 3 × 3 pixels around each given place, (samples, height, width)."""
    near = [(torch.arange(size) - at[:, None]).abs() <= 1 for size, at in ((height, rows), (width, columns))]
    return (near[0][:, :, None] & near[1][:, None, :]).float()


def cued_place(seed: int = 0, *, train: int = 2000, test: int = 500, noise: float = 0.05) -> Task:
    """Open the map of positions at the spot of channel A if the cue is bright, else at that of channel B.

    The spots, 3 × 3 pixels, lie in the left two thirds of the map; the cue is the column at the right edge of a
    third channel, bright or dark.

    *What must fail, and why.* No window of 7 × 7 holds a spot and the cue. A map of positions that is computed from
    such windows of the input itself may know where the spots are, and which is whose, but not which one is wanted: at
    best it is 1/2 at both, and :func:`cued_place_limit` is what that scores. A map computed from the input *behind* a
    gate of channels, which has seen the cue, is not so limited.

    :param seed: the same seed gives the same data.
    :param train: number of training samples.
    :param test: number of test samples.
    :param noise: standard deviation of the noise in all channels.
    :returns: the task; inputs are (samples, 3, 9, 18), the channels A, B, cue; targets (samples, 162).
    """
    check_positive(train=train, test=test)
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        x = noise * torch.randn(n, 3, 9, 18, generator=generator)
        first = torch.randint(2, (n,), generator=generator)  # whether the spot of A is the left one
        rows = torch.randint(1, 8, (n, 2), generator=generator)
        left, right = torch.randint(1, 4, (n,), generator=generator), torch.randint(8, 11, (n,), generator=generator)
        columns = torch.stack([torch.where(first == 1, left, right), torch.where(first == 1, right, left)], dim=1)
        spots = torch.stack([_blobs(rows[:, c], columns[:, c], 9, 18) for c in (0, 1)], dim=1)
        x[:, :2] += spots
        bright = torch.randint(2, (n,), generator=generator)
        x[:, 2, :, -1] += (2.0 * bright - 1)[:, None]
        return x, spots[torch.arange(n), 1 - bright].flatten(1)

    return Task(
        name="cued place",
        train=draw(train),
        test=draw(test),
        classes=9 * 18,
        chance=0.0,
        about="A spot in channel A, another in channel B, and at the right edge of a third channel a cue. The map must "
        "be 1 at the spot of A if the cue is bright, at that of B if it is dark, and 0 elsewhere.",
        loss="mse",
        channels=("A", "B", "cue"),
    )


def cued_place_limit(task: Task) -> float:
    """The R² on :func:`cued_place` of a map that is 1/2 at both spots and 0 elsewhere, computed from the targets.

    :param task: the task, of which the test targets are used.
    :returns: the limit.
    """
    y = task.test[1].double()
    return 1 - (2 * y.sum() / 4 / (y - y.mean(0)).square().sum()).item()


def together(seed: int = 0, *, channels: int = 8, train: int = 2000, test: int = 1000, noise: float = 0.05) -> Task:
    """Open the gates of the first half of the channels if all spots lie at one place, those of the second if not.

    Every channel holds one spot of 3 × 3 pixels, at one place in the channels of the first half and at one place in
    those of the second. In half of the samples the two places are the same, in the others they are far apart.

    *What must fail, and why.* Channel by channel the pixels of an image are the same whether the spots lie together or
    not: every mean and every maximum over positions is. A gate of channels that is computed from those is right half of
    the time. A gate computed from the input *behind* a map of positions, which can tell a place where all channels are
    bright from one where half of them are, is not so limited.

    :param seed: the same seed gives the same data.
    :param channels: number of channels, even.
    :param train: number of training samples.
    :param test: number of test samples.
    :param noise: standard deviation of the noise in all channels.
    :returns: the task; inputs are (samples, channels, 9, 18), labels (samples, channels).
    :raises ValueError: for an odd number of channels.
    """
    check_positive(channels=channels, train=train, test=test)
    if channels % 2:
        raise ValueError(f"channels={channels} is odd: there are two halves")
    generator, half = torch.Generator().manual_seed(seed), channels // 2

    def draw(n: int) -> tuple[Tensor, Tensor]:
        same = torch.randperm(n, generator=generator) % 2
        x = noise * torch.randn(n, channels, 9, 18, generator=generator)
        rows = torch.randint(1, 8, (n, 2), generator=generator)
        columns = torch.randint(1, 6, (n, 2), generator=generator) + torch.tensor([0, 11])
        first = torch.randint(2, (n,), generator=generator)  # the side of the first half's spot
        each = torch.arange(n)
        for part, side in ((slice(half), first), (slice(half, None), torch.where(same == 1, first, 1 - first))):
            x[:, part] += _blobs(rows[each, side], columns[each, side], 9, 18)[:, None]
        labels = torch.stack([same, 1 - same], dim=1).float()
        return x, labels.repeat_interleave(half, dim=1)

    return Task(
        name="together",
        train=draw(train),
        test=draw(test),
        classes=channels,
        chance=0.5,
        about=f"{channels} channels with a spot each, at one place in the first half of them and at one place in the "
        "second. The gates of the first half must be open if the two places are the same, the others if not.",
        loss="multi-label",
    )


def spot_that_is_cued(seed: int = 0, *, train: int = 2000, test: int = 500, noise: float = 0.05) -> Task:
    """Keep the spot that the cue names, and blank the rest: :func:`cued_place` with the block's output supervised.

    Here gates of channels know the cue, and each spot has a channel of its own. Alone they reach
    :func:`channel_gates_limit`, since the noise around the spot stays.

    :param seed: the same seed gives the same data.
    :param train: number of training samples.
    :param test: number of test samples.
    :param noise: standard deviation of the noise in all channels.
    :returns: the task; inputs are (samples, 3, 9, 18), targets (samples, 3 · 162): the channel of the spot that is
        cued, inside that spot, and 0 elsewhere.
    """
    first = cued_place(seed, train=train, test=test, noise=noise)

    def ask(x: Tensor, place: Tensor) -> Tensor:
        bright = (x[:, 2, :, -1].mean(1) > 0).float()
        wanted = torch.stack([bright, 1 - bright, torch.zeros_like(bright)], dim=1)[..., None, None]
        return (wanted * place.view(-1, 1, 9, 18) * x).flatten(1)

    return Task(
        name="spot that is cued",
        train=(first.train[0], ask(*first.train)),
        test=(first.test[0], ask(*first.test)),
        classes=3 * 9 * 18,
        chance=0.0,
        about="A spot in channel A, another in channel B, and a cue. Keep the spot of A if the cue is bright, that of "
        "B if it is dark, and blank all the rest.",
        loss="mse",
        channels=("A", "B", "cue"),
    )


def channel_gates_limit(task: Task) -> float:
    """The best R² of one gate for each channel on a task whose output is the input, gated: computed with the targets.

    :param task: the task, of which the test samples are used.
    :returns: the limit.
    """
    x = task.test[0].double().flatten(2)
    y = task.test[1].double().view(x.shape)
    gates = ((x * y).sum(2, keepdim=True) / x.square().sum(2, keepdim=True)).clamp(0, 1)
    return 1 - ((gates * x - y).square().sum() / (y - y.mean(0)).square().sum()).item()


def lamp_where_cued(seed: int = 0, *, train: int = 2000, test: int = 500, noise: float = 0.05) -> Task:
    """Leave a fourth channel, lit everywhere, only at the spot that the cue names; the other outputs are free.

    *What must fail, and why.* The lamp's channel has one number for a gate, and the map decides where. A map of windows
    of the input cannot know the cue (:func:`cued_place`). Let it be :math:`a` at the spot of A and :math:`b` at that of
    B; the gate of the lamp may know the cue and multiplies both. With the best gate the squared error is
    :math:`b^2 / (a^2 + b^2)` where A is cued and :math:`a^2 / (a^2 + b^2)` where B is, 1/2 on average whatever
    :math:`a` and :math:`b` are: no better than 1/2 at both spots, which :func:`cued_place_limit` scores.

    :param seed: the same seed gives the same data.
    :param train: number of training samples.
    :param test: number of test samples.
    :param noise: standard deviation of the noise in all channels.
    :returns: the task; inputs are (samples, 4, 9, 18), the channels A, B, cue and lamp; targets (samples, 162), the
        lamp's channel inside the spot that is cued, and 0 elsewhere.
    """
    first = cued_place(seed, train=train, test=test, noise=noise)
    generator = torch.Generator().manual_seed(seed)

    def light(x: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        lamp = 1 + noise * torch.randn(len(x), 1, 9, 18, generator=generator)
        return torch.cat([x, lamp], dim=1), place * lamp.flatten(1)

    return Task(
        name="lamp where cued",
        train=light(*first.train),
        test=light(*first.test),
        classes=9 * 18,
        chance=0.0,
        about="A spot in channel A, another in channel B, a cue, and a lamp that is lit everywhere. Leave the lamp at "
        "the spot of A if the cue is bright, at that of B if it is dark, and nowhere else.",
        loss="mse",
        channels=("A", "B", "cue", "lamp"),
    )


def lamp_if_together(
    seed: int = 0, *, channels: int = 8, train: int = 2000, test: int = 500, noise: float = 0.05
) -> Task:
    """Leave a lamp on everywhere if all spots lie at one place, and nowhere if not; the other outputs are free.

    *What must fail, and why.* Channel by channel the pixels are the same in both cases, so gates of channels that are
    computed from the input know nothing (:func:`together`). A map of windows of 7 × 7 knows it where such a window
    holds a spot, and guesses elsewhere: :func:`lamp_if_together_limit`. A gate computed from what the map lets through
    knows it for all places.

    :param seed: the same seed gives the same data.
    :param channels: number of channels with spots, even.
    :param train: number of training samples.
    :param test: number of test samples.
    :param noise: standard deviation of the noise in all channels.
    :returns: the task; inputs are (samples, channels + 1, 9, 18), the lamp last; targets (samples, 162), the lamp's
        channel or zeros.
    """
    first = together(seed, channels=channels, train=train, test=test, noise=noise)
    generator = torch.Generator().manual_seed(seed)

    def light(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        lamp = 1 + noise * torch.randn(len(x), 1, 9, 18, generator=generator)
        return torch.cat([x, lamp], dim=1), labels[:, :1] * lamp.flatten(1)

    return Task(
        name="lamp if together",
        train=light(*first.train),
        test=light(*first.test),
        classes=9 * 18,
        chance=0.0,
        about=f"{channels} channels with a spot each, in two halves that share a place or do not, and a lamp that is "
        "lit everywhere. Leave the lamp on everywhere if all spots lie at one place, and nowhere if they do not.",
        loss="mse",
    )


def lamp_if_together_limit(task: Task) -> float:
    """The best R² on :func:`lamp_if_together` of a map that looks at windows of 7 × 7 of the input.

    Where a window holds a spot, such a map is taken to be right. Where it holds none, all that it knows is its place:
    it gives the share of images whose spots lie together among those whose window there is empty, over 40,000 fresh
    samples. Gates of channels that are computed from the input add nothing.

    :param task: the task, of which the test samples are used.
    :returns: the limit.
    """

    def seen(x: Tensor) -> Tensor:
        spots = (x[:, :-1].amax(1, keepdim=True) > 0.5).double()
        return nn.functional.max_pool2d(spots, 2 * _REACH + 1, 1, _REACH).flatten(1) > 0

    more, lit = lamp_if_together(12345, channels=task.test[0].shape[1] - 1, train=40000, test=1).train
    unseen, same = ~seen(more), lit.abs().sum(1) > 1
    ones, twos = unseen[same].double().sum(0), unseen[~same].double().sum(0)
    share = ones / (ones + twos).clamp(min=1)
    x, y = task.test[0].double(), task.test[1].double()
    guess = torch.where(seen(x), y, x[:, -1].flatten(1) * share)
    return 1 - ((guess - y).square().sum() / (y - y.mean(0)).square().sum()).item()


class _Lamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, -1].flatten(1)


def lamp_of(*blocks: nn.Module) -> nn.Sequential:
    """Build a model whose output is the last channel of what comes out of one block, or of several in a row.

    :param blocks: the blocks.
    :returns: the model, from (batch, channels, height, width) to (batch, height · width).
    """
    return nn.Sequential(*blocks, _Lamp())


def edge_or_middle(seed: int = 0, *, train: int = 2000, test: int = 1000, noise: float = 0.05) -> Task:
    """One bright pixel; the class is whether it lies near the edge or in the middle.

    *What must fail, and why.* Moved around (what leaves on one side comes back on the other), a picture of one class
    becomes one of the other. A network whose convolutions pad in this way computes the same at every place, and moves
    its maps along; summed over positions they are the same for both classes: 50%, whatever its weights.

    :param seed: the same seed gives the same data.
    :param train: number of training samples.
    :param test: number of test samples.
    :param noise: standard deviation of the noise in both channels.
    :returns: the task; inputs are (samples, 2, 12, 12), of which the second channel is noise; two classes.
    """
    check_positive(train=train, test=test)
    generator = torch.Generator().manual_seed(seed)
    i = torch.arange(12)
    inner = ((i >= 4) & (i < 8)).float()
    outer = ((i < 2) | (i >= 10)).float()
    places = {1: torch.outer(inner, inner), 0: (outer[:, None] + outer).clamp(max=1)}

    def draw(n: int) -> tuple[Tensor, Tensor]:
        middle = torch.randperm(n, generator=generator) % 2
        x = noise * torch.randn(n, 2, 12, 12, generator=generator)
        where = torch.stack([places[label].flatten() for label in middle.tolist()])
        at = torch.multinomial(where, 1, generator=generator)
        x[:, 0].flatten(1).scatter_add_(1, at, torch.ones(n, 1))
        return x, middle

    return Task(
        name="edge or middle",
        train=draw(train),
        test=draw(test),
        classes=2,
        chance=0.5,
        about="Channel A holds one bright pixel. Does it lie near the edge, or in the middle?",
        labels=("edge", "middle"),
        channels=("A", "B"),
    )


def padded(model: nn.Module, mode: str) -> nn.Module:
    """Let every convolution of a model pad in another way, in place.

    :param model: the model.
    :param mode: as in PyTorch: ``zeros``, ``reflect``, ``replicate`` or ``circular``.
    :returns: the model.
    :raises ValueError: for another mode.
    """
    if mode not in ("zeros", "reflect", "replicate", "circular"):
        raise ValueError(f"mode={mode!r} is not one of zeros, reflect, replicate, circular")
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.padding_mode = mode
    return model
