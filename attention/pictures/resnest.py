"""The live picture of split attention."""

from typing import Any

from einops import rearrange
from torch import Tensor, nn

from attention.branch.resnest import SplitAttention
from attention.lab.live import Picture
from attention.lab.live import picture as made
from attention.pictures.making import block, like, noise, one_bright, said, spots, stripes

CHANNELS, SIZE = 4, 6
OPTIONS: dict[str, Any] = {"reduction": 4, "floor": 2}


class Literal(SplitAttention):
    """The same function, in which each step is computed from the one before."""

    def weights(self, u: Tensor) -> Tensor:
        """Compute the weights of the splits: (batch, radix, channels, 1, 1)."""
        s = self.step("s", u.mean((3, 4)).sum(1))
        z = self.step("z", rearrange(self.fuse(rearrange(s, "b c -> b c 1 1")), "b d 1 1 -> b d"))
        scores = self.select(rearrange(z, "b d -> b d 1 1"))
        scores = rearrange(scores, "b (k m c) 1 1 -> b m (k c)", k=self.cardinality, m=self.radix)
        a = self.step("a", scores.softmax(1) if self.radix > 1 else scores.sigmoid())
        return rearrange(a, "b m c -> b m c 1 1")


def literal(seed: int, gain: float, **options: Any) -> nn.Module:
    """Build the block with weights drawn at random."""
    own = block("resnest", CHANNELS, seed=seed, gain=gain, **OPTIONS, **options)
    return like(Literal, own, CHANNELS, **OPTIONS, **options)


def picture() -> Picture:
    """Make the picture."""
    shown = made(
        literal(175, 1.5),
        {
            "spots": spots(CHANNELS, SIZE),
            "stripes": stripes(CHANNELS, SIZE),
            "one bright channel": one_bright(CHANNELS, SIZE),
            "noise": noise(CHANNELS, SIZE),
        },
        name="two splits",
        variants={
            "two groups": literal(44, 1.5, cardinality=2),
            "one split": literal(147, 2.0, radix=1),
        },
        symbols={"x": "X"},
        equations={
            "U": "ReLU(norm(conv(<i>X</i>)))",
            "s": "sum<sub><i>i</i></sub>(mean<sub><i>pq</i></sub>(<i>U<sub>i</sub></i>))",
            "z": "ReLU(norm(<i>W s</i>))",
            "a": "softmax<sub><i>i</i></sub>(<i>G<sub>i</sub> z</i>)",
            "V": "sum<sub><i>i</i></sub>(<i>a<sub>i</sub></i> · <i>U<sub>i</sub></i>)",
        },
        ranges={"x": (0, 1)},
        title="Split attention",
        about="Weights drawn at random, not trained. The convolution is 3 × 3. Of two splits the first sees the "
        "first two channels, and the second the others.",
    )
    return said(shown, "one split", {"a": "σ(<i>G z</i>)"})
