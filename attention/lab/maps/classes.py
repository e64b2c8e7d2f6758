"""Gates compared between classes, as a picture: does a block treat a shoe otherwise than a shirt?"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from attention.lab import style
from attention.lab.classes import ClassMeans
from attention.lab.maps.panels import colour_bar

__all__ = ["by_class"]


def by_class(
    blocks: Mapping[str, ClassMeans] | ClassMeans,
    names: Sequence[str] | None = None,
    *,
    limits: tuple[float, float] | None = None,
    ordered: bool = True,
    title: str = "",
    caption: str = "",
) -> None:
    """Show the mean gate of each class, a panel for each block: a row a class, a column a channel.

    Channels are sorted by their mean over all samples, or stand in the list's order. Where all rows look alike the
    block treats all classes alike; above each panel stands the share of variance between classes. All panels share one
    scale.

    :param blocks: what :func:`attention.lab.classes.class_means` returned for a block, or for several by name, in the
        order in which they are drawn; all of the same samples.
    :param names: the classes' names.
    :param limits: the values of the colour scale's ends; by default the smallest and largest value shown.
    :param ordered: whether channels are sorted by their mean; else they stand as in the list, numbered from 0, where
        their neighbours mean something.
    :param title: a title for the figure.
    :param caption: what is to be seen, below the figure.
    :raises TypeError: for anything but class means.
    :raises ValueError: for blocks of other samples, and for too few names.
    """
    blocks = {"": blocks} if isinstance(blocks, ClassMeans) else dict(blocks)
    if not blocks:
        raise ValueError("blocks is empty; give the class means of at least one block")
    for each in blocks.values():
        if not isinstance(each, ClassMeans):
            raise TypeError(f"blocks: expected what class_means returns, received {type(each).__name__}")
    counts = next(iter(blocks.values())).counts
    if not all(torch.equal(each.counts, counts) for each in blocks.values()):
        raise ValueError("blocks: the counts of classes differ; all blocks must have seen the same samples")
    present = counts.nonzero()[:, 0].tolist()
    names = [f"class {k}" for k in range(present[-1] + 1)] if names is None else list(names)
    if len(names) <= present[-1]:
        raise ValueError(f"names has {len(names)} names; labels go up to {present[-1]}")
    seen = [names[k] for k in present]
    means = {block: each.means[present] for block, each in blocks.items()}
    shown = torch.cat([each.flatten() for each in means.values()])
    low, high = limits or (float(shown.min()), float(shown.max()))
    height = 1.3 + len(blocks) * (0.4 + 0.185 * len(present))
    fig, axes = style.figure(len(blocks), 1, height=height, squeeze=False)
    for ax, (block, each) in zip(axes[:, 0], blocks.items(), strict=True):
        columns = _over_all(each).argsort(stable=True) if ordered else torch.arange(each.means.shape[1])
        drawn = ax.imshow(means[block][:, columns].numpy(), cmap=style.HEAT, vmin=low, vmax=high, aspect="auto")
        share = f"{100 * each.share:.0f}% of variance between classes"
        ax.set_title(f"{block}: {share}" if block else share, loc="left", fontsize=10.5)
        ax.set_yticks(range(len(present)), seen, fontsize=9.5)
        ax.set_xticks([] if ordered else [0, len(columns) // 2, len(columns) - 1])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    axes[-1, 0].set_xlabel("channels, sorted by their mean" if ordered else "channel, in the order of the list")
    colour_bar(fig, drawn, "mean gate")
    if title:
        fig.suptitle(title, fontsize=12)
    told = [_differ_most(block, means[block], each.share, seen) for block, each in blocks.items()]
    alt = f"Mean gate of {len(present)} classes, a row for each class, a column for each channel. "
    style.show(fig, alt + " ".join(told), caption=caption)


def _over_all(block: ClassMeans) -> Tensor:
    """Compute the mean gate of each channel over all samples, (channels,)."""
    return block.counts.to(block.means.dtype) @ block.means / block.counts.sum()


def _differ_most(block: str, means: Tensor, share: float, names: list[str]) -> str:
    """Say what a panel shows: the block's share, and the channel in which classes differ most."""
    channel = int((means.amax(dim=0) - means.amin(dim=0)).argmax())
    low, high = int(means[:, channel].argmin()), int(means[:, channel].argmax())
    return (
        f"{block or 'The block'}: {100 * share:.0f}% of the gates' variance lies between classes; they differ most in "
        f"channel {channel}, from {means[low, channel]:.2f} ({names[low]}) "
        f"to {means[high, channel]:.2f} ({names[high]})."
    )
