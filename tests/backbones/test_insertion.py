"""Blocks put into networks that exist already: where they act, what stays as it was, what is refused."""

import copy
import io
import pickle
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from attention import registry
from attention.backbones import insert, remove
from attention.backbones.inception import InceptionBlock
from attention.backbones.resnet import PLACES, ResNet, resnet50, small_resnet
from attention.channel.se import SqueezeExcitation
from attention.lab import cost, maps
from attention.registry import create, entry

#: Every mechanism that may be inserted.
NAMES = [name for name in registry.names() if entry(name).kind in ("gate", "block")]
IMAGES = (2, 3, 32, 32)


class Unit(nn.Module):
    """A bottleneck as many write it: names of torchvision, one ReLU for all, and an addition in place."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != 4 * width:
            shortcut = nn.Conv2d(channels, 4 * width, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += identity
        return self.relu(out)


class Theirs(nn.Module):
    """A residual network that is not of this package."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(Unit(16, 8), Unit(32, 8))
        self.layer2 = nn.Sequential(Unit(32, 16, 2), Unit(64, 16))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x)))))
        return self.fc(self.avgpool(x).flatten(1))


def chain() -> nn.Sequential:
    """A plain network of convolutions."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


ours = partial(small_resnet, in_channels=3, widths=(16, 32))
SMALL_SE = partial(create, "se", reduction=4)

#: Networks and a `where` for each way in which a block can be put in.
WAYS: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "our units": (ours, "standard"),
    "our convolutions": (ours, "stages.*.0.norm2"),
    "our stages": (ours, "stages.*"),
    "their normalisations": (Theirs, "layer*.*.bn3"),
    "their units": (Theirs, "layer2.*"),
    "their layers": (Theirs, ["layer1", "layer2"]),
    "parts of a chain": (chain, ("1", "4")),
}
each_way = pytest.mark.parametrize("way", WAYS)


def randomise(module: nn.Module) -> nn.Module:
    """Draw parameters and running statistics at random, the same for the same key: nothing is left as it starts."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            low = 0.5 if "running_var" in name else -1.0
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * (1 - low) + low)
            if tensor.ndim > 1:  # by their fan-in, so that numbers keep their size through a network
                tensor.mul_((3 / tensor[0].numel()) ** 0.5)
    return module


def inserted(way: str, attention: Any = SMALL_SE, **options: Any) -> tuple[nn.Module, nn.Module]:
    """Return a network with blocks, random and in eval mode, and the plain network that it was."""
    build, where = WAYS[way]
    plain = randomise(build()).eval()
    model = copy.deepcopy(plain)
    insert(model, attention, where, example=torch.zeros(IMAGES), **options)
    return randomise(model), plain


def images(seed: int = 1) -> Tensor:
    return torch.randn(IMAGES, generator=torch.Generator().manual_seed(seed))


# What it computes


@pytest.mark.parametrize("place", [p for p in PLACES if p != "after_3x3"])
@pytest.mark.parametrize("stages", [None, (2,)])
def test_ours_is_the_network_that_is_built_with_the_blocks(place: str, stages: tuple | None) -> None:
    built = randomise(ours(attention=SMALL_SE, where=place, stages=stages)).eval()
    model = ours().eval()
    insert(model, "se", place, stages=stages, reduction=4)
    assert str(model) == str(built)
    model.load_state_dict(built.state_dict())
    assert torch.equal(model(images()), built(images()))


def test_after_the_3x3_of_bottlenecks() -> None:
    small = partial(ResNet, (1, 2), widths=(4, 8), classes=3, stem="small")
    built = randomise(small(attention=SMALL_SE, where="after_3x3")).eval()
    model = small().eval()
    insert(model, SMALL_SE, "after_3x3")
    model.load_state_dict(built.state_dict())
    assert torch.equal(model(images()), built(images()))


@pytest.mark.parametrize("name", NAMES)
def test_every_block_in_our_network(name: str) -> None:
    """With the defaults: same keys, same function, and the report counts what the lab counts."""
    widths = {"widths": (128, 128), "layers": (1, 2), "in_channels": 3}
    built, model = randomise(small_resnet(attention=name, **widths)).eval(), small_resnet(**widths).eval()
    plain = cost.count(model, images())
    report = insert(model, name, example=images())
    model.load_state_dict(built.state_dict())
    assert torch.equal(model(images()), built(images()))
    full = cost.count(model, images())
    assert report.added == (full.parameters - plain.parameters, full.macs - plain.macs)
    assert (report.parameters, report.macs) == (plain.parameters, plain.macs)
    assert [site.size for site in report.sites] == [(16, 16), (8, 8), (8, 8)]


def test_before_the_addition_by_hand() -> None:
    """``layer*.*.bn3``: the block acts on the branch, before it meets the shortcut."""
    model, plain = inserted("their normalisations")
    unit, old = model.layer2[0], plain.layer2[0]
    x = torch.randn(2, 32, 6, 6)
    branch = old.bn3(old.conv3(old.bn2(old.conv2(old.bn1(old.conv1(x)).relu())).relu()))
    expected = (unit.bn3.attention(branch) + old.downsample(x)).relu()
    torch.testing.assert_close(unit(x), expected)
    assert not torch.allclose(unit(x), old(x))


@pytest.mark.parametrize("way", ["their units", "our stages", "parts of a chain"])
def test_after_a_module_by_hand(way: str) -> None:
    """Each module's output, and then the block, once."""
    model, plain = inserted(way)
    names = {"their units": "layer2.1", "our stages": "stages.1", "parts of a chain": "4"}
    seen: list[Tensor] = []
    model.get_submodule(names[way]).attention.register_forward_hook(lambda m, i, o: seen.extend([i[0].clone(), o]))
    model(images())
    met, out = seen
    block = model.get_submodule(names[way]).attention
    torch.testing.assert_close(out, block(met))
    host = model.get_submodule(names[way])
    x = torch.randn(2, {"their units": 64, "our stages": 16, "parts of a chain": 32}[way], 8, 8)
    torch.testing.assert_close(host(x.clone()), block(plain.get_submodule(names[way])(x.clone())))


def test_inception_applies_it_itself() -> None:
    plain = randomise(nn.Sequential(InceptionBlock(3, 4, (2, 4), (2, 4), 4))).eval()
    model = copy.deepcopy(plain)
    assert [site.channels for site in insert(model, SMALL_SE, "0").sites] == [16]
    torch.testing.assert_close(model(images()), model[0].attention(plain(images())))
    assert remove(model) == ["0.attention"]
    assert torch.equal(model(images()), plain(images()))
    assert model[0].attention is None


def test_a_block_that_starts_as_the_identity_changes_nothing() -> None:
    """In a network with trained weights: every number stays, up to the rounding of what follows in another layout."""
    plain = randomise(Theirs()).eval()
    model = copy.deepcopy(plain)
    sites = insert(model, "non_local", ["layer1", "layer2.*"], example=images()).sites
    x = torch.randn(2, 16, 9, 7)
    assert torch.equal(model.layer1(x), plain.layer1(x))
    torch.testing.assert_close(model(images()), plain(images()), rtol=1e-4, atol=1e-4)
    assert set(maps.capture(model, images())) == {site.name for site in sites}


@each_way
def test_every_parameter_receives_a_gradient(way: str) -> None:
    model, _ = inserted(way)
    model.train()(images()).square().sum().backward()
    missing = [name for name, p in model.named_parameters() if ".attention." in name and p.grad is None]
    assert not missing
    assert sum(p.grad.abs().sum() > 0 for n, p in model.named_parameters() if ".attention." in n) > 0


# What stays


@each_way
def test_a_plain_state_dict_lacks_exactly_the_blocks(way: str) -> None:
    model, plain = inserted(way)
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    blocks = {key for key in model.state_dict() if ".attention." in key}
    assert set(missing) == blocks
    assert len(blocks) in (4, 8)  # two layers in each block
    assert not unexpected


@each_way
def test_nothing_else_is_touched(way: str) -> None:
    """Modules, parameters, statistics, training flags; random numbers move only as building the blocks moves them."""
    build, where = WAYS[way]
    model = randomise(build())
    model[0].eval() if isinstance(model, nn.Sequential) else model.conv1.eval() if way[:5] == "their" else None
    flags = {name: module.training for name, module in model.named_modules()}
    modules = {name: id(module) for name, module in model.named_modules()}
    state = {key: value.clone() for key, value in model.state_dict(keep_vars=True).items()}
    owners = {key: id(value) for key, value in model.state_dict(keep_vars=True).items()}
    example = images()
    torch.manual_seed(0)
    sites = insert(model, SMALL_SE, where, example=example).sites
    after = torch.get_rng_state()
    torch.manual_seed(0)
    for site in sites:
        SMALL_SE(site.channels)
    assert torch.equal(after, torch.get_rng_state())
    assert torch.equal(example, images())
    now = model.state_dict(keep_vars=True)
    assert all(id(now[key]) == owners[key] and torch.equal(now[key], state[key]) for key in state)
    assert all(id(model.get_submodule(name)) == modules[name] for name in modules)
    assert all(model.get_submodule(name).training == flags[name] for name in flags)
    assert torch.is_grad_enabled()


def test_a_block_starts_in_the_mode_of_its_place() -> None:
    model = Theirs().eval()
    model.layer2.train()
    insert(model, SMALL_SE, "layer*", example=images())
    assert not model.layer1.attention.training
    assert model.layer2.attention.training
    assert not any(m.training for m in model.eval().modules())


def test_the_same_seed_gives_the_same_blocks_with_and_without_an_example() -> None:
    states = []
    for example in (None, images()):
        torch.manual_seed(0)
        model = Theirs()
        insert(model, SMALL_SE, "layer*.*.bn3", example=example)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


# Copies, files, compilers


@each_way
def test_a_deep_copy_is_independent(way: str) -> None:
    model, _ = inserted(way)
    twin = copy.deepcopy(model)
    expected = model(images())
    assert torch.equal(twin(images()), expected)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".attention." in name:
                parameter.zero_()
    assert not torch.allclose(model(images()), expected)
    assert torch.equal(twin(images()), expected)
    remove(model)
    assert torch.equal(twin(images()), expected)
    assert [name for name, _ in twin.named_modules() if name.endswith(".attention")] == remove(twin)


@each_way
def test_pickle(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a process that has numbered no hooks yet: a hook that is added there takes the place of none."""
    monkeypatch.setattr(RemovableHandle, "next_id", 0)
    model, plain = inserted(way)
    expected = model(images())
    data, file = pickle.dumps(model), io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    RemovableHandle.next_id = 0
    for twin in (pickle.loads(data), torch.load(file, weights_only=False)):
        hosts = [module for module in twin.modules() if hasattr(module, "attention")]
        for host in hosts:
            for _ in range(64):
                host.register_forward_hook(lambda module, inputs, output: None)
        assert torch.equal(twin(images()), expected)
        remove(twin)
        assert torch.equal(twin(images()), plain(images()))


@each_way
def test_compile_and_export(way: str) -> None:
    torch._dynamo.reset()
    model, plain = inserted(way)
    expected = model(images())
    assert not torch.allclose(expected, plain(images()))
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images()), expected)
    exported = torch.export.export(model, (images(),)).module()
    torch.testing.assert_close(exported(images()), expected)


def test_other_types_and_devices() -> None:
    for where in ("layer*.*.bn3", "layer2"):
        model = Theirs().to(torch.bfloat16).eval()
        insert(model, SMALL_SE, where, example=images().to(torch.bfloat16))
        assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
        assert model(images().to(torch.bfloat16)).dtype == torch.bfloat16
        assert {p.dtype for p in model.double().parameters()} == {torch.float64}
        assert model(images().double()).dtype == torch.float64
    with torch.device("meta"):
        model = Theirs()
    insert(model, SMALL_SE, "layer2.*", example=torch.zeros(IMAGES, device="meta"))
    assert {p.device.type for p in model.parameters()} == {"meta"}


# Taking out


@each_way
def test_remove_gives_the_plain_network_back(way: str) -> None:
    model, plain = inserted(way)
    sites = [name for name, _ in model.named_modules() if name.endswith(".attention")]
    assert not torch.allclose(model(images()), plain(images()))
    assert sorted(remove(model)) == sorted(sites)
    assert torch.equal(model(images()), plain(images()))
    assert str(model) == str(plain)
    assert list(model.state_dict()) == list(plain.state_dict())
    for old, new in zip(plain.modules(), model.modules(), strict=True):
        assert vars(old).keys() == vars(new).keys()
        assert not new._forward_hooks
    assert remove(model) == []


def test_remove_what_the_network_was_built_with() -> None:
    model = ours(attention=SMALL_SE)
    assert remove(model) == ["stages.0.0.attention", "stages.1.0.attention"]
    assert str(model) == str(ours())


def test_other_hooks_stay() -> None:
    model = Theirs()
    model.layer1[0].bn3.register_forward_hook(lambda module, inputs, output: None)
    insert(model, SMALL_SE, "layer*.*.bn3")
    model.layer1[0].bn3.register_forward_hook(lambda module, inputs, output: None)
    remove(model)
    assert len(model.layer1[0].bn3._forward_hooks) == 2


def test_in_and_out_and_in_again() -> None:
    model = Theirs()
    for _ in range(2):
        insert(model, SMALL_SE, "layer*.*.bn3")
        remove(model)
    assert str(model) == str(Theirs())


# Where


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("layer1", ["layer1"]),
        ("layer*", ["layer1", "layer2"]),
        ("layer?.1", ["layer1.1", "layer2.1"]),
        ("*.0.downsample", ["layer1.0.downsample", "layer2.0.downsample"]),
        (["layer2", "layer1.0", "layer*"], ["layer1", "layer1.0", "layer2"]),
        (["layer1"], ["layer1"]),
    ],
)
def test_names_and_patterns(where: Any, names: list[str]) -> None:
    report = insert(Theirs(), SMALL_SE, where, example=torch.zeros(IMAGES))
    assert [site.name.removesuffix(".attention") for site in report.sites] == names


def test_a_star_does_not_cross_a_dot() -> None:
    assert len(insert(Theirs(), SMALL_SE, "layer2.*", example=images()).sites) == 2  # and not their convolutions


def test_places_in_a_list_of_one() -> None:
    assert len(insert(ours(), "se", ["post"]).sites) == 2


def test_blocks_of_two_kinds_in_one_network() -> None:
    model = ours(layers=(2, 2))
    insert(model, "se", "stages.*")
    report = insert(model, SMALL_SE, stages=(1, 2))
    again = insert(model, SMALL_SE, "stages.*.*.norm1")
    assert len(report.sites) == len(again.sites) == 4
    assert len(insert(model, SMALL_SE, "stages").sites) == 1
    with pytest.raises(ValueError, match=r"stages=\(3,\): allowed: 1 to 2"):
        insert(model, SMALL_SE, "post", stages=(3,))
    assert model(images()).shape == (2, 10)
    assert len(remove(model)) == 11


def test_a_module_with_two_names_gets_one_block() -> None:
    shared = nn.Conv2d(3, 16, 1)
    model = nn.ModuleDict({"a": shared, "b": shared})
    assert [site.name for site in insert(model, SMALL_SE, "*").sites] == ["a.attention"]
    remove(model)
    assert [site.name for site in insert(model, SMALL_SE, "b").sites] == ["b.attention"]


# The report


def test_the_report_in_full() -> None:
    model = Theirs()
    report = insert(model, "se", "layer*.*.bn3", example=torch.zeros(IMAGES), reduction=4)
    plain = cost.count(Theirs(), images())
    assert (report.parameters, report.macs) == (plain.parameters, plain.macs)
    assert [(s.channels, s.size, s.parameters, s.macs) for s in report.sites] == [
        (32, (32, 32), 512, 512), (32, (32, 32), 512, 512), (64, (16, 16), 2048, 2048), (64, (16, 16), 2048, 2048),
    ]  # fmt: skip
    assert str(report) == (
        "SqueezeExcitation, 4 blocks, after layer*.*.bn3\n"
        "                        channels     size  parameters  multiply–adds\n"
        "layer1.0.bn3.attention        32  32 × 32         512            512\n"
        "layer1.1.bn3.attention        32  32 × 32         512            512\n"
        "layer2.0.bn3.attention        64  16 × 16       2,048          2,048\n"
        "layer2.1.bn3.attention        64  16 × 16       2,048          2,048\n"
        "together                                        5,120          5,120\n"
        f"network without them                           {plain.parameters:,}      {plain.macs:,}\n"
        f"share of that                                  {5120 / plain.parameters:.2%}          {5120 / plain.macs:.2%}"
    )


def test_without_an_example_there_are_no_sizes() -> None:
    report = insert(ours(), "se")
    assert report.macs is None
    assert report.added == (32 + 128, None)
    assert "×" not in str(report)
    assert "multiply–adds" not in str(report)
    assert str(report).startswith("SqueezeExcitation, 2 blocks, at the end of the residual branch, before the addition")


def test_what_the_blocks_add_to_resnet50() -> None:
    """The totals that the SE paper prints, reached by insertion."""
    with torch.device("meta"):
        model = resnet50()
        report = insert(model, "se", example=torch.zeros(1, 3, 224, 224))
    assert report.parameters + report.added[0] == 28_071_976
    assert sum(p.numel() for p in model.parameters()) == 28_071_976


@pytest.mark.parametrize("name", NAMES)
def test_the_report_agrees_with_the_formulas(name: str) -> None:
    """Of the mechanisms' table, as far as they need nothing but the input's sizes and the defaults."""
    model = nn.Sequential(nn.Conv2d(3, 128, 1))
    (site,) = insert(model, name, "0", example=torch.zeros(1, 3, 8, 8)).sites
    letters = entry(name).cost.get("symbols", {}).values()
    known = {size: getattr(model[0].attention, size) for size in letters if hasattr(model[0].attention, size)}
    known = {size: value for size, value in known.items() if isinstance(value, int)}
    sizes = {"height": 8, "width": 8, **known, "channels": 128}
    assert site.parameters == cost.evaluate(name, **sizes)
    assert site.macs == cost.evaluate(name, "macs", **sizes)


# What is refused


class Wider(nn.Conv2d):
    """Not an attention block: more channels come out."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels + 1, 1)


class OwnForward(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        for part in self:
            x = part(x)
        return x


class Pairs(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def unused() -> nn.Module:
    model = Theirs()
    model.spare = nn.Conv2d(3, 16, 1)
    return model


@pytest.mark.parametrize(
    ("build", "arguments", "error", "message"),
    [
        (ours, {"attention": "see"}, ValueError, "did you mean 'se'"),
        (ours, {"attention": 3}, TypeError, "attention=3 is neither"),
        (ours, {"attention": "sk"}, ValueError, r"attention='sk' is a branch: .*resnet50\(convolution=…\)"),
        (ours, {"attention": "stn"}, ValueError, "attention='stn' is a sampler"),
        (ours, {"attention": SMALL_SE, "reduction": 2}, TypeError, "options reduction belong into the factory"),
        (ours, {"attention": lambda c: None}, TypeError, "makes a NoneType, not a module"),
        (ours, {"reduction": 5}, ValueError, "channels=16 is not divisible by reduction=5"),
        (ours, {"where": "after_3x3"}, ValueError, "where='after_3x3': 'stages.0.0' is a Basic and has no such place"),
        (ours, {"where": "standart"}, ValueError, "where='standart' matches no module of the model; .*'standard'"),
        (ours, {"where": "stage.0"}, ValueError, "where='stage.0' matches no module .* did you mean 'stages.0'"),
        (ours, {"where": ["stages.0", "q"]}, ValueError, r"where='q' matches no module .* there are 'stem', 'stem.\*'"),
        (ours, {"where": []}, ValueError, r"where=\[\] names no module"),
        (ours, {"stages": (0,)}, ValueError, r"stages=\(0,\): allowed: 1 to 2"),
        (ours, {"stages": ()}, ValueError, r"stages=\(\): allowed: 1 to 2"),
        (ours, {"where": "stages.0", "stages": (1,)}, ValueError, "stages=.* goes with one of the places"),
        (Theirs, {}, ValueError, r"where='standard' is a place in this package's .* 'layer1.\*.bn3'"),
        (Theirs, {"where": "layer3"}, ValueError, "did you mean 'layer2' or 'layer1'"),
        (Theirs, {"where": "layer1.*"}, ValueError, "'layer1.0', of type Unit, does not say how many channels"),
        (Theirs, {"where": "avgpool"}, ValueError, "'avgpool', of type AdaptiveAvgPool2d, does not say"),
        (Theirs, {"where": "layer1.0.relu", "example": 1}, ValueError, "'layer1.0.relu' runs 3 times for one image"),
        (unused, {"where": "spare", "example": 1}, ValueError, "'spare' runs 0 times for one image"),
        (Theirs, {"where": "fc", "example": 1}, ValueError, r"'fc' puts out something of shape \(1, 10\), not"),
        (lambda: nn.Sequential(Pairs()), {"where": "0", "example": 1}, ValueError, "something of type tuple"),
        (chain, {"where": "0", "attention": Wider, "example": 1}, ValueError, r"a Wider turns shape \(1, 16, 16, 16\)"),
        (lambda: nn.Sequential(OwnForward(nn.Conv2d(3, 16, 1))), {"where": "0"}, ValueError, "forward of its own"),
        (lambda: torch.compile(ours(), backend="eager"), {}, ValueError, "model is compiled"),
    ],
)  # fmt: skip
def test_refused(build: Callable[[], nn.Module], arguments: dict, error: type[Exception], message: str) -> None:
    model = build()
    before = {name: id(module) for name, module in model.named_modules()}
    keys, hooks = list(model.state_dict()), [len(module._forward_hooks) for module in model.modules()]
    arguments = {"attention": "se", "example": None} | arguments
    arguments["example"] = torch.zeros(IMAGES) if arguments["example"] else None
    with pytest.raises(error, match=message):
        insert(model, **arguments)
    assert {name: id(module) for name, module in model.named_modules()} == before
    assert list(model.state_dict()) == keys
    assert [len(module._forward_hooks) for module in model.modules()] == hooks


@pytest.mark.parametrize(
    ("build", "first", "second"),
    [
        (ours, "standard", "standard"),
        (ours, "standard", "post"),
        (ours, "standard", "stages.0.0"),
        (ours, "stages.1", "stages.*"),
        (Theirs, "layer1.0.bn3", "layer*.*.bn3"),
        (partial(ours, attention=SMALL_SE), None, "standard"),
        (lambda: nn.Sequential(InceptionBlock(3, 4, (2, 4), (2, 4), 4, SMALL_SE)), None, "0"),
    ],
)
def test_a_place_takes_one_block(build: Callable[[], nn.Module], first: str | None, second: str) -> None:
    model = build()
    if first:
        insert(model, SMALL_SE, first)
    before = str(model)
    with pytest.raises(ValueError, match="has a part named 'attention' already: a place takes one block"):
        insert(model, SMALL_SE, second)
    assert str(model) == before


def test_a_part_of_the_users_own_that_has_the_name() -> None:
    model = nn.Sequential(nn.Module())
    model[0].attention = nn.Identity()
    with pytest.raises(ValueError, match="'0' has a part named 'attention' already"):
        insert(model, "se", "0")
    assert remove(model) == []


def test_a_module_that_was_compiled_in_place() -> None:
    model = ours()
    model.stages[0].compile(backend="eager")
    with pytest.raises(ValueError, match="model is compiled"):
        insert(model, "se")


def test_the_blocks_inside_are_not_places() -> None:
    model = ours()
    insert(model, SMALL_SE)
    with pytest.raises(ValueError, match="matches no module"):
        insert(model, SqueezeExcitation, "stages.*.*.attention")
