r"""Selective Kernel: branches with windows of several sizes, and a softmax that chooses among them in each channel."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attention.contract import Attention, Map, Step, check_divides, check_input, check_positive, check_training
from attention.numerics import wide

__all__ = ["SelectiveKernel"]

for _function in ("rearrange", "wide"):
    torch.fx.wrap(_function)


class SelectiveKernel(Attention):
    r"""Selective Kernel (SK) convolution: each channel chooses, image by image, through which window it looks.

    *Split:* branch $m = 1, \dots, M$ is a grouped $3 \times 3$ convolution of dilation $m$, batch normalisation and
    ReLU. It sees $2m + 1$ pixels each way, and all branches have as many weights. *Fuse* and *select:* with
    $u^m \in \mathbb{R}^{C \times H \times W}$ their results,

    $$
    z_c = \frac{1}{HW} \sum_{i,j} \sum_{m=1}^{M} u^m_c(i, j), \qquad
    h = \delta(\mathcal{B}(W_1 z)), \qquad
    a^m_c = \frac{e^{(A^m h)_c}}{\sum_{k=1}^{M} e^{(A^k h)_c}}, \qquad
    y_c = \sum_{m=1}^{M} a^m_c\, u^m_c
    $$

    with $W_1 \in \mathbb{R}^{d \times C}$, $A^m \in \mathbb{R}^{C \times d}$, batch normalisation $\mathcal{B}$, the
    ReLU $\delta$ and $d = \max(C/r, L)$: the paper's equations (1) to (6), in which $z$ is called
    $s$, $h$ is $z$, and $y$ is $V$. The block takes the place of a convolution with its normalisation and ReLU, stride
    included.

    :param channels: number of channels $C$ of the input and the output.
    :param branches: number of branches $M$, at least 2. The paper's SKNet-50 has 2.
    :param groups: groups $G$ of each branch's convolution; they divide ``channels``. The paper uses 32.
    :param reduction: the ratio $r$; where it does not divide ``channels``, $C/r$ is rounded down. The paper uses 16.
    :param floor: the smallest width $L$ of $h$, whatever $C/r$ is. The paper uses 32.
    :param stride: stride of every branch's convolution.
    :raises TypeError: for an argument that is not a whole number; for an input that is not a floating-point tensor.
    :raises ValueError: for arguments below 1, a single branch, ``groups`` that do not divide ``channels``; for an input
        that is not of shape (batch, channels, height, width); in training, for a batch of one, as the normalisation of
        $W_1 z$ is over the batch alone.

    Source: Xiang Li, Wenhai Wang, Xiaolin Hu, Jian Yang, *Selective Kernel Networks*, CVPR 2019, arXiv 1903.06586,
    equations (1) to (6), and Section 3.2 for the dilated convolutions.

    Differs from the official code: that writes the linear layers as 1 × 1 convolutions on a 1 × 1 map, which is the
    same function, starts them with a standard deviation of 0.01, and keeps 0.95 of the running statistics at each step,
    where ours keeps PyTorch's 0.9.
    """

    def __init__(
        self,
        channels: int,
        branches: int = 2,
        groups: int = 32,
        reduction: int = 16,
        floor: int = 32,
        stride: int = 1,
    ) -> None:
        super().__init__()
        channels, branches, groups, reduction, floor, stride = check_positive(
            channels=channels, branches=branches, groups=groups, reduction=reduction, floor=floor, stride=stride
        )
        check_divides(channels=channels, groups=groups)
        if branches < 2:
            raise ValueError(f"branches={branches} leaves nothing to select; allowed: 2, 3, …")
        self.channels = channels
        self.maps = {
            "branch": Map("b m c 1 1", "softmax", sums=(1,), about="how much this channel takes from this branch")
        }
        self.steps = {
            "u": Step("b m c p q", "split", "what each branch sees"),
            "z": Step("b c", "fuse", "the mean of each channel of all branches together"),
            "h": Step("b d", "fuse", "the summary from which the choice is made"),
            "a": Step("b m c", "select", "how much each channel takes from each branch"),
            "y": Step("b c p q", "select", "the weighted sum of the branches"),
        }
        hidden = max(channels // reduction, floor)
        self.kernels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, stride, padding=m, dilation=m, groups=groups, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            )
            for m in range(1, branches + 1)
        )
        self.fuse = nn.Sequential(nn.Linear(channels, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU())
        self.select = nn.ModuleList(nn.Linear(hidden, channels, bias=False) for _ in range(branches))

    def split(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch branches channels new_height new_width"]:
        """Run every branch.

        :param x: (batch, channels, height, width).
        :returns: the results $u^m$, (batch, branches, channels, height / stride, width / stride), rounded up.
        """
        return torch.stack([kernel(x) for kernel in self.kernels], dim=1)

    def weights(
        self, u: Float[Tensor, "batch branches channels height width"]
    ) -> Float[Tensor, "batch branches channels 1 1"]:
        """Compute the weights $a^m_c$ of the branches, which sum to 1 over the branches.

        :param u: the branches' results, (batch, branches, channels, height, width).
        :returns: (batch, branches, channels, 1, 1).
        """
        total = u.sum((1, 3, 4), dtype=wide(u.dtype))  # b m c h w -> b c
        z = self.step("z", total / (u.shape[-2] * u.shape[-1]))  # fuse, equations (1) and (2)
        h = self.step("h", self.fuse(z.to(u.dtype)))  # equations (3) and (4)
        a = torch.stack([matrix(h) for matrix in self.select], dim=1).softmax(dim=1)  # equation (5)
        self.step("a", a)
        return rearrange(a, "b m c -> b m c 1 1")

    def attend(self, x: Float[Tensor, "batch channels height width"]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the branches, their weights and the weighted sum, equation (6).

        :param x: (batch, channels, height, width).
        :returns: (batch, channels, height / stride, width / stride), rounded up, and the weights as ``"branch"``.
        """
        check_input(x, "b c h w", c=self.channels)
        if self.training:
            check_training(x, "b")  # W₁ z is normalised over the batch alone
        u = self.step("u", self.split(x))
        a = self.weights(u)
        return self.step("y", (a * u).sum(1)), {"branch": a}  # b m c h w -> b c h w
