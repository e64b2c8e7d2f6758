"""Places that cannot take a block, layouts of another kind, options that do not fit: refused in words, or rounded."""

import copy
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attention import registry
from attention.backbones import insert, remove
from attention.backbones.resnet import small_resnet
from attention.channel.se import SqueezeExcitation
from attention.registry import create, entry

NAMES = [name for name in registry.names() if entry(name).kind in ("gate", "block")]
each_block = pytest.mark.parametrize("name", NAMES)

#: Blocks with an option that must divide the channels, at 24 of them: asked for and taken.
DIVIDING = {
    **dict.fromkeys(("se", "scse", "bam", "cbam", "gam", "cpca", "non_local", "danet", "ccnet"), ("reduction", 16, 12)),
    **dict.fromkeys(("sge", "ema"), ("groups", 16, 12)),
    "shuffle": ("groups", 8, 6),
    "ela": ("norm_groups", 16, 12),
    "dot_product": ("heads", 16, 12),
}
#: Blocks that some numbers of channels do not suit whatever a number says: why, and which.
UNSUITABLE = {
    "fca": ("channels=(24|30|7) is not divisible by frequencies=16", (24, 30, 7)),
    "shuffle": ("channels=7 is odd", (7,)),
    "polarized": ("channels=7 is not divisible by 2", (7,)),
    "scsa": ("channels=(30|7) is not divisible by the number of kernels, 4", (30, 7)),
}


class Rows(nn.Module):
    """(B, C, H, W) to (B, H, W, C) by patches, and on: as in Swin, and smaller by half."""

    def __init__(self, channels: int = 3, width: int = 16, *, strict: bool = False, pos: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, width, 4, 4)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width)])
        self.head = nn.Linear(width, 5)
        self.strict = strict

    def forward(self, x: Tensor) -> Tensor:
        if self.strict:
            assert x.shape[2:] in ((32, 32), (32, 64)), "input size"
        x = self.norm(self.patches(x).permute(0, 2, 3, 1))
        for layer in self.layers:
            x = layer(x).relu()
        return self.head(x.mean((1, 2)))


class Format(StrEnum):
    """The way in which timm writes it."""

    NCHW = "NCHW"
    NHWC = "NHWC"


class Here(nn.Module):
    """Puts out what comes in; its type says nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 1.0


class Dense(nn.ModuleDict):
    """A dense block as torchvision writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("denselayer1", nn.Conv2d(3, 4, 1))
        self.add_module("denselayer2", nn.Conv2d(7, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        found = [x]
        for _, layer in self.items():
            found.append(layer(torch.cat(found, 1)))
        return torch.cat(found, 1)


class AllParts(nn.Module):
    """Runs all its parts, whatever they are called."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        for i, part in enumerate(parts):
            self.add_module(f"part{i}", part)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.children():
            x = part(x)
        return x


class CollectsAll(AllParts):
    """Runs all its parts on the same input and adds up what has the same shape: another number of parts is an error."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.children()
        return first(x) + second(x)


class Indexed(nn.Module):
    """A Sequential that is never called: by number, or one part after the other."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 1))
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "by number":
            return self.layers[1](self.layers[0](x))
        found = []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return sum(found[1:], found[0])


def images(height: int = 32, width: int = 32) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def refused(model: nn.Module, error: type[Exception], message: str, *arguments: Any, **options: Any) -> None:
    """Insert, be refused, and find nothing changed."""
    before, keys = {n: (id(m), type(m)) for n, m in model.named_modules()}, list(model.state_dict())
    with pytest.raises(error, match=message) as caught:
        insert(model, *arguments, **options)
    assert {n: (id(m), type(m)) for n, m in model.named_modules()} == before
    assert list(model.state_dict()) == keys
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert "Traceback" not in str(caught.value)


# Channels last, of the other kind


@each_block
@pytest.mark.parametrize("where", ["norm", "layers.0"])
def test_what_grows_with_the_height_is_no_channel(name: str, where: str) -> None:
    for size in ((32, 32), (64, 64), (32, 64)):  # at (64, 64) the map is 16 × 16 × 16
        refused(Rows(), ValueError, f"'{where}' puts out .* with the channels last", name, where, example=images(*size))


def test_a_network_of_one_size_is_told_by_the_form_of_its_map() -> None:
    strict = Rows(strict=True)
    refused(strict, ValueError, "'norm' puts out .* with the channels last", "se", "norm", example=images())
    refused(strict, ValueError, "'norm' .* channels last", "se", "norm", example=images(32, 64))


def test_a_network_of_one_size_that_marks_its_format() -> None:
    for mark in ("NHWC", Format.NHWC):
        model = Rows(width=8, strict=True)  # a map of 8 × 8 × 8 at this size
        model.output_fmt, model.patches.stride, model.patches.kernel_size = mark, (4, 4), (4, 4)
        refused(model, ValueError, "'norm' puts out .* with the channels last", "se", "norm", example=images())


def test_what_nothing_tells_is_refused() -> None:
    model = Rows(width=8, strict=True)
    refused(model, ValueError, r"'norm' .* cannot be told .* example= of another size", "se", "norm", example=images())


@each_block
def test_other_parts_of_such_a_network_take_blocks(name: str) -> None:
    """A convolution says what it puts out, whatever the network marks."""
    model = Rows(width=128)
    model.output_fmt = "NHWC"
    (site,) = insert(model, name, "patches", example=images()).sites
    assert (site.channels, site.size) == (128, (8, 8))
    assert model(images()).shape == (2, 5)


@pytest.mark.parametrize("size", [(16, 16), (16, 8), (1, 1), (17, 5)])
@pytest.mark.parametrize("head", [nn.AdaptiveAvgPool2d(1), nn.Identity()])
def test_channels_second_are_taken(size: tuple[int, int], head: nn.Module) -> None:
    """Also where the channels are as many as rows, the size is fixed by what follows, or the map is one number each."""
    model = nn.Sequential(nn.Conv2d(3, 16, 1), Here(), head, nn.Flatten(), nn.LazyLinear(5))
    model(images(*size))
    (site,) = insert(model, "se", "1", example=images(*size)).sites
    assert (site.channels, site.size) == (16, size)


def test_pooled_maps() -> None:
    model = nn.Sequential(nn.Conv2d(3, 16, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))
    assert insert(model, "se", "1", example=images()).sites[0].size == (1, 1)


def test_the_second_run_leaves_nothing_behind() -> None:
    model = nn.Sequential(nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16), Here(), nn.Dropout(0.5))
    state, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    insert(model, lambda channels: nn.Identity(), "2", example=images())
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in state.items())
    assert torch.equal(random, torch.get_rng_state())


# Options that do not fit a place


def widths(*channels: int) -> nn.Module:
    return nn.Sequential(*[nn.Conv2d(a, b, 1) for a, b in zip((3, *channels), channels, strict=False)])


def test_every_dividing_block_is_in_the_table() -> None:
    """A block that comes later and refuses a number of channels for an option's sake is rounded too, or fails here."""
    for name in NAMES:
        for channels in (24, 30, 7):
            model = widths(channels)
            why, unsuitable = UNSUITABLE.get(name, ("", ()))
            if channels in unsuitable:
                refused(model, ValueError, f"at '0', of {channels} channels: .*{why}", name, "0", round_to_divisor=True)
                continue
            (site,) = insert(model, name, "0", example=images(), round_to_divisor=True).sites
            assert site.channels == channels
            assert not site.rounded or name in DIVIDING
            assert model(images()).shape == (2, channels, 32, 32)


@pytest.mark.parametrize("name", DIVIDING)
@pytest.mark.parametrize("example", [None, 1])
def test_an_option_is_rounded_aloud(name: str, example: int | None) -> None:
    option, asked, taken = DIVIDING[name]
    model, given = widths(64, 24, 48), {option: asked}
    example = images() if example else None
    report = insert(model, name, "*", example=example, round_to_divisor=True, **given)
    assert [site.rounded for site in report.sites] == [(), ((option, asked, taken),), ()]
    header, *rows = str(report).splitlines()[1:]
    assert header.endswith("rounded")
    assert [row.endswith(f"{option} {asked} → {taken}") for row in rows] == [False, True, False, False, False, False]
    expected = [create(name, c, **{option: o}) for c, o in ((64, asked), (24, taken), (48, asked))]
    assert [site.parameters for site in report.sites] == [sum(p.numel() for p in b.parameters()) for b in expected]
    assert [str(model[i].attention) for i in range(3)] == [str(block) for block in expected]


def test_nothing_is_rounded_unasked_and_the_place_is_named() -> None:
    for name, (option, asked, _) in DIVIDING.items():
        message = f"at '1', of 24 channels: .*channels=24 is not divisible by {option}={asked}; .*round_to_divisor=True"
        refused(widths(64, 24), ValueError, message, name, "*", **{option: asked})
    message = "at '1', of 24 channels: channels=24 is not divisible by reduction=16"
    refused(widths(64, 24), ValueError, message, partial(create, "se", reduction=16), "*")
    assert "rounded" not in str(insert(widths(64, 32), "se", "*", round_to_divisor=True))


def test_every_error_of_a_factory_names_the_place() -> None:
    def breaks(channels: int) -> nn.Module:
        return nn.GroupNorm(5, channels) if channels != 10 else {}[channels]

    refused(widths(5, 24), ValueError, "at '1', of 24 channels: num_channels", breaks, "*")
    with pytest.raises(KeyError) as caught:
        insert(widths(5, 10), breaks, "*")
    assert caught.value.__notes__ == ["This is the block at '1', of 10 channels."]
    wants = partial(nn.Conv2d, out_channels=5, kernel_size=40)
    refused(widths(5), ValueError, r"at '0': a Conv2d does not run on shape \(1, 5, 32", wants, "0", example=images())
    message = "round_to_divisor goes with a mechanism's name"
    refused(widths(24), TypeError, message, SqueezeExcitation, "0", round_to_divisor=True)


# Modules that run their parts one by one


@each_block
def test_a_dictionary_that_runs_its_parts(name: str) -> None:
    model = nn.Sequential(Dense())
    message = "'0', of type Dense, runs all that it holds, .* name a part, such as '0.denselayer2', or the module after"
    for example in (None, images()):
        refused(model, ValueError, message, name, "0", example=example)
    refused(nn.Sequential(nn.ModuleList([Here()])), ValueError, "'0', of type ModuleList, holds modules", name, "0")


@pytest.mark.parametrize("kind", [AllParts, CollectsAll])
def test_a_module_that_runs_its_parts(kind: type[nn.Module]) -> None:
    model = nn.Sequential(nn.Conv2d(3, 16, 1), kind(nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)))
    message = f"'1', of type {kind.__name__}, runs its parts one by one, and would take the block for one of them"
    refused(model, ValueError, message, "se", "1", example=images())
    refused(model, ValueError, message, "se", ["0", "1"], example=images())


@pytest.mark.parametrize("how", ["by number", "one after the other"])
def test_a_sequential_that_is_never_called(how: str) -> None:
    model = nn.Sequential(Indexed(how))
    says = "nothing calls this Sequential as a whole" if how == "by number" else "runs its parts one by one"
    refused(model, ValueError, f"'0.layers'.*{says}.*name one of its parts", "se", "0.layers", example=images())
    message = r"'0.layers' is a Sequential, and the Indexed around it may .* give an example= .*'0.layers.1'"
    refused(model, ValueError, message, "se", "0.layers")
    before = model(images())
    insert(model, "se", "0.layers.1")
    assert not torch.allclose(model(images()), before)


def test_a_sequential_that_is_called_needs_no_example() -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU()))
    assert len(insert(model, "se", "0").sites) == 1
    assert len(insert(small_resnet(in_channels=3), "se", ["stem", "stages", "stages.*"]).sites) == 5


# Arguments of another kind


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"where": None}, TypeError, "where=None is neither a name nor a list of names; .*'layer1"),
        ({"where": 3}, TypeError, "where=3 is neither a name"),
        ({"where": [3]}, TypeError, r"where=\[3\] is neither a name"),
        ({"stages": 2}, TypeError, r"stages=2 is not a sequence .* stages=\(2,\)"),
        ({"attention": "resnet"}, ValueError, r"attention='resnet': .* is not a mechanism.* a network goes first"),
        ({"attention": "small_resnet"}, ValueError, r"attention='small_resnet': .* a network goes first"),
        ({"attention": SqueezeExcitation(16)}, TypeError, r"attention is one block, a SqueezeExcitation, and every"),
        ({"attention": None}, TypeError, "attention=None is neither"),
        ({"example": np.zeros((1, 3, 32, 32))}, TypeError, r"example: .* received ndarray; write torch.as_tensor"),
        ({"example": [images()]}, TypeError, "example: expected a tensor, a dictionary or a tuple of inputs, .* list"),
        ({"example": torch.zeros(1, 4, 8, 8)}, ValueError, "the model does not run on the example: ValueError: x: exp"),
    ],
)
def test_arguments_of_another_kind(arguments: dict, error: type[Exception], message: str) -> None:
    refused(small_resnet(in_channels=3), error, message, **({"attention": "se"} | arguments))


@pytest.mark.parametrize("call", [partial(insert, attention="se"), remove])
def test_what_is_no_network(call: Callable) -> None:
    with pytest.raises(TypeError, match=r"model: expected the network itself, .* received the name 'resnet'"):
        call("resnet")
    with pytest.raises(TypeError, match=r"received ResNet|received function"):
        call(small_resnet)


def test_a_network_that_takes_a_dictionary() -> None:
    class Takes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Sequential(nn.Conv2d(3, 16, 1), Here())

        def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            return {"out": self.layer(batch["image"])}

    for example in ({"image": images()}, ({"image": images()},)):
        (site,) = insert(Takes(), "se", "layer.1", example=example).sites
        assert site.size == (32, 32)
