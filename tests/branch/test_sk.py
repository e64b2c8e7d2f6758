"""Selective Kernel: its Spec for the laws, and what holds for this block alone."""

from collections.abc import Callable
from functools import partial
from itertools import product
from math import exp
from typing import Any

import pytest
import torch
from einops import reduce
from hypothesis import strategies as st
from torch import Tensor, nn

from attention.backbones.resnet import resnet50, resnet101
from attention.branch.sk import SelectiveKernel
from attention.experiments.sk import record_choice as choice
from attention.experiments.sk import record_turning, tasks
from attention.lab import cost, record
from attention.lab.comparison import Comparison
from attention.published import published
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

#: The seed with which the chapter trains.
LIVE = 3

Image = list[list[list[list[float]]]]


def _normalise(value: float, norm: nn.Module, channel: int) -> float:
    """Apply batch normalisation in evaluation mode, with the stored mean and variance, to one number."""
    mean, variance = norm.running_mean[channel].item(), norm.running_var[channel].item()
    centred = (value - mean) / (variance + norm.eps) ** 0.5
    return norm.weight[channel].item() * centred + norm.bias[channel].item()


def _branch(kernel: nn.Sequential, wide: int, sample: list[list[list[float]]]) -> list[list[list[float]]]:
    """The split: a grouped 3 × 3 convolution of dilation ``wide``, batch normalisation, ReLU."""
    conv, norm, _ = kernel
    weight, step = conv.weight.tolist(), conv.stride[0]
    per_group = len(weight[0])
    height, width = len(sample[0]), len(sample[0][0])
    result = []
    for c, filters in enumerate(weight):
        first = c // (len(weight) // conv.groups) * per_group
        rows = []
        for i in range(0, height, step):
            row = []
            for j in range(0, width, step):
                total = 0.0
                for k in range(per_group):
                    for p in range(3):
                        for q in range(3):
                            y, x = i + (p - 1) * wide, j + (q - 1) * wide
                            if 0 <= y < height and 0 <= x < width:
                                total += filters[k][p][q] * sample[first + k][y][x]
                value = _normalise(total, norm, c)
                row.append(value if value > 0 else 0.0)
            rows.append(row)
        result.append(rows)
    return result


def naive(block: SelectiveKernel, x: Image) -> tuple[Image, dict[str, Any]]:
    """Equations (1) to (6) of the paper, one number at a time."""
    reduce_weight, norm = block.fuse[0].weight.tolist(), block.fuse[1]
    matrices = [matrix.weight.tolist() for matrix in block.select]
    output, chosen = [], []
    for sample in x:
        u = [_branch(kernel, m, sample) for m, kernel in enumerate(block.kernels, start=1)]
        channels, height, width = len(u[0]), len(u[0][0]), len(u[0][0][0])
        z = []  # equations (1) and (2): the mean over the positions of the branches' sum
        for c in range(channels):
            total = 0.0
            for m in range(len(u)):
                for i in range(height):
                    for j in range(width):
                        total += u[m][c][i][j]
            z.append(total / (height * width))
        h = []  # equations (3) and (4): h = δ(B(W₁ z))
        for k, row in enumerate(reduce_weight):
            total = sum(row[c] * z[c] for c in range(channels))
            value = _normalise(total, norm, k)
            h.append(value if value > 0 else 0.0)
        a = [[0.0] * channels for _ in u]  # equation (5): in each channel a softmax over the branches
        for c in range(channels):
            scores = [sum(matrix[c][k] * h[k] for k in range(len(h))) for matrix in matrices]
            largest = max(scores)
            powers = [exp(score - largest) for score in scores]
            for m, power in enumerate(powers):
                a[m][c] = power / sum(powers)
        output.append(  # equation (6): y_c = Σ_m a^m_c · u^m_c
            [
                [[sum(a[m][c] * u[m][c][i][j] for m in range(len(u))) for j in range(width)] for i in range(height)]
                for c in range(channels)
            ]
        )
        chosen.append([[[[weight]] for weight in branch] for branch in a])
    return output, {"branch": chosen}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments, small: the naive convolutions are slow."""
    channels = draw(st.integers(1, 6))
    divisors = [g for g in range(1, channels + 1) if channels % g == 0]
    return {
        "channels": channels,
        "branches": draw(st.integers(2, 3)),
        "groups": draw(st.sampled_from(divisors)),
        "reduction": draw(st.integers(1, 4)),
        "floor": draw(st.integers(1, 4)),
        "stride": draw(st.integers(1, 2)),
    }


def _output_shape(block: SelectiveKernel, shape: tuple[int, ...]) -> tuple[int, ...]:
    stride = block.kernels[0][0].stride[0]
    return (*shape[:2], -(-shape[2] // stride), -(-shape[3] // stride))


def _apply(block: SelectiveKernel, maps: dict[str, Tensor], x: Tensor) -> Tensor:
    return sum(maps["branch"][:, m] * kernel(x) for m, kernel in enumerate(block.kernels))


SPEC = Spec(
    name="sk",
    cases=cases(options(), height=(1, 5), width=(1, 5)),
    fixed=(
        Case({"channels": 4, "groups": 2, "reduction": 2, "floor": 1}, batch=3, height=3, width=5),
        Case({"channels": 4, "groups": 1, "floor": 3, "stride": 2}, batch=2, height=5, width=4, seed=1),
        Case({"channels": 3, "branches": 3, "groups": 3, "floor": 2}, batch=2, height=4, width=5, seed=2),
    ),
    naive=naive,
    output_shape=_output_shape,
    sizes=lambda block, known: {"m": len(block.kernels)},
    apply=_apply,
    tolerance=0.1,  # batch normalisation divides by deviations that bfloat16 knows to two digits
    bad_arguments=(
        BadArguments({"channels": 48}, ValueError, "channels=48 is not divisible by groups=32.*1, 2, 3, 4, 6, 8"),
        BadArguments({"channels": 32, "branches": 1}, ValueError, "branches=1 leaves nothing to select"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 32, "floor": 0}, ValueError, "floor=0 is not positive"),
        BadArguments({"channels": 32, "stride": 0}, ValueError, "stride=0 is not positive"),
        BadArguments({"channels": 32, "reduction": 16.0}, TypeError, "reduction=16.0 is not a whole number"),
        BadArguments({"channels": 32, "groups": "32"}, TypeError, "groups='32' is not a whole number"),
        BadArguments({"channels": 32, "branches": True}, TypeError, "branches=True is not a whole number"),
    ),
    bad_inputs=bad_images(),
)


def test_two_branches_are_a_sigmoid_of_the_difference() -> None:
    """With M = 2 the softmax is σ((A¹ − A²) h), and its complement."""
    block = SPEC.block(SPEC.fixed[0], training=False)
    u = block.split(torch.randn(3, 4, 5, 6, dtype=torch.float64))
    h = block.fuse(u.sum(1).mean((2, 3)))
    difference = block.select[0].weight - block.select[1].weight
    first = (h @ difference.T).sigmoid()
    torch.testing.assert_close(block.weights(u)[:, :, :, 0, 0], torch.stack([first, 1 - first], 1))


def test_weights_computed_by_hand() -> None:
    """One channel, branches of means 1 and 2: z = 3, h = 3, scores 3·ln 2 / 3 and 0, weights 2/3 and 1/3."""
    block = SelectiveKernel(1, groups=1, reduction=1, floor=1).double().eval()
    with torch.no_grad():
        block.fuse[0].weight.fill_(1.0)
        block.fuse[1].running_var.fill_(1 - block.fuse[1].eps)
        block.select[0].weight.fill_(torch.tensor(2.0).log() / 3)
        block.select[1].weight.zero_()
    u = torch.tensor([[[[[0.0, 2.0]]], [[[3.0, 1.0]]]]], dtype=torch.float64)
    expected = torch.tensor([2 / 3, 1 / 3], dtype=torch.float64)
    torch.testing.assert_close(block.weights(u).flatten(), expected)


@pytest.mark.parametrize(
    ("channels", "reduction", "floor", "width"), [(512, 16, 32, 32), (1024, 16, 32, 64), (40, 16, 1, 2)]
)
def test_hidden_width_has_a_floor(channels: int, reduction: int, floor: int, width: int) -> None:
    block = SelectiveKernel(channels, groups=8, reduction=reduction, floor=floor)
    assert block.fuse[0].out_features == width


def test_windows_grow_with_the_branch() -> None:
    """An impulse comes out of branch m at 9 places, the outermost m pixels away."""
    block = SelectiveKernel(1, branches=3, groups=1, floor=1).eval()
    for kernel in block.kernels:
        nn.init.ones_(kernel[0].weight)
    x = torch.zeros(1, 1, 9, 9)
    x[..., 4, 4] = 1
    for m, reached in enumerate(block.split(x)[0, :, 0], start=1):
        assert reached.nonzero().tolist() == [[4 + i, 4 + j] for i in (-m, 0, m) for j in (-m, 0, m)]


def test_a_batch_of_one_is_refused_in_training() -> None:
    """Batch normalisation of W₁ z has one number a channel; nothing is changed before that is said."""
    block, x = SelectiveKernel(4, groups=2), torch.randn(1, 4, 5, 5)
    before = {name: value.clone() for name, value in block.state_dict().items()}
    with pytest.raises(ValueError, match=r"x: expected at least 2 samples in training, received shape \(1, 4, 5, 5\)"):
        block(x)
    assert all(value.equal(before[name]) for name, value in block.state_dict().items())
    assert block.eval()(x).shape == x.shape
    assert block.train()(x.repeat(2, 1, 1, 1)).shape == (2, 4, 5, 5)


class SoftmaxOverChannels(SelectiveKernel):
    """The weights of a branch sum to 1 over its channels."""

    def weights(self, u: Tensor) -> Tensor:
        return _scores(self, u).softmax(2)


class SoftmaxOverBatch(SelectiveKernel):
    """A sample's weights depend on its batch-mates; and alone, all its weights are 1."""

    def weights(self, u: Tensor) -> Tensor:
        return _scores(self, u).softmax(0)


class Sigmoids(SelectiveKernel):
    """Every branch decides for itself; both may count wholly, or neither."""

    def weights(self, u: Tensor) -> Tensor:
        return _scores(self, u).sigmoid()


class FirstBranchFused(SelectiveKernel):
    """The choice is made without having looked through the wider window."""

    def weights(self, u: Tensor) -> Tensor:
        return super().weights(torch.cat([u[:, :1], torch.zeros_like(u[:, 1:])], 1))


class NoNorm(SelectiveKernel):
    """The normalisation of W₁ z is there, and passed by."""

    def weights(self, u: Tensor) -> Tensor:
        h = self.fuse[0](reduce(u, "b m c h w -> b c", "sum") / (u.shape[-2] * u.shape[-1])).relu()
        return torch.stack([matrix(h) for matrix in self.select], 1).softmax(1)[..., None, None]


class MeanOverBranches(SelectiveKernel):
    """Fused by the mean of the branches, not their sum: half of every statistic."""

    def weights(self, u: Tensor) -> Tensor:
        return super().weights(u / len(self.kernels))


class Unpadded(SelectiveKernel):
    """The dilated branch keeps the padding of the plain one: its map is smaller, and cannot be added."""

    def __init__(self, channels: int, *options: Any, **named: Any) -> None:
        super().__init__(channels, *options, **named)
        for kernel in self.kernels:
            kernel[0].padding = (1, 1)


class NotDilated(SelectiveKernel):
    """All branches look through the same window."""

    def __init__(self, channels: int, *options: Any, **named: Any) -> None:
        super().__init__(channels, *options, **named)
        for kernel in self.kernels:
            kernel[0].dilation = kernel[0].padding = (1, 1)


class NoFloor(SelectiveKernel):
    """The width of h is C/r, however small that is."""

    def __init__(self, channels: int, *options: Any, floor: int = 32, **named: Any) -> None:
        super().__init__(channels, *options, floor=1, **named)


class DeadBranch(SelectiveKernel):
    """The sum takes the first branch for each."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        u = self.split(x)
        a = self.weights(u)
        return reduce(a * u[:, :1], "b m c h w -> b c h w", "sum"), {"branch": a}


class SharedScores(SelectiveKernel):
    """All branches get the same scores: the softmax cancels them, and no choice is ever made."""

    def weights(self, u: Tensor) -> Tensor:
        return _scores(self, u)[:, :1].expand(-1, u.shape[1], -1, -1, -1).softmax(1)


def _scores(block: SelectiveKernel, u: Tensor) -> Tensor:
    h = block.fuse(reduce(u, "b m c h w -> b c", "sum") / (u.shape[-2] * u.shape[-1]))
    return torch.stack([matrix(h) for matrix in block.select], 1)[..., None, None]


@pytest.mark.parametrize(
    ("wrong", "number", "says"),
    [
        (Unpadded, 1, "RuntimeError|stack expects each tensor to be equal size"),
        (FirstBranchFused, 2, "the output differs"),
        (NoNorm, 2, "the output differs"),
        (MeanOverBranches, 2, "the output differs"),
        (NotDilated, 2, "the output differs"),
        (SoftmaxOverChannels, 3, r"summed over its axes \(1,\), differs"),
        (Sigmoids, 3, r"summed over its axes \(1,\), differs"),
        (SoftmaxOverBatch, 4, "sample . alone"),
        (DeadBranch, 5, r"kernels\.1\.0\.weight never received|elements of kernels"),
        (SharedScores, 5, "elements of (fuse|select).* never received a gradient"),
        (NoFloor, 6, "parameters: counted"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_wrong_blocks_are_caught(wrong: type[SelectiveKernel], number: int, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        LAWS[number](SPEC.with_build(wrong), 25)


def _network(build: Callable[..., nn.Module], **options: Any) -> cost.Cost:
    return cost.on_paper(partial(build, groups=32, width_per_group=4, **options), (3, 224, 224))


def test_cost_of_sknet_50() -> None:
    """The counts of SKNet-50 with the stride in the 3 × 3 convolutions, against ResNeXt-50, and against the print."""
    plain, chosen = _network(resnet50), _network(resnet50, convolution="sk")
    assert (plain.parameters, plain.macs) == (25_028_904, 4_230_479_872)
    assert chosen.parameters == 27_479_784
    assert round(chosen.macs / 1e9, 4) == 4.4627
    assert round(_network(resnet50, convolution="sk", stride_in="1x1").macs / 1e9, 2) == 4.00
    table = published("sk")
    for label, counted in (("ResNeXt-50", plain), ("SKNet-50", chosen)):
        assert table["parameters"].agrees(label, counted.parameters)
        printed = float(table["operations"].values[label]) * 1e9
        assert 0 < printed - counted.macs < 0.015e9  # something besides convolutions and linear layers was counted


def test_cost_of_sknet_101() -> None:
    """The same table counts the running statistics of the larger networks."""
    table = published("sk")["parameters_101"]
    for label, options in (("ResNeXt-101", {}), ("SKNet-101", {"convolution": "sk"})):
        counted = _network(resnet101, **options)
        assert table.agrees(label, counted.parameters + counted.buffers)
        assert not table.agrees(label, counted.parameters)


def _as_if_trained(network: nn.Module) -> nn.Module:
    """Put random statistics into a network's normalisations."""
    network.double()
    for name, buffer in network.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand(buffer.shape) + (0.5 if name.endswith("var") else -0.5))
    return network.eval()


@pytest.mark.parametrize(("dilation", "blind", "sees"), [(1, "far", "near"), (2, "near", "far")])
@pytest.mark.parametrize("kind", [SelectiveKernel, tasks.NoChoice, tasks.Half])
def test_windows_of_one_size_cannot_tell_the_other_pairs_apart(
    kind: type[SelectiveKernel], dilation: int, blind: str, sees: str
) -> None:
    """Exactly: turning the pairs that the windows do not see changes no mean, so no answer."""
    torch.manual_seed(dilation)
    block = tasks.with_dilations(kind(8, groups=1, reduction=1, floor=8), (dilation, dilation))
    network = _as_if_trained(tasks.reader(block))
    with torch.no_grad():
        a, b = (network(x.double()) for x in tasks.twins(blind))
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
        c, d = (network(x.double()) for x in tasks.twins(sees))
        assert (c - d).abs().max() > 1e-6


def test_near_or_far_is_balanced_and_the_same_for_a_seed() -> None:
    task = tasks.near_or_far(3, train=80, test=40)
    for x, y in (task.train, task.test):
        assert x.shape == (len(y), 2, 20, 26)
        assert y.sum() == len(y) / 2
        assert set((x[:, 0] > 0).sum((1, 2)).tolist()) <= {4, 6, 8}  # dots of two to four pairs
    assert task.train[0].equal(tasks.near_or_far(3, train=80, test=40).train[0])
    assert not task.train[0].equal(tasks.near_or_far(4, train=80, test=40).train[0])
    lying, standing = tasks.twins("far", 8)
    assert lying.shape == standing.shape == (8, 2, 20, 26)
    assert lying[:, 1].equal(standing[:, 1])
    torch.testing.assert_close(lying.sum((2, 3)), standing.sum((2, 3)))
    with pytest.raises(ValueError, match="kind='wide' and n=40: allowed are"):
        tasks.twins("wide")
    with pytest.raises(ValueError, match="train=81 and test=40 must be multiples of 8"):
        tasks.near_or_far(train=81, test=40)


def test_the_limits_are_those_of_the_best_answers() -> None:
    """Enumerate the eight cases: no answer that ignores a kind of pair, and no sum, does better than its limit."""
    cases_ = [(near, far, bright) for near in (0, 1) for far in (0, 1) for bright in (0, 1)]
    right = {case: case[0] if case[2] else case[1] for case in cases_}
    blind = 0
    for answers in product((0, 1), repeat=4):  # to each of (near, bright)
        table = dict(zip(product((0, 1), repeat=2), answers, strict=True))
        blind = max(blind, sum(table[near, bright] == right[near, far, bright] for near, far, bright in cases_))
    assert blind / 8 == tasks.one_window_limit()
    best, values = 0, (-3, -2, -1, 0, 1, 2, 3)
    for f in product(values, repeat=4):  # f of (near, far), g of the mark: signs of sums
        for g in product((-1, 0.5), repeat=2):
            said = sum(
                (f[2 * near + far] + g[bright] > 0) == bool(right[near, far, bright]) for near, far, bright in cases_
            )
            best = max(best, said)
    assert best / 8 == tasks.sum_limit()


def test_pairs_of_a_kind_are_one_to_three_and_lie_or_stand_together() -> None:
    x, y = tasks.near_or_far(1, train=80, test=80).test
    counts = set()
    for picture, label in zip(x, y, strict=True):
        dots = picture[0].nonzero()
        gaps = dots[:, None] - dots[None]
        found = []
        for length in (1, 4):  # near, far
            lying = int(((gaps[..., 0] == 0) & (gaps[..., 1] == length)).sum())
            standing = int(((gaps[..., 1] == 0) & (gaps[..., 0] == length)).sum())
            assert (lying == 0) != (standing == 0)
            found.append((lying + standing, int(standing > 0)))
        (near, near_stands), (far, far_stands) = found
        assert 2 * (near + far) == len(dots)
        assert label == (near_stands if picture[1].max() > 0 else far_stands)
        counts.add((near, far))
    assert counts == {(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 1)}


def test_controls_have_the_blocks_parameters_and_choose_less() -> None:
    torch.manual_seed(0)
    options = {"groups": 1, "reduction": 1, "floor": 4}
    blocks = {kind: kind(4, **options).eval() for kind in (SelectiveKernel, tasks.Half, tasks.NoChoice)}
    x = torch.randn(3, 4, 6, 6)
    assert len({sum(p.numel() for p in block.parameters()) for block in blocks.values()}) == 1
    a = {kind: block.attend(x)[1]["branch"] for kind, block in blocks.items()}
    assert (a[tasks.Half] == 0.5).all()
    assert a[SelectiveKernel].std(0).max() > 1e-6
    assert a[tasks.NoChoice].std(0).max() > 1e-6
    assert a[tasks.NoChoice][:, 0].equal(a[tasks.NoChoice][:, 1])
    with pytest.raises(ValueError, match=r"dilations=\(1,\) does not give one for each of 2 branches"):
        tasks.with_dilations(blocks[SelectiveKernel], (1,))


def test_one_window_sees_both_kinds_and_has_a_gate_per_channel() -> None:
    torch.manual_seed(0)
    network = _as_if_trained(tasks.reader_of_copies(tasks.ARMS["5 × 5 + gate"], 2))
    with torch.no_grad():
        for kind in ("near", "far"):
            a, b = (network(x.double()) for x in tasks.twins(kind))
            assert (a - b).abs().max() > 1e-6
    block = tasks.OneWindow(3, groups=3, floor=4).eval()
    x = torch.randn(2, 3, 7, 6)
    u = block.kernel(x)
    torch.testing.assert_close(block(x), u * block.gate(u.mean((2, 3))).reshape(2, 3, 1, 1))


def test_frozen_weights_add_what_the_pairs_and_the_mark_say() -> None:
    """The limit of 87.5% is for decisions f(pairs) + g(mark); this is what such a network computes, and SK not."""
    pictures = torch.cat(tasks.twins("far", 40))
    swapped = pictures.clone()
    swapped[:, 1] *= -1  # the other mark
    said = {}
    for name in ("frozen at ½", "SK"):
        torch.manual_seed(0)
        network = _as_if_trained(tasks.reader_of_copies(tasks.ARMS[name], 1))
        with torch.no_grad():
            step = network(swapped.double()) - network(pictures.double())
        bright = pictures[:, 1].amax((1, 2)) > 0
        said[name] = max(step[rows].std(0).max() for rows in (bright, ~bright))
    assert said["frozen at ½"] < 1e-12
    assert said["SK"] > 1e-6


def test_with_one_copy_one_channel_sees_the_pairs() -> None:
    for copies in choice.COPIES:
        networks = {name: tasks.reader_of_copies(block, copies) for name, block in tasks.ARMS.items()}
        seen = {name: network[0](torch.arange(2.0).reshape(1, 2, 1, 1)) for name, network in networks.items()}
        for name, network in networks.items():
            assert seen[name].flatten().tolist() == [0.0] * copies + [1.0] * copies
            assert network(torch.randn(4, 2, 20, 26)).shape == (4, 2)
        size = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
        assert size["SK"] == size["no choice"] == size["frozen at ½"]
        assert abs(size["5 × 5 + gate"] - size["SK"]) < 0.15 * size["SK"]
    with pytest.raises(ValueError, match="copies=0 is not positive"):
        tasks.reader_of_copies(tasks.ARMS["SK"], 0)


def test_what_trains_in_the_chapter_is_what_was_recorded() -> None:
    kept = Comparison.from_dict(record.load("sk.choice")["experiment"]["1"])
    live = choice.compared(1, [LIVE], kept.steps, ("SK", "no choice"))
    for name in live.names:
        assert live.scores(name)[0] == pytest.approx(kept.scores(name)[LIVE], abs=0.005)


def test_the_weight_of_the_wider_window_is_that_of_the_second_branch() -> None:
    torch.manual_seed(0)
    net = tasks.reader_of_copies(tasks.ARMS["SK"], 1).eval()
    pictures = tasks.near_or_far(3, train=16, test=16).test[0]
    (block,) = (module for module in net.modules() if isinstance(module, SelectiveKernel))
    given = []
    hook = block.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    net(pictures)
    hook.remove()
    expected = block.attend(given[0])[1]["branch"][:, 1, 0].flatten()
    torch.testing.assert_close(record_turning.wider(net, pictures), expected.detach())
    assert expected.shape == (16,)


def test_the_choice_turns_in_most_networks_and_back_in_two() -> None:
    networks = record.load("sk.turning")["experiment"]["networks"]
    rises = [each["dark"] - each["bright"] for each in networks]
    assert sum(rise > 0.2 for rise in rises) == 9
    back = [each["accuracy"] for each, rise in zip(networks, rises, strict=True) if rise < -0.2]
    assert sorted(round(100 * score) for score in back) == [50, 71]
    alone = record.load("sk.choice")["experiment"]["1"]
    assert Comparison.from_dict(alone).scores("SK") == [each["accuracy"] for each in networks]
