"""Frequency Channel Attention: its Spec for the laws, and what holds for this block alone."""

from dataclasses import replace
from math import ceil, cos, exp, pi, sqrt
from typing import Any

import pytest
import torch
from einops import rearrange
from hypothesis import strategies as st
from torch import Tensor, nn

from attention.backbones.resnet import resnet50
from attention.channel import fca
from attention.channel.fca import SELECTIONS, FrequencyChannelAttention
from attention.channel.se import SqueezeExcitation
from attention.experiments.fca import record as textures_record
from attention.experiments.fca import record_clothes as clothes_record
from attention.experiments.fca import tasks
from attention.lab import cost, record
from attention.lab.training import Comparison
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases
from tests.laws.steps import steps_of

Plane = list[list[float]]


def naive_pooled(plane: Plane, size: tuple[int | None, int | None]) -> Plane:
    """Adaptive average pooling: cell p of P is the mean over the pixels from ⌊pH/P⌋ up to ⌈(p + 1)H/P⌉."""
    height, width = len(plane), len(plane[0])
    if size == (None, None):
        return plane
    cells = []
    for p in range(size[0]):
        rows = range(p * height // size[0], ceil((p + 1) * height / size[0]))
        row = []
        for q in range(size[1]):
            columns = range(q * width // size[1], ceil((q + 1) * width / size[1]))
            total = 0.0
            for i in rows:
                for j in columns:
                    total += plane[i][j]
            row.append(total / (len(rows) * len(columns)))
        cells.append(row)
    return cells


def wave(part: int, place: int, length: int, orthonormal: bool, whole: bool) -> float:
    """The basis of the discrete cosine transform along one axis, at the frequency on which a seventh part begins."""
    frequency = part * (length // 7) if whole else part * length / 7
    factor = 1.0
    if orthonormal:
        factor = sqrt(2 / length) if frequency else sqrt(1 / length)
    return factor * cos(pi * frequency / length * (place + 0.5))


def naive(block: FrequencyChannelAttention, x: list[list[Plane]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """The paper's equations, one number at a time."""
    w1, w2 = block.reduce.weight.tolist(), block.expand.weight.tolist()
    output, gates = [], []
    for sample in x:
        freq = []
        for c, plane in enumerate(sample):
            u, v = block.frequencies[c // (len(sample) // len(block.frequencies))]
            cells = naive_pooled(plane, block.size)
            total = 0.0
            for i, row in enumerate(cells):
                for j, value in enumerate(row):
                    down = wave(u, i, len(cells), block.orthonormal, block.whole)
                    total += value * down * wave(v, j, len(row), block.orthonormal, block.whole)
            freq.append(total)
        hidden = [max(sum(weight * f for weight, f in zip(row, freq, strict=True)), 0.0) for row in w1]
        logits = [sum(weight * h for weight, h in zip(row, hidden, strict=True)) for row in w2]
        s = [1 / (1 + exp(-logit)) if logit > -700 else 0.0 for logit in logits]
        output.append([[[gate * v for v in row] for row in plane] for gate, plane in zip(s, sample, strict=True)])
        gates.append([[[gate]] for gate in s])
    return output, {"channel": gates}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    frequencies = draw(st.sampled_from(["top1", "top4", "low2", "bot4", ((0, 0), (3, 6), (5, 1)), ((6, 2),)]))
    parts = int(frequencies[3:]) if isinstance(frequencies, str) else len(frequencies)
    channels = parts * draw(st.integers(1, 3))
    whole = draw(st.booleans())
    return {
        "channels": channels,
        "reduction": draw(st.sampled_from([r for r in range(1, channels + 1) if channels % r == 0])),
        "frequencies": frequencies,
        "size": draw(st.sampled_from([None, (9, 15), (8, 7)] if whole else [None, None, (7, 7), (14, 7)])),
        "orthonormal": draw(st.booleans()),
        "whole": whole,
    }


SPEC = Spec(
    name="fca",
    cases=cases(options()),
    fixed=(
        Case({"channels": 16}, batch=3, height=3, width=5),
        Case({"channels": 8, "reduction": 2, "frequencies": "low4", "size": (7, 14)}, height=5, width=8, seed=1),
        Case({"channels": 6, "reduction": 3, "frequencies": ((0, 0), (2, 5)), "orthonormal": False}, seed=2),
        Case({"channels": 8, "reduction": 2, "frequencies": "top8", "whole": True}, height=8, width=9, seed=3),
    ),
    naive=naive,
    bad_arguments=(
        BadArguments({"channels": 24}, ValueError, "channels=24 is not divisible by reduction=16"),
        BadArguments({"channels": 24, "reduction": 8}, ValueError, "channels=24 is not divisible by frequencies=16"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 16, "reduction": 4.0}, TypeError, "reduction=4.0 is not a whole number"),
        BadArguments({"channels": 16, "frequencies": "top3"}, ValueError, "'top3' is none of top, low, bot, followed"),
        BadArguments({"channels": 16, "frequencies": "best4"}, ValueError, "'best4' is none of top, low, bot"),
        BadArguments({"channels": 16, "frequencies": ((0, 7),)}, ValueError, "lie outside; allowed: 0 to 6"),
        BadArguments({"channels": 16, "frequencies": ((-1, 0),)}, ValueError, "lie outside; allowed: 0 to 6"),
        BadArguments({"channels": 16, "frequencies": ((0.5, 0),)}, TypeError, "neither a word nor pairs of whole"),
        BadArguments({"channels": 16, "frequencies": (0, 1)}, TypeError, "neither a word nor pairs of whole numbers"),
        BadArguments({"channels": 16, "frequencies": ()}, TypeError, "neither a word nor pairs of whole numbers"),
        BadArguments({"channels": 16, "size": (4, 4)}, ValueError, r"size=\(4, 4\) is not divisible by 7.*7, 14"),
        BadArguments({"channels": 16, "size": (0, 7)}, ValueError, "height=0 is not positive"),
        BadArguments({"channels": 16, "size": (7, 7.0)}, TypeError, "width=7.0 is not a whole number"),
        BadArguments({"channels": 16, "size": 7}, TypeError, r"size=7 is not \(height, width\)"),
    ),
    bad_inputs=bad_images(),
)


def coefficients(block: FrequencyChannelAttention, x: Tensor) -> Tensor:
    """Run the block and return z."""
    return dict(steps_of(block, x))["z"]


@pytest.mark.parametrize(("orthonormal", "factor"), [(True, sqrt(56 * 28)), (False, 56 * 28)])
def test_the_lowest_frequency_is_the_mean(orthonormal: bool, factor: float) -> None:
    """GAP is one coefficient of 49, but for a factor that depends on the size of the map."""
    block = FrequencyChannelAttention(16, frequencies="top1", orthonormal=orthonormal).double()
    x = torch.randn(2, 16, 56, 28, dtype=torch.float64)
    torch.testing.assert_close(coefficients(block, x), factor * x.mean((2, 3)))


def test_with_that_frequency_alone_it_is_se() -> None:
    """The factor is one of SE's first layer."""
    block, se = FrequencyChannelAttention(16, 4, "low1").double(), SqueezeExcitation(16, 4).double()
    se.load_state_dict(block.state_dict())
    x = torch.randn(2, 16, 6, 9, dtype=torch.float64)
    with torch.no_grad():
        se.reduce.weight.mul_(sqrt(54))
    torch.testing.assert_close(block(x), se(x))


@pytest.mark.parametrize("size", [(7, 7), (14, 7), (28, 56)])
def test_the_basis_is_orthonormal_on_maps_of_which_seven_divides_the_sides(size: tuple[int, int]) -> None:
    everything = tuple((u, v) for u in range(7) for v in range(7))
    block = FrequencyChannelAttention(49, 7, everything)
    x = torch.empty(1, 49, *size, dtype=torch.float64)
    down, across = (
        fca._waves(u, x, axis, None, True, False) for axis, u in enumerate(zip(*block.frequencies, strict=True), 2)
    )
    basis = (down[:, :, None] * across[:, None]).flatten(1) * sqrt(size[0] * size[1])
    torch.testing.assert_close(basis @ basis.T, torch.eye(49, dtype=torch.float64))


def test_a_part_of_the_frequencies_means_the_same_stripes_on_any_map() -> None:
    """(2, 2) of 14 × 14 frequencies are stripes as wide as (1, 1) of 7 × 7: a larger map shows more of them."""
    small, large = (fca._waves((3,), torch.empty(1, 1, n, n), 2, None, False, False) for n in (7, 21))
    torch.testing.assert_close(large[0, :7] * 21, small[0] * 7)


def test_it_sees_stripes_where_means_see_nothing() -> None:
    """Stripes down and stripes across have the mean 0; each has one coefficient that is not."""
    i = torch.arange(7, dtype=torch.float64)
    stripes = (pi / 7 * 3 * (i + 0.5)).cos()
    down, across = stripes[:, None].expand(7, 7), stripes.expand(7, 7)
    x = torch.stack([down, across])[:, None].repeat(1, 4, 1, 1)
    block = FrequencyChannelAttention(4, 1, ((0, 0), (3, 0), (0, 3), (3, 3))).double()
    expected = torch.tensor([[0, 24.5**0.5, 0, 0], [0, 0, 24.5**0.5, 0]], dtype=torch.float64)
    torch.testing.assert_close(coefficients(block, x), expected)
    assert (block.weights(x)[0] - block.weights(x)[1]).abs().max() > 1e-3
    se = SqueezeExcitation(4, 1).double()
    torch.testing.assert_close(se.weights(x), torch.full((2, 4, 1, 1), 0.5, dtype=torch.float64))


def test_selections() -> None:
    for name, listed in SELECTIONS.items():
        pairs = FrequencyChannelAttention(32, 32, f"{name}32").frequencies
        assert pairs == tuple((int(pair[0]), int(pair[1])) for pair in listed.split())
        assert len(pairs) == 32
        for count in (1, 2, 4, 8, 16):
            assert FrequencyChannelAttention(32, 32, f"{name}{count}").frequencies == pairs[:count]
    sums = [u + v for u, v in FrequencyChannelAttention(32, 32, "low32").frequencies]
    assert max(sums[:10]) < min(sums[21:])
    assert FrequencyChannelAttention(32).frequencies[0] == (0, 0)


def test_no_selection_has_a_pair_twice() -> None:
    for name in SELECTIONS:
        assert len(set(FrequencyChannelAttention(32, 32, f"{name}32").frequencies)) == 32


def test_parts_of_neighbouring_channels_share_a_frequency() -> None:
    """The same image in all channels: as many coefficients as parts."""
    block = FrequencyChannelAttention(12, 4, "top4").double()
    x = torch.randn(1, 1, 5, 6, dtype=torch.float64).expand(1, 12, 5, 6)
    freq = coefficients(block, x).view(4, 3)
    torch.testing.assert_close(freq, freq[:, :1].expand(4, 3))
    assert len({round(value, 6) for value in freq[:, 0].tolist()}) == 4


@pytest.mark.parametrize("size", [(5, 9), (7, 7), (16, 20), (3, 1), (56, 30)])
def test_pooling_is_that_of_pytorch(size: tuple[int, int]) -> None:
    """It is folded into the waves; on a map of the given size there is nothing to pool."""
    pooled, plain = (FrequencyChannelAttention(16, size=each).double() for each in ((7, 14), None))
    x = torch.randn(2, 16, *size, dtype=torch.float64)
    small = nn.functional.adaptive_avg_pool2d(x, (7, 14))
    torch.testing.assert_close(coefficients(pooled, x), coefficients(plain, small))


def test_a_large_number_of_pixels_is_not_too_much_for_float16() -> None:
    """Freq itself is 784 · 500 here, which float16 has not."""
    block = FrequencyChannelAttention(16, frequencies="top1", orthonormal=False).half()
    nn.init.constant_(block.reduce.weight, -1.0)
    gates = block.weights(torch.full((1, 16, 28, 28), 500.0, dtype=torch.float16))
    assert torch.equal(gates, torch.full_like(gates, 0.5))
    assert coefficients(block, torch.full((1, 16, 28, 28), 500.0, dtype=torch.float16)).isfinite().all()


@pytest.mark.parametrize("size", [None, (7, 7), (56, 56)])
def test_costs_of_one_block(size: tuple[int, int] | None) -> None:
    """As many parameters as SE without biases, whatever the transform; its products are over all pixels."""
    counted = cost.check("fca", FrequencyChannelAttention(256, size=size), torch.randn(1, 256, 14, 14))
    assert counted.parameters == 8192
    assert counted.macs == 256 * 14 * 14 + 8192
    assert not FrequencyChannelAttention(256, size=size).state_dict().keys() - {"reduce.weight", "expand.weight"}


def test_parameters_of_the_published_network() -> None:
    """SE's without biases: 28.07 M."""
    fca, se = (
        cost.on_paper(lambda a=a: resnet50(attention=a), (3, 224, 224)).parameters
        for a in (FrequencyChannelAttention, SqueezeExcitation)
    )
    assert fca == se == 28_071_976


def test_onnx_pooled() -> None:
    """Law 12 takes the first case alone."""
    LAWS[12](replace(SPEC, fixed=SPEC.fixed[1:2]))


# What circulates, in our words: each is caught by a law


class _Changed(FrequencyChannelAttention):
    """The same from a basis that a variant replaces."""

    def parts(self, x: Tensor) -> Tensor:
        return rearrange(x, "b (n k) h w -> b n k h w", n=len(self.frequencies))

    def basis(self, height: int, width: int, shift: float = 0.5) -> Tensor:
        waves = []
        for length, parts in zip((height, width), zip(*self.frequencies, strict=True), strict=True):
            u, place = (torch.tensor(each, dtype=torch.float64) for each in (parts, range(length)))
            u = u * (length // 7) if self.whole else u * length / 7
            factor = (torch.where(u > 0, 2.0, 1.0).double() / length).sqrt() if self.orthonormal else torch.ones(len(u))
            waves.append(factor[:, None] * (pi * u[:, None] / length * (place + shift)).cos())
        return waves[0][:, :, None] * waves[1][:, None]

    def weights(self, x: Tensor) -> Tensor:
        if self.size != (None, None):
            x = nn.functional.adaptive_avg_pool2d(x, self.size)
        freq = (self.parts(x) * self.basis(*x.shape[2:]).to(x.dtype)[None, :, None]).sum((3, 4)).flatten(1)
        return self.expand(self.reduce(freq).relu()).sigmoid()[:, :, None, None]


class NoHalf(_Changed):
    """Cosines at the pixels' corners: i for i + 1/2."""

    def basis(self, height: int, width: int, shift: float = 0.5) -> Tensor:
        return super().basis(height, width, 0.0)


class Turned(_Changed):
    """Frequencies down taken for frequencies across."""

    def basis(self, height: int, width: int, shift: float = 0.5) -> Tensor:
        return super().basis(width, height).mT


class DcTooLarge(_Changed):
    """The factor √2 for the frequency 0 too."""

    def basis(self, height: int, width: int, shift: float = 0.5) -> Tensor:
        zeros = [sum(each == 0 for each in pair) if self.orthonormal else 0 for pair in self.frequencies]
        return super().basis(height, width) * torch.tensor([2.0 ** (n / 2) for n in zeros])[:, None, None]


class Interleaved(_Changed):
    """Every n-th channel taken for a part."""

    def weights(self, x: Tensor) -> Tensor:
        order = rearrange(torch.arange(self.channels), "(k n) -> (n k)", n=len(self.frequencies))
        return super().weights(x[:, order])


class AllMeans(_Changed):
    """Whole frequencies of a map that is smaller than 7 × 7, rounded down: all are 0."""

    def basis(self, height: int, width: int, shift: float = 0.5) -> Tensor:
        given, self.frequencies = self.frequencies, tuple((0, 0) for _ in self.frequencies)
        basis = super().basis(height, width)
        self.frequencies = given
        return basis


class OneSize(_Changed):
    """A stored basis of one size, and nothing that pools."""

    def basis(self, height: int, width: int, shift: float = 0.5) -> Tensor:
        return super().basis(7, 7)


class Trained(FrequencyChannelAttention):
    """The basis as a parameter."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.learnt = nn.Parameter(torch.ones(self.channels, 7, 7))


class WithBiases(FrequencyChannelAttention):
    """Linear layers with biases."""

    def __init__(self, channels: int, reduction: int = 16, *arguments: Any, **options: Any) -> None:
        super().__init__(channels, reduction, *arguments, **options)
        self.reduce, self.expand = (
            nn.Linear(channels, channels // reduction),
            nn.Linear(channels // reduction, channels),
        )


def test_what_the_variants_share_is_right() -> None:
    LAWS[2](SPEC.with_build(_Changed), 25)


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        (NoHalf, 2),
        (Turned, 2),
        (DcTooLarge, 2),
        (Interleaved, 2),
        (AllMeans, 2),
        (OneSize, 1),
        (Trained, 6),
        (WithBiases, 6),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int) -> None:
    with pytest.raises(AssertionError, match=rf"law {law} \("):
        LAWS[law](SPEC.with_build(wrong), 25)


# The chapter's experiments


def test_textures_have_no_mean_and_are_at_right_angles() -> None:
    waves = torch.stack([tasks.wave(*kind).flatten() for kind in (*tasks.LOW, *tasks.HIGH)])
    gram = waves @ waves.T
    torch.testing.assert_close(gram, torch.diag(gram.diagonal()))
    torch.testing.assert_close(waves.sum(1), torch.zeros(8, dtype=torch.float64))
    x, _ = tasks.textures(3, train=20, test=5).train
    torch.testing.assert_close(x.mean((1, 2, 3)), torch.zeros(20))


@pytest.mark.parametrize("shifted", [False, True])
def test_a_texture_stands_out_of_the_noise_by_its_strength(shifted: bool) -> None:
    """Without noise a picture would have this length; the noise adds 195 on average to its square."""
    x, labels = tasks.textures(0, strength=1000.0, shifted=shifted, train=60, test=4).train
    assert set(labels.tolist()) == {0, 1, 2, 3}
    torch.testing.assert_close(x.flatten(1).norm(dim=1), torch.full((60,), 1000.0), rtol=0.01, atol=0.0)


def test_a_shift_by_a_quarter_leaves_no_trace_in_the_coefficient() -> None:
    block = FrequencyChannelAttention(4, 1, ((0, 1),)).double()
    still, moved = (tasks.wave(0, 1, (0.0, angle)).expand(1, 4, 14, 14) for angle in (0.0, pi / 2))
    assert coefficients(block, still).abs().min() > 9
    torch.testing.assert_close(coefficients(block, moved), torch.zeros(1, 4, dtype=torch.float64))


def test_the_fine_textures_leave_no_trace_in_the_nine_lowest() -> None:
    block = FrequencyChannelAttention(9, 1, tasks.GRID).double()
    x = torch.stack([tasks.wave(*kind) for kind in tasks.HIGH])[:, None].expand(-1, 9, -1, -1)
    torch.testing.assert_close(coefficients(block, x), torch.zeros(4, 9, dtype=torch.float64))


def test_the_waves_of_fourteen_pixels_are_their_own_mirror_images() -> None:
    """On 7 pixels the odd ones change their sign: only there can left and right be told."""
    block = FrequencyChannelAttention(16).double()
    for side, same in ((7, False), (14, True), (28, True)):
        x = torch.rand(1, 16, side, side, dtype=torch.float64)
        z, mirrored = coefficients(block, x), coefficients(block, x.flip(3))
        signs = torch.tensor([(-1.0) ** (0 if same else v) for _, v in block.frequencies], dtype=torch.float64)
        torch.testing.assert_close(mirrored, signs * z)


def test_patterns_that_are_waves_make_the_block() -> None:
    pairs = ((0, 0), (1, 2))
    block = FrequencyChannelAttention(8, 2, pairs)
    waves = torch.stack([tasks.wave(*pair) for pair in pairs]).float()
    control = tasks.Patterns(waves / waves.flatten(1).norm(dim=1)[:, None, None], 8)
    control.load_state_dict(block.state_dict() | {"pattern": control.pattern})
    x = torch.randn(2, 8, 14, 14)
    torch.testing.assert_close(control.weights(x), block.weights(x))


def test_arms_are_of_equal_size_but_for_what_is_learned() -> None:
    count = {
        name: sum(p.numel() for p in build().parameters() if p.requires_grad) for name, build in tasks.ARMS.items()
    }
    fixed = count["nine lowest"]
    assert [n for n in count.values() if n != fixed] == [fixed + 9 * 14 * 14] * 2
    assert {name for name, n in count.items() if n != fixed} == {"random, learned", "lowest, learned"}


def test_learned_cosines_start_as_the_cosines() -> None:
    torch.manual_seed(0)
    learned = tasks.ARMS["lowest, learned"]().block
    fixed = FrequencyChannelAttention(36, 2, tasks.GRID)
    fixed.load_state_dict({k: v for k, v in learned.state_dict().items() if k != "pattern"})
    x = torch.randn(2, 36, 14, 14)
    torch.testing.assert_close(learned.weights(x), fixed.weights(x))


@pytest.mark.parametrize("name", ["mean", "nine lowest", "nine random"])
def test_what_trains_in_the_chapter_is_what_was_recorded(name: str) -> None:
    kept = Comparison.from_dict(record.load("fca")["experiment"]["coarse"])
    live = textures_record.compared("coarse", [0], kept.steps, (name,))
    assert live.scores(name)[0] == pytest.approx(kept.scores(name)[0], abs=0.005)


def test_networks_of_the_clothes_differ_in_their_blocks_alone() -> None:
    made = {}
    for name, block in clothes_record.arms().items():
        torch.manual_seed(0)
        made[name] = {k: v for k, v in clothes_record.network(block).state_dict().items() if ".attention." not in k}
    plain = made.pop("plain")
    for name, state in made.items():
        assert state.keys() == plain.keys(), name
        assert all(torch.equal(value, plain[key]) for key, value in state.items()), name
    assert clothes_record.network(clothes_record.arms()["random"])(torch.zeros(1, 1, 28, 28)).shape == (1, 10)
