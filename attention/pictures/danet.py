"""The live picture of dual attention."""

from dataclasses import replace

from torch import Tensor

from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, like, noise, spots
from attention.self_attention.danet import DualAttention

CHANNELS, SIZE = 3, 4
WEIGHTS = {
    "queries.weight": [[3.6, -1.2, 0.9]],
    "queries.bias": [-0.4],
    "keys.weight": [[3.0, -1.5, 0.6]],
    "keys.bias": [-0.2],
    "values.weight": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "values.bias": [0, 0, 0],
    "alpha": [0.8],
    "beta": [0.8],
}


class Named(DualAttention):
    """The same block; its step that has the name of the input has another name."""

    def __init__(self, channels: int, reduction: int = 8, reverse: bool = False) -> None:
        super().__init__(channels, reduction, reverse=reverse)
        self.steps = {"pairs" if key == "x" else key: step for key, step in self.steps.items()}
        self.steps["s"] = replace(self.steps["s"], about="how much each position takes of each other")

    def step(self, name: str, value: Tensor) -> Tensor:
        """Mark a step."""
        return super().step("pairs" if name == "x" else name, value)


def alike() -> Tensor:
    """Return two channels that are nearly the same, and a third that is their opposite."""
    x = bright(CHANNELS, SIZE, (0, slice(None), slice(0, 2)), (1, slice(None), slice(0, 2)), high=0.7, low=0.1)
    x[:, 2] = 0.8 - x[:, 0]
    x[:, 1, 0] = 0.1
    return x


def picture() -> Picture:
    """Make the picture."""
    own = block("danet", CHANNELS, reduction=3, weights=WEIGHTS)
    paper, reverse = (like(Named, own, CHANNELS, reduction=3, reverse=reverse) for reverse in (False, True))
    return made(
        paper,
        {
            "two channels alike": alike(),
            "one bright position": bright(CHANNELS, SIZE, (slice(None), 1, 2)),
            "spots": spots(CHANNELS, SIZE, width=1),
            "noise": noise(CHANNELS, SIZE),
        },
        name="paper",
        variants={"reversed": reverse},
        symbols={
            "x": "A",
            "queries": "W_q",
            "keys": "W_k",
            "values": "W_v",
            "queries.bias": "b_q",
            "keys.bias": "b_k",
            "values.bias": "b_v",
            "pairs": "x",
            "alpha": r"\alpha",
            "beta": r"\beta",
        },
        ranges={"x": (0, 1)},
        title="Dual attention",
        about="Weights chosen by hand, not trained.",
    )
