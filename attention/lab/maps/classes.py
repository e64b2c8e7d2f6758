"""Gates compared between classes: does a block treat a shoe otherwise than a shirt?"""

from collections.abc import Mapping, Sequence

import torch
from einops import rearrange, reduce
from jaxtyping import Float, Int
from torch import Tensor

from attention.lab import style
from attention.lab.maps.panels import colour_bar

__all__ = ["by_class", "class_share"]


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
    means, counts = _class_means(centred, labels)
    whole = float(centred.square().sum())
    between = float((counts[:, None] * means.square()).sum())
    return between / whole if whole > 1e-12 * gates.numel() else 0.0


def by_class(
    gates: Mapping[str, Tensor] | Tensor,
    labels: Int[Tensor, "samples"],
    names: Sequence[str] | None = None,
    *,
    limits: tuple[float, float] | None = None,
    title: str = "",
) -> None:
    """Show the mean gate of each class, a panel for each block: a row a class, a column a channel.

    Channels are sorted by their mean over all samples. Where all rows look alike the block treats all classes alike;
    above each panel stands the share of variance between classes, :func:`class_share`. All panels share one scale.

    :param gates: the gates (samples, channels), or several blocks' by name, in the order in which they are drawn;
        further axes must have size 1.
    :param labels: the class of each sample, from 0.
    :param names: the classes' names.
    :param limits: the values of the colour scale's ends; by default the smallest and largest value shown.
    :param title: a title for the figure.
    :raises TypeError: for anything but tensors.
    :raises ValueError: for shapes that do not fit together, and for too few names.
    """
    blocks = {"": gates} if isinstance(gates, Tensor) else dict(gates)
    if not blocks:
        raise ValueError("gates is empty; give the gates of at least one block")
    checked = {block: _check(each, labels)[0] for block, each in blocks.items()}
    labels = labels.detach().cpu().long()
    present = labels.unique().tolist()
    names = [f"class {k}" for k in range(present[-1] + 1)] if names is None else list(names)
    if len(names) <= present[-1]:
        raise ValueError(f"names has {len(names)} names; labels go up to {present[-1]}")
    means = {block: _class_means(each, labels)[0][present] for block, each in checked.items()}
    shares = {block: class_share(each, labels) for block, each in checked.items()}
    shown = torch.cat([each.flatten() for each in means.values()])
    low, high = limits or (float(shown.min()), float(shown.max()))
    height = 1.3 + len(blocks) * (0.4 + 0.185 * len(present))
    fig, axes = style.figure(len(blocks), 1, height=height, squeeze=False)
    for ax, block in zip(axes[:, 0], blocks, strict=True):
        columns = checked[block].mean(dim=0).argsort(stable=True)
        drawn = ax.imshow(means[block][:, columns].numpy(), cmap=style.HEAT, vmin=low, vmax=high, aspect="auto")
        share = f"{100 * shares[block]:.0f}% of variance between classes"
        ax.set_title(f"{block}: {share}" if block else share, loc="left", fontsize=10.5)
        ax.set_yticks(range(len(present)), [names[k] for k in present], fontsize=9.5)
        ax.set_xticks([])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    axes[-1, 0].set_xlabel("channels, sorted by their mean")
    colour_bar(fig, drawn, "mean gate")
    if title:
        fig.suptitle(title, fontsize=12)
    told = [_differ_most(block, means[block], shares[block], [names[k] for k in present]) for block in blocks]
    style.show(fig, f"Mean gate of {len(present)} classes, a row a class, a column a channel. " + " ".join(told))


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


def _class_means(gates: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Compute each class's mean gates (classes, channels), 0 for a class without samples, and its number of samples."""
    member = torch.nn.functional.one_hot(labels).to(gates.dtype)
    counts = reduce(member, "n k -> k", "sum")
    return (member.T @ gates) / rearrange(counts.clamp(min=1), "k -> k 1"), counts


def _differ_most(block: str, means: Tensor, share: float, names: list[str]) -> str:
    """Say what a panel shows: the block's share, and the channel in which classes differ most."""
    channel = int((means.amax(dim=0) - means.amin(dim=0)).argmax())
    low, high = int(means[:, channel].argmin()), int(means[:, channel].argmax())
    return (
        f"{block or 'The block'}: {100 * share:.0f}% of the gates' variance lies between classes; they differ most in "
        f"channel {channel}, from {means[low, channel]:.2f} ({names[low]}) "
        f"to {means[high, channel]:.2f} ({names[high]})."
    )
