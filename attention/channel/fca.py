r"""Frequency Channel Attention: SE whose means are replaced by coefficients of the discrete cosine transform."""

from collections.abc import Sequence
from math import pi

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import Gate, Map, Step, check_divides, check_flags, check_input, check_positive
from attention.numerics import full_precision, wide

__all__ = ["PARTS", "SELECTIONS", "FrequencyChannelAttention"]

#: Into how many parts each axis of the frequencies is divided.
PARTS = 7
#: The authors' lists of 32 of the 49 parts, in their order: down and across, a digit each.
SELECTIONS: dict[str, str] = {
    "top": "00 01 60 05 02 10 12 40 50 16 30 04 06 03 35 22 46 63 33 53 55 21 61 52 54 32 31 41 23 20 65 13",
    "low": "00 01 10 11 02 20 21 12 22 03 30 40 04 13 31 05 14 23 32 41 50 06 15 24 33 42 51 60 16 25 34 43",
    "bot": "66 14 34 36 26 43 11 24 44 45 56 15 42 62 25 51 64 13 65 20 23 41 31 32 54 52 61 21 55 53 33 63",
}

for _function in ("rearrange", "_coefficients", "_waves"):
    torch.fx.wrap(_function)


class FrequencyChannelAttention(Gate):
    r"""Frequency Channel Attention (FcaNet): a gate for each channel, from one frequency of each channel.

    The channels are divided into $n$ parts of neighbours; all of a part are summed up by the same frequency
    $(u_k, v_k)$. With $x_c \in \mathbb{R}^{H \times W}$ the channels of the input, $k$ the part of channel $c$ and
    $\delta$ the ReLU,

    $$
    z_c = \sum_{i=0}^{H-1} \sum_{j=0}^{W-1} x_c(i, j)\, B^{u_k, v_k}_{i, j}, \qquad
    s = \sigma(W_2\, \delta(W_1 z)), \qquad
    y_c = s_c\, x_c
    $$

    with $W_1 \in \mathbb{R}^{C/r \times C}$, $W_2 \in \mathbb{R}^{C \times C/r}$, and the basis of the transform
    $B^{u, v}_{i, j} = b_u(i)\, b_v(j)$ for $u, v = 0, \dots, 6$. Down a column it is $b_u(i) = \alpha_u
    \cos\big(\tfrac{\pi u}{7} (i + \tfrac{1}{2})\big)$, and along a row $b_v(j)$ likewise: the $H \times W$
    frequencies of the map are divided into 7 × 7 parts, and $(u, v)$ is frequency $(uH/7, vW/7)$. $\alpha_0 =
    1/\sqrt{H}$, and $\alpha_u = \sqrt{2/H}$ elsewhere; in $\alpha_v$, with $W$. Where every frequency is $(0, 0)$, the
    block is SE on means multiplied by $\sqrt{HW}$. The paper writes $\mathrm{Freq}$ for $z$ and $\tilde x$ for $y$.

    :param channels: number of channels $C$ of the input and the output.
    :param reduction: the ratio $r$ by which the bottleneck is narrower than the input; it divides ``channels``. The
        paper uses 16.
    :param frequencies: the $n$ pairs $(u_k, v_k)$, as ``((0, 0), (0, 1))``; $n$ divides ``channels``. Or a selection of
        the authors: ``"top"``, the best of those that they tried alone, ``"low"``, the lowest, or ``"bot"``, the worst,
        followed by $n$: 1, 2, 4, 8, 16 or 32. The paper uses ``"top16"``.
    :param size: (height, width), each divisible by 7 unless ``whole``, to which the map is pooled before it is
        transformed; the windows are those of PyTorch's ``adaptive_avg_pool2d``. ``None``, the default, transforms the
        map as it is.
    :param whole: whether $uH/7$ is rounded down to a whole frequency, $u \lfloor H/7 \rfloor$, as in the authors' code.
        On a map below 7 × 7 every frequency is then 0: the block is SE on means multiplied by $\sqrt{HW}$. A map below
        7 along one axis only loses that axis.
    :param orthonormal: whether the basis has the factors $\alpha$. Without them, as the paper's equations write it,
        $z_c$ of $(0, 0)$ is $HW$ times the mean, and on large maps the gates saturate near 0 or 1.
    :raises TypeError: for a ``channels``, ``reduction`` or ``size`` that is not of whole numbers, ``frequencies`` that
        are neither a word nor pairs, an ``orthonormal`` or ``whole`` that is not a bool; for an input that is not a
        floating-point tensor.
    :raises ValueError: for arguments below 1, a ``reduction`` or a number of frequencies that does not divide
        ``channels``, an unknown selection, frequencies outside 0 to 6, a ``size`` that 7 does not divide; for an input
        that is not of shape (batch, channels, height, width).

    Source: Zequn Qin, Pengyi Zhang, Fei Wu, Xi Li, *FcaNet: Frequency Channel Attention Networks*, ICCV 2021,
    arXiv 2012.11879.

    Differs from the official code: that is ``whole=True`` and has a fixed ``size``, in its ImageNet networks that of
    each stage's map. Its basis has the factors $\alpha$, which the paper leaves out for simplicity.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        frequencies: str | Sequence[tuple[int, int]] = "top16",
        size: tuple[int, int] | None = None,
        orthonormal: bool = True,
        whole: bool = False,
    ) -> None:
        super().__init__()
        channels, reduction = check_positive(channels=channels, reduction=reduction)
        check_flags(orthonormal=orthonormal, whole=whole)
        check_divides(channels=channels, reduction=reduction)
        self.channels, self.orthonormal, self.whole = channels, bool(orthonormal), bool(whole)
        self.frequencies = _pairs(frequencies)
        check_divides(channels=channels, frequencies=len(self.frequencies))
        self.size = (None, None) if size is None else _size(size, self.whole)
        self.maps = {"channel": Map("b c 1 1", "sigmoid", about="how much of this channel passes")}
        self.steps = {
            "z": Step("b c", "squeeze", "the coefficient of each channel, at its frequency"),
            "s": Step("b c", "excite", "how much of each channel passes"),
            "y": Step("b c h w", "scale", "each channel times its gate"),
        }
        self.reduce = nn.Linear(channels, channels // reduction, bias=False)
        self.expand = nn.Linear(channels // reduction, channels, bias=False)

    def weights(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels 1 1"]:
        """Compute the gates $s$, each in (0, 1).

        :param x: the feature maps, (batch, channels, height, width).
        :returns: the gates, (batch, channels, 1, 1).
        """
        check_input(x, "b c h w", c=self.channels)
        down, across = (
            _waves(frequencies, x, axis, size, self.orthonormal, self.whole)
            for frequencies, axis, size in zip(zip(*self.frequencies, strict=True), (2, 3), self.size, strict=True)
        )
        mean = _coefficients(x, down, across)
        height, width = (size or x.shape[axis] for size, axis in zip(self.size, (2, 3), strict=True))
        scale = mean.new_ones(()) * (height * width)
        scale = scale.sqrt() if self.orthonormal else scale
        self.step("z", scale * mean)
        # The scale comes last: without biases the layers commute with it, and in float16 it is too large before.
        a = scale * self.expand(self.reduce(mean.to(x.dtype)).relu()).to(mean.dtype)
        s = self.step("s", a.sigmoid().to(x.dtype))
        return rearrange(s, "b c -> b c 1 1")


def _waves(
    frequencies: tuple[int, ...], x: Tensor, axis: int, size: int | None, orthonormal: bool, whole: bool
) -> Tensor:
    """Return what each pixel along an axis counts, at each frequency: the cosines over their number.

    :param size: to how many cells the axis is pooled; the pooling is then part of what is returned.
    """
    pixels, dtype = x.shape[axis], wide(x.dtype)
    u = torch.tensor(frequencies, device=x.device, dtype=dtype)[:, None]
    length = pixels if size is None else size
    cells = torch.arange(length, device=x.device)
    u = u * (length // PARTS) / length if whole else u / PARTS  # half waves on each pixel
    waves = (pi * u * (cells.to(dtype) + 0.5)).cos()
    if orthonormal:
        waves = waves * torch.where(u > 0, 2.0, 1.0).to(dtype).sqrt()
    if size is not None:
        start, end = cells * pixels // size, ((cells + 1) * pixels + size - 1) // size
        place = torch.arange(pixels, device=x.device)
        inside = (start[:, None] <= place) & (place < end[:, None])
        waves = (waves[:, :, None] * inside / (end - start)[:, None]).sum(1)  # n cells pixels -> n pixels
    return waves / (waves.new_ones(()) * length)


def _coefficients(x: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Weigh each channel with the wave of its part, down and across, and sum up, in at least float32."""
    with full_precision(x):
        basis = rearrange(down[:, :, None] * across[:, None], "n h w -> n (h w) 1")
        parts = rearrange(x.to(basis.dtype), "b (n k) h w -> b n k (h w)", n=len(basis))
        return rearrange(parts @ basis, "b n k 1 -> b (n k)")


def _pairs(frequencies: str | Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    if isinstance(frequencies, str):
        listed, count = SELECTIONS.get(frequencies[:3], ""), frequencies[3:]
        if not listed or count not in ("1", "2", "4", "8", "16", "32"):
            allowed = ", ".join(SELECTIONS)
            raise ValueError(f"frequencies={frequencies!r} is none of {allowed}, followed by 1, 2, 4, 8, 16 or 32")
        return tuple((int(pair[0]), int(pair[1])) for pair in listed.split()[: int(count)])
    try:
        pairs = [(int(u), int(v)) for u, v in frequencies if u == int(u) and v == int(v)]
        whole = len(pairs) == len(frequencies) > 0
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise TypeError(f"frequencies={frequencies!r} are neither a word nor pairs of whole numbers: ((0, 0), (0, 1))")
    if not all(0 <= each < PARTS for pair in pairs for each in pair):
        raise ValueError(f"frequencies={frequencies!r} lie outside; allowed: 0 to {PARTS - 1}")
    return tuple(pairs)


def _size(size: Sequence[int], whole: bool) -> tuple[int, int]:
    if not isinstance(size, Sequence) or isinstance(size, str) or len(size) != 2:
        raise TypeError(f"size={size!r} is not (height, width)")
    height, width = check_positive(height=size[0], width=size[1])
    if not whole and (height % PARTS or width % PARTS):
        allowed = "7, 14, 21, …, or any with whole=True"
        raise ValueError(f"size={size!r} is not divisible by {PARTS}; allowed for each: {allowed}")
    return height, width
