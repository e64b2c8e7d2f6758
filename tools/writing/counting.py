"""Count a network under the rules by which papers count theirs. Torch is imported when something is counted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Counts", "counts"]


@dataclass(frozen=True)
class Counts:
    """What one image costs a network.

    :param parameters: numbers that are trained.
    :param statistics: running means and variances of batch normalisation, and other numbers that are stored.
    :param layers: multiply–adds of convolutions and linear layers.
    :param macs: the same, and those of all other matrix products: the book's own rule, that of ``attention.lab.cost``.
    :param normalised: 2 for each number that batch normalisation puts out.
    :param cheap: 1 for each number that a ReLU puts out, and 1 for each that pooling over height and width reads.
    """

    parameters: int
    statistics: int
    layers: int = 0
    macs: int = 0
    normalised: int = 0
    cheap: int = 0


def counts(build: Callable[[], Any], image: tuple[int, int, int] | None = None) -> Counts:
    """Count a network that is built without numbers, on the device ``meta``.

    :param build: makes the network.
    :param image: channels, height and width of the image that is run; without one, only parameters are counted.
    """
    import torch

    with torch.device("meta"):
        network = build().eval()
        parameters = sum(p.numel() for p in network.parameters())
        statistics = sum(b.numel() for b in network.buffers() if b.is_floating_point())
        if image is None:
            return Counts(parameters, statistics)
        x = torch.empty(1, *image)
    seen = _watcher()
    with torch.no_grad(), seen:
        network(x)
    return Counts(parameters, statistics, seen.layers, seen.macs, 2 * seen.normalised, seen.cheap)


def _watcher() -> Any:
    """Make a mode that watches the operations of a run."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Watcher(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.layers = self.macs = self.normalised = self.cheap = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            out = func(*args, **kwargs)
            kind, name = func.overloadpacket, func.overloadpacket.__name__
            if kind in flop_registry:
                made = flop_registry[kind](*args, **kwargs, out_val=out) // 2
                self.macs += made
                self.layers += made if name in ("convolution", "addmm", "mm") else 0
            elif "batch_norm" in name:
                self.normalised += args[0].numel()
            elif name in ("relu", "relu_", "hardtanh", "hardtanh_"):
                self.cheap += out.numel()
            elif "pool" in name or (name in ("mean", "amax") and _over_positions(args)):
                self.cheap += args[0].numel()
            return out

    return Watcher()


def _over_positions(args: tuple) -> bool:
    """Say whether a reduction is over height and width of a feature map: pooling written as a mean."""
    return args[0].ndim == 4 and len(args) > 1 and sorted(axis % 4 for axis in args[1]) == [2, 3]
