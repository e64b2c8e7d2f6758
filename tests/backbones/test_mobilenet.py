"""MobileNetV2: the totals that others print, its units, and the two places of a block."""

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from attention.backbones import insert, remove
from attention.backbones.mobilenet import MOBILE_PLACES, SETTINGS, InvertedResidual, MobileNetV2
from attention.lab import cost
from attention.registry import create

SMALL = ((1, 8, 1, 1), (2, 16, 2, 2), (2, 16, 1, 1))


class Halve(nn.Module):
    """A stand-in for an attention block: not linear, and it tells how many channels it was made for."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == self.channels
        return x * x * self.scale


def small(*block: object, **options: object) -> MobileNetV2:
    return MobileNetV2(*block, **{"settings": SMALL, "width": 0.25, "in_channels": 1, "classes": 5} | options)


def count(**options: object) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in MobileNetV2(**options).parameters())


# The first is torchvision's; those of other widths are its rule of rounding, counted once and kept.
@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, 3_504_872),
        ({"width": 0.25}, 1_519_112),
        ({"width": 0.5}, 1_968_680),
        ({"width": 0.75}, 2_636_424),
        ({"attention": "coordinate", "unexpanded": False}, 3_950_648),
        ({"attention": partial(create, "se", reduction=24, bias=True), "unexpanded": False}, 3_888_208),
        ({"attention": partial(create, "eca", kernel_size=3), "where": "projection"}, 3_504_872 + 17 * 3),
    ],
)
def test_parameters(options: dict, parameters: int) -> None:
    assert count(**options) == parameters


def test_a_half_wide_network_by_hand() -> None:
    """The plain network from its table: convolutions, two numbers for each normalised channel, one linear layer."""
    total, channels = 3 * 9 * 16 + 2 * 16, 16
    outs = (8, 16, 16, 32, 48, 80, 160)  # half of the table's, in multiples of 8: 12 becomes 16
    for (expansion, _, units, _), out in zip(SETTINGS, outs, strict=True):
        for _ in range(units):
            hidden = channels * expansion
            total += (channels * hidden + 2 * hidden) * (expansion != 1)
            total += 9 * hidden + 2 * hidden + hidden * out + 2 * out
            channels = out
    total += channels * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert count(width=0.5) == total


def test_multiply_adds() -> None:
    """MobileNetV2 paper, Table 4: 300 M."""
    assert round(cost.on_paper(MobileNetV2, (3, 224, 224)).macs / 1e7) == 30


def test_no_layer_becomes_more_than_a_tenth_narrower() -> None:
    for width in (0.1, 0.35, 0.6, 0.9, 1.3):
        with torch.device("meta"):
            network = MobileNetV2(width=width)
        wanted = [c * width for _, c, n, _ in SETTINGS for _ in range(n)]
        made = [unit.project[0].out_channels for unit in network.units]
        assert all(channels % 8 == 0 and channels >= 0.9 * want for channels, want in zip(made, wanted, strict=True))
        assert network.head[-1].in_features >= 1280


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (29, 17), (32, 32)])
def test_any_size_of_image(size: tuple[int, int]) -> None:
    network = small(partial(create, "se", reduction=4)).eval()
    assert network(torch.zeros(2, 1, *size)).shape == (2, 5)
    assert network.units(network.stem(torch.zeros(1, 1, *size))).shape[2:] == tuple(-(-side // 4) for side in size)


@pytest.mark.parametrize("where", MOBILE_PLACES)
@pytest.mark.parametrize("unexpanded", [True, False])
def test_blocks_are_where_they_should_be(where: str, unexpanded: bool) -> None:
    network = small(Halve, where, unexpanded=unexpanded)
    found = {name.removesuffix(".attention") for name, part in network.named_modules() if isinstance(part, Halve)}
    part = {"hidden": "depthwise", "projection": "project"}[where]
    assert found == {f"units.{index}.{part}" for index in range(0 if unexpanded else 1, 4)}
    channels = {"hidden": [8, 16, 16, 16], "projection": [8, 8, 8, 8]}[where]
    made = [unit.get_submodule(part) for unit in network.units]
    assert [
        getattr(each, "attention", Halve(width)).channels for each, width in zip(made, channels, strict=True)
    ] == channels


@pytest.mark.parametrize("where", MOBILE_PLACES)
@pytest.mark.parametrize(("stride", "expansion"), [(1, 2), (2, 2), (1, 1)])
def test_the_unit_by_hand(where: str, stride: int, expansion: int) -> None:
    torch.manual_seed(0)
    unit = InvertedResidual(4, 4, stride, expansion)
    for tensor in unit.state_dict().values():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5)
    unit.eval()
    x = torch.randn(2, 4, 5, 7) * 3
    plain = unit(x)
    unit.attach(Halve, where)
    y = x
    if expansion != 1:
        y = unit.expand[1](unit.expand[0](y)).clamp(0, 6)
    y = unit.depthwise[1](unit.depthwise[0](y)).clamp(0, 6)
    y = y * y / 2 if where == "hidden" else y
    y = unit.project[1](unit.project[0](y))
    y = y * y / 2 if where == "projection" else y
    torch.testing.assert_close(unit(x), x + y if stride == 1 else y)
    assert not torch.allclose(unit(x), plain)


def test_a_plain_state_dict_lacks_exactly_the_blocks() -> None:
    torch.manual_seed(3)
    plain = small()
    torch.manual_seed(3)
    other = small(Halve)
    missing, unexpected = other.load_state_dict(plain.state_dict(), strict=False)
    assert set(missing) == {f"units.{index}.depthwise.attention.scale" for index in range(4)}
    assert not unexpected
    torch.manual_seed(3)
    for key, value in small(Halve).state_dict().items():
        assert "attention" in key or torch.equal(value, plain.state_dict()[key]), key


def test_blocks_are_taken_out_again() -> None:
    torch.manual_seed(0)
    network, x = small(Halve).eval(), torch.rand(2, 1, 9, 9)
    attended = network(x)
    assert torch.equal(copy.deepcopy(network)(x), attended)
    assert torch.equal(pickle.loads(pickle.dumps(network))(x), attended)
    assert remove(network) == [f"units.{index}.depthwise.attention" for index in range(4)]
    assert not any("attention" in key for key in network.state_dict())
    assert not torch.equal(network(x), attended)


def test_insert_finds_its_way_too() -> None:
    network, x = small().eval(), torch.rand(2, 1, 9, 9)
    put = insert(network, Halve, "units.*.project", example=x)
    assert [site.channels for site in put.sites] == [unit.meets["projection"] for unit in network.units]
    with pytest.raises(ValueError, match="part named 'attention' already"):
        insert(network, Halve, "units.*.project", example=x)


def test_every_parameter_receives_a_gradient() -> None:
    torch.manual_seed(0)
    network = small(partial(create, "se", reduction=4))
    network(torch.randn(8, 1, 24, 24)).log_softmax(1)[:, 0].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"where": "standard"}, ValueError, "where='standard' is not one of 'hidden', 'projection'"),
        ({"attention": "seq"}, ValueError, "did you mean 'se'"),
        ({"attention": 3}, TypeError, "attention=3 is neither"),
        ({"width": 0}, ValueError, "width=0 is not positive"),
        ({"width": "1"}, TypeError, "width='1' is not a number"),
        ({"width": True}, TypeError, "width=True is not a number"),
        ({"unexpanded": 1}, TypeError, "unexpanded=1"),
        ({"classes": 0}, ValueError, "classes=0"),
        ({"in_channels": "3"}, TypeError, "in_channels='3'"),
        ({"stem_stride": 0}, ValueError, "stem_stride=0"),
        ({"settings": 6}, TypeError, "settings=6 is not a sequence"),
        ({"settings": ()}, ValueError, "settings is empty"),
        ({"settings": ((1, 8, 1),)}, ValueError, r"settings\[0\]=\(1, 8, 1\) is not"),
        ({"settings": ((1, 8, 1, 1), (6, 8, 0, 1))}, ValueError, r"settings\[1\]\[2\]=0"),
    ],
)
def test_bad_arguments(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MobileNetV2(**options)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="channels=1"):
        small()(torch.zeros(2, 3, 28, 28))
    with pytest.raises(ValueError, match="where='pre'"):
        InvertedResidual(4, 4).attach(Halve, "pre")
