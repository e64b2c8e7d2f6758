"""What the laws work on: random inputs of any size, and random parameters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from hypothesis import settings
    from hypothesis.strategies import SearchStrategy

__all__ = ["cast", "image", "images", "randomise", "repeatable", "resized"]


def image(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Make random feature maps in float64.

    Every channel of every sample has a mean of its own, so that the statistics which blocks look at differ between
    channels.

    :param shape: (batch, channels, …).
    :param generator: where the numbers come from.
    """
    noise = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
    means = (*shape[:2], *[1] * (len(shape) - 2))
    return noise + torch.randn(means, generator=generator, dtype=torch.float64)


def images(
    channels: int,
    *,
    batch: tuple[int, int] = (1, 3),
    height: tuple[int, int] = (1, 7),
    width: tuple[int, int] = (1, 7),
) -> "SearchStrategy[Tensor]":
    """Return a strategy of hypothesis that draws feature maps, (batch, channels, height, width), in float64.

    A failing test is repeated with smaller maps, until the smallest that fails is found.

    :param channels: number of channels.
    :param batch: the smallest and the largest number of samples.
    :param height: the smallest and the largest height.
    :param width: the smallest and the largest width.
    :raises ModuleNotFoundError: where ``hypothesis`` is not installed; the extra ``laws`` of this package brings it.
    """
    from hypothesis import strategies as st

    def make(b: int, h: int, w: int, seed: int) -> Tensor:
        return image((b, channels, h, w), torch.Generator().manual_seed(seed))

    return st.builds(make, st.integers(*batch), st.integers(*height), st.integers(*width), st.integers(0, 2**16))


def repeatable(examples: int) -> "settings":
    """Return settings of hypothesis with which every run draws the same cases, and keeps nothing.

    :param examples: how many cases are drawn.
    """
    from hypothesis import HealthCheck, Phase, settings

    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def resized(
    inputs: Sequence[Tensor], batch: int, height: int | None = None, width: int | None = None, seed: int = 0
) -> tuple[Tensor, ...]:
    """Make other inputs of the same kind: another batch, another size of the maps.

    :param inputs: the pattern. Floating-point inputs are drawn anew; of words and masks, samples are repeated.
    :param batch: number of samples, the first axis of each input.
    :param height: height of the inputs with four axes; as it is by default.
    :param width: width of the inputs with four axes; as it is by default.
    :param seed: where the numbers come from.
    """
    generator = torch.Generator().manual_seed(seed)

    def other(x: Tensor) -> Tensor:
        if not x.is_floating_point():
            return x[torch.arange(batch) % len(x)]
        shape = [batch, *x.shape[1:]]
        if x.ndim == 4:
            shape[2:] = [height or x.shape[2], width or x.shape[3]]
        return image(shape, generator).to(x.dtype)

    return tuple(other(x) for x in inputs)


def cast(inputs: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Convert the floating-point inputs; words and masks stay."""
    return tuple(x.to(dtype) if x.is_floating_point() else x for x in inputs)


def randomise(module: nn.Module, generator: torch.Generator, constants: Sequence[str] = ()) -> None:
    """Give every parameter and every floating-point buffer a random value, neither tiny nor near saturation.

    Matrices and kernels are scaled by their fan-in; what multiplies (a one-dimensional ``weight``, a scale) stays
    away from 0; running variances stay positive.

    :param module: changed in place.
    :param generator: where the numbers come from.
    :param constants: names of buffers that are constants of the equations (a cosine basis, a grid) and stay.
    """

    def normal(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=generator, dtype=torch.float64)

    def away_from_zero(x: Tensor) -> Tensor:
        return (0.5 + torch.rand(x.shape, generator=generator, dtype=torch.float64)) * normal(x).sign()

    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim >= 2:
                parameter.copy_(normal(parameter) * 1.5 / parameter[0].numel() ** 0.5)
            elif name.endswith("bias"):
                parameter.copy_(normal(parameter) * 0.5)
            else:
                parameter.copy_(away_from_zero(parameter))
        for name, buffer in module.named_buffers():
            if name in constants or not buffer.is_floating_point():
                continue
            buffer.copy_(away_from_zero(buffer).abs() if name.endswith("var") else normal(buffer) * 0.5)
