"""Answers to the exercises on CBAM: right ones, and wrong ones with what they must be told."""

from typing import Any

import torch
from torch import Tensor

from tests.exercises.answers import research

EQUATIONS = {
    "cbam.1": ("cbam-channel", "cbam-space"),
    "cbam.2": ("cbam-pool",),
    "cbam.3": ("cbam-space",),
    "cbam.4": ("cbam-norm",),
    "cbam.5": ("cbam-product",),
    "cbam.6": ("cbam-squeeze",),
}
PRINTED = {"cbam.1": (r"(\tfrac34, \tfrac14)", r"$s^{pos} = \tfrac12$", r"$s^{pos} = \tfrac45$")}


def by_hand(hidden: float, source: str = "x'", half: str = "") -> Tensor:
    """Compute the four gates as somebody would who makes one mistake.

    :param hidden: the sum of the two hidden numbers: 0 of the means, 2 of the maxima.
    :param source: what the map is computed from.
    :param half: the gates that lack their sigmoid.
    """
    f = torch.tensor([[[2.0, 2.0], [2.0, 2.0]], [[0.0, 4.0], [0.0, 0.0]]])
    w1, kernel = torch.tensor([3.0, 1 / 3]).log() / 2, torch.tensor([16.0, 1 / 4]).log()
    channel = (w1 * hidden).sigmoid()
    seen = f if source == "x" else f * channel[:, None, None]
    space = (kernel[0] * seen.mean(0) + kernel[1] * seen.amax(0))[0]
    return torch.cat([w1 * hidden if "g" in half else channel, space if "m" in half else space.sigmoid()])


def pool(x: Tensor) -> Tensor:
    return torch.stack([x.mean(1), x.amax(1)], dim=1)


def restack(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state | {"conv.weight": state["conv.weight"].flip(1)}


def copies(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Restack a copy, by index."""
    made = {key: tensor.clone() for key, tensor in state.items()}
    made["conv.weight"] = made["conv.weight"][:, [1, 0]]
    return made


def fold(block: Any) -> tuple[Tensor, Tensor]:
    scale = block.norm.weight / (block.norm.running_var + block.norm.eps).sqrt()
    return scale * block.conv.weight, block.norm.bias - scale * block.norm.running_mean


def split(gates: Tensor) -> tuple[Tensor, Tensor]:
    space = gates.amax(0)
    channel = (gates / space)[:, 0, 0]
    if not torch.allclose(channel[:, None, None] * space, gates):
        raise ValueError("these gates are no product")
    return channel, space


def split_other_way(gates: Tensor) -> list[Tensor]:
    """Split so that the largest gate of the map is 1."""
    channel = gates.amax((1, 2))
    space = (gates / channel[:, None, None])[0]
    if not torch.allclose(channel[:, None, None] * space, gates):
        raise ValueError("these gates are no product")
    return [channel, space]


def in_place(state: dict[str, Tensor]) -> dict[str, Tensor]:
    state["conv.weight"].copy_(state["conv.weight"].flip(1).clone())
    return state


def replaces(state: dict[str, Tensor]) -> dict[str, Tensor]:
    state["conv.weight"] = state["conv.weight"].flip(1)
    return state


def folds_in_place(block: Any) -> tuple[Tensor, Tensor]:
    kernel, bias = fold(block)
    with torch.no_grad():
        block.conv.weight.copy_(kernel)
    return block.conv.weight, bias


def by_svd(gates: Tensor) -> tuple[Tensor, Tensor]:
    u, s, v = torch.linalg.svd(gates.flatten(1), full_matrices=False)
    return -u[:, 0] * s[0], -v[0].view(gates.shape[1:])


def never_refuses(gates: Tensor) -> tuple[Tensor, Tensor]:
    space = gates.amax(0)
    return (gates / space)[:, 0, 0], space


def asserts(gates: Tensor) -> tuple[Tensor, Tensor]:
    channel, space = never_refuses(gates)
    assert torch.allclose(channel[:, None, None] * space, gates)
    return channel, space


def later(gates: Tensor) -> tuple[Tensor, Tensor]:
    channel, space = never_refuses(gates)
    if not torch.allclose(channel[:, None, None] * space, gates):
        raise NotImplementedError
    return channel, space


def bare(block: Any) -> tuple[Tensor, Tensor]:
    scale = block.norm.weight / block.norm.running_var
    return scale * block.conv.weight, block.norm.bias - scale * block.norm.running_mean


def without_eps(block: Any) -> tuple[Tensor, Tensor]:
    scale = block.norm.weight / block.norm.running_var.sqrt()
    return scale * block.conv.weight, block.norm.bias - scale * block.norm.running_mean


def accepts_a_spot(gates: Tensor) -> tuple[Tensor, Tensor]:
    """Refuse only what is far from a product on the whole."""
    channel, space = never_refuses(gates)
    if (channel[:, None, None] * space - gates).abs().mean() > 0.05:
        raise ValueError("these gates are no product")
    return channel, space


RIGHT: dict[str, list[Any]] = {
    "cbam.1": [[3 / 4, 1 / 4, 1 / 2, 4 / 5], by_hand(2.0)],
    "cbam.2": [pool, lambda x: torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True).values], 1)],
    "cbam.3": [restack, copies],
    "cbam.4": [fold, lambda block: list(fold(block))],
    "cbam.5": [split, split_other_way],
    "cbam.6": [research.report()],
}

WRONG: list[tuple[str, Any, str | tuple[str, ...]]] = [
    ("cbam.1", by_hand(1.0), "what comes out is added, not averaged"),
    ("cbam.1", by_hand(2.0)[[1, 0, 2, 3]], "The gate of the first channel comes first"),
    ("cbam.1", by_hand(2.0)[[0, 1, 3, 2]], ("look again at [2], [3]", "at the left comes first")),
    ("cbam.1", by_hand(0.0), "from the means alone"),
    ("cbam.1", by_hand(2.0, "x"), ("1 of 4 numbers", "look again at [3]", "computed from x'")),
    ("cbam.1", by_hand(2.0, half="g"), "The first two lack their sigmoid"),
    ("cbam.1", by_hand(2.0, half="m"), "The last two lack their sigmoid"),
    ("cbam.1", by_hand(2.0, half="gm"), "What keeps a gate between 0 and 1?"),
    ("cbam.1", [0.5, 0.5, 0.5, 4 / 5], "look again at [0], [1]"),
    ("cbam.1", [3 / 4, 1 / 4], "Expected shape (4,) for the four gates, received (2,)."),
    ("cbam.2", lambda x: torch.stack([x.amax(1), x.mean(1)], 1), "The mean comes first"),
    ("cbam.2", lambda x: torch.stack([x.mean((2, 3)), x.amax((2, 3))], 1), "statistics over positions"),
    ("cbam.2", lambda x: torch.stack([x.mean(1), x.mean(1)], 1), "the branch of the maximum is dead"),
    ("cbam.2", lambda x: torch.stack([x.mean(1), x.abs().amax(1)], 1), "with their signs"),
    ("cbam.2", lambda x: torch.stack([x.sum(1), x.amax(1)], 1), "The first is a sum"),
    (
        "cbam.2",
        lambda x: x.mean(1, keepdim=True),
        ("Expected shape (4, 2, 5, 6)", "received (4, 1, 5, 6)", "That is one statistic"),
    ),
    ("cbam.2", lambda x: x.mean(1), ("received (4, 5, 6)", "on an axis of their own")),
    ("cbam.2", lambda x: torch.stack([x.mean(1), x.amax(1)]), "behind the batch"),
    ("cbam.2", lambda x: (x.mean(1), x.amax(1)), ("received tuple of length 2", "torch.stack and torch.cat")),
    ("cbam.2", lambda x: torch.stack([x.mean(1), x.max(1)], 1), "your function raised TypeError"),
    ("cbam.2", lambda x: pool(x).float(), "Expected dtype torch.float64"),
    ("cbam.3", lambda state: dict(state), ("the same outputs", "The kernel is as it was")),
    ("cbam.3", lambda state: state | {"conv.weight": state["conv.weight"].flip(2, 3)}, "The picture is not turned"),
    ("cbam.3", lambda state: state | {"conv.weight": state["conv.weight"].flip(1, 2, 3)}, "The picture is not turned"),
    (
        "cbam.3",
        lambda state: state | {"reduce.weight": state["reduce.weight"].flip(1)},
        "Expected the entry 'reduce.weight' as it was, received other numbers.",
    ),
    (
        "cbam.3",
        lambda state: state | {"conv.weight": state["conv.weight"][:, :1]},
        "Expected shape (1, 2, 7, 7) for the entry 'conv.weight', received (1, 1, 7, 7).",
    ),
    (
        "cbam.3",
        lambda state: state | {"conv.weight": state["conv.weight"].flip(1).float()},
        "Expected dtype torch.float64 for the entry 'conv.weight', received torch.float32.",
    ),
    ("cbam.3", lambda state: state | {"conv.weight": state["conv.weight"].tolist()}, "Expected a torch.Tensor"),
    ("cbam.3", in_place, ("Expected your function to leave a state dict", "it changed the dict")),
    ("cbam.3", replaces, "it changed the dict, or a tensor in it"),
    ("cbam.3", lambda state: {"conv.weight": state["conv.weight"].flip(1)}, "Every key stays"),
    ("cbam.3", lambda state: state["conv.weight"].flip(1), "Expected a state dict, received Tensor"),
    ("cbam.4", lambda b: (fold(b)[0], b.norm.bias), "The running mean is subtracted too"),
    ("cbam.4", lambda b: (b.conv.weight, fold(b)[1]), "The kernel is scaled as well"),
    ("cbam.4", lambda b: (fold(b)[0], torch.zeros(1).double()), "What does the normalisation add"),
    ("cbam.4", lambda b: (fold(b)[0], b.norm.bias - b.norm.running_mean), "before the scaling"),
    ("cbam.4", without_eps, "Nearly. The normalisation adds eps to the variance"),
    ("cbam.4", bare, "The variance is not the standard deviation"),
    (
        "cbam.4",
        lambda b: (fold(b)[0][:, :, :1], fold(b)[1]),
        "Expected shape (1, 2, 3, 3) for the kernel, received (1, 2, 1, 3).",
    ),
    ("cbam.4", lambda b: fold(b)[0], "expected a pair of tensors, kernel and bias, received Tensor"),
    (
        "cbam.4",
        lambda b: (fold(b)[0][0], fold(b)[1]),
        "Expected shape (1, 2, 3, 3) for the kernel, received (2, 3, 3).",
    ),
    (
        "cbam.4",
        lambda b: (fold(b)[0], fold(b)[1].item()),
        ("Expected a torch.Tensor for the bias, received float", "item()"),
    ),
    ("cbam.4", folds_in_place, ("leave the block alone", "Compute new tensors")),
    ("cbam.5", by_svd, ("Expected gates of the", "between 0 and 1, received gates from", "at most 1?")),
    ("cbam.5", never_refuses, ("expected a ValueError, but your function returned tuple", "Multiply what you found")),
    ("cbam.5", accepts_a_spot, "a product in which one gate was halved, expected a ValueError, but"),
    ("cbam.5", asserts, "expected a ValueError, received AssertionError (line"),
    ("cbam.5", later, "expected a ValueError, received NotImplementedError"),
    ("cbam.5", lambda g: (g.mean((1, 2)), g.mean(0)), "The largest difference is"),
    ("cbam.5", lambda g: (g[:, 0, 0], (g / g[:, :1, :1])[0]), "between 0 and 1, received gates from"),
    ("cbam.5", lambda g: g.amax(0), "expected a pair of tensors, gates of the channels and map, received Tensor"),
    (
        "cbam.5",
        lambda g: (g.amax((1, 2), keepdim=True), g.amax(0)),
        "Expected shape (3,) for the gates of the channels, received (3, 1, 1).",
    ),
    *research.wrong("cbam.6", "Let the new statistic take the place of one of the two"),
]
