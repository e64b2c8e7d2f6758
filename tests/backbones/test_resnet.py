"""Residual networks: their parts, the five places of a block, and the totals that papers print."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attention.backbones.resnet import PLACES, Basic, Bottleneck, ResNet, resnet50, resnet101, small_resnet
from attention.channel.se import SqueezeExcitation
from attention.lab import cost
from attention.published import published
from attention.registry import create
from tools.writing.literal import NoSqueeze

IMAGE = (3, 224, 224)
SE_BIAS = partial(create, "se", bias=True)
FIGURES = published("se")


@cache
def paper(build: Callable[..., ResNet] = resnet50, **options: Any) -> cost.Cost:
    return cost.on_paper(partial(build, **options), IMAGE)


def stored(counted: cost.Cost) -> int:
    """Parameters and running statistics: how the SE paper counts."""
    return counted.parameters + counted.buffers


class Halve(nn.Module):
    """A stand-in for an attention block: not linear, and it tells how many channels it was made for."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == self.channels
        return x * x / 2


def randomise(module: nn.Module) -> nn.Module:
    """Draw parameters and running statistics at random, so that no normalisation is the identity and ReLUs act."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5 if "running_var" in name else -1.0, 1.0)
    return module.eval()


# Totals


@pytest.mark.parametrize(
    ("build", "options", "parameters"),
    [
        (resnet50, {}, 25_557_032),
        (resnet50, {"attention": "se"}, 28_071_976),
        (resnet50, {"attention": SE_BIAS}, 28_088_024),  # printed so in the table of the pytorchcv model zoo
        (resnet101, {}, 44_549_160),
        (resnet101, {"attention": SE_BIAS}, 49_326_872),
        (resnet50, {"groups": 32, "width_per_group": 4}, 25_028_904),
        (small_resnet, {}, 78_042),
        (small_resnet, {"attention": "se"}, 78_714),
    ],
)
def test_parameters(build: Callable[..., ResNet], options: dict, parameters: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in build(**options).parameters()) == parameters


def test_se_adds_what_its_formula_says() -> None:
    """2/r ΣC² over the blocks' outputs: 3 of 256, 4 of 512, 6 of 1024, 3 of 2048 channels."""
    outputs = {256: 3, 512: 4, 1024: 6, 2048: 3}
    for bias, network in ((False, "se"), (True, SE_BIAS)):
        added = sum(n * cost.evaluate("se", channels=c, bias=bias) for c, n in outputs.items())
        assert paper(attention=network).parameters - paper().parameters == added
    macs = sum(n * cost.evaluate("se", "macs", channels=c) for c, n in outputs.items())
    assert paper(attention="se").macs - paper().macs == macs


@pytest.mark.parametrize(("stride_in", "macs"), [("1x1", 3_857_973_248), ("3x3", 4_089_184_256)])
def test_multiply_adds_depend_on_the_stride(stride_in: str, macs: int) -> None:
    assert paper(stride_in=stride_in).macs == macs
    # Only the first 1 × 1 convolution of the three strided units differs: 4 times the pixels.
    strided = ((256, 128, 56), (512, 256, 28), (1024, 512, 14))
    difference = sum(into * width * (size**2 - (size // 2) ** 2) for into, width, size in strided)
    assert paper(stride_in="3x3").macs - paper(stride_in="1x1").macs == difference


def test_the_unit_m_of_eca_net() -> None:
    """ECA-Net (Wang et al. 2020, Table 3) prints 24.37 M for ResNet-50: its M is 2^20."""
    assert f"{paper().parameters / 2**20:.2f}" == "24.37"


@pytest.mark.parametrize(("depth", "build"), [("50", resnet50), ("101", resnet101)])
def test_totals_with_biases(depth: str, build: Callable[..., ResNet]) -> None:
    figures = FIGURES["with_biases"]
    assert figures.agrees(f"ResNet-{depth}", paper(build).parameters)
    assert figures.agrees(f"SE-ResNet-{depth}", paper(build, attention=SE_BIAS).parameters)


def test_total_without_biases() -> None:
    assert FIGURES["without_biases"].agrees("SE-ResNet-50", paper(attention="se").parameters)
    assert not FIGURES["with_biases"].agrees("SE-ResNet-50", paper(attention="se").parameters)


@pytest.mark.parametrize("reduction", [2, 4, 8, 16, 32])
def test_reductions_of_table_10(reduction: int) -> None:
    count = stored(paper(attention=partial(create, "se", reduction=reduction)))
    millions = {2: "45.730", 4: "35.670", 8: "30.640", 16: "28.125", 32: "26.868"}
    assert f"{count / 1e6:.3f}" == millions[reduction]
    assert FIGURES["reduction"].agrees(f"r = {reduction}", count) == (reduction != 8)  # printed 30.7, counted 30.64


def test_plain_network_of_table_10() -> None:
    assert FIGURES["reduction"].agrees("plain", stored(paper()))


@pytest.mark.parametrize("stage", [2, 3, 4])
def test_stages_of_table_13(stage: int) -> None:
    count = stored(paper(attention="se", stages=(stage - 1,)))
    assert FIGURES["stages"].agrees(f"stage {stage}", count)


def test_table_13_needs_the_running_statistics() -> None:
    assert not FIGURES["stages"].agrees("stage 4", paper(attention="se", stages=(3,)).parameters)


def test_after_the_3x3_of_table_15() -> None:
    count = stored(paper(attention="se", where="after_3x3"))
    assert FIGURES["after_3x3"].agrees("after the 3 × 3 convolution", count)


def test_no_squeeze_of_table_16() -> None:
    figures = FIGURES["no_squeeze"]
    assert figures.agrees("no squeeze", paper(attention=NoSqueeze, stride_in="1x1").macs)
    assert not figures.agrees("no squeeze", paper(attention=NoSqueeze, stride_in="3x3").macs)


def test_published_multiply_adds_of_se() -> None:
    """3.86 is exact; 3.87 needs the pooling or the scaling, one operation a number, besides the layers."""
    figures = FIGURES["operations"]
    plain, se = (paper(stride_in="1x1", attention=attention).macs for attention in (None, "se"))
    assert figures.agrees("ResNet-50", plain)
    assert not figures.agrees("SE-ResNet-50", se)
    numbers = 3 * 256 * 56**2 + 4 * 512 * 28**2 + 6 * 1024 * 14**2 + 3 * 2048 * 7**2  # that are pooled, and scaled
    assert figures.agrees("SE-ResNet-50", se + numbers)
    assert figures.agrees("SE-ResNet-50", se + 2 * numbers)
    printed = [float(figures.values[label]) for label in ("ResNet-50", "SE-ResNet-50")]
    assert f"{printed[1] / printed[0] - 1:.2%}" == "0.26%"  # the paper's overhead: the quotient of rounded figures
    assert f"{se / plain - 1:.3%}" == "0.065%"


def test_most_parameters_of_se_are_in_the_last_stage() -> None:
    """SE paper, Section 4: about 10 % more parameters, about 4 % without the last stage's blocks."""
    plain = paper().parameters
    for stages, overhead in (((1, 2, 3, 4), "9.8%"), ((1, 2, 3), "3.7%")):
        assert f"{paper(attention='se', stages=stages).parameters / plain - 1:.1%}" == overhead


# Structure


def place_by_hand(unit: Basic | Bottleneck, where: str, gate: nn.Module, x: Tensor) -> Tensor:
    """The five designs written out, from the unit's own layers."""
    branch = gate(x) if where == "pre" else x
    branch = unit.norm1(unit.conv1(branch)).clamp(min=0)
    branch = unit.norm2(unit.conv2(branch))
    if isinstance(unit, Bottleneck):
        branch = branch.clamp(min=0)
        branch = gate(branch) if where == "after_3x3" else branch
        branch = unit.norm3(unit.conv3(branch))
    branch = gate(branch) if where == "standard" else branch
    shortcut = unit.shortcut(x)
    shortcut = gate(shortcut) if where == "identity" else shortcut
    out = (branch + shortcut).clamp(min=0)
    return gate(out) if where == "post" else out


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", [Basic, Bottleneck])
def test_places(kind: type, stride: int, where: str) -> None:
    torch.manual_seed(0)
    into, width = (8, 2) if kind is Bottleneck else (4, 4)
    unit = randomise(kind(into, width, stride))
    if kind is Basic and where == "after_3x3":
        with pytest.raises(ValueError, match="after_3x3"):
            unit.attach(Halve, where)
        return
    x = torch.rand(2, into, 5, 7)
    plain = unit(x)
    unit.attach(Halve, where)
    torch.testing.assert_close(unit(x), place_by_hand(unit, where, unit.attention, x))
    torch.testing.assert_close(plain, place_by_hand(unit, "nowhere", unit.attention, x))
    assert not torch.allclose(unit(x), plain)


def test_widths_at_each_place() -> None:
    """First unit of stage 2: 256 channels come in, 128 in the middle, 512 go out."""
    met = {"standard": 512, "pre": 256, "post": 512, "identity": 512, "after_3x3": 128}
    with torch.device("meta"):
        for where, channels in met.items():
            assert resnet50(attention=Halve, where=where).stages[1][0].attention.channels == channels


def test_a_plain_state_dict_lacks_exactly_the_blocks() -> None:
    plain, se = small_resnet(), small_resnet(attention="se", stages=(1, 3))
    missing, unexpected = se.load_state_dict(plain.state_dict(), strict=False)
    blocks = {f"stages.{stage}.0.attention.{layer}.weight" for stage in (0, 2) for layer in ("reduce", "expand")}
    assert set(missing) == blocks
    assert not unexpected


@pytest.mark.parametrize("where", ["standard", "pre"])
def test_the_same_seed_gives_the_same_convolutions(where: str) -> None:
    torch.manual_seed(3)
    plain = small_resnet(layers=(1, 2, 1)).state_dict()
    torch.manual_seed(3)
    other = small_resnet(layers=(1, 2, 1), attention="se", where=where).state_dict()
    for key, value in plain.items():
        assert torch.equal(value, other[key]), key


@pytest.mark.parametrize(
    ("options", "stages"),
    [({}, {1, 2, 3}), ({"stages": (2,)}, {2}), ({"stages": [3, 1, 3]}, {1, 3}), ({"stages": ()}, set())],
)
def test_stages(options: dict, stages: set[int]) -> None:
    network = small_resnet(layers=(2, 1, 2), attention="se", **options)
    for number, stage in enumerate(network.stages, 1):
        for unit in stage:
            assert isinstance(getattr(unit, "attention", None), SqueezeExcitation) == (number in stages)


def test_where_the_stride_is() -> None:
    for stride_in, first, second in (("1x1", (2, 2), (1, 1)), ("3x3", (1, 1), (2, 2))):
        network = ResNet((1, 2), widths=(4, 8), stride_in=stride_in, classes=3)
        unit, next_unit = network.stages[1]
        assert (unit.conv1.stride, unit.conv2.stride) == (first, second)
        assert (next_unit.conv1.stride, next_unit.conv2.stride) == ((1, 1), (1, 1))
        assert len(network.stages[0][0].shortcut) == 2  # 4 to 16 channels, at stride 1
        assert len(next_unit.shortcut) == 0


@pytest.mark.parametrize(
    ("network", "image", "sizes"),
    [
        (partial(small_resnet), (1, 28, 28), [28, 14, 7, 4]),
        (partial(small_resnet, strides=(1, 2, 2)), (1, 28, 28), [28, 28, 14, 7]),
        (partial(ResNet, (1, 1, 1, 1), widths=(4, 4, 4, 4)), (3, 64, 64), [16, 16, 8, 4, 2]),
        (partial(ResNet, (1, 1), widths=(4, 4), strides=(1, 1), stem="small"), (3, 9, 9), [9, 9, 9]),
    ],
)
def test_sizes_of_the_maps(network: Callable[[], ResNet], image: tuple[int, ...], sizes: list[int]) -> None:
    built = network().eval()
    x = built.stem(torch.zeros(1, *image))
    seen = [x.shape[-1]]
    for stage in built.stages:
        x = stage(x)
        seen.append(x.shape[-1])
    assert seen == sizes


def test_groups() -> None:
    """ResNeXt-50 32×4d: 128 channels in the middle of the first stage, 32 groups, 4 channels in each."""
    with torch.device("meta"):
        network = resnet50(groups=32, width_per_group=4)
    assert [stage[0].conv2.weight.shape for stage in network.stages] == [(128 * 2**i, 4 * 2**i, 3, 3) for i in range(4)]


class Pool(nn.Module):
    """A stand-in for a block that replaces a convolution: it tells what it was made for."""

    def __init__(self, channels: int, *, stride: int) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == self.channels
        return x[..., :: self.stride, :: self.stride] * 3


@pytest.mark.parametrize("stride_in", ["1x1", "3x3"])
def test_a_block_in_place_of_the_convolution(stride_in: str) -> None:
    torch.manual_seed(0)
    unit = randomise(Bottleneck(4, 2, 2, stride_in=stride_in, groups=2, width_per_group=32, convolution=Pool))
    x = torch.rand(2, 4, 5, 7)
    first = unit.norm1(unit.conv1(x)).clamp(min=0)
    replaced = first * 3 if stride_in == "1x1" else first[..., ::2, ::2] * 3
    torch.testing.assert_close(unit(x), (unit.norm3(unit.conv3(replaced)) + unit.shortcut(x)).clamp(min=0))
    assert not any(key.startswith("norm2") for key in unit.state_dict())


def test_blocks_in_place_of_all_convolutions() -> None:
    with torch.device("meta"):
        network = resnet50(groups=32, width_per_group=4, convolution=Pool)
    made = [(unit.conv2.channels, unit.conv2.stride) for stage in network.stages for unit in stage]
    assert made == [
        (channels, stride)
        for channels, units, first in ((128, 3, 1), (256, 4, 2), (512, 6, 2), (1024, 3, 2))
        for stride in [first] + [1] * (units - 1)
    ]
    plain = {key for key in resnet50(groups=32, width_per_group=4).state_dict() if "conv2" not in key}
    assert set(network.state_dict()) == {key for key in plain if "norm2" not in key}


def test_a_gate_behind_a_replaced_convolution() -> None:
    network = ResNet((1,), widths=(4,), convolution=Pool, attention=Halve, where="after_3x3", stem="small").eval()
    assert network.stages[0][0].attention.channels == 4
    assert network(torch.rand(1, 3, 8, 8)).shape == (1, 1000)


def test_zero_init_makes_every_unit_its_shortcut() -> None:
    torch.manual_seed(0)
    network = ResNet((2, 1), widths=(4, 8), zero_init=True, classes=3).eval()
    x = torch.randn(2, 4, 6, 6)
    for stage in network.stages:
        for unit in stage:
            y = unit(x)
            torch.testing.assert_close(y, unit.shortcut(x).relu())
            x = y


def test_a_gate_behind_a_branch_of_zeros_has_no_gradient() -> None:
    """Why ``zero_init`` is off by default."""
    torch.manual_seed(0)
    for zero in (False, True):
        network = small_resnet(attention="se", zero_init=zero)
        network(torch.randn(4, 1, 28, 28)).logsumexp(1).sum().backward()
        gradients = [p.grad.abs().max() for name, p in network.named_parameters() if "attention.expand" in name]
        assert len(gradients) == 3
        assert all((gradient == 0) == zero for gradient in gradients)


def test_every_parameter_receives_a_gradient() -> None:
    torch.manual_seed(0)
    network = small_resnet(attention=partial(create, "se", reduction=4))
    network(torch.randn(8, 1, 28, 28)).log_softmax(1)[:, 0].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("image", [(1, 29, 17), (1, 1, 1)])
def test_any_size_of_image(image: tuple[int, ...]) -> None:
    assert small_resnet(classes=7).eval()(torch.zeros(3, *image)).shape == (3, 7)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"block": "wide"}, ValueError, "block='wide' is not one of 'bottleneck', 'basic'"),
        ({"stem": "tiny"}, ValueError, "stem='tiny'"),
        ({"where": "behind"}, ValueError, "where='behind' is not one of 'standard', 'pre'"),
        ({"stride_in": "2x2"}, ValueError, "stride_in='2x2'"),
        ({"stages": (0,)}, ValueError, "stages=0"),
        ({"stages": (3,)}, ValueError, "stages=3"),
        ({"stages": 2}, TypeError, r"stages=2 is not a sequence; for one stage, write \(2,\)"),
        ({"widths": 16}, TypeError, r"widths=16 is not a sequence"),
        ({"widths": (8,)}, ValueError, r"widths=\(8,\) does not give one number for each stage"),
        ({"strides": (1, 2, 2)}, ValueError, "strides"),
        ({"layers": ()}, ValueError, "layers"),
        ({"layers": (1, 0)}, ValueError, r"layers\[1\]=0"),
        ({"widths": (8, 1.5)}, TypeError, r"widths\[1\]=1.5"),
        ({"classes": 0}, ValueError, "classes=0"),
        ({"in_channels": "3"}, TypeError, "in_channels='3'"),
        ({"groups": 0}, ValueError, "groups=0"),
        ({"width_per_group": 5}, ValueError, "width_per_group=5 counts at width 64; at width 8"),
        ({"attention": "seq"}, ValueError, "did you mean 'se'"),
        ({"attention": 3}, TypeError, "attention=3 is neither"),
        ({"block": "basic", "groups": 2}, ValueError, "block='basic' has no"),
        ({"block": "basic", "stride_in": "1x1"}, ValueError, "block='basic' has no"),
        ({"convolution": "se"}, ValueError, "convolution='se' is a gate and replaces no convolution"),
        ({"convolution": 3}, TypeError, "convolution=3 is neither"),
        ({"convolution": "sq"}, ValueError, "did you mean"),
        ({"block": "basic", "convolution": Pool}, ValueError, "block='basic' has no"),
        ({"block": "basic", "attention": Halve, "where": "after_3x3"}, ValueError, "where='after_3x3'"),
    ],
)
def test_bad_arguments(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ResNet(**({"layers": (1, 1), "widths": (8, 16)} | options))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="channels=1"):
        small_resnet()(torch.zeros(2, 3, 28, 28))
    with pytest.raises(TypeError, match="int64"):
        small_resnet()(torch.zeros(2, 1, 28, 28, dtype=torch.int64))
