"""Gates compared between classes, in numbers: the mean gate of each class, and how much of the variance is theirs.

:func:`attention.lab.maps.by_class` draws them. Here nothing is drawn: a machine that records needs no more than torch.
"""

from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange, reduce
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["ClassMeans", "class_means", "class_share"]


@dataclass(frozen=True, eq=False)
class ClassMeans:
    """What the gates of many samples come to, class by class.

    :param means: the mean gate of each class, (classes, channels); 0 for a class without samples.
    :param counts: the number of samples of each class, (classes,).
    :param share: the share of the gates' variance that lies between classes, :func:`class_share`.
    """

    means: Tensor
    counts: Tensor
    share: float

    def to_dict(self) -> dict[str, Any]:
        """Return them as JSON takes them."""
        return {"means": self.means.tolist(), "counts": self.counts.tolist(), "share": self.share}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> "ClassMeans":
        """Read what :meth:`to_dict` returned.

        :param kept: the dictionary.
        """
        means, counts = (torch.tensor(kept[name], dtype=torch.float64) for name in ("means", "counts"))
        return cls(means, counts.long(), kept["share"])


def class_means(gates: Float[Tensor, "samples channels ..."], labels: Int[Tensor, "samples"]) -> ClassMeans:
    """Compute the mean gate of each class, and the share of the variance between classes.

    :param gates: the gates of each sample; further axes must have size 1.
    :param labels: the class of each sample, from 0.
    :returns: means, counts and share, in double precision, on the CPU.
    :raises TypeError: for anything but tensors.
    :raises ValueError: for shapes that do not fit together.
    """
    gates, labels = _check(gates, labels)
    means, counts = _means(gates, labels)
    return ClassMeans(means, counts.long(), class_share(gates, labels))


def class_share(gates: Float[Tensor, "samples channels ..."], labels: Int[Tensor, "samples"]) -> float:
    r"""Compute the share of the gates' variance that lies between classes (the statistic $\eta^2$).

    With $s_{ic}$ the gate of channel $c$ for sample $i$, $\bar s_{kc}$ its mean over the $n_k$ samples of class $k$,
    and $\bar s_c$ its mean over all samples,

    $$
    \eta^2 = \frac{\sum_c \sum_k n_k (\bar s_{kc} - \bar s_c)^2}{\sum_c \sum_i (s_{ic} - \bar s_c)^2}.
    $$

    0 says that gates take no notice of the class, 1 that they depend on nothing else. Labels that mean nothing give
    about $(K - 1) / (n - 1)$ with $K$ classes and $n$ samples, not 0. Where no gate varies at all the share is 0.

    :param gates: the gates of each sample; further axes must have size 1.
    :param labels: the class of each sample, from 0.
    :returns: $\eta^2$, from 0 to 1.
    :raises TypeError: for anything but tensors.
    :raises ValueError: for shapes that do not fit together.
    """
    gates, labels = _check(gates, labels)
    centred = gates - gates.mean(dim=0)
    means, counts = _means(centred, labels)
    whole = float(centred.square().sum())
    between = float((counts[:, None] * means.square()).sum())
    return between / whole if whole > 1e-12 * gates.numel() else 0.0


def _check(gates: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return gates as float64 (samples, channels), and labels, on the CPU."""
    for name, value in (("gates", gates), ("labels", labels)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: expected a tensor, received {type(value).__name__}")
    if labels.ndim != 1 or labels.is_floating_point() or not len(labels) or int(labels.min()) < 0:
        raise ValueError(
            f"labels: expected (samples,) whole numbers from 0, received {tuple(labels.shape)} {labels.dtype}"
        )
    if gates.ndim < 2 or gates.shape[0] != len(labels) or gates[0, 0].numel() != 1:
        raise ValueError(f"gates: expected ({len(labels)}, channels), received shape {tuple(gates.shape)}")
    return gates.detach().cpu().double().flatten(1), labels.detach().cpu().long()


def _means(gates: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Compute each class's mean gates (classes, channels), 0 for a class without samples, and its number of samples."""
    member = torch.nn.functional.one_hot(labels).to(gates.dtype)
    counts = reduce(member, "n k -> k", "sum")
    return (member.T @ gates) / rearrange(counts.clamp(min=1), "k -> k 1"), counts
