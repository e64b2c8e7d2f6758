"""Small modules that use, together, every basic operation that a page knows."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["OPERATIONS", "PLACED", "Several"]

aten = torch.ops.aten


class Several(nn.Module):
    """Several functions of one input; what comes out is the sum of what each of them makes.

    :param functions: by name, each of (1, 4, 4, 4) and the constants.
    """

    def __init__(self, functions: Mapping[str, Callable[[Tensor, nn.ParameterDict], Tensor]]) -> None:
        super().__init__()
        self.functions = functions
        self.numbers = nn.ParameterDict({name: _numbers(*shape) for name, shape in PLACED.items()})

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([function(x, self.numbers).sum() for function in self.functions.values()])


def _numbers(*shape: int) -> nn.Parameter:
    generator = torch.Generator().manual_seed(sum(shape))
    drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return nn.Parameter((drawn.abs() + 0.2 if len(shape) == 1 else drawn).round(decimals=2), requires_grad=False)


#: The constants that they are used with.
PLACED = {
    "four": (4,),
    "other": (4,),
    "plane": (4, 4),
    "kernel": (4, 2, 3, 2),
    "line": (2, 4, 3),
    "whole": (1, 4, 4, 4),
}


def flat(x: Tensor) -> Tensor:
    return x.reshape(4, 16)


#: By the operation that each is there for.
OPERATIONS: dict[str, Callable[[Tensor, nn.ParameterDict], Tensor]] = {
    "_native_batch_norm_legit_no_training.default": lambda x, p: F.batch_norm(
        x, p["four"] - 1, p["other"], p["other"], p["four"], False, 0.1, 1e-3
    ),
    "constant_pad_nd.default": lambda x, p: F.pad(x, (1, -1, 2, 0), value=0.5) ** 2,
    "ge.Scalar": lambda x, p: torch.where(x >= 0.2, x, x * 2),
    "gt.Scalar": lambda x, p: torch.where(x > 0.2, x, x * 3),
    "gt.Tensor": lambda x, p: torch.where(x > p["four"], x, x * 3),
    "lt.Scalar": lambda x, p: torch.where(x < 0.2, x, x * 3),
    "lt.Tensor": lambda x, p: torch.where(x < p["four"], x, x * 3),
    "max.dim": lambda x, p: x.max(2)[0] ** 2,
    "min.dim": lambda x, p: x.min(3, keepdim=True)[0] * x,
    "var.correction": lambda x, p: x.var((2, 3)) * x.var(1, keepdim=True, correction=0).mean((2, 3)),
    "_log_softmax.default": lambda x, p: x.log_softmax(1) ** 2,
    "_softmax.default": lambda x, p: x.softmax(2) ** 2,
    "abs.default": lambda x, p: x.abs(),
    "add.Scalar": lambda x, p: aten.add.Scalar(x, 0.5, 2),
    "add.Tensor": lambda x, p: torch.add(x, p["four"], alpha=3) * x,
    "addmm.default": lambda x, p: torch.addmm(p["four"], x[0, 0], p["plane"]) ** 2,
    "amax.default": lambda x, p: x.amax((1, 3), keepdim=True) * x,
    "amin.default": lambda x, p: x.amin(2) * x[:, 0, 0],
    "avg_pool2d.default": lambda x, p: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False) ** 2,
    "bmm.default": lambda x, p: torch.bmm(x[0], x[0].transpose(1, 2)),
    "cat.default": lambda x, p: torch.cat([x[:, :1], x * x, p["whole"]], 1)[:, :3],
    "clamp.default": lambda x, p: x.clamp(-0.3) + x.clamp(max=0.4) ** 2,
    "convolution.default": lambda x, p: (
        F.conv2d(x, p["kernel"], p["four"], (2, 1), (1, 2), (1, 2), groups=2)
        * F.conv1d(x[0], p["line"], None, 2, 1).sum()
    ),
    "div.Scalar": lambda x, p: aten.div.Scalar(x * x, 3.0),
    "div.Tensor": lambda x, p: x / p["other"],
    "eq.Tensor": lambda x, p: x * (x == x.amax(1, keepdim=True)),
    "exp.default": lambda x, p: x.exp(),
    "expand.default": lambda x, p: torch.bmm(x.mean(1).expand(4, 4, 4), x[0]),
    "ge.Tensor": lambda x, p: x * torch.ge(x, p["plane"]),
    "gelu.default": lambda x, p: F.gelu(4 * x) * F.gelu(x, approximate="tanh"),
    "getitem": lambda x, p: flat(x).split([1, 3], 0)[1] * flat(x).split([1, 3], 0)[0],
    "hardsigmoid.default": lambda x, p: F.hardsigmoid(4 * x),
    "hardswish.default": lambda x, p: F.hardswish(4 * x),
    "hardtanh.default": lambda x, p: F.hardtanh(x, -0.4, 0.6) + F.relu6(x) ** 2,
    "leaky_relu.default": lambda x, p: F.leaky_relu(x, 0.2),
    "linalg_vector_norm.default": lambda x, p: F.normalize(x, dim=1) * x.norm(p=1, dim=(2, 3), keepdim=True),
    "log.default": lambda x, p: (x.abs() + 0.1).log(),
    "max_pool2d_with_indices.default": lambda x, p: F.max_pool2d(x, 3, 2, 1, ceil_mode=True) ** 2,
    "maximum.default": lambda x, p: torch.maximum(x, p["plane"]),
    "mean.default": lambda x, p: x.mean() * x,
    "mean.dim": lambda x, p: x.mean((0, 2)) * x.mean(-1, keepdim=True),
    "minimum.default": lambda x, p: torch.minimum(x, p["plane"]),
    "mm.default": lambda x, p: (x[0, 1] @ p["plane"]) ** 2,
    "mul.Scalar": lambda x, p: aten.mul.Scalar(x * x, 0.7),
    "mul.Tensor": lambda x, p: x * p["whole"] * 2,
    "native_group_norm.default": lambda x, p: F.group_norm(x, 2, p["four"], p["other"], 1e-3) ** 3,
    "native_layer_norm.default": lambda x, p: F.layer_norm(x, (4, 4), p["plane"], p["plane"] + 1, 1e-3),
    "neg.default": lambda x, p: -x * x,
    "permute.default": lambda x, p: x.permute(0, 3, 1, 2) * x,
    "pow.Tensor_Scalar": lambda x, p: (x.abs() + 0.1) ** 1.5,
    "reciprocal.default": lambda x, p: (x.abs() + 0.2).reciprocal(),
    "relu.default": lambda x, p: x.relu(),
    "rsqrt.default": lambda x, p: (x.abs() + 0.2).rsqrt(),
    "select.int": lambda x, p: x.select(1, -2) * x[:, 0],
    "sigmoid.default": lambda x, p: x.sigmoid(),
    "slice.Tensor": lambda x, p: x[:, 1:, -3:, ::2] * x[:, :3, :3, 1::2],
    "split_with_sizes.default": lambda x, p: x.chunk(2, 1)[0] * x.chunk(2, 1)[1],
    "sqrt.default": lambda x, p: (x.abs() + 0.1).sqrt(),
    "squeeze.dims": lambda x, p: x.mean(2, keepdim=True).squeeze(2).squeeze(0) * p["plane"],
    "sub.Scalar": lambda x, p: aten.sub.Scalar(x * x, 0.5, 2),
    "sub.Tensor": lambda x, p: torch.sub(p["four"], x, alpha=2) * x,
    "sum.dim_IntList": lambda x, p: x.sum((1, 2)) ** 2,
    "tanh.default": lambda x, p: x.tanh(),
    "unsqueeze.default": lambda x, p: x[0].unsqueeze(-1) * x[0].unsqueeze(-2),
    "view.default": lambda x, p: x.reshape(8, 8) * x.reshape(1, 64)[:, :8],
    "where.self": lambda x, p: torch.where(x >= p["plane"], x * x, -2 * x),
}
