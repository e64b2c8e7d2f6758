"""How a block starts, and what it refuses: laws 9 to 11."""

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attention.contract import Attention
from attention.laws import same
from tests.laws.running import EXAMPLES, excepting, for_all, for_fixed, law, naming
from tests.laws.spec import Case, Spec

__all__ = ["law_9", "law_10", "law_11"]


@law(9, "identity at initialisation where the paper has it, and nowhere else; the start comes back when it is reset")
def law_9(spec: Spec, examples: int = EXAMPLES) -> None:
    """Look at the block as constructed: alone, and inserted in a network that has its weights already."""

    def differs(case: Case) -> bool:
        with naming(case):
            block, inputs = spec.fresh(case).to(torch.float64).eval(), spec.inputs(case)
            output = block(*inputs)
            if not spec.identity_at_start:
                return output.shape != inputs[0].shape or not torch.allclose(output, inputs[0], atol=1e-6)
            same("the output at initialisation, against the input,", output, inputs[0], 1e-6)
            if len(inputs) == 1:
                _inserted(block, inputs[0], case)
            return False

    differing = [differs(case) for case in spec.fixed]
    assert spec.identity_at_start or any(differing), (
        "the block is the identity at initialisation; say so with identity_at_start=True"
    )
    with excepting(spec, "reset"):
        for_fixed(spec, lambda case: _reset(spec, case))


def _reset_one(module: nn.Module) -> None:
    if hasattr(module, "reset_parameters"):
        module.reset_parameters()


#: How a model that was made without data is filled: all do it in one of these orders.
RESETS: dict[str, Callable[[nn.Module], Any]] = {
    "block.reset_parameters()": lambda block: block.reset_parameters(),
    "reset_parameters() of each of block.modules()": lambda block: [_reset_one(m) for m in block.modules()],
    "block.apply()": lambda block: block.apply(_reset_one),
}


def _reset(spec: Spec, case: Case) -> None:
    """Assert that what every fresh block starts with is back after ``to_empty`` and ``reset_parameters``."""
    start, other = (spec.fresh(each).state_dict() for each in (case, replace(case, seed=case.seed + 1)))
    for how, reset in RESETS.items():
        block = spec.fresh(case).to("meta").to_empty(device="cpu").eval()
        with torch.no_grad():
            for value in block.state_dict().values():
                value.fill_(7)
        reset(block)
        for name, value in block.state_dict().items():
            same_in_all = start[name] == other[name]
            kept = (value == start[name])[same_in_all].all()
            assert kept, f"after to_empty and {how}, {name} does not start as in a fresh block"
            drawn = value[~same_in_all]
            assert (drawn.abs() < 7).all(), f"after to_empty and {how}, {name} was not drawn anew"
        if spec.identity_at_start:
            (x, *_) = inputs = tuple(x.float() if x.is_floating_point() else x for x in spec.inputs(case))
            same(f"the output after to_empty and {how}, against the input,", block(*inputs), x, 1e-5)


def _inserted(block: nn.Module, x: Tensor, case: Case) -> None:
    """Insert the block behind the first stage of a network with given weights, and compare its logits."""
    channels = x.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        first = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())
        second = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    before = nn.Sequential(first, second).to(x.dtype).eval()
    after = nn.Sequential(first, block, second).to(x.dtype).eval()
    same("the logits of a network in which the block was inserted", after(x), before(x), 1e-6)


@law(10, "every documented bad input raises its documented error")
def law_10(spec: Spec, examples: int = EXAMPLES) -> None:
    """Give the block what it must refuse; what its docstring says it raises must be what was tried."""
    _plain_numbers(spec)
    _flags(spec)
    for bad in spec.bad_arguments:
        _refuses(f"arguments {dict(bad.options)}", lambda b=bad: _construct(spec, b.options), bad.error, bad.match)
    for case in spec.fixed:
        block, inputs = spec.block(case, training=False), spec.inputs(case)
        expected = block(*inputs)
        for bad in spec.bad_inputs:
            spoilt = bad.spoil(inputs)
            for call in (block, block.attend):
                _refuses(bad.about, lambda c=call, s=spoilt: c(*s), bad.error, bad.pattern(spoilt))
        same("the output after bad inputs were refused", block(*inputs), expected)
    documented = set(re.findall(r":raises (\w+):", inspect.getdoc(type(block)) or ""))
    tried = {bad.error.__name__ for bad in (*spec.bad_arguments, *spec.bad_inputs)}
    assert documented == tried, f"the docstring documents {sorted(documented)}, the Spec tries {sorted(tried)}"


def _construct(spec: Spec, options: Any) -> Attention:
    return spec.fresh(Case(options))


def _refuses(what: str, call: Callable[[], Any], error: type[Exception], match: str) -> None:
    raised = _raised(call)
    assert raised is not None, f"{what}: accepted, documented {error.__name__}"
    came = f"{what}: raised {type(raised).__name__} ({raised})"
    assert isinstance(raised, error), f"{came}, documented {error.__name__}"
    assert re.search(match, str(raised)), f"{came}, whose message does not match {match!r}"


def _raised(call: Callable[[], Any]) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


def _plain_numbers(spec: Spec) -> None:
    """Assert that NumPy's whole numbers do as well as Python's, and are kept as Python's."""

    def numpy(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(numpy, value))
        return np.int64(value) if isinstance(value, int) and not isinstance(value, bool) else value

    for case in spec.fixed:
        with naming(case):
            block, plain = (spec.fresh(each) for each in (replace(case, options=_each(case, numpy)), case))
            for name, value in vars(block).items():
                numbers = value if isinstance(value, tuple) else (value,)
                assert not any(isinstance(n, np.generic) for n in numbers), f"block.{name} is NumPy's {value!r}"
            shapes = ({name: tuple(v.shape) for name, v in b.state_dict().items()} for b in (block, plain))
            assert next(shapes) == next(shapes), "NumPy's whole numbers make another block"


def _each(case: Case, change: Callable[[Any], Any]) -> dict[str, Any]:
    return {name: change(value) for name, value in case.options.items()}


def _flags(spec: Spec) -> None:
    """Assert that an option that is true or false takes nothing else: ``"false"`` would count as true."""
    case = spec.fixed[0]
    for name, parameter in inspect.signature(type(spec.fresh(case)).__init__).parameters.items():
        for value in ("false", 1, None) if isinstance(parameter.default, bool) else ():
            what = f"arguments {{{name!r}: {value!r}}}"
            call = Case({**case.options, name: value})
            message = re.escape(f"{name}={value!r} is neither True nor False")
            _refuses(what, lambda c=call: _construct(spec, c.options), TypeError, message)


#: What our own refusal of a batch of one says: what was expected, what came, why, and what to do.
REFUSAL = r"^\w+: expected .* in training, received shape \(.*\): .+; .*eval\(\)"


@law(11, "a batch of one in training works, or is refused in our own words; an empty height or width is named")
def law_11(spec: Spec, examples: int = EXAMPLES) -> None:
    """Train on one sample, of one pixel too; give maps without height or width."""

    def one(case: Case) -> None:
        for shape in (replace(case, batch=1), replace(case, batch=1, height=1, width=1)):
            block, inputs = spec.block(shape, training=True), spec.inputs(shape)
            for call in (block, block.attend):
                raised = _raised(lambda c=call, i=inputs: c(*i))
                if raised is not None:
                    came = f"a batch of one of {shape.height} × {shape.width} in training raised"
                    came += f" {type(raised).__name__} ({raised})"
                    assert isinstance(raised, ValueError), f"{came}, not a ValueError of our own"
                    assert re.search(REFUSAL, str(raised)), f"{came}: it does not say what came, why, and what to do"

    def empty(case: Case) -> None:
        for training in (True, False):
            block, inputs = spec.block(case, training=training), spec.inputs(case)
            for i, x in enumerate(inputs):
                for name, cut in (("height", x[..., :0, :]), ("width", x[..., :0])) if x.ndim == 4 else ():
                    for call in (block, block.attend):
                        what = f"a {name} of 0 in input {i}"
                        spoilt = (*inputs[:i], cut, *inputs[i + 1 :])
                        _refuses(what, lambda c=call, s=spoilt: c(*s), ValueError, f"{name} is 0")

    for_all(spec, examples // 4, one)
    for_fixed(spec, one)
    for_fixed(spec, empty)
