"""The experiments of the chapter on global second-order pooling: the tasks, their controls, the records."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from attention.channel.gsop import SecondOrderPooling
from attention.channel.se import SqueezeExcitation
from attention.experiments.gsop import record as small
from attention.experiments.gsop import record_clothes as clothes
from attention.experiments.gsop import tasks
from attention.lab import record
from attention.lab.comparison import Comparison
from attention.lab.session import Budget
from attention.lab.training import compare


def correlations(x: Tensor) -> Tensor:
    """The correlations of the channels of each image, (samples, channels, channels)."""
    return torch.stack([torch.corrcoef(image.flatten(1)) for image in x])


@pytest.mark.parametrize("control", tasks.CONTROLS)
def test_partners_vary_together_in_one_class_and_in_no_other_pair(control: str) -> None:
    task = tasks.partners(control=control, train=200, test=60)
    x, labels = task.train
    assert labels.bincount().tolist() == [100, 100]
    r = correlations(x)
    partners = r[:, range(0, 8, 2), range(1, 8, 2)]
    assert partners[labels == 1].mean() > 0.85
    assert partners[labels == 0].mean().abs() < 0.02
    others = r[:, range(1, 7, 2), range(2, 8, 2)]
    assert others.mean().abs() < 0.02


def test_each_control_takes_away_more() -> None:
    drawn, unit, same = (tasks.partners(control=control, train=50, test=20).train[0] for control in tasks.CONTROLS)
    assert drawn.mean((2, 3)).std() > 0.05
    torch.testing.assert_close(unit.mean((2, 3)), torch.zeros(50, 8), atol=1e-5, rtol=0)
    torch.testing.assert_close(unit.var((2, 3), correction=0), torch.ones(50, 8))
    assert unit.amax((2, 3)).std() > 0.1
    torch.testing.assert_close(same.flatten(2).sort(2).values, same[:1, :1].flatten(2).sort(2).values.expand(50, 8, -1))
    with pytest.raises(ValueError, match="control='none' one of as drawn"):
        tasks.partners(control="none")
    with pytest.raises(ValueError, match="channels=3 must be even"):
        tasks.partners(channels=3)


def test_the_order_of_the_numbers_stays() -> None:
    x = torch.tensor([[3.0, -1.0, 10.0, 0.0], [0.1, 0.2, 0.4, 0.3]])
    same = tasks.same_numbers(x)
    assert torch.equal(same.argsort(1), x.argsort(1))
    torch.testing.assert_close(same.mean(1), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(same.var(1, correction=0), torch.ones(2))


def test_the_readers_see_their_statistic_and_have_equal_parameters() -> None:
    x = torch.randn(3, 4, 5, 6)
    squares = {name: tasks.statistic_reader(name, channels=4)[0](x) for name in tasks.STATISTICS}
    sigma = torch.stack([torch.cov(image.flatten(1), correction=0) for image in x])
    torch.testing.assert_close(squares["covariance"], sigma)
    torch.testing.assert_close(squares["variance"], sigma * torch.eye(4))
    torch.testing.assert_close(squares["mean"], torch.diag_embed(x.mean((2, 3))))
    torch.testing.assert_close(squares["maximum"], torch.diag_embed(x.amax((2, 3))))
    counted = {sum(p.numel() for p in tasks.statistic_reader(name).parameters()) for name in tasks.STATISTICS}
    assert counted == {2274}
    assert tasks.rectified_reader()(torch.randn(2, 8, 12, 12)).shape == (2, 2)


def test_no_window_sees_stripes_and_the_pair_and_all_means_are_zero() -> None:
    x, labels = tasks.together_or_not(train=64, test=20).train
    assert x.shape == (64, 4, 12, 32)
    assert labels.bincount().tolist() == [32, 32]
    torch.testing.assert_close(x.mean((2, 3)), torch.zeros(64, 4), atol=1e-5, rtol=0)
    columns = x.abs().sum((0, 2)) > 0
    doubled = columns.repeat(1, 2)  # the network is padded in circles
    window = tasks.reader()[0].kernel_size[1]
    for start in range(32):
        seen = doubled[:, start : start + window].any(1)
        assert not (seen[:2].any() and seen[2:].any())


def test_the_class_is_told_by_stripes_and_pair_together() -> None:
    """Neither of the two alone: each of the four cases is equally frequent, and the class is their exclusive-or."""
    x, labels = tasks.together_or_not(train=400, test=20, noise=0.0).train
    lying = x[:, 0, :, :12].std(2).mean(1) < 1e-4  # the stripes of channel I do not change along a row
    together = correlations(x[:, 2:, :, -16:-4])[:, 0, 1] > 0.5
    cases = 2 * together.long() + lying.long()
    assert cases.bincount().tolist() == [100] * 4
    assert torch.equal(labels, torch.where(together, ~lying, lying).long())


def test_gates_of_means_are_constant_there() -> None:
    """Behind a convolution in circles the means are sums of the channels' means, which are 0."""
    torch.manual_seed(0)
    x = tasks.together_or_not(train=16, test=8).train[0]
    convolution, se = tasks.reader(SqueezeExcitation(16, 1, bias=True))[:2]
    gates = se.weights(convolution(x))
    torch.testing.assert_close(gates, gates[:1].expand_as(gates))


def test_each_pair_has_a_coin_of_its_own() -> None:
    task = tasks.which_pairs(pairs=3, train=300, test=20)
    x, labels = task.train
    assert x.shape == (300, 6, 8, 8)
    assert torch.equal(labels[:, ::2], labels[:, 1::2])
    together = labels[:, ::2]
    patterns = (together @ torch.tensor([1.0, 2.0, 4.0])).long().bincount(minlength=8)
    assert patterns.min() > 15
    r = correlations(x)[:, range(0, 6, 2), range(1, 6, 2)]
    assert torch.equal(r > 0.5, together > 0)


def test_the_controls_blank_what_they_say_and_have_the_blocks_parameters() -> None:
    torch.manual_seed(0)
    made = {kind: kind(6, 3).eval() for kind in (SecondOrderPooling, tasks.Variances, tasks.MixedMeans)}
    block, variances, means = made.values()
    for other in (variances, means):
        other.load_state_dict(block.state_dict())
        assert sum(p.numel() for p in other.parameters()) == sum(p.numel() for p in block.parameters())
    x = torch.randn(2, 6, 4, 5)
    reduced = block.reduce(x)
    sigma = torch.stack([torch.cov(image.flatten(1), correction=0) for image in reduced])
    expected = {
        variances: torch.diag_embed(sigma.diagonal(dim1=1, dim2=2)),
        means: torch.diag_embed(reduced.mean((2, 3))),
    }
    for other, square in expected.items():
        rows = SecondOrderPooling.normalised(other, square)[..., None]
        h = nn.functional.leaky_relu(other.rows(rows), other.slope)
        torch.testing.assert_close(other.weights(x), other.expand(h).sigmoid())
        assert not torch.allclose(other.weights(x), block.weights(x))


def test_the_gate_with_as_many_parameters() -> None:
    arms = tasks.pair_gates()
    counted = {name: sum(p.numel() for p in build().parameters()) for name, build in arms.items()}
    assert counted["more means"] == counted["GSoP, d = 8"] == counted["variances, d = 8"] == 1640
    gate = tasks.MixedExcitation(4, 3).eval()
    x = torch.randn(2, 4, 3, 3)
    expected = gate.expand(gate.mix(x).mean((2, 3))).sigmoid()
    torch.testing.assert_close(gate(x), x * expected[:, :, None, None])


def test_the_records_run_and_say_what_the_chapter_asks() -> None:
    smoke = Budget("smoke", torch.device("cpu"))
    for script in (small, clothes):
        kept = script.summary([script.one_run(smoke, **run) for run in script.runs(smoke)], smoke)
        assert kept.keys() == record.load(record.called(Path(script.__file__)))["experiment"].keys()


@pytest.mark.parametrize(
    ("name", "arms"), [("same numbers", tasks.STATISTICS), ("pairs", ("variances, d = 8", "GSoP, d = 8"))]
)
def test_what_trains_in_the_chapter_is_what_was_recorded(name: str, arms: tuple[str, ...]) -> None:
    kept = Comparison.from_dict(record.load("gsop")["experiment"][name])
    live = small.compared(name, [0], arms=arms)
    for arm in arms:
        assert live.scores(arm)[0] == pytest.approx(kept.scores(arm)[0], abs=0.01)


def test_blocks_change_none_of_the_networks_other_weights() -> None:
    def start(block: object) -> dict[str, Tensor]:
        torch.manual_seed(3)
        return dict(clothes.network("smoke", block).named_parameters())

    plain = start(None)
    for name, block in clothes.ARMS.items():
        other = start(block)
        assert all(torch.equal(other[key], value) for key, value in plain.items()), name
    gates = start(clothes.ARMS["GSoP"])
    kernels = [value for key, value in gates.items() if key.endswith("rows.weight")]
    assert len(kernels) == 2
    assert not torch.equal(*kernels), "each unit's block has a draw of its own"


def test_a_sum_is_no_exclusive_or() -> None:
    """Without a block a few steps leave the network at chance."""
    task = tasks.together_or_not(train=400, test=200)
    found = compare({"no block": tasks.reader}, task, seeds=[0], steps=60, lr=1e-2)
    assert found.mean("no block") <= 0.75
