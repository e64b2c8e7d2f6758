"""A block that is written down can be computed by another program: here by a few lines of NumPy."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import attention
from attention.contract import Attention
from attention.lab.live import KNOWN, written_down
from attention.laws import randomise
from tests.laws.steps import steps_of


def convolution(x, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    assert not transposed
    x = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, (2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    parts = zip(np.split(windows, groups, 1), np.split(weight, groups, 0), strict=True)
    y = np.concatenate([np.einsum("bchwij,ocij->bohw", part, kernel) for part, kernel in parts], 1)
    return y if bias is None else y + bias[:, None, None]


def max_pool(x, size, stride=None, padding=(0, 0), dilation=(1, 1), ceil_mode=False):
    stride = stride or size
    short = [(-n) % s if ceil_mode else 0 for n, s in zip(x.shape[2:], stride, strict=True)]
    x = np.pad(x, ((0, 0), (0, 0), *((0, n) for n in short)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, size, (2, 3))[:, :, :: stride[0], :: stride[1]]
    return windows.max((4, 5))


def softmax(x, dim, half):
    e = np.exp(x - x.max(dim, keepdims=True))
    return e / e.sum(dim, keepdims=True)


def batch_norm(x, weight, bias, mean, variance, momentum, eps):
    def wide(v):
        return v.reshape(-1, *[1] * (x.ndim - 2))

    return (x - wide(mean)) / np.sqrt(wide(variance) + eps) * wide(weight) + wide(bias)


def along(axes):
    return tuple(axes) if isinstance(axes, list) else axes


NUMPY = {
    "_native_batch_norm_legit_no_training.default": batch_norm,
    "_softmax.default": softmax,
    "add.Tensor": np.add,
    "addmm.default": lambda c, a, b: c + a @ b,
    "amax.default": lambda x, dim, keep=False: x.max(along(dim), keepdims=keep),
    "bmm.default": np.matmul,
    "cat.default": lambda parts, dim=0: np.concatenate(parts, dim),
    "clone.default": lambda x, **_: x,
    "convolution.default": convolution,
    "div.Scalar": np.divide,
    "div.Tensor": np.divide,
    "expand.default": lambda x, shape: np.broadcast_to(
        x, [o if n == -1 else n for n, o in zip(shape, x.shape, strict=True)]
    ),
    "max_pool2d_with_indices.default": max_pool,
    "mean.dim": lambda x, dim, keep=False: x.mean(along(dim), keepdims=keep),
    "mm.default": np.matmul,
    "mul.Scalar": np.multiply,
    "mul.Tensor": np.multiply,
    "permute.default": np.transpose,
    "relu.default": lambda x: np.maximum(x, 0),
    "sigmoid.default": lambda x: 1 / (1 + np.exp(-x)),
    "squeeze.dims": lambda x, dims: x.squeeze(along(dims)),
    "sum.dim_IntList": lambda x, dim, keep=False: x.sum(along(dim), keepdims=keep),
    "unsqueeze.default": np.expand_dims,
    "view.default": lambda x, shape: x.reshape(shape),
}


def computed(run: dict[str, Any], *inputs: np.ndarray) -> list[np.ndarray]:
    """Compute every value of a run that was written down."""
    values: list[np.ndarray] = []

    def filled(given: Any) -> Any:
        if isinstance(given, dict):
            return values[given["value"]] if "value" in given else {key: filled(each) for key, each in given.items()}
        return [filled(each) for each in given] if isinstance(given, list) else given

    for entry in run["values"]:
        if "constant" in entry:
            value = np.asarray(entry["constant"], dtype=np.float64).reshape(entry["shape"])
        elif "input" in entry:
            value = inputs[entry["input"]]
        else:
            value = NUMPY[entry["operation"]](*filled(entry["arguments"]), **filled(entry["options"]))
        assert list(value.shape) == entry["shape"], entry
        values.append(value)
    return values


BLOCKS = {
    "SE": ("se", {"reduction": 2, "bias": True}),
    "CBAM": ("cbam", {"reduction": 2, "norm": True, "kernel_size": 3}),
    "CBAM, the other order": ("cbam", {"reduction": 2, "order": "space-channel"}),
    "Non-local": ("non_local", {"subsample": 2}),
    "Non-local, scaled": ("non_local", {"scale": True, "norm": False, "bias": True}),
    "Non-local, dot product": ("non_local", {"similarity": "dot product"}),
    "Non-local, Gaussian": ("non_local", {"similarity": "gaussian"}),
}


def made(name: str) -> Attention:
    block = attention.create(BLOCKS[name][0], 8, **BLOCKS[name][1]).double()
    randomise(block, torch.Generator().manual_seed(1))
    return block.eval()


@pytest.mark.parametrize("name", BLOCKS)
def test_every_tensor_can_be_computed_outside_torch(name: str) -> None:
    block, x = made(name), torch.randn(1, 8, 5, 6, dtype=torch.float64)
    run = json.loads(json.dumps(written_down(block, x)))
    for given in (x, torch.randn(1, 8, 5, 6, dtype=torch.float64) * 3):
        values = computed(run, given.numpy())
        with torch.no_grad():
            output, maps = block.attend(given)
        np.testing.assert_allclose(values[run["output"]], output, rtol=1e-9, atol=1e-12)
        assert list(run["maps"]) == list(maps)
        for key, place in run["maps"].items():
            np.testing.assert_allclose(values[place], maps[key], rtol=1e-9, atol=1e-12)
        steps = dict(steps_of(block, given))
        assert set(run["steps"]) == set(steps) == set(block.steps)
        for key, step in run["steps"].items():
            np.testing.assert_allclose(values[step["value"]], steps[key], rtol=1e-9, atol=1e-12)


def test_steps_say_what_they_are() -> None:
    run = written_down(made("SE"), torch.randn(1, 8, 5, 6, dtype=torch.float64))
    assert run["steps"]["z"] | {"value": 0} == {
        "value": 0,
        "symbol": "z",
        "zone": "squeeze",
        "about": "the mean of each channel",
    }
    assert run["steps"]["y"]["symbol"] == r"\tilde x"
    assert run["steps"]["y"]["value"] == run["output"]


class Odd(Attention):
    """A block with an operation that nobody knows: a sine."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.steps = {}, {}
        self.inner = nn.Dropout()

    def attend(self, x):
        return self.inner(x).sin(), {}


def test_an_unknown_operation_is_refused_in_words() -> None:
    block = Odd()
    with pytest.raises(ValueError, match=r"^Odd: sin\.default cannot be written down; known: .*softmax.*sigmoid"):
        written_down(block, torch.randn(1, 2, 3, 3))
    assert block.training, "it is left in the mode that it was in"


def test_the_interpreter_knows_what_can_be_written_down() -> None:
    assert set(NUMPY) == KNOWN
