"""Tools that replace, merge and compile modules: an inserted block survives them, or its loss is an error."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization import QConfigMapping, get_default_qconfig, quantize_fx
from torch.fx.experimental.optimization import fuse
from torch.nn.utils.fusion import fuse_conv_bn_eval

from attention import registry
from attention.backbones import insert, remove
from attention.registry import create, entry

NAMES = [name for name in registry.names() if entry(name).kind in ("gate", "block")]
each_block = pytest.mark.parametrize("name", NAMES)
#: Channels that suit every block as it is by default.
WIDE = 128


class Layer(nn.Module):
    """Convolution, normalisation, activation: as detectors write it, with their way to fuse the first two."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))

    def forward_fused(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x))


class Net(nn.Module):
    """Two layers, a normalisation of the network's own, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(Layer(3, WIDE), Layer(WIDE, WIDE))
        self.norm = nn.BatchNorm2d(WIDE)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDE, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.body(x)))


class Frozen(nn.Module):
    """A normalisation with fixed numbers, as timm and torchvision have it."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        self.register_buffer("scale", scale.detach()[:, None, None])
        self.register_buffer("shift", (norm.bias - norm.running_mean * scale).detach()[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class Around(nn.Module):
    """A wrapper, as for checkpoints."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def frozen(module: nn.Module) -> nn.Module:
    """Freeze all normalisations, as timm's ``freeze`` does: a part is moved only where it is another one."""
    result = Frozen(module) if isinstance(module, nn.BatchNorm2d) else module
    for name, child in module.named_children():
        new = frozen(child)
        if new is not child:
            result.add_module(name, new)
    return result


def fused_as_detectors_do(model: nn.Module) -> nn.Module:
    for layer in model.modules():
        if isinstance(layer, Layer):
            layer.conv = fuse_conv_bn_eval(layer.conv, layer.bn)
            del layer.bn
            layer.forward = layer.forward_fused
    return model


def fused_by_hand(model: nn.Module) -> nn.Module:
    for layer in model.modules():
        if isinstance(layer, Layer):
            layer.conv, layer.bn = fuse_conv_bn_eval(layer.conv, layer.bn), nn.Identity()
    return model


def reparametrised(model: nn.Module) -> nn.Module:
    """Whole units are replaced, as RepVGG's branches are."""
    model.body = nn.Conv2d(3, WIDE, 3, 1, 1)
    return model


#: Tools that take a block out, with the places of the blocks that each takes.
LOSING: dict[str, tuple[Callable[[nn.Module], nn.Module], str]] = {
    "freezing": (frozen, "body.*.bn"),
    "freezing, at the top": (frozen, "norm"),
    "a detector's fusion": (fused_as_detectors_do, "body.*.bn"),
    "fusion by hand": (fused_by_hand, "body.*.bn"),
    "fusion by hand across the block": (fused_by_hand, "body.*.conv"),
    "units replaced": (reparametrised, "body.*"),
}


def images() -> Tensor:
    return torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def network(seed: int = 0) -> nn.Module:
    """Make the plain network, with statistics of its own, in eval mode."""
    torch.manual_seed(seed)
    model = Net()
    with torch.no_grad():
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d):
                for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                    tensor.copy_(0.5 + torch.rand_like(tensor))
    return model.eval()


def changed(name: str, where: str | list[str], **options: int) -> tuple[nn.Module, Tensor, nn.Module]:
    """Make a network with blocks that do something; return it, what it computes, and the plain network."""
    plain = network()
    model = copy.deepcopy(plain)
    insert(model, name, where, example=images(), **options)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if ".attention." in key:
                parameter.copy_(
                    0.4 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(len(key))) - 0.2
                )
    expected = model(images())
    assert not torch.allclose(expected, plain(images()), atol=1e-4)
    return model, expected, plain


# What survives


@each_block
def test_synchronised_normalisation(name: str) -> None:
    model, expected, plain = changed(name, ["body.*.bn", "norm"])
    keys = list(model.state_dict())
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert list(model.state_dict()) == keys
    torch.testing.assert_close(model(images()), expected)
    assert remove(model) == ["body.0.bn.attention", "body.1.bn.attention", "norm.attention"]
    torch.testing.assert_close(model(images()), plain(images()))
    assert list(model.state_dict()) == list(plain.state_dict())


def test_synchronised_normalisation_and_remove_before_any_run() -> None:
    model, _, plain = changed("se", ["body.*.bn", "norm"])
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert len(remove(model)) == 3
    torch.testing.assert_close(model(images()), plain(images()))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_synchronised_normalisation_and_copies() -> None:
    model, expected, _ = changed("se", ["body.*.bn", "norm"])
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model):
        torch.testing.assert_close(twin(images()), expected)
        torch.testing.assert_close(copy.deepcopy(twin)(images()), expected)


def test_synchronised_normalisation_and_compilation() -> None:
    model, expected, _ = changed("se", ["body.*.bn", "norm"])
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(model, backend="eager")(images()), expected)


def test_synchronised_normalisation_then_a_look_that_leaves_all_as_it_was() -> None:
    from attention.lab import maps

    model, expected, _ = changed("se", ["body.*.bn", "norm"])
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert len(maps.capture(model, images())) == 3
    torch.testing.assert_close(model(images()), expected)


@each_block
@pytest.mark.parametrize("where", ["norm", "body.*.bn", "body.*.conv"])
def test_fusion_by_fx(name: str, where: str) -> None:
    """Everything is fused but what a block stands behind or between."""
    model, expected, plain = changed(name, where)
    fused = fuse(model)
    torch.testing.assert_close(fused(images()), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fuse(plain)(images()), plain(images()), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore")  # torch moves these tools to another package
def test_quantisation_by_fx() -> None:
    """To the precision of eight bits; the plain network is further away."""
    torch.backends.quantized.engine = "fbgemm" if "fbgemm" in torch.backends.quantized.supported_engines else "qnnpack"
    model, expected, plain = changed("se", "body.*.bn", reduction=4)
    settings = QConfigMapping().set_global(get_default_qconfig(torch.backends.quantized.engine))
    prepared = quantize_fx.prepare_fx(model, settings, (images(),))
    prepared(images())
    error = (quantize_fx.convert_fx(prepared)(images()) - expected).abs().max()
    assert error < 0.2 * (plain(images()) - expected).abs().max()


@each_block
def test_hooks_that_somebody_cleared(name: str) -> None:
    model, expected, _ = changed(name, ["body.*.bn", "body.0"])
    for module in model.modules():
        module._forward_hooks.clear()
    torch.testing.assert_close(model(images()), expected)


def test_wrappers_and_copies_of_parts() -> None:
    model, expected, plain = changed("se", ["body.*.bn", "norm", "body.1"])
    model.norm, model.body[0] = Around(model.norm), Around(model.body[0])
    torch.testing.assert_close(model(images()), expected)
    model.body[1] = copy.deepcopy(model.body[1])
    torch.testing.assert_close(model(images()), expected)
    model.body = copy.deepcopy(model.body)
    torch.testing.assert_close(model(images()), expected)
    around = nn.DataParallel(model)
    torch.testing.assert_close(around(images()), expected)
    assert len(remove(model)) == 4
    torch.testing.assert_close(model(images()), plain(images()))


def test_tools_still_know_the_modules() -> None:
    model, _, plain = changed("se", ["body.*.bn", "norm", "body.0.conv"])
    assert [type(m).__name__ for m in model.modules() if isinstance(m, nn.BatchNorm2d)] == ["BatchNorm2d"] * 3
    assert str(type(model.norm)) == str(type(plain.norm))
    assert sorted(k for k in model.state_dict() if ".attention." not in k) == sorted(plain.state_dict())
    nn.utils.parametrizations.spectral_norm(model.body[0].conv)
    nn.utils.parametrize.remove_parametrizations(model.body[0].conv, "weight")
    remove(model)
    assert [type(m) for m in model.modules()] == [type(m) for m in plain.modules()]
    assert all(vars(new).keys() == vars(old).keys() for new, old in zip(model.modules(), plain.modules(), strict=True))


def test_blocks_taken_out_of_a_part() -> None:
    """The rest of the network goes on, and what surrounds the part misses nothing."""
    model, _, plain = changed("se", ["body.*.bn", "body.0"])
    assert len(remove(model.body)) == 3
    torch.testing.assert_close(model(images()), plain(images()))
    insert(model, "se", "body.*.bn")
    assert len(remove(model)) == 2


# What is lost, aloud


@each_block
@pytest.mark.parametrize("tool", LOSING)
def test_a_loss_is_an_error(name: str, tool: str) -> None:
    apply, where = LOSING[tool]
    model, _, _ = changed(name, where)
    after = apply(model)
    place = "'norm'" if where == "norm" else "'body'" if apply is reparametrised else f"'{where.replace('*', '0')}'"
    with pytest.raises(RuntimeError, match=rf"attention block at .*{place}.* is lost, .*Run such tools before insert"):
        after(images())
    with pytest.raises(RuntimeError, match="is lost"):
        copy.deepcopy(after)(images())


@pytest.mark.parametrize("tool", LOSING)
def test_a_loss_in_a_compiled_network_is_an_error(tool: str) -> None:
    apply, where = LOSING[tool]
    model, _, _ = changed("se", where)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager")
    compiled(images())
    after = apply(model)
    with pytest.raises(RuntimeError, match="is lost"):
        (compiled if after is model else torch.compile(after, backend="eager"))(images())


@pytest.mark.parametrize("tool", LOSING)
def test_after_a_loss_the_rest_goes_on_or_the_plain_network(tool: str) -> None:
    apply, where = LOSING[tool]
    model, _, _ = changed("se", sorted({where, "head.0", "norm"}))
    after = apply(model)
    twin = copy.deepcopy(after)
    assert remove(twin, lost=True)
    assert twin(images()).shape == (2, 5)
    assert "head.0.attention" in remove(twin)
    assert "head.0.attention" in remove(after)
    assert after(images()).shape == (2, 5)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in after.modules())


def test_tools_first_then_insert() -> None:
    """The order that the error advises."""
    for tool in (frozen, fused_by_hand, nn.SyncBatchNorm.convert_sync_batchnorm):
        model = tool(network())
        before = model(images())
        insert(model, "se", ["body.*.bn", "norm"], example=images())
        assert not torch.allclose(model(images()), before)


# Compiled before


@pytest.mark.parametrize("where", ["norm", "body.1", "body", "body.*.bn"])
def test_a_wrapper_that_is_elsewhere_notices(where: str) -> None:
    """``torch.compile(model)`` was called before, and its result is what runs."""
    torch._dynamo.reset()
    model = network()
    compiled = torch.compile(model, backend="eager")
    plain = compiled(images())
    insert(model, "se", where, example=images())
    expected = model(images())
    assert not torch.allclose(expected, plain)
    torch.testing.assert_close(compiled(images()), expected)
    remove(model)
    torch.testing.assert_close(compiled(images()), plain)


@pytest.mark.parametrize("place", ["standard", "post", "stages.0", "stages.0.0.norm1"])
def test_a_wrapper_of_ours_notices(place: str) -> None:
    from attention.backbones.resnet import small_resnet

    torch._dynamo.reset()
    model = small_resnet(in_channels=3).eval()
    compiled = torch.compile(model, backend="eager")
    plain = compiled(images())
    insert(model, "se", place)
    assert not torch.allclose(model(images()), plain)
    torch.testing.assert_close(compiled(images()), model(images()))
    remove(model)
    torch.testing.assert_close(compiled(images()), plain)


def test_a_part_compiled_elsewhere_notices() -> None:
    torch._dynamo.reset()
    model = network()
    part = torch.compile(model.body, backend="eager")
    x = images()
    before = part(x)
    insert(model, "se", "body.0.bn")
    assert not torch.allclose(part(x), before)
    torch.testing.assert_close(part(x), model.body(x))


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_what_cannot_notice_is_refused() -> None:
    model = network()
    model.compile(backend="eager")
    with pytest.raises(ValueError, match="model is compiled, and would not notice the blocks: insert first"):
        insert(model, "se", "norm")
    with pytest.raises(ValueError, match="model is compiled"):
        insert(torch.compile(network(), backend="eager"), "se", "norm")
    with pytest.raises(ValueError, match="model is scripted, and would not notice the blocks: insert first"):
        insert(torch.jit.script(network()), "se", "norm")


def test_files_of_a_whole_network(tmp_path) -> None:
    model, expected, plain = changed("se", ["body.*.bn", "norm", "body.1", "body.0.conv"])
    torch.save(model, tmp_path / "whole.pt")
    for twin in (torch.load(tmp_path / "whole.pt", weights_only=False), copy.deepcopy(model)):
        torch.testing.assert_close(twin(images()), expected)
        twin.norm = Frozen(twin.norm)
        with pytest.raises(RuntimeError, match="at 'norm' is lost"):
            twin(images())
        remove(twin)
        torch.testing.assert_close(twin(images()), plain(images()))


def test_a_block_of_ones_own_at_a_norm() -> None:
    model = network()
    insert(model, lambda channels: create("se", channels, reduction=8), "norm")
    with torch.no_grad():
        expected = model(images())
        torch.testing.assert_close(nn.SyncBatchNorm.convert_sync_batchnorm(model)(images()), expected)
