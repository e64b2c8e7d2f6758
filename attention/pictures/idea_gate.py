"""The picture of a gate: a weight that is computed from what it weighs."""

import torch
from torch import Tensor

from attention.contract import Attention, Map, Step
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import spots, stripes, uniform

SIZE = 7


class OneGate(Attention):
    """One gate for one feature map: a sigmoid of its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = {"gate": Map("b c", "sigmoid", about="how much of the map passes")}
        self.steps = {
            "z": Step("b c", "look", "the mean of the map"),
            "s": Step("b c", "decide", "how much of the map passes"),
            "y": Step("b c h w", "weigh", "the map times its gate"),
        }

    def attend(self, x: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Weigh ``x``, (batch, 1, height, width), by one gate with the numbers ``w`` and ``b``, (batch, 1)."""
        z = self.step("z", x.mean((2, 3)))
        s = self.step("s", (w * z + b).sigmoid())
        return self.step("y", x * s[:, :, None, None]), {"gate": s}


class Fixed(OneGate):
    """A weight that does not look at what it weighs."""

    def attend(self, x: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Weigh ``x`` by the same number, whatever is in it."""
        s = self.step("s", (w * 0.5 + b).sigmoid())
        return self.step("y", x * s[:, :, None, None]), {"gate": s}


def picture() -> Picture:
    """Make the picture."""
    numbers = torch.tensor([[8.0]], dtype=torch.float64), torch.tensor([[-4.0]], dtype=torch.float64)
    return made(
        OneGate().double().eval(),
        {
            "a spot": (spots(1, SIZE, 1.8).clamp(min=0.05), *numbers),
            "bright": (uniform(1, SIZE, 0.8), *numbers),
            "stripes": (stripes(1, SIZE), *numbers),
        },
        name="gate",
        variants={"fixed weight": Fixed().double().eval()},
        ranges={"x": (0, 1), "z": (0, 1), "y": (0, 1), "w": (-10, 10), "b": (-5, 5)},
        said={"x": "a feature map", "w": "how steep", "b": "shift"},
        title="A gate: how much of this?",
        about="Sliders add the same to all of x, and so to its mean, and move the two numbers w and b of the gate.",
    )
