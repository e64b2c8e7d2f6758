"""How two results are compared, and how a failure is told."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["EXACT", "describe", "same", "same_maps"]

#: Two float64 computations of one formula differ by no more than this, relative to the largest value.
EXACT = 1e-9


def describe(error: BaseException) -> str:
    """Return an exception's message; where it is no assertion, with its type."""
    return str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"


def same(name: str, found: Tensor, expected: Tensor, tolerance: float = EXACT) -> None:
    """Assert that two tensors have one shape and agree, relative to the largest expected value.

    :param name: what the message calls the tensor: ``"the output"``.
    :param found: what the block made.
    :param expected: what it should be.
    :param tolerance: the largest error allowed, relative to the largest expected value, or to 1 where that is smaller.
    :raises AssertionError: for another shape, a value that is not finite, or a larger error.
    """
    assert found.shape == expected.shape, f"{name} has shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
    if not found.numel():
        return
    found, expected = found.detach().to(torch.float64), expected.detach().to(torch.float64)
    assert found.isfinite().all(), f"{name} is not finite"
    error = (found - expected).abs().max().item()
    allowed = tolerance * max(1.0, expected.abs().max().item())
    assert error <= allowed, f"{name} differs by {error:.3g}, allowed {allowed:.3g}"


def same_maps(found: dict[str, Tensor], expected: dict[str, Any], tolerance: float = EXACT) -> None:
    """Assert that two sets of maps have the same names and values.

    :param found: the maps of a block, by name.
    :param expected: tensors, or what ``torch.as_tensor`` takes, by the same names.
    :param tolerance: as for :func:`same`.
    :raises AssertionError: for other names or values.
    """
    assert set(found) == set(expected), f"maps are {sorted(found)}, expected {sorted(expected)}"
    for name, value in found.items():
        same(f"the map {name!r}", value, torch.as_tensor(expected[name], dtype=torch.float64), tolerance)
