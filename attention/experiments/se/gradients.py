"""What fresh gates do to the gradient of a deep network, by their place: relative to the network without gates."""

from collections.abc import Sequence

from attention.contract import check_positive
from attention.experiments.se.position import ARMS, first_gradient

__all__ = ["relative_gradients"]


def relative_gradients(depths: Sequence[int], *, normalised: bool, seed: int = 0) -> dict[str, list[float]]:
    """Compute the gradient at the first unit of fresh networks, divided by that of the network without gates.

    :param depths: numbers of units.
    :param normalised: whether the batch normalisations stay.
    :param seed: of weights, images and loss, the same for all arms.
    :returns: for each arm with gates, a number for each depth.
    :raises ValueError: for a depth below 1.
    """
    for units in depths:
        check_positive(units=units)
    lengths = {arm: [first_gradient(arm, units, normalised=normalised, seed=seed) for units in depths] for arm in ARMS}
    plain = lengths.pop("no gate")
    return {arm: [a / b for a, b in zip(each, plain, strict=True)] for arm, each in lengths.items()}
