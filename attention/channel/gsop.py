r"""Global second-order pooling: every channel's weight is computed from how the channels vary together."""

from numbers import Real

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu

from attention.contract import Gate, Map, Step, check_flags, check_input, check_positive, check_training
from attention.numerics import full_precision, wide

__all__ = ["SecondOrderPooling"]

for _function in ("rearrange", "_convolve", "_covariance"):
    torch.fx.wrap(_function)


#: Up to so many channels the authors' code takes every second pixel alone.
NARROW = 256


class SecondOrderPooling(Gate):
    r"""Global second-order pooling (GSoP): a gate for each channel, from the covariances of a few mixed channels.

    With $x \in \mathbb{R}^{C \times H \times W}$ the input, $\mathcal{B}$ a batch normalisation, $\delta$ the ReLU,
    $\phi$ a leaky ReLU, and $N$ the number of positions of $x'$,

    $$
    x' = \delta(\mathcal{B}(W_r \star x)), \quad
    \Sigma = x' \bar I x'^\top, \quad
    h = \phi(W_1 \star \mathcal{B}(\Sigma)), \quad
    s = \sigma(W_2 h), \quad
    y_c = s_c\, x_c
    $$

    with $x'$ written as a $d \times N$ matrix and $\bar I = \frac{1}{N} (I - \frac{1}{N} 1 1^\top)$, so that
    $\Sigma \in \mathbb{R}^{d \times d}$ holds the covariances, divided by $N$. The paper writes $X$ for $x$ and $M$ for
    $N$. $\phi$ is our reading: the authors' README says only "non-linear activation". $W_r$ is a 1 × 1 convolution to
    $d$ channels. The second normalisation treats each row of $\Sigma$ as a channel. $W_1$ is a convolution of one row
    at a time. Each row has four filters of its own, each with $d$ weights; a row gives four numbers.
    $W_2 \in \mathbb{R}^{C \times 4d}$. All three add a bias.

    :param channels: number of channels $C$ of the input and the output.
    :param reduced: number of channels $d$ of which the covariances are taken. The paper uses 128.
    :param stride: the step of $W_r$ in pixels; ``"auto"`` is that of the authors' code, 2 up to 256 channels, which is
        its first stage, and 1 above. The block has the number as ``stride`` either way. ``torch.export`` for open sizes
        wants to know that more than one step fits: ``Dim("height", min=stride + 1)``.
    :param slope: the slope of $\phi$ for negative numbers, from 0, a ReLU, to 1, no non-linearity at all. The authors'
        README names no kind of non-linearity; 0.1 stands in a summary by somebody else, and not in what we could read.
    :param rectify: whether a ReLU comes before $W_r$, as in the authors' code.
    :raises TypeError: for a ``channels``, ``reduced`` or ``stride`` that is not a whole number, a ``slope`` that is not
        a number, a ``rectify`` that is not a bool; for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, a ``slope`` outside 0 to 1; for an input that is not of shape
        (batch, channels, height, width); in training, where the stride leaves one pixel of a single image, and for a
        single image with ``reduced=1``.

    Source: Zilin Gao, Jiangtao Xie, Qilong Wang, Peihua Li, *Global Second-order Pooling Convolutional Networks*, CVPR
    2019, arXiv 1811.12006. The block along the channels; the paper has one along the positions too.

    Differs from the official code: that is ``stride="auto", slope=1, rectify=True``. Its authors describe two
    convolutions, each with a non-linearity; their code has none behind the first. Their convolutions start with He's
    normal numbers.
    """

    def __init__(
        self, channels: int, reduced: int = 128, stride: int | str = 1, slope: float = 0.1, rectify: bool = False
    ) -> None:
        super().__init__()
        if stride == "auto":
            stride = 2 if check_positive(channels=channels)[0] <= NARROW else 1
        channels, reduced, stride = check_positive(channels=channels, reduced=reduced, stride=stride)
        check_flags(rectify=rectify)
        if isinstance(slope, bool) or not isinstance(slope, Real):
            raise TypeError(f"slope={slope!r} is not a number; allowed: 0 to 1")
        if not 0 <= slope <= 1:
            raise ValueError(f"slope={slope} is outside the interval; allowed: 0 to 1")
        self.channels, self.reduced, self.stride = channels, reduced, stride
        self.slope, self.rectify = float(slope), bool(rectify)
        self.maps = {"channel": Map("b c 1 1", "sigmoid", about="how much of this channel passes")}
        self.steps = {
            "reduced": Step("b d p q", "squeeze", "a few mixtures of the channels", symbol="x'"),
            "sigma": Step("b d d", "squeeze", "how each two of them vary together", symbol=r"\Sigma"),
            "h": Step("b k", "excite", "four numbers of each row of the covariances"),
            "s": Step("b c", "excite", "how much of each channel passes"),
            "y": Step("b c h w", "scale", "each channel times its gate"),
        }
        self.reduce = nn.Sequential(nn.Conv2d(channels, reduced, 1, stride), nn.BatchNorm2d(reduced), nn.ReLU())
        self.row_norm = nn.BatchNorm2d(reduced)
        self.rows = nn.Conv2d(reduced, 4 * reduced, (reduced, 1), groups=reduced)
        self.expand = nn.Conv2d(4 * reduced, channels, 1)

    def weights(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels 1 1"]:
        """Compute the gates $s$, each in (0, 1).

        :param x: the feature maps $x$, (batch, channels, height, width).
        :returns: the gates, (batch, channels, 1, 1).
        """
        check_input(x, "b c h w", c=self.channels)
        if self.training:
            name = "x" if self.stride == 1 else f"x_with_stride_{self.stride}"
            check_training(x[:, :, :: self.stride, :: self.stride], "b" if self.reduced == 1 else "b h w", name=name)
        reduced = self.step("reduced", self.reduce(x.relu() if self.rectify else x))
        sigma = self.step("sigma", _covariance(reduced))
        rows = rearrange(self.normalised(sigma), "b i j -> b i j 1")
        h = leaky_relu(_convolve(rows, self.rows.weight, self.rows.bias, self.reduced), self.slope)
        self.step("h", rearrange(h, "b k 1 1 -> b k"))
        s = _convolve(h, self.expand.weight, self.expand.bias).sigmoid().to(x.dtype)
        self.step("s", rearrange(s, "b c 1 1 -> b c"))
        return s

    def normalised(self, sigma: Float[Tensor, "batch reduced reduced"]) -> Float[Tensor, "batch reduced reduced"]:
        """Normalise the rows. Covariances are squares, too large for half precision: in eval mode all is float32."""
        norm = self.row_norm
        if self.training:
            rows = norm(rearrange(sigma.to(norm.weight.dtype), "b i j -> b i j 1"))
            return rearrange(rows, "b i j 1 -> b i j").to(sigma.dtype)
        mean, variance, weight, bias = (
            rearrange(each.to(sigma.dtype), "i -> i 1")
            for each in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        return (sigma - mean) / (variance + norm.eps).sqrt() * weight + bias


def _covariance(x: Tensor) -> Tensor:
    """Take the covariances of the channels over the positions, divided by their number, in at least float32."""
    with full_precision(x):
        centred = rearrange(x.to(wide(x.dtype)), "b d h w -> b d (h w)")
        centred = centred - centred.mean(2, keepdim=True)
        return centred @ (centred / centred.shape[2]).transpose(1, 2)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, groups: int = 1) -> Tensor:
    """Convolve in the type that the input has."""
    with full_precision(x):
        return conv2d(x, weight.to(x.dtype), bias.to(x.dtype), groups=groups)
