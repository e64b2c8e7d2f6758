"""The weights of the authors' code, in our blocks: names, sizes, and the same function."""

import re
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attention
from attention import registry
from attention.official import translate

CODED = [name for name in registry.names() if registry.entry(name).official]
X = torch.randn(2, 64, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def norm(channels: int, name: str, seed: int) -> dict[str, Tensor]:
    values = {each: numbers(channels, seed=seed + i) for i, each in enumerate(("weight", "bias", "running_mean"))}
    return {f"{name}.{each}": value for each, value in values.items()} | {
        f"{name}.running_var": numbers(channels, seed=seed + 5).abs() + 0.5,
        f"{name}.num_batches_tracked": torch.tensor(7),
    }


def normalised(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    each = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *each)


# --- what the public code computes, written down from reading it: one function of a state and an input a mechanism


def se_state() -> dict[str, Tensor]:
    return {"fc.0.weight": numbers(4, 64), "fc.2.weight": numbers(64, 4, seed=2)}


def se(w: dict[str, Tensor], x: Tensor) -> Tensor:
    s = torch.sigmoid(F.relu(x.mean((2, 3)) @ w["fc.0.weight"].T) @ w["fc.2.weight"].T)
    return x * s[:, :, None, None]


def cbam_state() -> dict[str, Tensor]:
    mlp, bn = "ChannelGate.mlp", "SpatialGate.spatial.bn"
    return {
        f"{mlp}.1.weight": numbers(4, 64),
        f"{mlp}.1.bias": numbers(4, seed=2),
        f"{mlp}.3.weight": numbers(64, 4, seed=3),
        f"{mlp}.3.bias": numbers(64, seed=4),
        "SpatialGate.spatial.conv.weight": numbers(1, 2, 7, 7, seed=5),
    } | norm(1, bn, 6)


def cbam(w: dict[str, Tensor], x: Tensor) -> Tensor:
    mlp = "ChannelGate.mlp"

    def layers(z: Tensor) -> Tensor:
        hidden = F.relu(F.linear(z, w[f"{mlp}.1.weight"], w[f"{mlp}.1.bias"]))
        return F.linear(hidden, w[f"{mlp}.3.weight"], w[f"{mlp}.3.bias"])

    x = x * torch.sigmoid(layers(x.mean((2, 3))) + layers(x.amax((2, 3))))[:, :, None, None]
    t = torch.stack([x.amax(1), x.mean(1)], 1)
    scores = F.conv2d(t, w["SpatialGate.spatial.conv.weight"], padding=3)
    return x * torch.sigmoid(normalised(scores, w, "SpatialGate.spatial.bn"))


def non_local_state(sub: str = ".0") -> dict[str, Tensor]:
    state = {}
    for i, name in enumerate((f"g{sub}", "theta", f"phi{sub}")):
        state |= {f"{name}.weight": numbers(32, 64, 1, 1, seed=i) / 8, f"{name}.bias": numbers(32, seed=10 + i)}
    return (
        state
        | {"W.0.weight": numbers(64, 32, 1, 1, seed=20) / 6, "W.0.bias": numbers(64, seed=21)}
        | norm(64, "W.1", 22)
    )


def non_local(w: dict[str, Tensor], x: Tensor) -> Tensor:
    sub = ".0" if "g.0.weight" in w else ""

    def layer(name: str) -> Tensor:
        y = F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"])
        return F.max_pool2d(y, 2) if name.endswith(".0") else y

    g, theta, phi = (layer(name).flatten(2) for name in (f"g{sub}", "theta", f"phi{sub}"))
    y = torch.einsum("bij,bcj->bci", torch.einsum("bci,bcj->bij", theta, phi).softmax(2), g)
    y = F.conv2d(y.reshape(len(x), -1, *x.shape[2:]), w["W.0.weight"], w["W.0.bias"])
    return x + normalised(y, w, "W.1")


def sk_state() -> dict[str, Tensor]:
    state = {"attn.fc_reduce.weight": numbers(32, 64, 1, 1) / 8, "attn.fc_select.weight": numbers(128, 32, 1, 1) / 6}
    for i in (0, 1):
        state |= {f"paths.{i}.conv.weight": numbers(64, 2, 3, 3, seed=30 + i)} | norm(64, f"paths.{i}.bn", 40 + i)
    return state | norm(32, "attn.bn", 50)


def sk(w: dict[str, Tensor], x: Tensor) -> Tensor:
    branches = torch.stack(
        [
            normalised(
                F.conv2d(x, w[f"paths.{i}.conv.weight"], padding=1 + i, dilation=1 + i, groups=32), w, f"paths.{i}.bn"
            ).relu()
            for i in (0, 1)
        ],
        1,
    )
    z = normalised(F.conv2d(branches.sum(1).mean((2, 3), True), w["attn.fc_reduce.weight"]), w, "attn.bn").relu()
    a = F.conv2d(z, w["attn.fc_select.weight"]).reshape(len(x), 2, 64, 1, 1).softmax(1)
    return (a * branches).sum(1)


#: Each mechanism's official state and function; blocks that came later have theirs in their own tests.
KNOWN: dict[str, tuple[Callable[..., dict[str, Tensor]], Callable[[dict[str, Tensor], Tensor], Tensor]]] = {
    "se": (se_state, se),
    "cbam": (cbam_state, cbam),
    "non_local": (non_local_state, non_local),
    "sk": (sk_state, sk),
}


def made(name: str, channels: int = 64, **more: object) -> nn.Module:
    return attention.create(name, channels, **registry.entry(name).official["options"] | more).double().eval()


def agrees(block: nn.Module, expected: Tensor) -> None:
    torch.testing.assert_close(block(X), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(block.attend(X)[0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", KNOWN)
def test_the_official_weights_make_the_official_function(name: str) -> None:
    state, function = KNOWN[name]
    block, theirs = made(name), state()
    attention.load_official(block, theirs)
    agrees(block, function(theirs, X))


def test_non_local_has_both_sub_samplings() -> None:
    block, theirs = made("non_local", subsample=1), non_local_state(sub="")
    attention.load_official(block, theirs)
    agrees(block, non_local(theirs, X))


@pytest.mark.parametrize("name", KNOWN)
def test_a_block_of_a_whole_network_is_found_by_its_prefix(name: str) -> None:
    state, function = KNOWN[name]
    theirs = state()
    network = {f"layer1.0.{key}": value for key, value in theirs.items()} | {"layer1.1.other": numbers(3)}
    block = made(name)
    attention.load_official(block, network, prefix="layer1.0.")
    agrees(block, function(theirs, X))


def test_the_names_of_other_packages_are_known() -> None:
    """Those of timm's and torchvision's SE, and of timm's CBAM: two linear layers as convolutions of one pixel."""
    theirs = {
        "fc1.weight": numbers(4, 64, 1, 1),
        "fc1.bias": numbers(4, seed=2),
        "fc2.weight": numbers(64, 4, 1, 1, seed=3),
        "fc2.bias": numbers(64, seed=4),
    }
    block = made("se", bias=True)
    attention.load_official(block, theirs)
    hidden = F.conv2d(X.mean((2, 3), keepdim=True), theirs["fc1.weight"], theirs["fc1.bias"]).relu()
    agrees(block, X * F.conv2d(hidden, theirs["fc2.weight"], theirs["fc2.bias"]).sigmoid())

    theirs = {
        "channel.fc1.weight": numbers(4, 64, 1, 1),
        "channel.fc2.weight": numbers(64, 4, 1, 1, seed=3),
        "spatial.conv.conv.weight": numbers(1, 2, 7, 7, seed=5),
    } | norm(1, "spatial.conv.bn", 6)
    cbam = attention.create("cbam", 64, norm=True).double().eval()
    attention.load_official(cbam, theirs)
    pooled = (X.mean((2, 3), keepdim=True), X.amax((2, 3), keepdim=True))
    both = [F.conv2d(F.conv2d(z, theirs["channel.fc1.weight"]).relu(), theirs["channel.fc2.weight"]) for z in pooled]
    x = X * sum(both).sigmoid()
    t = F.conv2d(torch.stack([x.mean(1), x.amax(1)], 1), theirs["spatial.conv.conv.weight"], padding=3)
    agrees(cbam, x * normalised(t, theirs, "spatial.conv.bn").sigmoid())


@pytest.mark.parametrize("name", CODED)
def test_an_entry_is_complete_and_its_options_build_the_block(name: str) -> None:
    official = registry.entry(name).official
    assert set(official) <= {"source", "options", "names", "about", "unused", "copy"}
    assert re.fullmatch(r"[\w.-]+/[\w.-]+: [\w./ &()-]+(: [\w., ]+)?", official["source"]), official["source"]
    assert official["names"]
    if registry.KINDS[registry.entry(name).kind]:
        ours = set(made(name, 256).state_dict())
        targets = {
            each for value in official["names"].values() for each in ([value] if isinstance(value, str) else value)
        }
        patterns = [re.escape(each).replace(r"\{i\}", r"\d+") for each in targets]
        for key in ours:
            known = any(re.fullmatch(pattern, key) for pattern in patterns)
            assert known or key.endswith("num_batches_tracked"), f"no official name leads to {key}"


def test_what_does_not_fit_is_named_and_changes_nothing() -> None:
    block = made("se")
    before = {key: value.clone() for key, value in block.state_dict().items()}
    for state, message in (
        ({"fc.0.weight": numbers(4, 64)}, "expand.weight are not given"),
        (se_state() | {"fc.0.weight": numbers(8, 64)}, r"reduce.weight \(8, 64\) do not fit"),
        (se_state() | {"fc.4.weight": numbers(1)}, "fc.4.weight have no place here"),
        (se_state() | {"fc.0.bias": numbers(4)}, "fc.0.bias have no place here"),
        ({}, "the official code is moskomule/senet.pytorch"),
        ({"fc.0.weight": numbers(16, 16), "fc.2.weight": numbers(16, 16)}, r"reduce.weight \(16, 16\)"),
        ({f"module.{key}": v for key, v in se_state().items()}, r"; is it prefix='module\.'\?"),
        ({f"a.{i}": numbers(1) for i in range(9)}, "a.4, a.5 and 3 more have no place here"),
    ):
        with pytest.raises(ValueError, match=message):
            attention.load_official(block, state)
    assert all(value.equal(before[key]) for key, value in block.state_dict().items())
    with pytest.raises(ValueError, match=r"and a block with bias=True, norm=True, .* is the same"):
        attention.load_official(attention.create("cbam", 64), cbam_state())


def test_three_branches_of_a_selective_kernel() -> None:
    theirs = sk_state() | {"paths.2.conv.weight": numbers(64, 2, 3, 3, seed=32)} | norm(64, "paths.2.bn", 42)
    theirs["attn.fc_select.weight"] = numbers(192, 32, 1, 1) / 6
    block = made("sk", branches=3)
    attention.load_official(block, theirs)
    wanted = theirs["attn.fc_select.weight"].flatten(1).split(64)
    for found, each in zip(block.select, wanted, strict=True):
        assert found.weight.equal(each)


def test_one_module_of_two_is_loaded_by_its_own_names() -> None:
    """DANet's two modules call their factor alike."""
    for part, mine in (("position", "alpha"), ("channel", "beta")):
        block = made("danet", part=part, reverse=part == "channel")
        state = {"gamma": numbers(1)}
        if part == "position":
            for i, (name, width) in enumerate({"query_conv": 8, "key_conv": 8, "value_conv": 64}.items()):
                state |= {
                    f"{name}.weight": numbers(width, 64, 1, 1, seed=i),
                    f"{name}.bias": numbers(width, seed=9 + i),
                }
        attention.load_official(block, state)
        assert getattr(block, mine).item() == state["gamma"].item()
    both = {f"sa.{key}": v for key, v in state.items()} | {"conv5a.0.weight": numbers(3), "conv8.1.bias": numbers(2)}
    with pytest.raises(ValueError, match="are not given"):
        attention.load_official(made("danet"), both)


def test_matrices_and_convolutions_of_one_pixel_are_the_same() -> None:
    theirs = {key: value[..., None, None] for key, value in se_state().items()}
    block = made("se")
    attention.load_official(block, theirs)
    agrees(block, se(se_state(), X))


def test_a_block_that_is_none_of_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="Linear is none of the blocks whose official code is known: se, "):
        attention.load_official(nn.Linear(2, 2), {})


def test_names_are_joined_divided_and_numbered() -> None:
    theirs = {"a.0": numbers(2, 3), "b.0": numbers(4, 3), "a.1": numbers(2, 3), "qkv": numbers(6, 2)}
    shapes = {"ab.0": (6, 3), "q": (1, 2), "k": (2, 2), "v": (3, 2)}
    found, used = translate({"a.{i} + b.{i}": "ab.{i}", "qkv": ["q", "k", "v"], "absent": "q"}, theirs, shapes)
    assert set(found) == {"ab.0", "q", "k", "v"}
    assert used == {"a.0", "b.0", "qkv"}
    assert found["ab.0"].equal(torch.cat([theirs["a.0"], theirs["b.0"]]))
    assert found["k"].equal(theirs["qkv"][1:3])
