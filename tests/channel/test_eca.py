"""Efficient Channel Attention: its Spec for the laws, and what holds for this block alone."""

import re
from math import exp
from typing import Any

import pytest
import torch
from einops import rearrange, reduce
from hypothesis import strategies as st
from torch import Tensor, nn

import attention
from attention import formulas, registry
from attention.backbones.resnet import resnet50, small_resnet
from attention.channel.eca import EfficientChannelAttention, kernel_size_for
from attention.experiments.eca import record as networks
from attention.experiments.eca import record_diagonal, tasks
from attention.experiments.eca import record_patterns as patterns
from attention.lab import cost, record
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.tasks import gate_patterns
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Image = list[list[list[list[float]]]]


def naive(block: EfficientChannelAttention, x: Image) -> tuple[Image, dict[str, Image]]:
    """The mean of each channel, the weighted sum of its neighbours' means, the gate; one number at a time."""
    ((w,),) = block.conv.weight.tolist()
    half = len(w) // 2
    output, gates = [], []
    for sample in x:
        z = []
        for x_c in sample:
            total = 0.0
            for row in x_c:
                for value in row:
                    total += value
            z.append(total / (len(x_c) * len(x_c[0])))
        s = []
        for c in range(len(z)):
            total = 0.0
            for d in range(-half, half + 1):
                if 0 <= c + d < len(z):
                    total += w[d + half] * z[c + d]
            s.append(1 / (1 + exp(-total)))
        output.append([[[gate * v for v in row] for row in x_c] for gate, x_c in zip(s, sample, strict=True)])
        gates.append([[[gate]] for gate in s])
    return output, {"channel": gates}


def nearest_odd(channels: int, gamma: int = 2, offset: int = 1) -> int:
    """The odd number nearest to (log₂ C + b) / γ; of two that are equally near, the larger one.

    In whole numbers: k is near enough where k − 1 ≤ t < k + 1, and t ≥ k − 1 is C · 2^b ≥ 2^(γ (k − 1)).
    """
    k = 1
    while channels * 2**offset >= 2 ** (gamma * (k + 1)):
        k += 2
    return k


def expected_cost(case: Case) -> dict[str, int]:
    """The formulas, with the kernel size that the block computes."""
    known = {name: case.options[name] for name in ("gamma", "offset") if name in case.options}
    k = case.options.get("kernel_size") or nearest_odd(case.options["channels"], **known)
    sizes = {"channels": case.options["channels"], "kernel_size": k}
    return {which: formulas.evaluate("eca", which, **sizes) for which in ("parameters", "macs")}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    drawn = {"channels": draw(st.integers(1, 16)), "kernel_size": draw(st.sampled_from([None, 1, 3, 5, 9]))}
    if drawn["kernel_size"] is None:
        drawn |= {"gamma": draw(st.integers(1, 3)), "offset": draw(st.integers(1, 3))}
    return drawn


SPEC = Spec(
    name="eca",
    cases=cases(options()),
    fixed=(
        Case({"channels": 16}, batch=3, height=3, width=5),
        Case({"channels": 7, "kernel_size": 5}, batch=2, height=4, width=3, seed=1),
        Case({"channels": 12, "gamma": 1, "offset": 2}, batch=2, height=1, width=1, seed=2),
    ),
    naive=naive,
    cost=expected_cost,
    bad_arguments=(
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 16.0}, TypeError, "channels=16.0 is not a whole number"),
        BadArguments({"channels": 16, "kernel_size": 4}, ValueError, "kernel_size=4 is even.*1, 3, 5"),
        BadArguments({"channels": 16, "kernel_size": -3}, ValueError, "kernel_size=-3 is not positive"),
        BadArguments({"channels": 16, "kernel_size": "3"}, TypeError, "kernel_size='3' is not a whole number"),
        BadArguments({"channels": 16, "gamma": 0}, ValueError, "gamma=0 is not positive"),
        BadArguments({"channels": 16, "gamma": 2.5}, TypeError, "gamma=2.5 is not a whole number"),
        BadArguments({"channels": 16, "offset": -1}, ValueError, "offset=-1 is not positive"),
    ),
    bad_inputs=bad_images(),
)


def test_gates_computed_by_hand() -> None:
    """Three channels of means 1, 2 and 4, weights 1, 0, −1: each gate is σ(the one before less the one behind)."""
    block = EfficientChannelAttention(3, kernel_size=3)
    with torch.no_grad():
        block.conv.weight.copy_(torch.tensor([[[1.0, 0.0, -1.0]]]))
    x = torch.tensor([[[[0.0, 2.0]], [[1.0, 3.0]], [[4.0, 4.0]]]])
    expected = torch.tensor([0 - 2.0, 1 - 4.0, 2 - 0.0]).sigmoid()
    torch.testing.assert_close(block.weights(x)[0, :, 0, 0], expected)
    torch.testing.assert_close(block(x)[0, :, 0], expected[:, None] * x[0, :, 0])


@pytest.mark.parametrize(
    ("channels", "k"), [(16, 3), (32, 3), (64, 3), (128, 5), (256, 5), (512, 5), (1024, 5), (2048, 7)]
)
def test_kernel_size_of_the_paper(channels: int, k: int) -> None:
    """128 and 2048 are ties: (log₂ C + 1) / 2 is 4 and 6 there."""
    assert EfficientChannelAttention(channels).kernel_size == k
    assert EfficientChannelAttention(channels).conv.weight.shape == (1, 1, k)


def test_kernel_size_is_the_nearest_odd_number() -> None:
    for channels in range(1, 5000):
        for gamma, offset in ((2, 1), (1, 1), (1, 3), (3, 2)):
            assert kernel_size_for(channels, gamma, offset) == nearest_odd(channels, gamma, offset)


def test_gamma_and_offset_choose_the_kernel_size() -> None:
    assert EfficientChannelAttention(256, gamma=1).kernel_size == 9
    assert EfficientChannelAttention(256, offset=5).kernel_size == 7
    assert EfficientChannelAttention(256, kernel_size=3, gamma=1).kernel_size == 3


def test_a_gate_sees_its_neighbours_alone() -> None:
    """The Jacobian of the gates by the channel means is a band of width k."""
    block = EfficientChannelAttention(8, kernel_size=3).double()
    jacobian = torch.autograd.functional.jacobian(
        lambda z: block.weights(z[None, :, None, None]).flatten(), torch.randn(8, dtype=torch.float64)
    )
    near = (torch.arange(8)[:, None] - torch.arange(8)).abs() <= 1
    assert torch.equal(jacobian != 0, near)


def test_the_order_of_the_channels_counts() -> None:
    """Channels relabelled: the gates are others, unless all means are seen alike (k = 1)."""
    order, x = torch.tensor([2, 0, 3, 1, 5, 4]), torch.randn(1, 6, 2, 3, dtype=torch.float64)
    for k, alike in ((3, False), (1, True)):
        block = EfficientChannelAttention(6, kernel_size=k).double()
        assert torch.allclose(block.weights(x[:, order]), block.weights(x)[:, order]) == alike


def test_gate_is_blind_to_where_things_are() -> None:
    block, x = EfficientChannelAttention(16).double(), torch.randn(2, 16, 5, 6, dtype=torch.float64)
    shuffled = x.flatten(2)[..., torch.randperm(30)].view_as(x)
    torch.testing.assert_close(block.weights(shuffled), block.weights(x))


@pytest.mark.parametrize("k", [lambda c: 5, lambda c: {256: 3, 512: 5, 1024: 5, 2048: 7}[c]])
def test_eighty_parameters_in_the_published_network(k: Any) -> None:
    """24.37 M by the paper's count, in which a million is 2²⁰."""
    shape = (3, 224, 224)
    plain = cost.on_paper(resnet50, shape).parameters
    total = cost.on_paper(
        lambda: resnet50(attention=lambda c: EfficientChannelAttention(c, kernel_size=k(c))), shape
    ).parameters
    assert total - plain == 80
    assert f"{total / 2**20:.2f}" == "24.37"


def test_kernel_sizes_from_the_block_widths_are_six_more() -> None:
    """The formula, with the width of each block's output: 3 × 5, 4 × 5, 6 × 5 and 3 × 7."""
    shape = (3, 224, 224)
    plain = cost.on_paper(resnet50, shape).parameters
    assert cost.on_paper(lambda: resnet50(attention=EfficientChannelAttention), shape).parameters - plain == 86


def test_costs_of_one_block() -> None:
    x = torch.randn(1, 256, 14, 14)
    counted = cost.check("eca", EfficientChannelAttention(256), x, kernel_size=5)
    assert (counted.parameters, counted.macs) == (5, 1280)


# The official code


def official(x: Tensor, weight: Tensor) -> Tensor:
    """The function of the authors' layer, in plain torch: no matter how many channels, its kernel is as given."""
    z = torch.nn.functional.pad(x.mean((2, 3)), (weight.numel() // 2,) * 2)
    logits = sum(weight.flatten()[d] * z[:, d : d + x.shape[1]] for d in range(weight.numel()))
    return x * logits.sigmoid()[:, :, None, None]


@pytest.mark.parametrize("channels", [4, 64, 256])
def test_official_weights_load_and_give_the_official_function(channels: int) -> None:
    found = registry.entry("eca").official
    block = attention.create("eca", channels, **found["options"]).double()
    assert block.conv.weight.shape == (1, 1, 3)
    weights = {"conv.weight": torch.randn(1, 1, 3, dtype=torch.float64)}
    attention.load_official(block, weights)
    x = torch.randn(3, channels, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, weights["conv.weight"]), rtol=0, atol=1e-12)
    assert set(found["names"].values()) == set(block.state_dict())


def test_official_weights_of_another_kernel_size() -> None:
    """The released networks have other kernel sizes in other stages; the block takes the same one."""
    block = EfficientChannelAttention(64, kernel_size=7).double()
    weight = torch.randn(1, 1, 7, dtype=torch.float64)
    attention.load_official(block, {"layer1.0.eca.conv.weight": weight}, prefix="layer1.0.eca.")
    x = torch.randn(2, 64, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, weight), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=r"conv.weight .* do not fit.*kernel_size=3"):
        attention.load_official(EfficientChannelAttention(64), {"conv.weight": weight})


# What circulates, in our words: each is caught by a law


class FixedKernel(EfficientChannelAttention):
    """Three neighbours, however many channels there are, where the size is to be computed."""

    def __init__(self, channels: int, kernel_size: int | None = None, **options: Any) -> None:
        super().__init__(channels, kernel_size or 3)


class WithBias(EfficientChannelAttention):
    """A convolution with a bias."""

    def __init__(self, channels: int, kernel_size: int | None = None, **options: Any) -> None:
        super().__init__(channels, kernel_size, **options)
        self.conv = nn.Conv1d(1, 1, self.kernel_size, padding=self.kernel_size // 2)


class NoSigmoid(EfficientChannelAttention):
    """The weighted sum itself as the gate."""

    def weights(self, x: Tensor) -> Tensor:
        return super().weights(x).logit()


class OwnWeights(EfficientChannelAttention):
    """Weights of its own for each channel, which the paper tries and does not keep."""

    def __init__(self, channels: int, kernel_size: int | None = None, **options: Any) -> None:
        super().__init__(channels, kernel_size, **options)
        self.conv = nn.Conv1d(channels, channels, self.kernel_size, padding=self.kernel_size // 2, groups=channels)

    def weights(self, x: Tensor) -> Tensor:
        z = reduce(x, "b c h w -> b c", "mean")
        return rearrange(self.conv(rearrange(z, "b c -> b c 1"))[..., 0].sigmoid(), "b c -> b c 1 1")


class AcrossTheBatch(EfficientChannelAttention):
    """The axes laid wrong: the convolution runs along the samples."""

    def weights(self, x: Tensor) -> Tensor:
        z = reduce(x, "b c h w -> c 1 b", "mean")
        return rearrange(self.conv(z).sigmoid(), "c 1 b -> b c 1 1")


class Maximum(EfficientChannelAttention):
    """The maximum of each channel for its mean."""

    def weights(self, x: Tensor) -> Tensor:
        return super().weights(reduce(x, "b c h w -> b c 1 1", "max"))


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        (FixedKernel, 6),
        (WithBias, 6),
        (NoSigmoid, 3),
        (OwnWeights, 6),
        (AcrossTheBatch, 4),
        (Maximum, 2),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int) -> None:
    with pytest.raises(AssertionError, match=rf"law {law} \("):
        LAWS[law](SPEC.with_build(wrong), 25)


# The chapter's experiments


def test_a_full_matrix_sees_every_channel() -> None:
    """The paper's SE-Var3: σ(W z), with a weight for each pair of channels and no bias."""
    block = tasks.FullMatrix(6)
    x = torch.randn(2, 6, 3, 4)
    expected = (x.mean((2, 3)) @ block.matrix.weight.T).sigmoid()
    torch.testing.assert_close(block.weights(x)[..., 0, 0], expected)
    torch.testing.assert_close(block(x), x * expected[:, :, None, None])
    assert [p.numel() for p in block.parameters()] == [36]
    with pytest.raises(ValueError, match="received shape"):
        block(torch.randn(2, 5, 3, 4))


def test_a_diagonal_sees_each_gates_own_channel() -> None:
    """The paper's SE-Var2: σ(w_c z_c)."""
    block, x = tasks.Diagonal(6), torch.randn(2, 6, 3, 4)
    torch.testing.assert_close(block.weights(x)[..., 0, 0], (block.weight * x.mean((2, 3))).sigmoid())
    assert [p.numel() for p in block.parameters()] == [6]
    with pytest.raises(ValueError, match="received shape"):
        block(torch.randn(2, 5, 3, 4))
    smoke = Budget("smoke", torch.device("cpu"))
    kept = record_diagonal.summary(
        [record_diagonal.one_run(smoke, **run) for run in record_diagonal.runs(smoke)], smoke
    )
    assert [len(Comparison.from_dict(kept[name]).seeds) for name in record_diagonal.ASKED] == [2, 2]


def test_the_widest_kernel_sees_all_channels() -> None:
    x = torch.randn(1, 64, 1, 1, requires_grad=True)
    for c in (0, 63):
        gate = EfficientChannelAttention(64, max(tasks.KERNELS)).weights(x)[0, c]
        (seen,) = torch.autograd.grad(gate.sum(), x)
        assert seen.flatten().ne(0).all()


def test_the_arms_have_the_parameters_that_the_chapter_names() -> None:
    counted = {name: sum(p.numel() for p in build().parameters()) for name, build in tasks.arms().items()}
    assert counted["SE, r = 16"] == 2 * 64 * 4 + 64 + 4 == 580
    assert counted["SE, r = 1"] == 8320
    assert counted["full matrix"] == 64**2
    assert [counted[f"ECA, k = {k}"] for k in tasks.KERNELS] == list(tasks.KERNELS)


def test_the_control_undoes_the_permutation_and_nothing_else() -> None:
    sizes = {"channels": 16, "train": 40, "test": 20}
    there, back = gate_patterns(3, permute=True, **sizes), tasks.relabelled(3, **sizes)
    order = tasks.assigned(3, 16)
    for (x, wanted), (renamed, answers) in ((there.train, back.train), (there.test, back.test)):
        assert torch.equal(answers, wanted)
        assert torch.equal(renamed, x[:, order])
        own = (renamed.mean((2, 3)) > 0).float()
        assert torch.equal(own, answers)
        assert not torch.equal((x.mean((2, 3)) > 0).float(), wanted)


@pytest.mark.parametrize(
    ("task", "names"), [("own", ("SE, r = 16", "SE, r = 4")), ("permuted", ("ECA, k = 3", "full matrix"))]
)
def test_what_trains_in_the_chapter_is_what_was_recorded(task: str, names: tuple[str, ...]) -> None:
    kept = Comparison.from_dict(record.load("eca.patterns")["experiment"][task])
    live = patterns.compared(task, [0], kept.steps, names)
    for name in names:
        assert live.scores(name)[0] == pytest.approx(kept.scores(name)[0], abs=0.005)


def test_a_shuffled_order_is_the_same_block_with_renamed_channels() -> None:
    block, control = EfficientChannelAttention(12), networks.Reordered(12, seed=5)
    control.conv.load_state_dict(block.conv.state_dict())
    x, order = torch.randn(2, 12, 3, 3), control.order
    assert not torch.equal(order, torch.arange(12))
    torch.testing.assert_close(control(x)[:, order], block(x[:, order]))


def test_a_network_in_a_shuffled_order_is_a_network_with_renamed_channels() -> None:
    """Why that arm of the record is no rival of ECA: its units are ECA's, the channels in another order."""
    control = small_resnet((8,), attention=lambda c: networks.Reordered(c, 1)).eval()
    plain = small_resnet((8,), attention=EfficientChannelAttention).eval()
    order = control.stages[0][0].attention.order
    with torch.no_grad():
        for norm in (m for m in control.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.weight.normal_()
            norm.bias.normal_()
    state = {name: value.clone() for name, value in control.state_dict().items() if name in plain.state_dict()}
    for name, value in state.items():  # what writes the unit's channels, and what reads them
        if re.search(r"stages.0.0.(conv2|norm2|shortcut)", name) and value.ndim:
            state[name] = value[order]
    reader = next(name for name, value in state.items() if name.startswith("head") and value.ndim == 2)
    state[reader] = state[reader][:, order]
    plain.load_state_dict(state)
    x = torch.randn(3, 1, 12, 12)
    torch.testing.assert_close(plain(x), control(x))


def test_neighbours_are_compared_with_any_two_channels() -> None:
    """Pairs of equal channels side by side; and the mean over all pairs is what random orders give on average."""
    single = torch.randn(400, 4, dtype=torch.float64)
    z = single.repeat_interleave(2, 1)
    found = networks.alike(z)
    r = torch.corrcoef(z.T)
    sides = [r[c, c + 1].abs().item() for c in range(7)]
    assert found["neighbours"] == pytest.approx(sum(sides) / 7, abs=1e-4)
    assert found["neighbours"] > 4 / 7 > found["any two"]
    assert found["above"] > 0.95
    orders = [networks.alike(z, torch.randperm(8))["neighbours"] for _ in range(200)]
    assert found["any two"] == pytest.approx(sum(orders) / 200, abs=0.03)
    opposite = networks.alike(torch.stack([single[:, 0], -single[:, 0]], 1))
    assert (opposite["neighbours"], opposite["neighbours, signed"]) == (1, -1)


@pytest.fixture
def gated() -> nn.Module:
    network = small_resnet((8, 16), attention=EfficientChannelAttention).eval()
    for block in network.modules():
        if isinstance(block, EfficientChannelAttention):
            nn.init.constant_(block.conv.weight, 2.0)
    return network


def test_gates_in_another_order_are_those_of_renamed_channels() -> None:
    x = torch.randn(4, 6, 2, 2)
    block, alone = EfficientChannelAttention(6, 3), EfficientChannelAttention(6, 1)
    rule = networks.in_another_order(2)
    assert not torch.allclose(rule(block, x), networks.gates_of(block, x))
    torch.testing.assert_close(rule(alone, x), networks.gates_of(alone, x))  # without neighbours there is no order


def test_the_means_of_a_network_are_those_that_its_blocks_see(gated: nn.Module) -> None:
    x = torch.rand(5, 1, 12, 12)
    seen = {}
    for name, block in gated.named_modules():
        if isinstance(block, EfficientChannelAttention):
            block.register_forward_hook(lambda _, inputs, __, name=name: seen.update({name: inputs[0].mean((2, 3))}))
    found = networks.means(gated, x)
    assert [f"{name}.attention" for name in found] == list(seen)
    for name, z in found.items():
        torch.testing.assert_close(z.float(), seen[f"{name}.attention"])


def test_all_networks_of_the_record_start_alike_outside_their_blocks() -> None:
    started = []
    for block in networks.arms(0).values():
        torch.manual_seed(7)
        state = networks.network("smoke", block).state_dict()
        started.append({name: value for name, value in state.items() if "attention" not in name})
    for other in started[1:]:
        assert list(other) == list(started[0])
        assert all(torch.equal(value, started[0][name]) for name, value in other.items())
