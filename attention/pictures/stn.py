"""The live picture of the spatial transformer: its θ is moved by hand, where the block computes it."""

import torch
from einops import rearrange
from torch import Tensor, nn

from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.spatial.stn import SpatialTransformer

SIZE, SEEN = 10, 6
THETA = {
    "nothing changed": (1, 0, 0, 0, 1, 0),
    "closer": (0.5, 0, 0.2, 0, 0.5, -0.2),
    "turned": (0.7, -0.7, 0, 0.7, 0.7, 0),
    "sheared": (1, 0.6, 0, 0, 0.8, 0),
}


class Window(SpatialTransformer):
    """The transformer with θ as an input."""

    def __init__(self, align_corners: bool = False) -> None:
        super().__init__(nn.Identity(), 1, size=(SEEN, SEEN), align_corners=align_corners)
        self.given: list[Tensor] = []

    def theta(self, x: Tensor) -> Tensor:
        """Return the matrix that is given: (batch, 2, 3)."""
        return self.step("A", rearrange(self.given[-1], "b (i j) -> b i j", i=2))

    def attend(self, x: Tensor, theta: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Look at ``x``, (batch, channels, height, width), through the window ``theta``, (batch, 6)."""
        if theta is None:
            raise ValueError("theta is missing: the six numbers of the window")
        self.given.append(theta)
        try:
            return super().attend(x)
        finally:
            self.given.clear()


def _arrow() -> Tensor:
    """An arrow that points up to the right, off the middle: what is turned or moved is seen at once."""
    x = torch.full((1, 1, SIZE, SIZE), 0.1, dtype=torch.float64)
    for k in range(2, 8):
        x[0, 0, 9 - k, k] = 0.9
    x[0, 0, 2, 4:8] = 0.9
    x[0, 0, 2:6, 7] = 0.9
    x[0, 0, 7, 7] = 0.5
    return x


def picture() -> Picture:
    """Make the picture."""
    presets = {name: (_arrow(), torch.tensor([theta], dtype=torch.float64)) for name, theta in THETA.items()}
    return made(
        Window().double().eval(),
        presets,
        name="−1 and 1 at the outer edges",
        variants={"at the outer centres": Window(align_corners=True).double().eval()},
        symbols={"x": "x", "theta": r"\theta", "grid": "p'"},
        ranges={"x": (0, 1), "y": (0, 1), "theta": (-2.5, 2.5)},
        equations={
            "grid": "<i>A<sub>θ</sub></i> (<i>p</i><sub>1</sub>, <i>p</i><sub>2</sub>, 1)",
            "y": "sum over the four pixels around <i>p′</i>: <i>x</i> · (1 − distance across) · (1 − distance down)",
        },
        panels={"grid": ("across", "down")},
        places="grid",
        said={"x": "a picture", "theta": "the six numbers of the window"},
        title="Spatial transformer",
        about="Here θ is moved by hand; in a network the localiser computes it. The window is drawn on the input.",
    )
