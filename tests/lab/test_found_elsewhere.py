"""Maps are found in the networks of timm and torchvision, and are what their gates and their softmax computed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from attention.lab import maps
from benchmarks.importing import imported


def package(name: str) -> ModuleType:
    """The package, or a test that is skipped and says why."""
    found = imported(name)
    if isinstance(found, str):
        pytest.skip(f"{name} cannot be imported ({found}); benchmarks/README.md says how to install it")
    return found


@contextmanager
def outputs_of(model: nn.Module, suffix: str) -> Iterator[dict[str, Tensor]]:
    """What the modules whose names end so put out, by the name of the module around them."""
    seen: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(
            lambda module, inputs, output, path=path: seen.update({path.removesuffix(suffix): output.detach().clone()})
        )
        for path, module in model.named_modules()
        if path.endswith(suffix)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize(
    ("source", "name", "suffix", "count"),
    [
        ("timm", "seresnet18", ".se.gate", 8),
        ("timm", "legacy_seresnet18", ".se_module.sigmoid", 8),
        ("timm", "ecaresnet26t", ".se.gate", 8),
        ("timm", "mobilenetv3_small_100", ".se.gate", 9),
        ("timm", "efficientnet_b0", ".se.gate", 16),
        ("torchvision", "mobilenet_v3_small", ".scale_activation", 9),
        ("torchvision", "efficientnet_b0", ".scale_activation", 16),
    ],
)
def test_gates_of_other_packages_are_found_all_and_no_others(source: str, name: str, suffix: str, count: int) -> None:
    found_in = package(source)
    model = found_in.create_model(name) if source == "timm" else getattr(found_in.models, name)()
    for module in model.modules():  # a fresh last normalisation of 0 would make all gates alike
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    x = torch.rand(2, 3, 64, 64)
    # ECA's gate is called as a function or as a module, from version to version: the product says what it was.
    with outputs_of(model, suffix) as seen:
        found = maps.capture(model, x)
    assert len(found) == count
    assert {tuple(names) for names in found.values()} == {("gate",)}
    assert {each.map.dims for each in found.found.values()} == {"b c 1 1"}
    parts = suffix.rpartition(".")[0]
    if seen:
        assert {path + parts for path in seen} == set(found)
    for path, gate in seen.items():
        torch.testing.assert_close(found[path + parts]["gate"].flatten(), gate.flatten())
    modules = dict(model.named_modules())
    with outputs_of(model, "") as every:
        model.eval()
        inputs = {}
        handles = [
            modules[layer].register_forward_pre_hook(
                lambda module, given, layer=layer: inputs.update({layer: given[0].detach().clone()})
            )
            for layer in found
        ]
        model(x)
        for handle in handles:
            handle.remove()
    for layer in found:
        torch.testing.assert_close(inputs[layer] * found[layer]["gate"], every[layer])


@pytest.mark.parametrize("fused", [False, True])
def test_a_vision_transformers_rows_are_found_fused_or_not(fused: bool) -> None:
    timm = package("timm")
    model = timm.create_model("vit_tiny_patch16_224", depth=2).eval()
    for block in model.blocks:
        block.attn.fused_attn = False
    x = torch.rand(2, 3, 224, 224)
    with outputs_of(model, ".attn_drop") as seen:  # what is not fused passes its rows through a dropout
        model(x)
    for block in model.blocks:
        block.attn.fused_attn = fused
    found = maps.capture(model, x)
    assert list(found) == ["blocks.0.attn", "blocks.1.attn"]
    for path, rows in seen.items():
        torch.testing.assert_close(found[f"{path}"]["rows"], rows)
    assert all(("never makes a tensor" in each.how) == fused for each in found.found.values())
    assert {each.map.dims for each in found.found.values()} == {"b m q k"}
    maps.show(found, "blocks.1.attn", select={"m": 2, "q": 0})  # where the class token looks


def test_rows_of_torchvisions_transformer_are_found() -> None:
    torchvision = package("torchvision")
    model = torchvision.models.vit_b_32().eval()
    found = maps.capture(model, torch.rand(1, 3, 224, 224))
    assert len(found) == 12
    assert {tuple(names["rows"].shape) for names in found.values()} == {(1, 12, 50, 50)}


def test_the_windows_of_a_swin_transformer_are_not_taken_for_the_picture() -> None:
    timm = package("timm")
    model = timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1)).eval()
    found = maps.capture(model, torch.rand(2, 3, 224, 224))
    (first, second) = found.values()
    assert (tuple(first["rows"].shape), tuple(second["rows"].shape)) == ((2, 192, 49, 49), (2, 96, 49, 49))
    assert {each.map.dims for each in found.found.values()} == {"b m q k"}


@pytest.mark.parametrize(
    ("source", "make"),
    [
        ("timm", lambda timm: timm.create_model("resnet18")),
        ("timm", lambda timm: timm.create_model("convnext_atto", drop_path_rate=0.2)),
        ("timm", lambda timm: timm.create_model("poolformer_s12", drop_path_rate=0.2)),
        ("torchvision", lambda torchvision: torchvision.models.shufflenet_v2_x0_5()),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_networks_without_attention_have_none(source: str, make: Callable, training: bool) -> None:
    model = make(package(source))
    with pytest.raises(ValueError, match="no map of another module was found"):
        maps.capture(model, torch.rand(2, 3, 64, 64), training=training)
