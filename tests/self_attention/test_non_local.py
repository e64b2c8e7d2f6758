"""The non-local block: its Spec for the laws, and what holds for this block alone."""

from dataclasses import replace
from math import ceil
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from attention.experiments.non_local import record as copying
from attention.experiments.non_local import record_clothes, tasks
from attention.lab import cost, record
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.training import evaluate
from attention.self_attention.non_local import POOLS, SIMILARITIES, NonLocal
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases
from tests.self_attention.test_dot_product import Image, Literal, Rows, softmax


def convolve(layer: nn.Conv2d, rows: Rows) -> Rows:
    """Apply a 1 × 1 convolution to a list of positions."""
    weights = layer.weight.flatten(1).tolist()
    offsets = [0.0] * len(weights) if layer.bias is None else layer.bias.tolist()
    return [
        [b + sum(w * v for w, v in zip(ws, row, strict=True)) for ws, b in zip(weights, offsets, strict=True)]
        for row in rows
    ]


def pooled(sample: list[Rows], side: int, border: bool = True) -> list[Rows]:
    """Return the largest value of each window of side × side, cut off or left out at the border, for every channel."""
    height, width = len(sample[0]), len(sample[0][0])
    if not border:
        sample = [[row[: width // side * side] for row in channel[: height // side * side]] for channel in sample]
        height, width = len(sample[0]), len(sample[0][0])
    return [
        [
            [
                max(
                    channel[i][j]
                    for i in range(top, min(top + side, height))
                    for j in range(left, min(left + side, width))
                )
                for left in range(0, width, side)
            ]
            for top in range(0, height, side)
        ]
        for channel in sample
    ]


def positions(sample: list[Rows]) -> Rows:
    return [[channel[i][j] for channel in sample] for i in range(len(sample[0])) for j in range(len(sample[0][0]))]


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def look(block: NonLocal, sample: list[Rows], layer: nn.Conv2d | None) -> Rows:
    """What a layer makes of the positions that are looked at, with the pooling before it or after it."""
    width = len(sample[0][0])

    def apply(image: list[Rows]) -> list[Rows]:
        rows = positions(image) if layer is None else convolve(layer, positions(image))
        side = width if image is sample else len(image[0][0])
        return [
            [[row[c] for row in rows[i : i + side]] for i in range(0, len(rows), side)] for c in range(len(rows[0]))
        ]

    if block.pool == "after":
        return positions(pooled(apply(sample), block.subsample, block.border))
    return positions(apply(pooled(sample, block.subsample, block.border)))


def weigh(block: NonLocal, sample: list[Rows]) -> Rows:
    """The factor of each pair, f / C: equations (2) to (5)."""
    rows = positions(sample)
    phi = look(block, sample, None if block.similarity == "gaussian" else block.phi)
    if block.similarity == "gaussian":  # equation (2)
        return [softmax([dot(x_i, x_j) for x_j in phi]) for x_i in rows]
    theta = convolve(block.theta, rows)
    if block.similarity == "embedded gaussian":  # equation (3)
        return [softmax([block.factor * dot(t, p) for p in phi]) for t in theta]
    if block.similarity == "dot product":  # equation (4)
        return [[dot(t, p) / len(phi) for p in phi] for t in theta]
    w_f = block.pair.weight.flatten().tolist()  # equation (5)
    return [[max(0.0, dot(w_f, t + p)) / len(phi) for p in phi] for t in theta]


def naive(block: NonLocal, x: Image) -> tuple[Image, dict[str, Any]]:
    """Equations (1) to (6) of the paper, one pair of positions at a time."""
    output, maps = [], []
    for sample in x:
        height, width = len(sample[0]), len(sample[0][0])
        rows, pairs, g = positions(sample), weigh(block, sample), look(block, sample, block.g)
        y = [  # equation (1)
            [sum(pairs[i][j] * g[j][c] for j in range(len(g))) for c in range(len(g[0]))] for i in range(len(rows))
        ]
        z = convolve(block.out, y)
        if isinstance(block.norm, nn.BatchNorm2d):
            norm = block.norm
            mean, var, weight, bias = (
                t.tolist() for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            )
            z = [
                [(v - mean[c]) / (var[c] + norm.eps) ** 0.5 * weight[c] + bias[c] for c, v in enumerate(row)]
                for row in z
            ]
        output.append(
            [
                [[z[i * width + j][c] + sample[c][i][j] for j in range(width)] for i in range(height)]
                for c in range(len(sample))
            ]
        )
        maps.append(pairs)
    return output, {"pairs": maps}


def small(channels: int, looking: int, looked: int) -> bool:
    """Whether two forms keep to the matrix of all pairs: it is smaller than the features that it is made from."""
    return looking * looked <= channels * (looking + looked)


def count(case: Case) -> dict[str, int]:
    """The cost of the form that ``forward`` computes, counted from the equations."""
    o = {"reduction": 2, "similarity": "embedded gaussian", "subsample": 1, "norm": True, "bias": False, **case.options}
    c, d = o["channels"], o["channels"] // o["reduction"]
    n = case.height * case.width
    m = ceil(case.height / o["subsample"]) * ceil(case.width / o["subsample"])
    layers = 2 if o["similarity"] == "gaussian" else 4
    parameters = layers * c * d + o["bias"] * ((layers - 1) * d + c) + 2 * c * o["norm"]
    after = o.get("pool") == "after"
    seen = n if after else m
    macs = (2 * n + 2 * seen) * c * d  # θ and W_z at every position, φ and g at those that are looked at
    if o["similarity"] == "embedded gaussian":
        macs += 2 * n * m * d
    elif o["similarity"] == "gaussian" and (after or small(c, n, seen)):  # no θ and φ
        macs = (n + seen) * c * d + n * m * (c + d)
    elif o["similarity"] == "gaussian":  # g after the mean
        macs = 2 * n * c * d + 2 * n * m * c
    elif o["similarity"] == "dot product":
        macs += min(2 * n * m * d, (n + m) * d * d)
    else:
        parameters += 2 * d
        macs += (n + m) * d + n * m * d * small(c, n, seen)
    return {"parameters": parameters, "macs": macs}


def options(*similarities: str) -> st.SearchStrategy[dict[str, Any]]:
    """Draw the constructor's arguments."""

    @st.composite
    def draw_options(draw: st.DrawFn) -> dict[str, Any]:
        channels = draw(st.integers(1, 8))
        divisors = [r for r in range(1, channels + 1) if channels % r == 0]
        similarity = draw(st.sampled_from(similarities))
        return {
            "channels": channels,
            "reduction": draw(st.sampled_from(divisors)),
            "similarity": similarity,
            "subsample": draw(st.integers(1, 3)),
            "scale": similarity == "embedded gaussian" and draw(st.booleans()),
            "norm": draw(st.booleans()),
            "bias": draw(st.booleans()),
            "pool": draw(st.sampled_from(POOLS)),
        }

    return draw_options()


def keys(block: NonLocal, known: dict[str, int]) -> dict[str, int]:
    side = block.subsample
    return {} if side == 1 else {"n": ceil(known["h"] / side) * ceil(known["w"] / side)}


SPEC = Spec(
    name="non_local",
    cases=cases(options("embedded gaussian", "gaussian"), height=(1, 4), width=(1, 4)),
    fixed=(
        Case({"channels": 4}, batch=2, height=2, width=3),
        Case(
            {"channels": 4, "bias": True, "norm": False, "subsample": 2, "scale": True, "pool": "after"},
            height=3,
            width=3,
            seed=1,
        ),
        Case({"channels": 4, "reduction": 4, "similarity": "gaussian"}, batch=2, height=4, width=3, seed=2),
        Case({"channels": 4, "similarity": "gaussian", "bias": True, "subsample": 2}, height=3, width=2, seed=3),
    ),
    naive=naive,
    sizes=keys,
    cost=count,
    identity_at_start=True,
    no_gradient={"phi.bias": "it adds one number to all similarities of a query, and the softmax takes that away"},
    exceptions={
        "second derivatives": "PyTorch's fused kernel has only first ones; block.attend(x)[0] is the same and has both"
    },
    bad_arguments=(
        BadArguments({"channels": 9}, ValueError, "channels=9 is not divisible by reduction=2.*1, 3, 9"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 8, "reduction": 0}, ValueError, "reduction=0 is not positive"),
        BadArguments({"channels": 8, "subsample": 0}, ValueError, "subsample=0 is not positive"),
        BadArguments({"channels": 8, "subsample": 1.5}, TypeError, r"subsample=1\.5 is not a whole number"),
        BadArguments({"channels": 8, "similarity": "cosine"}, ValueError, "'cosine' is not one of 'embedded gaussian'"),
        BadArguments({"channels": 8, "similarity": "gaussian", "scale": True}, ValueError, "scale=True belongs to"),
        BadArguments({"channels": 8, "pool": "later"}, ValueError, "pool='later' is not one of 'before', 'after'"),
    ),
    bad_inputs=bad_images(),
)

#: The two forms without a softmax, in which a bias of φ does count.
PLAIN = replace(
    SPEC,
    cases=cases(options("dot product", "concatenation"), height=(1, 4), width=(1, 4)),
    fixed=(
        Case({"channels": 4, "similarity": "dot product"}, batch=2, height=2, width=3),
        Case({"channels": 4, "similarity": "dot product", "bias": True, "subsample": 2}, height=4, width=3, seed=1),
        Case({"channels": 4, "similarity": "concatenation", "norm": False}, batch=2, height=4, width=3, seed=2),
        Case({"channels": 4, "similarity": "concatenation", "bias": True, "subsample": 2}, height=3, width=3, seed=3),
    ),
    no_gradient={},
    exceptions={
        "quantisation": "int8 hides the weight of `pair`, whose halves concatenation takes; leave this layer as it is"
    },
)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("size", [(2, 3), (5, 4), (3, 7)])
def test_a_window_that_the_border_cuts_off_is_left_out(size: tuple[int, int], similarity: str, pool: str) -> None:
    options = {"channels": 4, "subsample": 2, "similarity": similarity, "pool": pool, "border": False, "bias": True}
    case = Case(options, height=size[0], width=size[1])
    block, (x,) = SPEC.block(case), SPEC.inputs(case)
    expected, maps = naive(block, x.tolist())
    assert len(maps["pairs"][0][0]) == size[0] // 2 * (size[1] // 2)
    torch.testing.assert_close(block(x), torch.tensor(expected, dtype=x.dtype))
    torch.testing.assert_close(block.attend(x)[0], torch.tensor(expected, dtype=x.dtype))
    with pytest.raises(ValueError, match=r"of at least subsample=2, received shape \(2, 4, 1, 5\)"):
        block(torch.zeros(2, 4, 1, 5, dtype=x.dtype))


@pytest.mark.parametrize("number", LAWS)
def test_the_laws_hold_for_the_forms_without_a_softmax(number: int) -> None:
    LAWS[number](PLAIN, 60)


def test_the_entry_has_the_cost_of_the_default() -> None:
    case = Case({"channels": 64}, height=14, width=9)
    assert count(case) == {
        which: cost.evaluate("non_local", which, channels=64, height=14, width=9) for which in count(case)
    }
    biased = {"channels": 64, "reduction": 4, "bias": True}
    assert count(Case(biased))["parameters"] == cost.evaluate("non_local", "parameters", **biased)


def awake(channels: int, similarity: str = SIMILARITIES[0], **options: Any) -> NonLocal:
    """Build a block that is no longer the identity, in float64 and eval mode."""
    block = NonLocal(channels, similarity=similarity, **options).double().eval()
    if isinstance(block.norm, nn.BatchNorm2d):
        nn.init.ones_(block.norm.weight)
    return block


def test_a_mean_computed_by_hand() -> None:
    """Inner products 0, ln 2, ln 3 with the keys: weights 1/6, 2/6, 3/6."""
    block = awake(2, reduction=2, norm=False)
    with torch.no_grad():
        for layer, weights in ((block.theta, [1, 0]), (block.phi, [0, 1]), (block.g, [1, 0])):
            layer.weight.copy_(torch.tensor(weights).view(1, 2, 1, 1))
        block.out.weight.copy_(torch.tensor([1, 0]).view(2, 1, 1, 1))
    first, second = torch.tensor([1.0, 3.0, 4.0]), torch.tensor([1.0, 2.0, 3.0]).log()
    x = torch.stack([first, second])[None, :, None].double()
    output, maps = block.attend(x)
    torch.testing.assert_close(maps["pairs"][0, 0], torch.tensor([1, 2, 3]).double() / 6)
    torch.testing.assert_close(output[0, 0, 0, 0], torch.tensor(1 + (1 + 6 + 12) / 6).double())


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_one_layer_couples_every_pair_of_positions(similarity: str) -> None:
    torch.manual_seed(0)
    block = awake(4, similarity)
    jacobian = torch.autograd.functional.jacobian(block, torch.randn(1, 4, 3, 4, dtype=torch.float64))
    touched = (jacobian != 0).sum(dim=(0, 1, 4, 5))  # (i, j, p, q): how many of the channels depend on each other
    if similarity == "concatenation":  # a position whose sum is negative says nothing: ReLU
        assert (touched > 0).double().mean() > 0.3
    else:
        assert (touched > 0).all()


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_shuffled_positions_give_shuffled_outputs(similarity: str) -> None:
    block, x = awake(4, similarity), torch.randn(2, 4, 3, 4, dtype=torch.float64)
    order = torch.randperm(12)
    shuffled = x.flatten(2)[..., order].view_as(x)
    torch.testing.assert_close(block(shuffled), block(x).flatten(2)[..., order].view_as(x))


@pytest.mark.parametrize("norm", [True, False])
def test_only_the_last_layer_learns_in_the_first_step(norm: bool) -> None:
    block = NonLocal(8, norm=norm, bias=True)
    block(torch.randn(4, 8, 3, 3)).square().sum().backward()
    learns = {name for name, p in block.named_parameters() if p.grad.any()}
    assert learns == ({"norm.weight", "norm.bias"} if norm else {"out.weight", "out.bias"})


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_fresh_block_leaves_values_and_layout(similarity: str, layout: torch.memory_format) -> None:
    """To the last bit: in another layout the next convolution would round otherwise."""
    block, x = NonLocal(8, similarity=similarity), torch.randn(2, 8, 5, 6).contiguous(memory_format=layout)
    for output in (block(x), block.attend(x)[0]):
        assert torch.equal(output, x)
        assert output.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_forward_needs_a_quarter_of_the_memory(similarity: str) -> None:
    block, x = NonLocal(64, similarity=similarity), torch.randn(1, 64, 32, 32)
    for training in (False, True):
        assert cost.peak(block, x, training=training) <= 0.25 * cost.peak(Literal(block), x, training=training)


@pytest.mark.parametrize("similarity", ["gaussian", "concatenation"])
@pytest.mark.parametrize(("channels", "literal"), [(2, False), (8, True)])
def test_the_matrix_is_kept_where_it_is_small(similarity: str, channels: int, literal: bool) -> None:
    block, x = awake(channels, similarity), torch.randn(1, channels, 3, 4, dtype=torch.float64)
    expected, _ = block.attend(x)
    called = []
    block.attend = lambda x: (called.append(x), (expected, {}))[1]
    torch.testing.assert_close(block(x), expected)
    assert bool(called) == literal


def test_large_similarities_do_not_overflow() -> None:
    block, x = awake(8, "gaussian").float(), 50 * torch.randn(1, 8, 4, 5)
    torch.testing.assert_close(block(x), block.attend(x)[0])
    assert block(x).isfinite().all()


def test_concatenation_in_bfloat16_sums_thousands() -> None:
    block = awake(16, "concatenation", norm=False, reduction=1)
    nn.init.normal_(block.out.weight)
    x = torch.randn(1, 16, 64, 64, dtype=torch.float64)
    expected = block.attend(x)[0]
    error = (block.bfloat16()(x.bfloat16()).double() - expected).abs().max() / expected.abs().max()
    assert error < 0.05


# What popular copies do otherwise, in our words: the laws see each.


class MultipliedByRoot(NonLocal):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.factor = 1 / self.factor  # divides by d^-0.5


class WithoutShortcut(NonLocal):
    def _add(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return super()._add(y, x) - x


class ScaledByWidth(NonLocal):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.factor = self.channels**-0.5  # of the input, not of the queries


class SoftmaxOverQueries(NonLocal):
    def attend(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        queries, keys = self._queries_and_keys(x, x)
        pairs = (queries @ keys.transpose(1, 2) * self.factor).softmax(dim=1)
        g = self.g(x).flatten(2).transpose(1, 2)
        return self._add(pairs @ g, x), {"pairs": pairs}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attend(x)[0]


@pytest.mark.parametrize(
    ("wrong", "number", "says"),
    [
        (MultipliedByRoot, 2, "the output differs|the map 'pairs'"),
        (WithoutShortcut, 9, "the output at initialisation"),
        (ScaledByWidth, 2, "the output differs|the map 'pairs'"),
        (SoftmaxOverQueries, 3, "summed over its axes"),
    ],
)
def test_wrong_copies_are_caught(wrong: type[NonLocal], number: int, says: str) -> None:
    def reference(block: NonLocal, x: Image) -> tuple[Image, dict[str, Any]]:
        given, block.factor = block.factor, (block.channels // 2) ** -0.5
        try:
            return naive(block, x)
        finally:
            block.factor = given

    case = Case({"channels": 4, "scale": True}, height=3, width=4)
    spec = replace(SPEC, cases=st.just(case), fixed=(case,), naive=reference).with_build(wrong)
    with pytest.raises(AssertionError, match=says):
        LAWS[number](spec, 5)


# The tasks.


@pytest.mark.parametrize("names", [4, 64])
def test_every_asker_finds_its_bit_on_the_left(names: int) -> None:
    task = tasks.distant_copy(names=names, train=20, test=10)
    x, y = task.train
    words = x[:, :6].permute(0, 2, 3, 1)
    for sample in range(20):
        holders = {
            tuple(w.tolist()): b
            for w, b in zip(words[sample, :, :8].flatten(0, 1), x[sample, 6, :, :8].flatten(), strict=True)
        }
        assert len(holders) == names
        asked = words[sample, :, -8:].flatten(0, 1)
        assert [holders[tuple(w.tolist())] > 0 for w in asked] == [bool(bit) for bit in y[sample]]
    assert not x[:, :, :, 8:12].any()
    assert not x[:, 6, :, 12:].any()


def test_tasks_depend_on_their_seed_alone() -> None:
    for make in (tasks.distant_copy, tasks.which_is_left):
        before = torch.get_rng_state()
        one, two, other = (make(seed, train=50, test=20) for seed in (3, 3, 4))
        assert all(torch.equal(a, b) for a, b in zip((*one.train, *one.test), (*two.train, *two.test), strict=True))
        assert not torch.equal(one.train[0], other.train[0])
        assert not torch.equal(one.train[0][:20], one.test[0])
        assert torch.equal(before, torch.get_rng_state())


def test_names_that_are_no_power_of_two_are_refused() -> None:
    with pytest.raises(ValueError, match="names=6 is not one of 2, 4, 8, 16, 32, 64"):
        tasks.distant_copy(names=6)


def test_short_convolutions_cannot_see_the_holders() -> None:
    """Three 3 × 3 convolutions reach three cells; there are four between the squares."""
    network = tasks.Copier(*(nn.Conv2d(16, 16, 3, padding=1) for _ in range(3))).double()
    x = tasks.distant_copy(train=2, test=2).train[0].double().requires_grad_()
    network(x).sum().backward()
    assert not x.grad[..., :8].any()
    assert x.grad[..., 12:].any()


def test_the_counting_limit_is_that_of_small_cases() -> None:
    """For one number and K names: K + 1 of the 2^K sets of answers, and what is nearest found by trying."""
    assert tasks.counting_limit(4, 4) == tasks.counting_limit(8, 16) == 1
    for names in (2, 3, 4):
        sets = torch.cartesian_prod(*[torch.tensor([0, 1])] * names)
        thresholds = torch.stack(
            [(torch.arange(names) < at).long() for at in range(names + 1)]
        )  # one name after another
        right = (sets[:, None] == thresholds[None]).double().mean(dim=2).amax(dim=1).mean().item()
        assert right <= tasks.counting_limit(names, 1) + 1e-12


@pytest.mark.parametrize(("names", "width"), [(16, 8), (32, 8), (64, 8), (64, 16)])
def test_an_even_memory_answers_as_often_as_one_that_is_built(names: int, width: int) -> None:
    """Rows of a matrix of ±1 with orthogonal rows give each name a vector of one length, evenly spread."""
    rows = torch.ones(1, 1)
    while len(rows) < names:
        rows = torch.cat([torch.cat([rows, rows], 1), torch.cat([rows, -rows], 1)])
    generator, right = torch.Generator().manual_seed(0), []
    for _ in range(20):
        vectors = rows[torch.randperm(names, generator=generator)[:width]]
        bits = torch.randint(0, 2, (2000, names), generator=generator) * 2.0 - 1
        back = bits * (bits @ vectors.T @ vectors)
        right.append(((back > 0).double() + (back == 0) / 2).mean().item())
    found = sum(right) / len(right)
    assert found == pytest.approx(tasks.even_memory(names, width), abs=0.02)
    assert found < tasks.counting_limit(names, width)


def test_an_even_memory_with_room_for_all_forgets_nothing() -> None:
    assert tasks.even_memory(8, 8) == tasks.even_memory(4, 8) == 1
    assert tasks.even_memory(9, 8) < 1


def test_distances_between_positions_are_those_of_all_pairs() -> None:
    rows = torch.randn(2, 5, 3).double()
    cosine = nn.functional.cosine_similarity(rows[:, :, None], rows[:, None], dim=3)
    assert tasks.spread(rows) == pytest.approx(((1 - cosine) / 2).mean().item())
    alike = rows[:, :1] * torch.rand(2, 5, 1).double()
    assert tasks.spread(alike) == pytest.approx(0)


# What the block is set against.


def opened(block: tasks.Read) -> tasks.Read:
    """Make a block give something, in float64 and eval mode."""
    nn.init.ones_(block.norm.weight)
    return block.double().eval()


@pytest.mark.parametrize("make", [lambda: tasks.FixedWeights(8, 12), lambda: tasks.OneMap(8), lambda: tasks.Itself(8)])
def test_controls_start_as_the_identity_and_have_the_layers_of_the_block(make: Any) -> None:
    block, x = make(), torch.randn(2, 8, 3, 4)
    assert torch.equal(block(x), x)
    count = sum(p.numel() for p in NonLocal(8).parameters())
    own = sum(p.numel() for name, p in block.named_parameters() if name.split(".")[0] not in ("keys", "scores"))
    assert own == count - 2 * 8 * 4, "all but queries and keys"


def test_fixed_weights_do_not_look() -> None:
    block = opened(tasks.FixedWeights(4, 12))
    nn.init.normal_(block.scores)
    one, other = torch.randn(2, 1, 4, 3, 4).double()
    taken = [block.read(x, torch.eye(12).double()[None]) for x in (one, other)]
    assert torch.equal(*taken)
    torch.testing.assert_close(taken[0][0].sum(dim=0), torch.ones(12).double())
    assert taken[0].std(dim=2).min() > 0, "each position has weights of its own"


def test_one_map_is_the_same_for_all_positions_and_another_for_each_image() -> None:
    block, x = opened(tasks.OneMap(4)), torch.randn(2, 4, 3, 4).double()
    weights = block.read(x, torch.eye(12).double().expand(2, 12, 12))
    assert weights.shape == (2, 12, 1)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, 1).double())
    assert not torch.allclose(weights[0], weights[1])
    added = block(x) - x
    torch.testing.assert_close(added, added[..., :1, :1].expand_as(added))


def test_itself_has_no_reach() -> None:
    block = opened(tasks.Itself(4))
    jacobian = torch.autograd.functional.jacobian(block, torch.randn(1, 4, 2, 3).double())
    touched = (jacobian != 0).sum(dim=(0, 1, 4, 5)).view(6, 6)
    assert torch.equal(touched > 0, torch.eye(6) > 0)


def test_dilated_convolutions_reach_from_each_asker_to_each_holder() -> None:
    """With weights of one sign and no zero behind a ReLU, a derivative is 0 where nothing reaches, and only there."""
    network = tasks.copiers(["dilated convolutions"])["dilated convolutions"]()
    for p in network.parameters():
        nn.init.constant_(p, 0.05)
    x = torch.ones(1, 8, 8, 20, requires_grad=True)
    answers = network.decide(network.blocks(network.features(x)))[0, 0]
    for row, column in ((0, 12), (7, 19), (3, 15), (0, 19), (7, 12)):
        (slope,) = torch.autograd.grad(answers[row, column], x, retain_graph=True)
        assert (slope[0, :, :, :8] > 0).all()


def test_all_networks_of_the_copying_task_can_be_asked_for() -> None:
    made = tasks.copiers()
    assert tuple(made) == tasks.NETWORKS
    x = tasks.distant_copy(train=2, test=2).train[0]
    assert all(build()(x).shape == (2, 64) for build in made.values())
    assert {name for names in copying.NETWORKS.values() for name in names} == set(made)


# The records.


def test_a_live_seed_gives_what_was_recorded() -> None:
    kept = record.load("non_local")["experiment"]["comparisons"]
    for names, which in ((64, ("three convolutions", "SE")), (8, ("dot product",))):
        recorded = Comparison.from_dict(kept[str(names)])
        live = copying.compared(names, [0], Budget("cpu", torch.device("cpu")), which)
        for name in which:
            assert live.scores(name)[0] == pytest.approx(recorded.scores(name)[0], abs=0.02)


def test_the_recording_of_copies_runs_and_keeps_every_network() -> None:
    smoke = Budget("smoke", torch.device("cpu"))
    kept = copying.summary([copying.one_run(smoke, **run) for run in copying.runs(smoke)], smoke)
    found = {int(names): Comparison.from_dict(each) for names, each in kept["comparisons"].items()}
    assert {names: each.names for names, each in found.items()} == copying.NETWORKS
    longer = {int(names): Comparison.from_dict(each) for names, each in kept["longer"].items()}
    assert tuple(longer) == copying.LONGER
    assert all(each.steps == copying.TIMES * found[64].steps for each in longer.values())


def test_the_recording_of_clothes_runs_and_looks_into_the_block() -> None:
    smoke = Budget("smoke", torch.device("cpu"))
    kept = record_clothes.summary([record_clothes.one_run(smoke, **run) for run in record_clothes.runs(smoke)], smoke)
    assert Comparison.from_dict(kept["comparison"]).names == tuple(record_clothes.ARMS)
    for looked in kept["looked"]:
        assert set(looked) == {"input", "added", "map", "size", "own", "another", "mean"}
        assert all(0 <= looked[key] <= 1 for key in ("input", "added", "map", "own", "another", "mean"))


def test_outside_the_block_all_networks_start_alike() -> None:
    def weights(arm: str) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        parameters = record_clothes.network(arm).named_parameters()
        return {name: p for name, p in parameters if ".attention." not in name}

    plain = weights("plain")
    for arm in record_clothes.ARMS:
        found = weights(arm)
        assert found.keys() == plain.keys()
        assert all(torch.equal(p, plain[name]) for name, p in found.items())


def test_mirror_images_have_opposite_classes_and_the_same_positions() -> None:
    x, y = tasks.which_is_left(train=10, test=40).test
    assert torch.equal(x[0::2], x[1::2].flip(3))
    assert torch.equal(y[0::2], 1 - y[1::2])


def test_a_network_without_coordinates_answers_mirror_images_alike() -> None:
    task = tasks.which_is_left(train=10, test=40)
    network = tasks.Judge(awake(16).float()).eval()
    scores = network(task.test[0])
    torch.testing.assert_close(scores[0::2], scores[1::2])
    assert evaluate(network, task) == 0.5
    informed = tasks.Judge(awake(16).float(), coordinates=True).eval()(task.test[0])
    assert not torch.allclose(informed[0::2], informed[1::2], atol=1e-3)
