"""The exercises of the chapter on Global Second-order Pooling.

Their statements and solutions stand in the chapter; here is what ``check`` asks of an answer.
"""

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from attention.channel.gsop import SecondOrderPooling
from attention.lab.checks import (
    Exercise,
    call,
    describe,
    equation,
    expect,
    expect_close,
    expect_function,
    expect_numbers,
    expect_research,
    expect_tensor,
)

__all__ = ["EXERCISES"]

#: gsop.1: two channels with four positions.
_X = torch.tensor([[1.0, 1, 3, 3], [0, 3, 4, 7]], dtype=torch.float64)


def _computes_by_hand(answer: Any) -> None:
    sigma, moment = torch.cov(_X, correction=0), _X @ _X.T / 4

    def four(square: Tensor, product: Tensor) -> Tensor:
        return torch.stack([square[0, 0], square[0, 1], square[1, 1], product])

    right = four(sigma, moment[0, 1])
    mistakes = [
        (four(sigma * 4 / 3, moment[0, 1]), "You divided by N − 1. The block divides by N."),
        (four(sigma * 4, 4 * moment[0, 1]), "These are sums: divide them by the number of positions."),
        (four(moment, moment[0, 1]), "All four are second moments: subtract the means for the first three."),
        (four(sigma, sigma[0, 1]), "The fourth is the mean of the products of the numbers as they are."),
        (four(torch.corrcoef(_X), moment[0, 1]), "These are correlations: nothing is divided by the deviations."),
    ]
    found = expect_numbers(answer, (4,), "the four numbers")
    expect_close(found, right, "the four numbers", tolerance=1e-3, reveal=False, mistakes=mistakes)


def _takes_covariances(answer: Any) -> None:
    expect_function(answer)
    for shape in ((2, 5, 4, 6), (3, 4, 7, 2), (1, 3, 1, 1)):
        x = torch.randn(shape, dtype=torch.float64) + torch.arange(shape[1])[:, None, None]
        rows = x.flatten(2)
        centred, count = rows - rows.mean(2, keepdim=True), rows.shape[2]
        right = centred @ centred.mT / count
        about = f"x of shape {shape}"
        what = f"the covariances for {about}"
        received = expect_tensor(call(answer, x, about=about), right, what)
        deviations = right.diagonal(dim1=1, dim2=2).clamp(min=1e-12).sqrt()
        mistakes = [
            (rows @ rows.mT / count, "This is the second moment: subtract each channel's mean first."),
            (right * count, "This is a sum: divide it by the number of positions."),
            (right / deviations[:, :, None] / deviations[:, None], "This is the correlation."),
        ]
        if count > 1:
            mistakes.append((right * count / (count - 1), "You divide by N − 1. The block divides by N."))
        if shape[0] > 1:
            over = rearrange(x, "b c h w -> c (b h w)")
            pooled = torch.cov(over, correction=0).expand_as(right).contiguous()
            mistakes.append((pooled, "Each image has covariances of its own: yours are those of the whole batch."))
        expect_close(received, right, what, mistakes=mistakes)


def _undoes_the_mixing(answer: Any) -> None:
    expect_function(answer)
    for channels in (2, 4, 7):
        x = torch.randn(channels, 3 * channels, dtype=torch.float64)
        right = torch.cov(x, correction=0)
        v = (x[:, None] + x[None]).var(2, correction=0)
        about = f"the variances of the sums of {channels} channels"
        what = f"the covariances for {about}"
        received = expect_tensor(call(answer, v, about=about), right, what)
        own = v.diagonal() / 4
        mistakes = [
            (2 * right, "A covariance stands in the variance of the sum twice."),
            (
                (v - v.diagonal()[:, None] - v.diagonal()) / 2,
                "The diagonal of v holds the variances of x_i + x_i, that is of 2 x_i. How large are they?",
            ),
            (
                (v - v.diagonal()[:, None] / 2 - v.diagonal() / 2) / 2,
                "The diagonal of v holds the variances of 2 x_i: twice a channel has more than twice its variance.",
            ),
            (torch.diag(own), "These are the variances; the covariances are missing."),
            (v, "This is v itself."),
        ]
        expect_close(received, right, what, mistakes=mistakes)


def _writes_the_matrix(answer: Any) -> None:
    expect_function(answer)
    for d in (2, 3, 5):
        rows = nn.Conv2d(d, 4 * d, (d, 1), groups=d, bias=False).double()
        weight = rows.weight.detach().clone()
        filters = weight[:, 0, :, 0]
        right = torch.zeros(4 * d, d, d, dtype=torch.float64)
        for o in range(4 * d):
            right[o, o // 4] = filters[o]
        about = f"weight of shape ({4 * d}, 1, {d}, 1)"
        what = f"the matrix for {about}"
        shuffled = torch.zeros_like(right)
        for o in range(4 * d):
            shuffled[o, o % d] = filters[o]
        received = expect_tensor(call(answer, weight, about=about), right.flatten(1), what)
        mistakes = [
            (right.mT.flatten(1), "Your matrix reads columns. Number j of row i stands at place i · d + j."),
            (shuffled.flatten(1), "Which row does a filter read? The first four filters read the first row."),
            (
                filters[:, None].expand(-1, d, -1).flatten(1),
                "Each of your filters reads every row. It should read its own and be 0 elsewhere.",
            ),
        ]
        expect_close(received, right.flatten(1), what, mistakes=mistakes)


def _starts_open(answer: Any) -> None:
    expect_function(answer)
    for channels, reduced in ((8, 4), (16, 6)):
        block = SecondOrderPooling(channels, reduced)
        about = f"SecondOrderPooling({channels}, reduced={reduced})"
        made = call(answer, block, about=about)
        expect(
            isinstance(made, SecondOrderPooling),
            f"Expected a SecondOrderPooling, received {describe(made)}.",
            "Change the block's last layer, and return the block.",
        )
        made.train()
        x = 3 * torch.randn(16, channels, 5, 5)
        gates = call(made.weights, x, about="x")
        least, most = gates.min().item(), gates.max().item()
        expect(
            not 0.45 < least <= most < 0.55,
            f"Expected gates above 0.98, received {least:.3f} to {most:.3f}.",
            "The sigmoid of 0 is ½. With which bias is it nearly 1?",
        )
        expect(
            least > 0.98,
            f"Expected gates above 0.98 for every image, received {least:.3f} to {most:.3f}.",
            "The covariances still move the gates. With which weights do they not?",
        )
        made.zero_grad()
        (made(x) * torch.randn_like(x)).sum().backward()
        gradient = made.expand.weight.grad
        expect(
            gradient is not None and gradient.abs().max().item() > 1e-3,
            f"The gates are open, {least:.6f} to {most:.6f}. Expected a gradient for the last layer's weights, "
            "received almost none.",
            "The slope of the sigmoid is s (1 − s): with a bias too large nothing can be learned.",
        )


def _reports_research(answer: Any) -> None:
    expect_research(answer, "Parts of the square can be blanked without another number of weights: what else changed?")


_COV = equation("gsop", 1, "Σ_ij = 1/N Σ_p (x_i(p) − z_i)(x_j(p) − z_j)")
_CENTRE = equation("gsop", 2, "Σ = x Ī xᵀ")
_MIX = equation("gsop", 5, "var(x_i + x_j) = Σ_ii + Σ_jj + 2 Σ_ij")
_ROWS = equation("gsop", 7, "h_in = φ(Σ_j (W_1)_inj B(Σ)_ij + b)")
_GATES = equation("gsop", 8, "s = σ(W_2 h + b_2), y_c = s_c x_c")

EXERCISES = (
    Exercise(
        "gsop.1",
        "Three covariances and a moment",
        f"{_COV}; and {equation('gsop', 3, '1/N x xᵀ = Σ + z zᵀ')}",
        (_computes_by_hand,),
        "Subtract the mean from each channel first, and write the two rows of differences below each other.",
        "four numbers, to 0.001.",
    ),
    Exercise(
        "gsop.2",
        "Covariances of a batch",
        f"{_COV}; and {_CENTRE}",
        (_takes_covariances,),
        "Flatten the positions, subtract the mean over them, multiply by the transpose.",
        "three sizes, also a single pixel; the input is left alone.",
    ),
    Exercise(
        "gsop.3",
        "Pairs from variances",
        _MIX,
        (_undoes_the_mixing,),
        "Solve the equation for the covariance. What does it say for i = j?",
        "the covariances of 2, 4 and 7 channels; the variances that were given are left alone.",
    ),
    Exercise(
        "gsop.4",
        "The matrix behind the groups",
        _ROWS,
        (_writes_the_matrix,),
        "Filter number o reads row o // 4. At which places of the flattened square does this row stand?",
        "the matrices of three sizes; the weights are left alone.",
    ),
    Exercise(
        "gsop.5",
        "A start that lets everything through",
        _GATES,
        (_starts_open,),
        "What are the gates where the last layer's weights are 0?",
        "gates above 0.98 for all images at the start, and a gradient for the last layer.",
    ),
    Exercise(
        "gsop.6",
        "Which part of the square?",
        f"{_ROWS}, with a part of Σ blanked",
        (_reports_research,),
        "State the claim before you run anything; then compare with the same seeds, and read the interval.",
        "at least three seeds, models of equal size, the paired interval of their differences, and a verdict that "
        "follows from it. Whether the claim is interesting, only you can judge.",
    ),
)
