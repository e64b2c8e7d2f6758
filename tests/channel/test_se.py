"""Squeeze-and-Excitation: its Spec for the laws, and what holds for this block alone."""

from math import exp
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from attention.backbones.resnet import small_resnet
from attention.channel.se import SqueezeExcitation
from attention.experiments.se import position, record_added, record_claims, record_gates, record_position, tasks
from attention.experiments.se.gradients import relative_gradients
from attention.lab import record
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.training import compare
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Image = list[list[list[list[float]]]]


def naive(block: SqueezeExcitation, x: Image) -> tuple[Image, dict[str, Image]]:
    """Equations (2), (3) and (4) of the paper, one number at a time."""
    w1, w2 = block.reduce.weight.tolist(), block.expand.weight.tolist()
    b1 = [0.0] * len(w1) if block.reduce.bias is None else block.reduce.bias.tolist()
    b2 = [0.0] * len(w2) if block.expand.bias is None else block.expand.bias.tolist()
    output, gates = [], []
    for sample in x:
        z = []  # equation (2): z_c = 1 / (H W) · Σ_i Σ_j x_c(i, j)
        for x_c in sample:
            total = 0.0
            for row in x_c:
                for value in row:
                    total += value
            z.append(total / (len(x_c) * len(x_c[0])))
        hidden = []  # equation (3), inside: δ(W₁ z)
        for weights, offset in zip(w1, b1, strict=True):
            total = offset
            for c, weight in enumerate(weights):
                total += weight * z[c]
            hidden.append(total if total > 0 else 0.0)
        s = []  # equation (3), outside: s = σ(W₂ δ(W₁ z))
        for weights, offset in zip(w2, b2, strict=True):
            total = offset
            for k, weight in enumerate(weights):
                total += weight * hidden[k]
            s.append(1 / (1 + exp(-total)))
        # Equation (4): y_c = s_c · x_c
        output.append([[[s_c * value for value in row] for row in x_c] for s_c, x_c in zip(s, sample, strict=True)])
        gates.append([[[s_c]] for s_c in s])
    return output, {"channel": gates}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    channels = draw(st.integers(1, 16))
    divisors = [r for r in range(1, channels + 1) if channels % r == 0]
    return {"channels": channels, "reduction": draw(st.sampled_from(divisors)), "bias": draw(st.booleans())}


SPEC = Spec(
    name="se",
    cases=cases(options()),
    fixed=(
        Case({"channels": 8, "reduction": 2, "bias": True}, batch=3, height=3, width=5),
        Case({"channels": 8, "reduction": 4, "bias": False}, batch=2, height=4, width=3, seed=1),
        Case({"channels": 16}, batch=2, height=1, width=1, seed=2),  # the default reduction, one hidden unit
    ),
    naive=naive,
    bad_arguments=(
        BadArguments({"channels": 30, "reduction": 16}, ValueError, "channels=30 is not divisible by reduction=16"),
        BadArguments({"channels": 8}, ValueError, "channels=8 is not divisible by reduction=16.*1, 2, 4, 8"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": -16}, ValueError, "channels=-16 is not positive"),
        BadArguments({"channels": 16, "reduction": 0}, ValueError, "reduction=0 is not positive"),
        BadArguments({"channels": 16, "reduction": 4.0}, TypeError, "reduction=4.0 is not a whole number"),
        BadArguments({"channels": "16"}, TypeError, "channels='16' is not a whole number"),
        BadArguments({"channels": True, "reduction": 1}, TypeError, "channels=True is not a whole number"),
    ),
    bad_inputs=bad_images(),
)


def test_gates_computed_by_hand() -> None:
    """Two channels, small enough to compute in the head: means 1 and 3, one hidden unit, gates σ(2) and σ(−4)."""
    block = SqueezeExcitation(2, reduction=2)
    with torch.no_grad():
        block.reduce.weight.copy_(torch.tensor([[-1.0, 1.0]]))  # 3 − 1 = 2
        block.expand.weight.copy_(torch.tensor([[1.0], [-2.0]]))
    x = torch.stack([torch.tensor([[0.0, 2.0]]), torch.tensor([[2.0, 4.0]])])[None]
    expected = torch.tensor([1 / (1 + exp(-2)), 1 / (1 + exp(4))])
    torch.testing.assert_close(block.weights(x)[0, :, 0, 0], expected)
    torch.testing.assert_close(block(x)[0, :, 0], expected[:, None] * x[0, :, 0])


def test_gate_is_blind_to_where_things_are() -> None:
    block, x = SqueezeExcitation(16, 4).double(), torch.randn(2, 16, 5, 6, dtype=torch.float64)
    shuffled = x.flatten(2)[..., torch.randperm(30)].view_as(x)
    torch.testing.assert_close(block.weights(shuffled), block.weights(x))


def test_each_gate_sees_every_channel() -> None:
    """The Jacobian of the gates by the channel means has no zero, as long as a hidden unit is awake."""
    block = SqueezeExcitation(8, 2, bias=True).double()
    nn.init.constant_(block.reduce.bias, 10.0)
    jacobian = torch.autograd.functional.jacobian(
        lambda z: block.weights(z[None, :, None, None]).flatten(), torch.randn(8, dtype=torch.float64)
    )
    assert (jacobian != 0).all()


def test_zero_input_opens_every_gate_half() -> None:
    block = SqueezeExcitation(16)
    torch.testing.assert_close(block.weights(torch.zeros(1, 16, 3, 3)), torch.full((1, 16, 1, 1), 0.5))


@pytest.mark.parametrize(("channels", "reduction"), [(256, 16), (2048, 16), (64, 4)])
def test_parameter_counts_of_the_paper(channels: int, reduction: int) -> None:
    """2C²/r without biases, as section 4 of the paper counts; C/r + C more with them."""
    count = sum(p.numel() for p in SqueezeExcitation(channels, reduction).parameters())
    assert count == 2 * channels**2 // reduction
    with_bias = sum(p.numel() for p in SqueezeExcitation(channels, reduction, bias=True).parameters())
    assert with_bias == count + channels // reduction + channels


def test_biases_are_those_of_two_one_by_one_convolutions() -> None:
    """The authors' network writes the layers as 1 × 1 convolutions: the same function with the same weights."""
    block = SqueezeExcitation(8, 2, bias=True).double()
    down, up = nn.Conv2d(8, 4, 1).double(), nn.Conv2d(4, 8, 1).double()
    with torch.no_grad():
        for conv, linear in ((down, block.reduce), (up, block.expand)):
            conv.weight.copy_(linear.weight[..., None, None])
            conv.bias.copy_(linear.bias)
    x = torch.randn(3, 8, 5, 4, dtype=torch.float64)
    expected = x * up(down(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
    torch.testing.assert_close(block(x), expected)


# The chapter's experiments


def test_grouped_gates_hear_their_own_group_only_and_cost_what_a_waist_of_four_costs() -> None:
    block = tasks.Grouped(64)
    count, waist = (sum(p.numel() for p in each.parameters()) for each in (block, SqueezeExcitation(64, 16, True)))
    assert abs(count - waist) / waist < 0.01
    jacobian = torch.autograd.functional.jacobian(
        lambda z: block.weights(z[None, :, None, None]).flatten(), torch.randn(64)
    )
    group = torch.arange(64) // 8
    assert torch.equal(jacobian != 0, group[:, None] == group)


def test_added_numbers_are_those_that_se_multiplies_by() -> None:
    block, added = SqueezeExcitation(8, 2), tasks.AddedExcitation(8, 2)
    added.load_state_dict(block.state_dict())
    x = torch.randn(2, 8, 3, 4)
    torch.testing.assert_close(added(x) - x, block.weights(x).expand_as(x))


def test_softmax_gates_sum_to_their_factor() -> None:
    block, x = tasks.SoftmaxExcitation(16, learned=True), torch.randn(3, 16, 4, 5)
    with torch.no_grad():
        block.factor.fill_(2.5)
    torch.testing.assert_close(block.weights(x).sum((1, 2, 3)), torch.full((3,), 2.5))
    assert block.factor.requires_grad
    assert not tasks.SoftmaxExcitation(16).factor.requires_grad


@pytest.mark.parametrize("units", [1, 4, 16])
def test_without_normalisation_a_fresh_gate_on_the_trunk_halves_the_gradient_in_each_unit(units: int) -> None:
    plain, branch, trunk, opened = (
        position.first_gradient(arm, units, normalised=False) for arm in ("no gate", "branch", "trunk", "trunk, opened")
    )
    assert 0.5 < trunk / plain * 2**units < 2
    assert branch / plain > 0.25
    assert opened / plain == pytest.approx(0.98**units, rel=1e-3)


def test_normalisation_in_the_branches_keeps_the_gradient_of_a_gate_on_the_trunk() -> None:
    assert position.first_gradient("trunk", 16) > 0.25 * position.first_gradient("no gate", 16)


def test_relative_gradients_are_those_of_the_arms_over_that_without_gates() -> None:
    found = relative_gradients((1, 3), normalised=False, seed=2)
    assert list(found) == ["branch", "trunk", "trunk, opened"]
    for i, units in enumerate((1, 3)):
        plain = position.first_gradient("no gate", units, normalised=False, seed=2)
        trunk = position.first_gradient("trunk", units, normalised=False, seed=2)
        assert found["trunk"][i] == pytest.approx(trunk / plain)
    with pytest.raises(ValueError, match="units=0"):
        relative_gradients((4, 0), normalised=True)


def test_deep_networks_differ_in_nothing_but_their_gates_and_normalisations() -> None:
    def weights(arm: str, normalised: bool = True) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = position.deep(arm, layers=(1, 1, 1), normalised=normalised)
        return {name: p for name, p in model.named_parameters() if ".attention." not in name}

    plain = weights("no gate")
    for arm in position.ARMS:
        for name, parameter in weights(arm).items():
            torch.testing.assert_close(parameter, plain[name])
    bare = weights("no gate", normalised=False)
    assert {name: p.shape for name, p in bare.items()} == {name: p.shape for name, p in plain.items()}
    model = position.deep("trunk", normalised=False)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert model(torch.randn(2, 1, 28, 28)).shape == (2, 10)


def test_opened_gates_are_the_same_for_every_input_and_can_learn() -> None:
    block = position.opened(8, 0.9)
    gates = block.weights(torch.randn(4, 8, 3, 3))
    torch.testing.assert_close(gates, torch.full_like(gates, 0.9))
    gates.sum().backward()
    assert block.expand.weight.grad.any()


def test_a_live_seed_gives_what_was_recorded() -> None:
    recorded = Comparison.from_dict(record.load("se.claims")["experiment"]["conditional"])
    models, task, steps, lr = record_claims.EXPERIMENTS["conditional"]
    live = compare({"SE": models["SE"], "wider": models["wider"]}, task, seeds=(0,), steps=steps, lr=lr)
    for name in live.names:
        assert live.scores(name)[0] == pytest.approx(recorded.scores(name)[0], abs=0.02)


def test_the_arms_of_the_first_task_were_recorded_alike() -> None:
    """The arm SE stands in both records: with the same seeds it scores the same."""
    first = Comparison.from_dict(record.load("se.claims")["experiment"]["conditional"])
    second = Comparison.from_dict(record.load("se.added")["experiment"])
    assert second.seeds == first.seeds
    assert second.scores("SE") == pytest.approx(first.scores("SE"), abs=0.02)


@pytest.mark.parametrize("script", [record_claims, record_position], ids=["claims", "position"])
def test_a_recording_runs_and_keeps_every_arm(script: Any) -> None:
    smoke = Budget("smoke", torch.device("cpu"))
    kept = script.summary([script.one_run(smoke, **run) for run in script.runs(smoke)], smoke)
    if script is record_claims:
        found = {name: list(Comparison.from_dict(each).names) for name, each in kept.items()}
        assert found == {name: list(models) for name, (models, *_) in script.EXPERIMENTS.items()}
        return
    for name in ("normalised", "not normalised"):
        assert list(Comparison.from_dict(kept[name]["comparison"]).names) == list(position.ARMS)
        gates = kept[name]["gates"]
        assert list(gates) == ["branch", "trunk", "trunk, opened"]
        assert all(len(each) == 2 and len(each[0]) == 3 for each in gates.values())
        assert all(gate > 0.9 for seed in gates["trunk, opened"] for gate in seed)


def test_the_recording_of_gates_runs_and_looks_at_every_block_before_and_after() -> None:
    smoke = Budget("smoke", torch.device("cpu"))
    kept = record_gates.summary([record_gates.one_run(smoke, **run) for run in record_gates.runs(smoke)], smoke)
    assert len(kept["looked"]) == len(Comparison.from_dict(kept["comparison"]).seeds) == 2
    for found in kept["looked"]:
        assert found["start"] != found["trained"]
        for when in ("start", "trained"):
            assert [len(found[when][what]) for what in ("statistic", "gates")] == [2, 2]
            assert all(0 <= share <= 1 for each in found[when].values() for share in each)
        assert len(found["saturated"]) == len(found["directions"]) == 2
        assert all(0 <= found[rule] <= 1 for rule in ("another image", "always the mean"))


def test_the_recording_of_the_added_numbers_runs() -> None:
    smoke = Budget("smoke", torch.device("cpu"))
    kept = record_added.summary([record_added.one_run(smoke, **run) for run in record_added.runs(smoke)], smoke)
    assert list(Comparison.from_dict(kept).names) == list(record_added.ARMS)


def test_what_a_block_sees_and_gives_is_read_off_a_run() -> None:
    model = small_resnet((8, 16), attention=lambda channels: SqueezeExcitation(channels, 2)).eval()
    x, inputs = torch.rand(7, 1, 12, 12), []
    blocks = [module for module in model.modules() if isinstance(module, SqueezeExcitation)]
    for block in blocks:
        block.register_forward_hook(lambda block, given, _: inputs.append(given[0]))
    found = record_gates.seen(model, x)
    assert len(found) == len(blocks) == 2
    for block, given, (z, gate) in zip(blocks, inputs, found, strict=True):
        torch.testing.assert_close(z.float(), given.mean((2, 3)))
        torch.testing.assert_close(gate.float(), block.weights(given).flatten(1))


def test_directions_are_counted() -> None:
    """Logits that move along one axis and, a tenth as far, along another: 99% of the variance is in one direction."""
    along, across = torch.randn(400), 0.1 * torch.randn(400)
    logits = torch.stack([along, across, torch.zeros(400)], 1)
    assert record_gates.directions(logits.sigmoid()) == 1
    assert record_gates.directions(torch.stack([along, 10 * across, torch.zeros(400)], 1).sigmoid()) == 2
