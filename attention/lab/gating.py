"""Trained gates replaced all at once: what a model scores with gates that come about in another way.

:func:`attention.lab.maps.exchanged` does so for one map of one layer, of other people's modules too. Here a rule
decides for every block of a model, and no more than torch is needed: a machine that records has no more.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from attention.contract import Attention

__all__ = ["Rule", "always_the_mean", "another_image", "gated_by", "gates_of"]

#: A rule for the gates of a trained block: from the block and its input to what multiplies the input.
Rule = Callable[[Attention, Tensor], Tensor]


@contextmanager
def gated_by(model: nn.Module, rule: Rule) -> Iterator[None]:
    """Let a rule decide what the blocks of a model multiply their inputs by.

    :param model: a model with blocks whose only map is ``channel``; it is left as it was.
    :param rule: asked at each block, with what reaches the block under this rule.
    """
    blocks = [block for block in model.modules() if isinstance(block, Attention)]
    hooks = [block.register_forward_hook(lambda b, inputs, _: inputs[0] * rule(b, *inputs)) for block in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def gates_of(block: Attention, x: Tensor) -> Tensor:
    """The rule that changes nothing: the block's own gates, (batch, channels, 1, 1)."""
    return block.attend(x)[1]["channel"]


def another_image(block: Attention, x: Tensor) -> Tensor:
    """The rule that gives each image the gates of the one before it in the batch."""
    return gates_of(block, x).roll(1, 0)


def always_the_mean(block: Attention, x: Tensor) -> Tensor:
    """The rule that gives each image the mean of the gates of its batch."""
    return gates_of(block, x).mean(0, keepdim=True)
