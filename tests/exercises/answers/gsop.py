"""Answers to the exercises on GSoP: right ones, and wrong ones with what they must be told."""

from typing import Any

import torch
from torch import nn

from tests.exercises.answers import research

EQUATIONS = {
    "gsop.1": ("gsop-cov", "gsop-moment"),
    "gsop.2": ("gsop-cov", "gsop-centre"),
    "gsop.3": ("gsop-mix",),
    "gsop.4": ("gsop-rows",),
    "gsop.5": ("gsop-gates",),
    "gsop.6": ("gsop-rows",),
}
#: The numbers of a printed solution that is no code, as they stand there.
PRINTED = {"gsop.1": ("$1$, $2$ and $6.25$", "$9$")}


def covariance(x):
    rows = x.flatten(2)
    rows = rows - rows.mean(2, keepdim=True)
    return rows @ rows.transpose(1, 2) / rows.shape[2]


def with_centring(x):
    rows = x.flatten(2)
    n = rows.shape[2]
    bar = (torch.eye(n, dtype=x.dtype) - 1 / n) / n
    return rows @ bar @ rows.mT


def moment(x):
    rows = x.flatten(2)
    return rows @ rows.mT / rows.shape[2]


def correlation(x):
    sigma = covariance(x)
    deviations = sigma.diagonal(dim1=1, dim2=2).clamp(min=1e-12).sqrt()
    return sigma / deviations[:, :, None] / deviations[:, None]


def of_the_batch(x):
    return torch.cov(x.transpose(0, 1).flatten(1), correction=0).expand(len(x), -1, -1).clone()


def unbiased(x):
    n = x[0, 0].numel()
    return covariance(x) * n / max(n - 1, 1)


def from_sums(v):
    own = v.diagonal() / 4
    return (v - own[:, None] - own) / 2


def as_matrix(weight):
    size, _, d, _ = weight.shape
    matrix = weight.new_zeros(size, d, d)
    for o in range(size):
        matrix[o, o // 4] = weight[o, 0, :, 0]
    return matrix.flatten(1)


def by_block(weight):
    d = weight.shape[2]
    return torch.block_diag(*weight[:, 0, :, 0].reshape(d, 4, d))


def columns(weight):
    d = weight.shape[2]
    return as_matrix(weight).reshape(4 * d, d, d).mT.flatten(1)


def out_of_turn(weight):
    size, _, d, _ = weight.shape
    matrix = weight.new_zeros(size, d, d)
    for o in range(size):
        matrix[o, o % d] = weight[o, 0, :, 0]
    return matrix.flatten(1)


def opened(block, bias=5.0):
    nn.init.zeros_(block.expand.weight)
    nn.init.constant_(block.expand.bias, bias)
    return block


def large_weights(block):
    nn.init.normal_(block.expand.weight, std=3.0)
    nn.init.constant_(block.expand.bias, 5.0)
    return block


RIGHT: dict[str, list[Any]] = {
    "gsop.1": [[1, 2, 6.25, 9], torch.tensor([1.0, 2, 6.25, 9])],
    "gsop.2": [covariance, with_centring],
    "gsop.3": [from_sums],
    "gsop.4": [as_matrix, by_block],
    "gsop.5": [opened, lambda block: opened(block, 4.5)],
    "gsop.6": [research.report()],
}

WRONG: list[tuple[str, Any, str | tuple[str, ...]]] = [
    ("gsop.1", [4 / 3, 8 / 3, 25 / 3, 9], "You divided by N − 1"),
    ("gsop.1", [4, 8, 25, 36], "These are sums"),
    ("gsop.1", [5, 9, 18.5, 9], "All four are second moments"),
    ("gsop.1", [1, 2, 6.25, 2], "the numbers as they are"),
    ("gsop.1", [1, 0.8, 1, 9], "These are correlations"),
    ("gsop.1", [1, 2, 6.25], "Expected shape (4,) for the four numbers, received (3,)."),
    ("gsop.2", moment, "subtract each channel's mean"),
    ("gsop.2", lambda x: covariance(x) * x[0, 0].numel(), "This is a sum"),
    ("gsop.2", correlation, "This is the correlation"),
    ("gsop.2", unbiased, "You divide by N − 1"),
    ("gsop.2", of_the_batch, "those of the whole batch"),
    ("gsop.2", lambda x: covariance(x)[0], "Expected shape (2, 5, 5)"),
    ("gsop.3", lambda v: 2 * from_sums(v), "in the variance of the sum twice"),
    ("gsop.3", lambda v: (v - v.diagonal()[:, None] - v.diagonal()) / 2, "that is of 2 x_i"),
    ("gsop.3", lambda v: (v - v.diagonal()[:, None] / 2 - v.diagonal() / 2) / 2, "more than twice its variance"),
    ("gsop.3", lambda v: torch.diag(v.diagonal() / 4), "the covariances are missing"),
    ("gsop.3", lambda v: v, "This is v itself"),
    ("gsop.4", columns, "Your matrix reads columns"),
    ("gsop.4", out_of_turn, "The first four filters read the first row"),
    ("gsop.4", lambda w: w[:, 0, :, 0][:, None].expand(-1, w.shape[2], -1).flatten(1), "reads every row"),
    ("gsop.4", lambda w: as_matrix(w).T, "Expected shape (8, 4)"),
    ("gsop.5", lambda block: opened(block, 0.0), "The sigmoid of 0 is ½"),
    ("gsop.5", large_weights, "The covariances still move the gates"),
    ("gsop.5", lambda block: opened(block, 60.0), "with a bias too large"),
    ("gsop.5", lambda block: nn.Identity(), "Expected a SecondOrderPooling"),
    ("gsop.5", lambda block: opened(block, 2.0), "Expected gates above 0.98 for every image"),
    *research.wrong(
        "gsop.6", "Parts of the square can be blanked without another number of weights: what else changed?"
    ),
]
