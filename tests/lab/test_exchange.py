"""Maps in numbers, and what a model makes of another image's map."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import attention
from attention import registry
from attention.contract import Attention, Gate, Map
from attention.lab import maps
from attention.lab.maps.exchange import _cycle
from tests.lab.test_found_maps import C, Excitation, Heads, placed
from tests.lab.test_maps import Where, state

# Numbers.


class Given(Attention):
    """A block whose map is given."""

    def __init__(self, dims: str, values: Tensor, **options: object) -> None:
        super().__init__()
        self.maps, self.values = {"map": Map(dims, **options)}, values

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return x, {"map": self.values}


def numbers(dims: str, values: Tensor, **options: object) -> maps.Statistics:
    found = maps.statistics(maps.capture(Given(dims, values, **options), torch.rand(len(values), 3, 2, 2)))
    assert list(found) == [("", "map")]
    return found["", "map"]


def test_range_saturation_and_change_are_what_their_names_say() -> None:
    values = torch.tensor([[0.0, 0.5, 1.0, 0.5], [0.0, 0.5, 0.005, 0.7]])
    found = numbers("b (h w)", values)
    assert (found.low, found.high) == (0.0, 1.0)
    assert found.saturated == pytest.approx(4 / 8)
    assert found.change == pytest.approx(math.sqrt((0.4975**2 + 0.1**2) / 4))
    assert found.largest is found.uniform is None


def test_a_map_that_is_the_same_for_all_images_does_not_change_however_it_varies() -> None:
    assert numbers("b (h w)", torch.rand(1, 4).expand(5, 4)).change == pytest.approx(0, abs=1e-7)
    assert numbers("b (h w)", torch.full((3, 4), 0.5)).change == 0
    one_or_other = torch.tensor([0.0, 1.0])[:, None].expand(2, 4)
    assert numbers("b (h w)", one_or_other).change == pytest.approx(0.5)
    assert math.isnan(numbers("b (h w)", torch.rand(1, 4)).change)


def test_of_a_softmax_the_largest_weight_is_told_and_what_it_would_be_for_nothing() -> None:
    rows = torch.tensor([[[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]]]).repeat(3, 2, 1)
    found = numbers("b (h w) (h w)", rows, kind="softmax", sums=(2,))
    assert found.largest == pytest.approx((0.7 + 0.25) / 2)
    assert found.uniform == 1 / 4
    assert found.saturated is None
    assert "largest weight 0.47 (uniform 0.25); change with the image 0.000" in found.sentence()


def test_numbers_of_a_whole_recording_are_a_table_without_outputs() -> None:
    model = nn.Sequential(nn.Conv2d(3, C, 1), attention.create("se", C, reduction=2), Excitation())
    found = maps.statistics(maps.capture(model, torch.rand(3, 3, 4, 4), ["0"], find=True))
    assert set(found) == {("1", "channel"), ("2", "gate")}
    lines = repr(found).splitlines()
    assert lines[0].split() == ["layer", "map", "low", "high", "change", "saturated", "largest", "uniform"]
    assert lines[1].split()[:2] == ["1", "channel"]
    with pytest.raises(TypeError, match=r"expected what maps\.capture returns, received dict"):
        maps.statistics({})


# Exchange.


class Opens(Gate):
    """Opens the channel that the third one names: the map carries what the score needs."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = {"channel": Map("b c 1 1")}

    def weights(self, x: Tensor) -> Tensor:
        first = (20 * x[:, 2:3].mean((2, 3), keepdim=True)).sigmoid()
        return torch.cat([first, 1 - first, torch.zeros_like(first)], 1)


class OpensElsewhere(nn.Module):
    """The same as somebody else would write it; the product may be written over either factor."""

    def __init__(self, over: str = "") -> None:
        super().__init__()
        self.over = over

    def forward(self, x: Tensor) -> Tensor:
        gate = Opens().weights(x).expand_as(x)
        if self.over == "map":
            gate = gate.clone()
            gate.mul_(x)
            return gate
        return x.mul_(gate) if self.over == "input" else gate * x


class Sums(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum((1, 2, 3))


def asked(count: int = 200) -> tuple[Tensor, Tensor]:
    """Images whose third channel says which of the first two is the answer; the other answers at random."""
    x = torch.randint(0, 2, (count, 3, 1, 1)).expand(-1, -1, 4, 4).float() * 2 - 1
    y = torch.where(x[:, 2, 0, 0] > 0, x[:, 0, 0, 0], x[:, 1, 0, 0])
    return x.clone(), y


@pytest.mark.parametrize(
    "block", [Opens, OpensElsewhere, lambda: OpensElsewhere("input"), lambda: OpensElsewhere("map")]
)
def test_where_the_map_matters_another_images_map_costs_the_score(block: Callable[[], nn.Module]) -> None:
    x, y = asked()
    found = maps.exchanged(nn.Sequential(block(), Sums()), x, lambda out: ((out > 0) == (y > 0)).double().mean())
    assert found.own == 1.0
    assert found.another < 0.85  # three in four: the map of another image is the right one every other time
    assert found.images == len(x)
    assert f"own 1.000, another image's {found.another:.3f}, the mean {found.mean:.3f}" in found.sentence()


def test_where_it_does_not_matter_the_three_scores_are_one() -> None:
    x, _ = asked()
    y = x[:, 0, 0, 0]
    x[:, 1] = x[:, 0]  # both channels know the answer: which of them is open makes no difference
    found = maps.exchanged(nn.Sequential(Opens(), Sums()), x, lambda out: ((out > 0) == (y > 0)).double().mean())
    assert (found.own, found.another, found.mean) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("declared", [True, False])
def test_what_runs_is_the_product_with_the_other_map(declared: bool) -> None:
    model = nn.Sequential(Opens() if declared else OpensElsewhere())
    x = torch.randn(5, 3, 4, 4)
    kept: list[Tensor] = []
    maps.exchanged(model, x, lambda out: kept.append(out) or 0.0, seed=3)
    own, another, mean = kept
    gate = Opens().weights(x)
    torch.testing.assert_close(own, x * gate)
    torch.testing.assert_close(another, x * gate[_cycle(5, 3)])
    torch.testing.assert_close(mean, x * gate.mean(0, keepdim=True))


@pytest.mark.parametrize("how", ["softmax", "values first", "fused", "causal"])
def test_rows_are_exchanged_where_they_are_multiplied_or_would_be(how: str) -> None:
    model, x = nn.Sequential(Heads(how)).eval(), torch.randn(4, C, 3, 5)
    kept: list[Tensor] = []
    maps.exchanged(model, x, lambda out: kept.append(out) or 0.0)
    rows, _, _, v = model[0].rows(x)
    for out, weights in zip(kept, (rows, rows[_cycle(4, 0)], rows.mean(0, keepdim=True)), strict=True):
        expected = (weights @ v).transpose(1, 2).flatten(2).transpose(1, 2).view_as(x)
        torch.testing.assert_close(out, expected.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [2, 3, 17])
def test_nobody_keeps_its_own_map(count: int, seed: int) -> None:
    order = _cycle(count, seed)
    assert sorted(order.tolist()) == list(range(count))
    at, steps = 0, 0
    while steps == 0 or at != 0:
        at, steps = int(order[at]), steps + 1
    assert steps == count


@pytest.mark.parametrize(
    "name",
    [n for n in registry.names() if registry.KINDS[registry.entry(n).kind] and registry.entry(n).kind != "fusion"],
)
def test_every_declared_map_can_be_exchanged(name: str) -> None:
    """The maps that the run then records are the other images', and the output follows them."""
    model = nn.Sequential(nn.Conv2d(3, 128, 3), attention.create(name, 128))
    for parameter in model[1].parameters():  # a fresh block may start as the identity
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(4, 3, 7, 8)
    for key in maps.capture(model, x)["1"]:
        kept: list[Tensor] = []
        maps.exchanged(model, x, lambda out, kept=kept: kept.append(out) or 0.0, layer="1", name=key)
        assert len(kept) == 3
        assert not torch.equal(kept[0], kept[1])


def test_the_model_is_left_as_it_was() -> None:
    model = placed(Excitation(), nn.Sequential(nn.BatchNorm2d(C), Where())).train()
    x = torch.randn(4, 3, 5, 5)
    before = state(model)
    maps.exchanged(model, x, lambda out: 0.0, layer="1.0")
    maps.exchanged(model, x, lambda out: 0.0, layer="1.1.1")
    assert state(model) == before


class Shown(Attention):
    """Its map is computed for show: the mean over heads."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = {"mean": Map("b (h w)")}

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        gate = x.sigmoid()
        return x * gate, {"mean": gate.mean(1).flatten(1)}


class Across(nn.Module):
    """Its gate is one for the whole batch, with or without an axis for it."""

    def __init__(self, axis: bool = True) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        gate = F.softmax(x.mean((0, 2, 3), keepdim=True), 1)
        return x * (gate if self.axis else gate[0])


class Drawn(Gate):
    """Two runs of it differ."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.runs = {"noise": Map("b c 1 1")}, [0.0]

    def weights(self, x: Tensor) -> Tensor:
        self.runs.append(self.runs[-1] + 1)
        return x.mean((2, 3), keepdim=True).sigmoid() * 1

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        y, found = super().attend(x)
        return y + self.runs[-1], found


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Shown, "cannot be exchanged: the model's output does not depend on this tensor"),
        (Across, r"its shape is \(1, 3, 1, 1\) where it acts, and its first axis is not the batch of 4"),
        (lambda: Across(False), r"its shape is \(3, 1, 1\) where it acts, and its first axis is not the batch of 4"),
        (Drawn, "with its own values put back the model gives another output"),
        (lambda: nn.Conv2d(3, 3, 1), "no map of another module was found"),
        (lambda: nn.Sequential(Where(), Where()), "layer=None is not one of the recorded: '0', '1'"),
    ],
)
def test_what_cannot_be_exchanged_is_said(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        maps.exchanged(make(), torch.rand(4, 3, 3, 3), lambda out: 0.0)


def test_one_image_cannot_be_exchanged_with_another() -> None:
    with pytest.raises(ValueError, match="x has 1 image"):
        maps.exchanged(Where(), torch.rand(1, 3, 3, 3), lambda out: 0.0)
