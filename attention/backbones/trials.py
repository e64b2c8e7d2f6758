"""What blocks would meet in a network: said by its modules, or seen in a run of a copy."""

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from attention.backbones.inception import InceptionBlock
from attention.backbones.report import Site
from attention.backbones.resnet import Residual
from attention.backbones.seats import put

__all__ = ["Met", "count_numbers", "first_images", "measured", "said", "seen"]

#: A shape (batch, channels, height, width), and a tensor of the right device and dtype.
Met = tuple[tuple[int, ...], Tensor]

#: Modules that leave the number of channels as it is.
_KEEPING = (nn.Identity, nn.ReLU, nn.GELU, nn.SiLU, nn.Dropout, nn.Dropout2d, nn.MaxPool2d, nn.AvgPool2d)


class _Probe(nn.Module):
    """Stands where a block will stand, and notes what it meets."""

    def __init__(self) -> None:
        super().__init__()
        self.met: list[Any] = []

    def forward(self, x: Any) -> Any:
        self.met.append(x)
        return x


# Without an example


def said(model: nn.Module, name: str, host: nn.Module, place: str | None) -> Met:
    """Return what a block meets, as far as its host says it.

    :param model: the network.
    :param name: the host's name in it.
    :param host: the module that gets the block.
    :param place: the place in a residual unit, or ``None``.
    :raises ValueError: for a module that does not say how many channels it puts out.
    """
    channels = host.meets[place] if place else _channels(host)
    if channels is None:
        kind = type(host).__name__
        raise ValueError(
            f"{name!r}, of type {kind}, does not say how many channels it puts out: give an example= input"
        )
    tensors = (t for part in (host, model) for t in part.parameters() if t.is_floating_point())
    return (1, channels), next(tensors, torch.empty(0)).detach()


def _channels(module: nn.Module) -> int | None:
    """Say how many channels a module puts out, if it is one that says so."""
    if isinstance(module, nn.Sequential):
        keeping = [part for part in module if isinstance(part, _KEEPING) or part is getattr(module, "attention", None)]
        return next((_channels(part) for part in reversed(module) if part not in keeping), None)
    for kinds, name in (
        ((nn.Conv2d, nn.ConvTranspose2d, Residual, InceptionBlock), "out_channels"),
        ((nn.BatchNorm2d, nn.SyncBatchNorm, nn.InstanceNorm2d), "num_features"),
        (nn.GroupNorm, "num_channels"),
    ):
        if isinstance(module, kinds):
            return getattr(module, name)
    return None


# With an example


def first_images(example: Any) -> tuple:
    """Return the inputs of an example as a tuple, each cut to its first image.

    :param example: a tensor, a dictionary, or a tuple of inputs.
    :raises TypeError: for anything else.
    """
    if not isinstance(example, Tensor | dict | tuple):
        kind = type(example).__name__
        hint = "; write torch.as_tensor(example)" if hasattr(example, "__array__") else ""
        raise TypeError(f"example: expected a tensor, a dictionary or a tuple of inputs, received {kind}{hint}")
    return _each(example if isinstance(example, tuple) else (example,), lambda x: x[:1].detach() if x.ndim else x)


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to every tensor in an input."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _each(each, change) for key, each in value.items()}
    return tuple(_each(each, change) for each in value) if type(value) is tuple else value


def seen(model: nn.Module, hosts: dict[str, nn.Module], place: str | None, inputs: tuple) -> tuple[dict[str, Met], int]:
    """Run a copy of the network with probes in it: what each meets, and the network's multiply–adds.

    :param model: the network, which is left as it is.
    :param hosts: the modules that get a block, by name.
    :param place: the place in a residual unit, or ``None``.
    :param inputs: what the network is called with.
    :raises ValueError: for a network that does not run on the inputs; for a module that runs more or less than once,
        that runs its parts one by one, or puts out no feature map of (batch, channels, height, width).
    """
    trial, probes, calls = _probed(model, hosts, place)
    try:
        macs = _count(trial, *inputs)
    except Exception as error:
        _explain(model, hosts, place, inputs, error)
    met: dict[str, Met] = {}
    for name, probe in probes.items():
        _check_once(name, hosts[name], len(probe.met), calls[name])
        (x,) = probe.met
        if not isinstance(x, Tensor) or x.ndim != 4:
            what = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"type {type(x).__name__}"
            raise ValueError(f"{name!r} puts out something of {what}, not (batch, channels, height, width)")
        met[name] = tuple(x.shape), x.new_empty(0)
    shapes = {name: shape for name, (shape, _) in met.items()}
    _check_layout(model, {} if place else hosts, shapes, trial, probes, inputs)
    return met, macs


def _probed(
    model: nn.Module, hosts: dict[str, nn.Module], place: str | None
) -> tuple[nn.Module, dict[str, _Probe], dict[str, int]]:
    """Return a copy with probes in it, the probes, and how often each host is called, which a run counts up."""
    trial = copy.deepcopy(model).eval()
    probes = {name: _Probe() for name in hosts}
    calls = dict.fromkeys(hosts, 0)

    def note(name: str) -> Callable[..., None]:
        def counts(module: nn.Module, inputs: tuple) -> None:
            calls[name] += 1

        return counts

    for name, probe in probes.items():
        host = trial.get_submodule(name)
        put(host, place, probe)
        host.register_forward_pre_hook(note(name))
    return trial, probes, calls


def _explain(model: nn.Module, hosts: dict[str, nn.Module], place: str | None, inputs: tuple, error: Exception) -> None:
    """Say whether it was the example that the network could not run on, or a part more in one of the hosts."""
    try:
        _count(copy.deepcopy(model).eval(), *inputs)
    except Exception as own:
        raise ValueError(f"the model does not run on the example: {type(own).__name__}: {own}") from own
    for name, host in hosts.items():
        try:
            _count(_probed(model, {name: host}, place)[0], *inputs)
        except Exception as own:
            _refuse_iterating(name, host, own)
    raise ValueError(f"the model does not run with a part more in {', '.join(map(repr, hosts))}: {error}") from error


def _refuse_iterating(name: str, host: nn.Module, error: Exception | None = None) -> None:
    raise ValueError(
        f"{name!r}, of type {type(host).__name__}, runs its parts one by one, and would take the block for one of "
        "them; name one of its parts, or the module after it"
    ) from error


def _check_once(name: str, host: nn.Module, runs: int, calls: int) -> None:
    """Refuse a host whose block would not run once for an image, and say why it would not."""
    alone = isinstance(host, nn.Sequential) and not calls
    if (alone and runs) or (calls == 1 and runs > 1):
        _refuse_iterating(name, host)
    if alone:
        raise ValueError(
            f"{name!r} runs 0 times for one image: nothing calls this Sequential as a whole, at most its parts one by "
            "one, and nothing would use the block; name one of its parts"
        )
    if runs != 1:
        raise ValueError(
            f"{name!r} runs {runs} times for one image, and a block after it would act as often; name a module that "
            "runs once"
        )


def _check_layout(
    model: nn.Module,
    hosts: dict[str, nn.Module],
    shapes: dict[str, tuple[int, ...]],
    trial: nn.Module,
    probes: dict[str, _Probe],
    inputs: tuple,
) -> None:
    """Refuse maps of (batch, height, width, channels), whose rows a block would take for channels."""
    open_ = [name for name, host in hosts.items() if _channels(host) != shapes[name][1]]
    if not open_:
        return
    found: list[Tensor] = []
    _each(inputs, lambda x: found.append(x) or x)
    images = next((x for x in found if x.ndim == 4), None)
    for probe in probes.values():
        probe.met.clear()
    if images is not None:
        size = images.shape[2:]
        taller = _each(inputs, lambda x: _taller(x) if x.ndim == 4 and x.shape[2:] == size else x)
        with suppress(Exception):  # a network for one size only; what ran before it gave up has been noted
            _count(trial, *taller)
    for name in open_:
        after = tuple(getattr(next(iter(probes[name].met), None), "shape", ()))
        marked = _format(model, name)
        last = _channels_last(shapes[name], after, marked, None if images is None else tuple(images.shape[2:]))
        if last is None:
            raise ValueError(
                f"{name!r} puts out shape {shapes[name]}, and it cannot be told whether channels are second or last: "
                "give an example= of another size, best with a height unlike its width"
            )
        if last:
            raise ValueError(
                f"{name!r} puts out shape {shapes[name]} with the channels last: (batch, height, width, channels). A "
                "block takes (batch, channels, height, width) and would take rows for channels; name a module that "
                "puts out channels second"
            )


def _taller(x: Tensor) -> Tensor:
    if x.is_floating_point():
        return F.interpolate(x.float(), scale_factor=(2, 1)).to(x.dtype)
    return x.repeat_interleave(2, dim=2)


def _format(model: nn.Module, name: str) -> str:
    """Return the layout that timm's modules say they put out, ``"NHWC"`` for instance; the nearest one counts."""
    while True:
        found = getattr(model.get_submodule(name), "output_fmt", None)
        if found is not None:
            return str(getattr(found, "value", found)).upper()
        if not name:
            return ""
        name = name.rpartition(".")[0]


def _channels_last(
    shape: tuple[int, ...], taller: tuple[int, ...], marked: str, image: tuple[int, int] | None
) -> bool | None:
    """Say whether a map has its channels last, or ``None`` where nothing tells.

    :param shape: the map's shape.
    :param taller: its shape for an image of twice the height; empty where none was seen.
    :param marked: what its module says.
    :param image: the image's height and width.
    """
    a, b, c = shape[1:]
    if len(taller) == 4 and (a == taller[1]) != (b == taller[2]) and c == taller[3]:
        return a != taller[1]  # what grows with the height is no number of channels
    if marked in ("NHWC", "NCHW"):
        return marked == "NHWC"
    if a == b == 1 or b == c == 1:
        return a == b == 1 and c > 1
    if image is None:
        return None
    height, width = image
    second, last = b * width == c * height, a * width == b * height
    return None if second == last else last


# What it costs


def measured(
    name: str, block: nn.Module, shape: tuple[int, ...], *, count: bool, known: bool, rounded: tuple = ()
) -> Site:
    """Count a block's cost, on a copy; one that is not ours is run with numbers, and must keep the shape.

    :param name: the host's name.
    :param block: the block.
    :param shape: the shape that it meets.
    :param count: whether the shape is a whole one, so that multiply–adds can be counted.
    :param known: whether it is one of this package's blocks, which run on the meta device.
    :param rounded: the options that were rounded.
    :raises ValueError: for a block that does not run there, or changes the shape.
    """
    label, parameters = f"{name}.attention", count_numbers(block)
    if not count:
        return Site(label, shape[1], parameters, rounded=rounded)
    probe = _Probe()
    trial = nn.Sequential(copy.deepcopy(block), probe).eval()
    like = next((t for t in (*block.parameters(), *block.buffers()) if t.is_floating_point()), torch.empty(0))
    device = torch.device("meta") if known else like.device
    try:
        macs = _count(trial.to(device), torch.zeros(shape, device=device, dtype=like.dtype))
    except Exception as error:
        raise ValueError(
            f"at {name!r}: a {type(block).__name__} does not run on shape {shape}: {type(error).__name__}: {error}"
        ) from error
    got = tuple(getattr(probe.met[0], "shape", ()))
    if got != shape:
        raise ValueError(
            f"a {type(block).__name__} turns shape {shape} into {got or type(probe.met[0]).__name__}; it must keep the "
            f"shape to stand at {name!r}"
        )
    return Site(label, shape[1], parameters, (shape[2], shape[3]), macs, rounded)


def count_numbers(module: nn.Module) -> int:
    """Count a module's parameters."""
    return sum(p.numel() for p in module.parameters())


def _count(module: nn.Module, *inputs: Any) -> int:
    """Run a module and count its multiply–adds; random numbers are left as they were."""
    devices = {t.device.index or 0 for t in inputs if isinstance(t, Tensor) and t.is_cuda}
    counter = FlopCounterMode(display=False)
    # The counter sees the products inside scaled_dot_product_attention only where that is computed step by step.
    with torch.random.fork_rng(devices), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        module(*inputs)
    return counter.get_total_flops() // 2
