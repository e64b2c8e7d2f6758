"""The picture of a query that reads: scores, shares of a total of 1, a mean."""

import torch
from torch import Tensor

from attention.contract import Attention, Map, Step
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import said


class Soft(Attention):
    """One query, five places: each place is read as much as its key fits the query."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = {"places": Map("b n", "softmax", (1,), about="how much is read from this place")}
        self.steps = {
            "e": Step("b n", "compare", "how well each key fits the query"),
            "alpha": Step("b n", "share out", "how much is read from each place"),
            "o": Step("b d", "read", "the weighted mean of the values"),
        }

    def shares(self, e: Tensor, tau: Tensor) -> Tensor:
        """Turn scores, (batch, places), into shares of the same shape."""
        return (e / tau).softmax(1)

    def attend(self, q: Tensor, K: Tensor, V: Tensor, tau: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Read: ``q`` (batch, 2), ``K`` (batch, places, 2), ``V`` (batch, places, 1), ``tau`` (batch, 1)."""
        e = self.step("e", (K @ q[:, :, None])[:, :, 0])
        alpha = self.step("alpha", self.shares(e, tau))
        return self.step("o", (alpha[:, None] @ V)[:, 0]), {"places": alpha}


class Hard(Soft):
    """The place that fits best alone."""

    def shares(self, e: Tensor, tau: Tensor) -> Tensor:
        """Turn scores into 1 for the largest and 0 for the others."""
        best = (e == e.amax(1, keepdim=True)).to(e.dtype)
        return best / best.sum(1, keepdim=True)


class Even(Soft):
    """All places alike, whatever the query: a plain mean."""

    def shares(self, e: Tensor, tau: Tensor) -> Tensor:
        """Turn scores into equal shares."""
        return (0 * e).softmax(1)


def picture() -> Picture:
    """Make the picture."""

    def given(q: tuple[float, float], tau: float) -> tuple[Tensor, ...]:
        keys = [[0.9, 0.1], [0.7, -0.6], [-0.2, 0.9], [-0.8, 0.3], [-0.5, -0.8]]
        values = [[0.9], [0.6], [0.2], [-0.5], [-0.9]]
        return tuple(torch.tensor([each], dtype=torch.float64) for each in (q, keys, values, (tau,)))

    shown = made(
        Soft().double().eval(),
        {"looks up": given((0, 1), 0.3), "looks right": given((1, 0), 0.3), "cannot decide": given((0.3, 0.3), 1)},
        name="soft",
        variants={"the best alone": Hard().double().eval(), "plain mean": Even().double().eval()},
        symbols={"tau": r"\tau", "alpha": r"\alpha"},
        ranges={
            "q": (-1, 1),
            "K": (-1, 1),
            "V": (-1, 1),
            "tau": (0.01, 2),
            "alpha": (0, 1),
            "o": (-1, 1),
            "e": (-1.5, 1.5),
        },
        said={"q": "the query", "K": "the key of each place", "V": "the value of each place", "tau": "the temperature"},
        title="A query: from here, where?",
        about="Each row of K is the key of a place, each number of V its value; τ is the temperature.",
    )
    said(shown, "the best alone", {"alpha": "1 where <i>e</i> is largest, 0 elsewhere"})
    return said(shown, "plain mean", {"alpha": "⅕ each, whatever <i>e</i> is"})
