"""The live picture of Coordinate Attention."""

from typing import Any

from torch import Tensor

from attention.hybrid.coordinate import CoordinateAttention
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, like, noise, said

CHANNELS, SIZE = 4, 7
OPTIONS: dict[str, Any] = {"reduction": 4, "floor": 4}
WEIGHTS = {
    "reduce.weight": [[2.4, 1.2, -0.8, 1.6], [-1.6, 2.2, 1.8, -0.6], [0.9, -1.4, 1.1, 2.0], [1.5, 0.7, 2.1, -1.3]],
    "reduce.bias": [-1.2, -0.6, 0.3, -1.0],
    "rows.weight": [[1.2, 0.4, -0.3, 0.6], [0.8, -0.9, 0.4, -0.7], [-1.1, 0.6, 0.5, -0.8], [0.5, 1.6, -0.7, 0.4]],
    "rows.bias": [-1.0, 0.2, 0.8, -1.2],
    "columns.weight": [[1.0, -0.5, 0.6, 0.2], [0.6, 1.2, -0.9, 0.4], [-0.9, 0.8, -1.2, 0.7], [1.4, 0.3, 0.5, -1.1]],
    "columns.bias": [0.6, 0.8, 0.4, -0.2],
}


class OneMean(CoordinateAttention):
    """The same block on the mean of each channel, in place of those of its rows and columns."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the output, (batch, channels, height, width), and the gates of rows and of columns."""
        _, maps = super().attend(x.mean((2, 3), keepdim=True).expand_as(x))
        return self.step("y", x * maps["rows"] * maps["columns"]), maps


def picture() -> Picture:
    """Make the picture."""
    own = block("coordinate", CHANNELS, weights=WEIGHTS, **OPTIONS)
    whole = slice(None)
    means = "[<i>z<sup>h</sup></i> ; <i>z<sup>w</sup></i>]"
    shown = made(
        own,
        {
            "one bright row": bright(CHANNELS, SIZE, (whole, 2, whole)),
            "one bright position": bright(CHANNELS, SIZE, (whole, 2, 4)),
            "a diagonal": bright(CHANNELS, SIZE, *((whole, i, i) for i in range(SIZE))),
            "noise": noise(CHANNELS, SIZE),
        },
        name="Coordinate",
        variants={"one mean": like(OneMean, own, CHANNELS, **OPTIONS)},
        symbols={"reduce": "F_1", "rows": "F_h", "columns": "F_w", "rows.bias": "b_h", "columns.bias": "b_w"},
        equations={
            "f": f"h-swish(norm(<i>F</i><sub>1</sub>{means} + <i>b</i><sub>1</sub>))",
            "gh": "σ(<i>F<sub>h</sub> f<sup>h</sup></i> + <i>b<sub>h</sub></i>)",
            "gw": "σ(<i>F<sub>w</sub> f<sup>w</sup></i> + <i>b<sub>w</sub></i>)",
        },
        ranges={"x": (0, 1), "zh": (0, 1), "zw": (0, 1), "y": (0, 1)},
        title="Coordinate Attention",
        about="Weights chosen by hand, not trained.",
    )
    mean = "mean<sub><i>hw</i></sub>(<i>x</i>)"
    one = "the mean of the channel, once for each "
    return said(shown, "one mean", {"zh": mean, "zw": mean}, {"zh": f"{one}row", "zw": f"{one}column"})
