"""Attention whose rows never exist as a tensor: they are computed once more, from queries and keys."""

from typing import Any

import torch
from torch import Tensor

from attention.lab.maps.history import name_of

__all__ = ["is_fused", "rows_of", "same"]

_FUSED = frozenset(
    f"_scaled_dot_product_{kind}"
    for kind in ("flash_attention_for_cpu", "flash_attention", "efficient_attention", "cudnn_attention")
)


def is_fused(func: Any) -> bool:
    """Say whether an operation is one of those that ``scaled_dot_product_attention`` becomes."""
    return name_of(func) in _FUSED


def rows_of(func: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Compute what a fused attention computes on its way.

    :returns: the rows, softmax(q · kᵀ · scale + mask), (…, queries, keys), in at least single precision; and the values
        that they weigh, (…, keys, width).
    """
    given = dict(zip((each.name for each in func._schema.arguments), args, strict=False)) | kwargs
    query, key, value = (given[name] for name in ("query", "key", "value"))
    mask = given.get("attn_mask", given.get("attn_bias"))
    scale = given.get("scale") or query.shape[-1] ** -0.5
    high = torch.promote_types(query.dtype, torch.float32)
    scores = query.to(high) @ key.to(high).transpose(-2, -1) * scale
    if given.get("is_causal"):
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1), value


def same(ours: Tensor, theirs: Tensor) -> bool:
    """Say whether two ways to compute the same came to the same, up to the rounding of the coarser one."""
    loose = max(1e-4, 4 * torch.finfo(theirs.dtype).eps)
    size = float(theirs.abs().max()) if theirs.numel() else 0.0
    return bool(torch.allclose(ours.to(theirs.dtype), theirs, rtol=loose, atol=loose * size, equal_nan=True))
