"""Record the attention maps of one real run, and leave the model as it was."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from inspect import signature
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from attention.contract import Attention
from attention.lab.maps.captured import Captured, Declared
from attention.lab.maps.finding import LOOKED_FOR, Finder, Site
from attention.lab.restore import untouched

__all__ = ["capture", "check", "record", "tensors_in"]


def capture(
    model: nn.Module,
    x: Tensor | dict | tuple,
    layers: Iterable[str] = (),
    *,
    training: bool = False,
    find: bool | None = None,
) -> Captured:
    """Run a model once and record the attention maps that this very run used.

    Every :class:`attention.contract.Attention` in the model is found, at any depth; for the run its ``forward`` takes
    the output of ``attend``, so that maps and output come from one computation. The model is left as it was, also when
    it raises: modes, buffers (the statistics of batch normalisation among them), hooks, methods, gradients and torch's
    random state. The run records no gradients, and works on a copy of ``x``, on the device of the model's parameters.

    In a model of somebody else's modules, which declare nothing, maps are looked for in what the run computes: a
    tensor that multiplies a feature map (``"gate"``), and rows of a softmax that weigh values (``"rows"``). A factor is
    taken for a map if it was computed from the input by more than a function of each number that it multiplies, is not
    one over a size as in a normalisation, the model's output depends on the product, and the product computed once
    more is the same. Of ``scaled_dot_product_attention`` the rows are computed again, and kept where rows · values is
    what it computed; the fast path of ``nn.MultiheadAttention`` is turned off for the run. Such a map belongs to the
    innermost module that made the product, and is printed as found, not declared. Two factors of one shape are passed
    over where neither was computed from the other and not just one lies between 0 and 1; and so are products within
    another operation, such as ``torch.addcmul``.

    :param model: any module, an attention block itself among them; not compiled, scripted or wrapped for several GPUs.
    :param x: the input, a tensor or a dictionary; or a tuple of inputs, each of them anything that holds tensors or
        none (a list that the model takes as one input goes into a tuple: ``([first, second],)``).
    :param layers: the names of further modules (as in ``model.named_modules()``; ``""`` is the model itself), whose
        output is recorded under ``"output"``; or under ``"output 0"``, ``"output 1"``, … where it is a tuple, and
        ``"output key"`` where it is a dictionary.
    :param training: run in training mode; by default in evaluation mode, whatever the model's own.
    :param find: look for maps in modules that declare none; by default where the model has no block of ours and
        ``layers`` is empty.
    :returns: a dictionary from a layer's name to a dictionary from a map's name to the map, detached, on the CPU; in
        the order in which the layers finished, and then the maps that were found. A layer that runs again in the same
        run is recorded again as ``name#2``, ``name#3``, …
    :raises TypeError: for a model that is no module, or that is compiled, scripted or wrapped; for inputs without a
        tensor; for a named layer whose output holds no tensor.
    :raises ValueError: for an unknown layer, a named layer that did not run, a model with parameters that are not yet
        initialised, and where nothing is recorded: no block of ours, no layer named, no map found.
    """
    inputs = check(model, x)
    if isinstance(layers, str):
        raise TypeError(f"layers={layers!r} is one string; give a list of names: [{layers!r}]")
    layers = list(dict.fromkeys(layers))
    modules = dict(model.named_modules())
    for layer in layers:
        if layer not in modules:
            near = get_close_matches(layer, modules, n=1) or [name for name in modules if name][:8]
            raise ValueError(f"layers: the model has no module {layer!r}; it has for example {', '.join(near)}")
    ours = any(isinstance(module, Attention) for module in modules.values())
    find = not ours and not layers if find is None else find
    if not (ours or layers or find):
        raise ValueError("the model has no attention block; name modules whose output is to be recorded: layers=[…]")
    captured, _, _ = record(model, inputs, layers, training=training, find=find)
    return captured


def record(
    model: nn.Module,
    inputs: tuple,
    layers: Iterable[str] = (),
    *,
    training: bool = False,
    find: bool = False,
    around: TorchDispatchMode | None = None,
) -> tuple[Captured, Any, dict[tuple[str, str], Site]]:
    """Run a model that was checked, and record.

    :param inputs: what :func:`check` returned.
    :param find: look for maps in modules that declare none.
    :param around: a context for the run of the model; only where none are looked for.
    :returns: the recording; what the model returned; and where maps act, by layer and name, if they were looked for.
    :raises ValueError: as :func:`capture` does, once the model has run.
    """
    captured = Captured(_first(inputs).detach().to("cpu", copy=True))
    modules = dict(model.named_modules())
    with ExitStack() as stack:
        stack.enter_context(untouched(model))
        stack.enter_context(torch.no_grad())
        stack.enter_context(_no_fast_path())
        for module in model.modules():
            module.training = training  # not train(): a module may do more there than set its mode
        placed = _placed(model, inputs)
        finder = Finder(model, tensors_in(placed).values(), captured.inputs) if find else None
        for path, block in modules.items():
            if isinstance(block, Attention):
                stack.enter_context(_attending(block, _keep(captured, path, block, finder)))
        for layer in layers:
            stack.enter_context(_hooked(modules[layer], _keep(captured, layer)))
        if finder is not None:
            stack.enter_context(finder.follow())
            stack.enter_context(finder)
        elif around is not None:
            stack.enter_context(around)
        output = model(*placed)
    for layer in layers:
        if not any(name.split(" ")[0] == "output" for name in captured.get(layer, {})):
            raise ValueError(f"layers: the module {layer!r} did not run on this input")
    if finder is None:
        return captured, output, {}
    finder.deliver(captured, tensors_in(output).values())
    if not captured:
        passed = "; ".join(f"{count} × {reason}" for reason, count in captured.passed.items()) or "nothing"
        raise ValueError(
            "the model has no attention block, and in this run no map of another module was found. Looked for: "
            f"{LOOKED_FOR}. Passed over: {passed}. Name modules whose output is to be recorded: layers=[…]"
        )
    return captured, output, finder.sites


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Have ``nn.MultiheadAttention`` compute in operations that can be followed, for the body."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def check(model: Any, x: Any) -> tuple:
    """Refuse what cannot be recorded; return the inputs as a tuple."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, received {type(model).__name__}")
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise TypeError(f"model: a {type(model).__name__} runs copies of the model; pass model.module")
    for path, module in model.named_modules():
        where = f"the module {path!r}" if path else "the model"
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError(f"model: {where} is scripted, and cannot be recorded; pass the original module")
        if "_orig_mod" in module._modules or getattr(module, "_compiled_call_impl", None) is not None:
            raise TypeError(f"model: {where} is compiled, and cannot be recorded; pass the original module")
    if any(nn.parameter.is_lazy(p) for p in chain(model.parameters(), model.buffers())):
        raise ValueError("model: some parameters are not yet initialised; run the model once before")
    inputs = x if isinstance(x, tuple) else (x,)
    if isinstance(x, list):
        raise TypeError("x: received list; write a tuple of inputs, (x, y), or for a list as one input, (x,)")
    if not tensors_in(inputs):
        raise TypeError(f"x: expected a tensor, or a dictionary or tuple with tensors, received {type(x).__name__}")
    return inputs


def tensors_in(value: Any, name: str = "") -> dict[str, Tensor]:
    """Find the tensors in nested tuples, lists and dictionaries; each is named by the keys and numbers to it."""
    if isinstance(value, Tensor):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return {path: tensor for key, each in items for path, tensor in tensors_in(each, f"{name} {key}".lstrip()).items()}


def _first(inputs: tuple) -> Tensor:
    """Return what maps are shown over."""
    if isinstance(inputs[0], Tensor):
        return inputs[0]
    tensors = list(tensors_in(inputs).values())
    return next((each for each in tensors if each.ndim == 4), tensors[0])


def _placed(model: nn.Module, inputs: tuple) -> tuple:
    """Copy the inputs to the model's device: layers may work in place."""
    own = next(chain(model.parameters(), model.buffers()), None)
    device = _first(inputs).device if own is None else own.device
    done: dict[int, Tensor] = {}  # a tensor that is given twice stays one tensor

    def placed(value: Any) -> Any:
        if isinstance(value, Tensor):
            return done.setdefault(id(value), value.detach().to(device, copy=True))
        if isinstance(value, dict):
            return {key: placed(each) for key, each in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(placed, value))
        return type(value)(map(placed, value)) if isinstance(value, list | tuple) else value

    return placed(inputs)


def _keep(
    captured: Captured, path: str, block: Attention | None = None, finder: Finder | None = None
) -> Callable[..., None]:
    """Return a function that stores what one call of the module at ``path`` computed."""
    calls = 0

    def keep(tensors: dict[str, Tensor], inputs: tuple[Any, ...] = ()) -> None:
        nonlocal calls
        calls += 1
        place = path if calls == 1 else f"{path}#{calls}"
        found = captured.setdefault(place, {})
        sizes = _sizes(inputs)
        for name, tensor in tensors.items():
            found[name] = tensor.detach().to("cpu", copy=True)  # a copy: the next layer may work in place
            if block is not None and name in block.maps:
                sizes = block.maps[name].sizes(tuple(tensor.shape), sizes)
                captured.declared[place, name] = Declared(block.maps[name], sizes)
                if finder is not None:
                    finder.declare(place, name, tensor)

    return keep


def _sizes(inputs: tuple[Any, ...]) -> dict[str, int]:
    if inputs and isinstance(inputs[0], Tensor) and inputs[0].ndim == 4:
        return dict(zip("bchw", inputs[0].shape, strict=True))
    return {}


@contextmanager
def _attending(block: Attention, keep: Callable[..., None]) -> Iterator[None]:
    """For the body, let the block's ``forward`` be its ``attend``, and hand every map to ``keep``."""
    before = {name: block.__dict__[name] for name in ("attend", "forward") if name in block.__dict__}
    original = block.attend
    declared = signature(original)

    def attend(*inputs: Any, **options: Any) -> tuple[Tensor, dict[str, Tensor]]:
        output, found = original(*inputs, **options)
        keep(found, declared.bind(*inputs, **options).args or tuple(options.values()))
        return output, found

    def forward(*inputs: Any, **options: Any) -> Tensor:
        return attend(*inputs, **options)[0]

    # Instance attributes, not hooks: a fast forward would never compute the maps. A forward that the user has put
    # on this instance stays; where it calls attend, the maps are recorded all the same.
    block.__dict__.update({"forward": forward} | before | {"attend": attend})
    try:
        yield
    finally:
        for name in ("attend", "forward"):
            del block.__dict__[name]
        block.__dict__.update(before)


@contextmanager
def _hooked(module: nn.Module, keep: Callable[..., None]) -> Iterator[None]:
    """For the body, hand every output of the module to ``keep``."""

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        found = tensors_in(output, "output")
        if not found:
            raise TypeError(f"layers: a {type(module).__name__} returned {type(output).__name__}, not tensors")
        keep(found)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
