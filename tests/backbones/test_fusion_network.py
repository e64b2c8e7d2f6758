"""Residual units that fuse instead of add; and GSoP's network, whose blocks are inserted."""

import copy
import pickle
import re
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from attention.backbones import insert, remove
from attention.backbones.fusion import FusedBasic, FusedBottleneck, fuse, fused_resnet50
from attention.backbones.resnet import Basic, Bottleneck, ResNet, resnet50, small_resnet
from attention.lab import cost
from attention.registry import create

IAFF = partial(create, "aff", iterative=True)


class Minus(nn.Module):
    """A stand-in for a fusion that tells its inputs apart."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        assert x.shape == y.shape
        assert x.shape[1] == self.channels
        return x * self.scale - y


# Printed in Table 5 of the paper, in millions: 30.3, 35.1, 29.9, 34.7; the table of published costs says how far off.
@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, 30_373_192),
        ({"fusion": IAFF}, 35_170_120),
        ({"groups": 32, "width_per_group": 4}, 29_845_064),
        ({"fusion": IAFF, "groups": 32, "width_per_group": 4}, 34_641_992),
        ({"fused_stages": ()}, 25_576_264),  # ResNet-50 with a deep stem
    ],
)
def test_parameters(options: dict, parameters: int) -> None:
    with torch.device("meta"):
        network = fused_resnet50(**options)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(("fusion", "printed"), [("aff", "30.3"), (IAFF, "35.1")])
def test_the_printed_totals_are_those_without_biases(fusion: object, printed: str) -> None:
    with torch.device("meta"):
        network = fused_resnet50(fusion)
    fusions = [unit.fusion for stage in network.stages for unit in stage if hasattr(unit, "fusion")]
    biases = [c.bias.numel() for f in fusions for c in f.modules() if isinstance(c, nn.Conv2d)]
    assert f"{(sum(p.numel() for p in network.parameters()) - sum(biases)) / 1e6:.1f}" == printed


@pytest.mark.parametrize("kind", [Basic, Bottleneck])
@pytest.mark.parametrize("where", ["pre", "standard", "identity", "post"])
def test_the_unit_by_hand(kind: type, where: str) -> None:
    torch.manual_seed(0)
    block = "basic" if kind is Basic else "bottleneck"
    network = ResNet((1, 1), block, widths=(4, 8), stem="small", attention=lambda c: nn.Softplus(), where=where).eval()
    plain = copy.deepcopy(network)
    fuse(network, Minus, (2,))
    unit, x = network.stages[1][0], torch.randn(2, plain.stages[0][0].out_channels, 5, 7)
    act = nn.functional.softplus
    branch = unit.branch(act(x) if where == "pre" else x)
    branch = act(branch) if where == "standard" else branch
    kept = act(unit.shortcut(x)) if where == "identity" else unit.shortcut(x)
    out = (2 * branch - kept).relu()
    torch.testing.assert_close(unit(x), act(out) if where == "post" else out)
    assert not torch.allclose(unit(x), plain.stages[1][0](x))
    assert [type(stage[0]) for stage in network.stages] == [
        kind,
        {Basic: FusedBasic, Bottleneck: FusedBottleneck}[kind],
    ]


def test_a_plain_state_dict_lacks_exactly_the_fusions() -> None:
    torch.manual_seed(0)
    plain = small_resnet(layers=(1, 2, 1))
    state = plain.state_dict()
    fuse(plain, Minus, (2, 3))
    added = set(plain.state_dict()) - set(state)
    assert added == {f"stages.{name}.fusion.scale" for name in ("1.0", "1.1", "2.0")}
    assert all(torch.equal(plain.state_dict()[key], value) for key, value in state.items())


def test_copies_and_other_blocks() -> None:
    torch.manual_seed(0)
    network, x = small_resnet().eval(), torch.randn(2, 1, 13, 9)
    fuse(network, partial(create, "aff", reduction=4))
    y = network(x)
    assert torch.equal(copy.deepcopy(network)(x), y)
    assert torch.equal(pickle.loads(pickle.dumps(network))(x), y)
    insert(network, partial(create, "se", reduction=4))
    assert not torch.equal(network(x), y)
    assert len(remove(network)) == 3
    assert torch.equal(network(x), y)


@pytest.mark.parametrize("iterative", [False, True])
def test_every_parameter_receives_a_gradient(iterative: bool) -> None:
    torch.manual_seed(0)
    network = small_resnet()
    fuse(network, partial(create, "aff", reduction=4, iterative=iterative))
    network(torch.randn(8, 1, 28, 28)).log_softmax(1)[:, 0].sum().backward()
    for name, parameter in network.named_parameters():
        if not re.search(r"fusion.*\.(0|3)\.bias", name):  # a bias before a normalisation changes nothing
            assert parameter.grad.abs().max() > 1e-7, name


@pytest.mark.parametrize("size", [(1, 1), (29, 17), (64, 64)])
def test_any_size_of_image(size: tuple[int, int]) -> None:
    with torch.device("meta"):
        assert fused_resnet50().eval()(torch.empty(2, 3, *size)).shape == (2, 1000)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("se",), ValueError, "fusion='se' is a gate and fuses no two maps"),
        (("afff",), ValueError, "did you mean 'aff'"),
        ((3,), TypeError, "fusion=3 is neither"),
        ((Minus, 2), TypeError, r"stages=2 is not a sequence; for one stage, write \(2,\)"),
        ((Minus, (4,)), ValueError, "stages=4 is not one of 1, 2, 3"),
        ((Minus, (0,)), ValueError, "stages=0 is not one of"),
    ],
)
def test_bad_arguments(arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fuse(small_resnet(), *arguments)


def test_a_unit_fuses_once() -> None:
    network = small_resnet()
    fuse(network, Minus, (1,))
    with pytest.raises(ValueError, match="stages=1: its units are of the type FusedBasic"):
        fuse(network, Minus)
    with pytest.raises(TypeError, match="network: expected a ResNet of this package, received Linear"):
        fuse(nn.Linear(2, 2), Minus)


# GSoP-Net1: blocks in the last units of stages, at the end of the branch: after its last normalisation


def gsop_net(where: list[str]) -> ResNet:
    network = resnet50(stride_in="1x1", strides=(1, 2, 2, 1))
    insert(network, "gsop", where)
    return network


def test_gsop_net() -> None:
    last = ["stages.1.3.norm3", "stages.2.5.norm3", "stages.3.2.norm3"]
    counted = cost.on_paper(partial(gsop_net, last), (3, 224, 224))
    assert counted.parameters == 28_054_440  # printed: 28.05 M
    products = sum(128**2 * size**2 for size in (28, 14, 14))  # the covariances, which the printed figure leaves out
    assert f"{(counted.macs - products) / 1e9:.2f}" == "6.18"
    with torch.device("meta"):
        four = gsop_net(["stages.0.2.norm3", *last])  # as in the released code
    assert sum(p.numel() for p in four.parameters()) == 28_285_224
