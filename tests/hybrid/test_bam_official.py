"""BAM against its official code: the same function in our words, its names, and the sizes that were published."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, linear

from attention import formulas, registry
from attention.backbones.resnet import resnet50
from attention.hybrid.bam import BottleneckAttention
from attention.lab import cost
from attention.official import load_official

OPTIONS = registry.entry("bam").official["options"]


def official(channels: int, reduction: int = 16) -> dict[str, Tensor]:
    """Make up weights under the official names, with the official shapes."""
    generator, width = torch.Generator().manual_seed(3), channels // reduction
    shapes = {
        "channel_att.gate_c.gate_c_fc_0": (width, channels),
        "channel_att.gate_c.gate_c_bn_1": (width,),
        "channel_att.gate_c.gate_c_fc_final": (channels, width),
        "spatial_att.gate_s.gate_s_conv_reduce0": (width, channels, 1, 1),
        "spatial_att.gate_s.gate_s_bn_reduce0": (width,),
        "spatial_att.gate_s.gate_s_conv_di_0": (width, width, 3, 3),
        "spatial_att.gate_s.gate_s_bn_di_0": (width,),
        "spatial_att.gate_s.gate_s_conv_di_1": (width, width, 3, 3),
        "spatial_att.gate_s.gate_s_bn_di_1": (width,),
        "spatial_att.gate_s.gate_s_conv_final": (1, width, 1, 1),
    }
    state = {}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = torch.randn(shape, generator=generator, dtype=torch.float64)
        state[f"{name}.bias"] = torch.randn(shape[0], generator=generator, dtype=torch.float64)
        if "_bn_" in name:
            state[f"{name}.running_mean"] = torch.randn(shape, generator=generator, dtype=torch.float64)
            state[f"{name}.running_var"] = 0.5 + torch.rand(shape, generator=generator, dtype=torch.float64)
            state[f"{name}.num_batches_tracked"] = torch.tensor(5)
    return state


def as_official(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The function of the official code: the scores are multiplied, every hidden layer is normalised."""

    def layer(name: str) -> tuple[Tensor, Tensor]:
        return state[f"{name}.weight"], state[f"{name}.bias"]

    def norm(name: str, value: Tensor) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return batch_norm(value, mean, var, *layer(name), eps=1e-5).clamp(min=0)

    c, s = "channel_att.gate_c.gate_c_", "spatial_att.gate_s.gate_s_"
    z = x.flatten(2).mean(2)
    channel = linear(norm(c + "bn_1", linear(z, *layer(c + "fc_0"))), *layer(c + "fc_final"))
    seen = norm(s + "bn_reduce0", conv2d(x, *layer(s + "conv_reduce0")))
    for i in (0, 1):
        seen = norm(f"{s}bn_di_{i}", conv2d(seen, *layer(f"{s}conv_di_{i}"), padding=4, dilation=4))
    space = conv2d(seen, *layer(s + "conv_final"))
    return (1 + torch.sigmoid(channel[:, :, None, None] * space)) * x


def test_the_official_options_are_the_official_function() -> None:
    """In float64, with all weights, on a square map, of which the official code takes the mean as the paper does."""
    state, block = official(32), BottleneckAttention(32, **OPTIONS).double().eval()
    load_official(block, state)
    x = torch.randn(2, 32, 11, 11, dtype=torch.float64)
    expected = as_official(state, x)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(block.attend(x)[0], expected, rtol=0, atol=1e-9)


def test_without_the_official_options_it_is_another_function() -> None:
    state, x = official(32), torch.randn(2, 32, 11, 11, dtype=torch.float64)
    with pytest.raises(ValueError, match="are not given"):
        load_official(BottleneckAttention(32, combine="product").double(), state)
    block = BottleneckAttention(32, hidden_norm=True).double().eval()
    load_official(block, state)
    assert not torch.allclose(block(x), as_official(state, x))


def test_every_official_name_has_a_place() -> None:
    state = official(32)
    names = registry.entry("bam").official["names"]
    assert set(names) == {name for name in state if not name.endswith("num_batches_tracked")}
    assert len(set(names.values())) == len(names)


def test_the_number_of_parameters_of_one_module() -> None:
    """17,361 at C = 256, as counted on the official module; and the formulas give both forms."""
    block = BottleneckAttention(256, **OPTIONS)
    assert sum(p.numel() for p in block.parameters()) == 17_361
    assert formulas.evaluate("bam", channels=256, **OPTIONS) == 17_361
    assert formulas.evaluate("bam", channels=256) == 17_361 - 8 * 16 + 2 * 256 + 2
    shape = (1, 256, 14, 14)
    cost.check("bam", block.eval(), torch.randn(shape), **OPTIONS)
    cost.check("bam", BottleneckAttention(256).eval(), torch.randn(shape))


def test_the_size_of_the_published_network() -> None:
    """25,915,099 parameters and 3.940 G: a module behind each of the first three stages."""

    def build() -> nn.Module:
        network = resnet50(stride_in="1x1")
        for stage, channels in zip(network.stages, (256, 512, 1024), strict=False):
            stage.append(BottleneckAttention(channels, **OPTIONS))
        return network.eval()

    counted = cost.on_paper(build, (3, 224, 224))
    assert counted.parameters == 25_915_099
    assert f"{counted.macs / 1e9:.3f}" == "3.940"
