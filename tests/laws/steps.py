"""Law 14: the declared steps of the paper's equations occur in ``attend``, and the docstring writes them all down."""

import re
from collections import Counter

import torch
from torch import Tensor

from attention.contract import Attention, Step, watching
from tests.laws.running import EXAMPLES, for_fixed, law
from tests.laws.spec import Case, Spec

__all__ = ["law_14", "left_sides", "names", "steps_of", "written"]

#: An index or a place that the equations of a docstring may have and a symbol has not: ``z_c``, ``a^m_c``, ``y_c(p)``.
_INDEX = r"(?:[_^](?:\w|\{[^{}]*\}))*(?:\([^()]*\))?"


def steps_of(block: Attention, *inputs: Tensor) -> list[tuple[str, Tensor]]:
    """Run ``attend`` and return the steps that this block marked, in order."""
    seen: list[tuple[str, Tensor]] = []
    with watching(lambda who, name, value: seen.append((name, value)) if who is block else None), torch.no_grad():
        block.attend(*inputs)
    return seen


def equations(kind: type) -> str:
    """Return the displayed equations of a block's docstring, or of the class that it inherits them from."""
    texts = (base.__dict__.get("__doc__") or "" for base in kind.__mro__)
    return next((text for text in texts if "$$" in text), "")


def left_sides(docstring: str) -> list[str]:
    """Return what stands to the left of each displayed equation's first equals sign."""
    found = []
    for shown in re.findall(r"\$\$(.*?)\$\$", docstring, re.DOTALL):
        for part in re.split(r"\\q?quad", shown):
            left, equals, _ = part.partition("=")
            if equals:
                found.append(" ".join(left.split()).strip(", "))
    return found


def written(symbol: str, docstring: str) -> bool:
    """Say whether a symbol stands in one of a docstring's formulas, as a symbol of its own."""
    formulas = re.findall(r"\$\$.*?\$\$|\$[^$]+\$", docstring, re.DOTALL)
    pattern = rf"(?<![A-Za-z\\]){re.escape(symbol)}(?![A-Za-z'])"
    return any(re.search(pattern, " ".join(formula.split())) for formula in formulas)


def names(left: str, step: Step, key: str) -> bool:
    """Say whether the left side of an equation is a step, indices aside."""
    symbol = " ".join((step.symbol or key).split())
    return re.fullmatch(re.escape(symbol) + _INDEX, left) is not None


@law(14, "every declared step occurs in attend, and the docstring's equations are its steps")
def law_14(spec: Spec, examples: int = EXAMPLES) -> None:
    """Hold the steps that ``attend`` marks to their declaration, and the declaration to the equations."""

    def check(case: Case) -> None:
        block, inputs = spec.block(case), spec.inputs(case)
        declared = getattr(block, "steps", {})
        assert declared, "the block declares no steps"
        seen = steps_of(block, *inputs)
        often = Counter(name for name, _ in seen)
        assert set(often) == set(declared), f"attend marks the steps {sorted(often)}, declared {sorted(declared)}"
        sizes = spec.known(block, inputs)
        for name, value in seen:
            assert isinstance(declared[name], Step)
            sizes = declared[name].sizes(tuple(value.shape), sizes)
        text = equations(type(block))
        lefts = left_sides(text)
        assert lefts, "the docstring has no displayed equation"
        for left in lefts:
            fits = [key for key, step in declared.items() if names(left, step, key)]
            assert fits, f"the docstring's equation for ${left}$ is none of the steps {sorted(declared)}"
        for key, step in declared.items():
            symbol = " ".join((step.symbol or key).split())
            assert written(symbol, text), f"the step {key!r} has the symbol ${symbol}$, which the docstring lacks"

    for_fixed(spec, check)
