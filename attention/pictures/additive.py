"""The live picture of additive attention."""

from dataclasses import replace

import torch
from torch import Tensor

from attention.encoder_decoder.additive import AdditiveAttention
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import bright, like, noise, said, spots

CHANNELS, SIZE, QUERY, HIDDEN = 2, 4, 3, 5
WEIGHTS = {
    "queries.weight": [[0, 3, 0], [3, 0, 0], [0, 0, 2], [0, 0, 1], [0, 0, -1.5]],
    "keys.weight": [[2, 0], [0, 2], [1.5, -1.5], [-1, 1], [1, 1]],
    "score.weight": [[4, 4, 1, -0.5, 0.5]],
}


class Literal(AdditiveAttention):
    """The same function, in which each step is computed from the one before."""

    def bent(self, numbers: Tensor) -> Tensor:
        """Return the tanh of what the scores are made of."""
        return numbers.tanh()

    def read(self, rows: Tensor, keys: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is read, (batch, channels), and the weights of the positions, (batch, positions)."""
        scores = self.step("e", self.score(self.bent(self.queries(query)[:, None] + keys)).squeeze(2))
        alpha = self.step("alpha", scores.softmax(1))
        return self.step("c", (alpha[:, None] @ rows).squeeze(1)), alpha


class WithoutTanh(Literal):
    """The same block without the tanh: the query adds the same number to all scores, and chooses nothing."""

    def __init__(self, channels: int, query: int, hidden: int) -> None:
        super().__init__(channels, query, hidden)
        self.steps["e"] = replace(self.steps["e"], symbol="e'")  # larger numbers, on a scale of their own

    def bent(self, numbers: Tensor) -> Tensor:
        """Return the numbers as they are."""
        return numbers


def picture() -> Picture:
    """Make the picture."""
    own = Literal(CHANNELS, QUERY, HIDDEN).double().eval()
    own.load_state_dict({name: torch.tensor(values, dtype=torch.float64) for name, values in WEIGHTS.items()})
    whole = slice(None)
    first, second = (torch.tensor([each], dtype=torch.float64) for each in ([1, 0, 0.2], [0, 1, 0.2]))
    two = bright(CHANNELS, SIZE, (0, whole, 0), (1, 1, whole))
    shown = made(
        own,
        {
            "asks for channel 1": (two, first),
            "asks for channel 2": (two, second),
            "spots": (spots(CHANNELS, SIZE, width=0.8), first),
            "noise": (noise(CHANNELS, SIZE), second),
        },
        name="additive",
        variants={"no tanh": like(WithoutTanh, own, CHANNELS, QUERY, HIDDEN)},
        symbols={"x": "h", "query": "s"},
        equations={
            "P": "<i>U<sub>a</sub> h</i>",
            "e": "<i>v<sub>a</sub></i><sup>T</sup> tanh(<i>W<sub>a</sub> s</i> + <i>P</i>)",
            "alpha": "softmax(<i>e</i>)",
            "c": "sum<sub><i>j</i></sub>(<i>α<sub>j</sub> h<sub>j</sub></i>)",
        },
        ranges={"x": (0, 1), "query": (-1, 1), "c": (0, 1)},
        title="Additive attention",
        about="Weights chosen by hand, not trained. The sliders move the query.",
    )
    return said(
        shown,
        "no tanh",
        {"e": "<i>v<sub>a</sub></i><sup>T</sup> (<i>W<sub>a</sub> s</i> + <i>P</i>)", "alpha": "softmax(<i>e</i>′)"},
    )
