"""The live picture of criss-cross attention."""

from torch import Tensor

from attention.contract import Step
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, bright, like, noise, spots
from attention.self_attention.ccnet import CrissCrossAttention, _affinity, _aggregate, _softmax

CHANNELS, SIZE = 1, 6
WEIGHTS = {
    "queries.weight": [1.8],
    "queries.bias": [0.4],
    "keys.weight": [2.4],
    "keys.bias": [-0.4],
    "values.weight": [1.2],
    "values.bias": [-0.2],
}
PROJECTIONS = {"Q": "queries", "K": "keys", "V": "values"}


class InPasses(CrissCrossAttention):
    """The same block, whose steps bear the number of their pass; projections are marked in the first one alone."""

    def __init__(self, channels: int, reduction: int = 1, passes: int = 2) -> None:
        super().__init__(channels, reduction, passes)
        taken = "how much each position takes of each of its column, then of its row"
        self.steps = {key: step for key, step in self.steps.items() if key in PROJECTIONS}
        for number in range(1, passes + 1):
            primes, zone = "'" * (number - 1), f"pass {number}"
            self.steps[f"A{number}"] = Step("b (h w) n", zone, taken, f"A{primes}")
            self.steps[f"X{number}"] = Step("b c h w", zone, "what is read, added to what was there", f"X'{primes}")

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the output, (batch, channels, height, width), and the weights of each pass."""
        maps = {}
        for number in range(1, self.passes + 1):
            made = {key: getattr(self, name)(x) for key, name in PROJECTIONS.items()}
            if number == 1:
                made = {key: self.step(key, value) for key, value in made.items()}
            a = self.step(f"A{number}", _softmax(_affinity(made["Q"], made["K"]), made["V"]))
            x = self.step(f"X{number}", x + _aggregate(a, made["V"]))
            maps[f"pass_{number}"] = a
        return x, maps


def picture() -> Picture:
    """Make the picture."""
    own = block("ccnet", CHANNELS, reduction=1, weights=WEIGHTS)
    one, two = (like(InPasses, own, CHANNELS, passes=passes) for passes in (1, 2))
    weights = "softmax(<i>Q</i>{0}<sub><i>u</i></sub> · <i>K</i>{0}) over row and column of <i>u</i>"
    return made(
        two,
        {
            "one bright position": bright(CHANNELS, SIZE, (0, 1, 3)),
            "one bright row": bright(CHANNELS, SIZE, (0, 2, slice(None))),
            "a spot": spots(CHANNELS, SIZE),
            "noise": noise(CHANNELS, SIZE),
        },
        name="two passes",
        variants={"one pass": one},
        symbols={"x": "X"}
        | {name: f"W_{key}" for key, name in PROJECTIONS.items()}
        | {f"{name}.bias": f"b_{key}" for key, name in PROJECTIONS.items()},
        equations={
            "A1": weights.format(""),
            "X1": "<i>A</i> <i>V</i> + <i>X</i>",
            "A2": weights.format("′"),
            "X2": "<i>A</i>′ <i>V</i>′ + <i>X</i>′",
        },
        ranges={"x": (0, 1), "X1": (-4, 4), "X2": (-4, 4)},
        title="Criss-cross attention",
        about="Weights chosen by hand, not trained. One channel, so that each position is one number. Q′, K′ and V′ "
        "are computed from X′ with the same weights, and not drawn. X has a scale of its own.",
    )
