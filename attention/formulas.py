"""What a mechanism costs by formula: the entries of ``mechanisms.toml`` read, evaluated and typeset.

Torch is needed only where a default is asked of a block's constructor.
"""

from functools import cache
from inspect import signature
from typing import Any

import sympy
from sympy.parsing.sympy_parser import parse_expr

from attention.registry import entry

__all__ = ["SIZES", "defaults", "evaluate", "formula", "latex"]

#: The sizes of the input; every other letter of a formula is an option of the block, or given by the caller.
SIZES = ("channels", "height", "width")


@cache
def formula(name: str, which: str = "parameters") -> sympy.Expr:
    """Return a mechanism's cost as an expression in the letters of its ``symbols`` table.

    :param name: a mechanism, written or planned.
    :param which: ``"parameters"``, or ``"macs"``: the multiply–adds of convolutions, linear layers and matrix
        products for one image.
    :raises ValueError: for an unknown mechanism, one without this formula, or a letter that its table does not list.
    """
    cost = entry(name).cost
    if which not in cost or which == "symbols":
        known = ", ".join(key for key in cost if key != "symbols") or "none"
        raise ValueError(f"which={which!r}: {name!r} has no such formula in mechanisms.toml; it has: {known}")
    letters = {letter: _symbol(letter) for letter in cost.get("symbols", {})}
    expression = parse_expr(cost[which], local_dict=letters)
    strange = sorted(str(s) for s in expression.free_symbols - set(letters.values()))
    if strange:
        raise ValueError(
            f"mechanisms.toml: [{name}.cost] {which} uses {', '.join(strange)}, which symbols does not list"
        )
    return expression


def evaluate(name: str, which: str = "parameters", **sizes: Any) -> int:
    """Put numbers into a mechanism's formula.

    :param name: a mechanism.
    :param which: ``"parameters"`` or ``"macs"``.
    :param sizes: ``channels``, ``height``, ``width`` and the block's options, by name, as far as the formula uses
        them. An option that is left out takes the default of the block's constructor; ``True`` counts 1, ``False`` 0.
    :returns: the number, exactly.
    :raises TypeError: for a size or option that is not a whole number, ``True`` or ``False``, or that the formulas of
        this mechanism do not have.
    :raises ValueError: for a size that is missing, and where the result is not a whole number.
    """
    expression = formula(name, which)
    table = entry(name).cost.get("symbols", {})
    _refuse_strangers(name, sizes)
    values = {}
    for letter in sorted(str(s) for s in expression.free_symbols):
        values[_symbol(letter)] = _number(name, table[letter], sizes)
    result = expression.subs(values)
    if not result.is_Integer:
        given = ", ".join(f"{table[str(s)]}={value}" for s, value in values.items())
        raise ValueError(f"{which} of {name!r} with {given} comes to {result}, which is not a whole number")
    return int(result)


def latex(name: str, which: str = "parameters", **options: Any) -> str:
    r"""Typeset a mechanism's formula, for a display or between dollar signs.

    :param name: a mechanism.
    :param which: ``"parameters"`` or ``"macs"``.
    :param options: options to put in first: ``bias=False`` drops what biases add, ``reduction=16`` divides by 16.
    :returns: LaTeX without delimiters: ``\frac{2 C^{2}}{r}``.
    :raises TypeError: as :func:`evaluate`.
    """
    expression = formula(name, which)
    _refuse_strangers(name, options)
    for letter, option in entry(name).cost.get("symbols", {}).items():
        if option in options:
            expression = expression.subs(_symbol(letter), _number(name, option, options))
    return sympy.latex(expression)


def _symbol(letter: str) -> sympy.Symbol:
    return sympy.Symbol(letter, integer=True, nonnegative=True)


def _refuse_strangers(name: str, sizes: dict[str, Any]) -> None:
    known = {*entry(name).cost.get("symbols", {}).values(), *SIZES}
    for size in sizes:
        if size not in known and size not in defaults(name):
            known |= set(defaults(name))
            raise TypeError(f"{size!r} is no size or option of {name!r}; known: {', '.join(sorted(known))}")


def _number(name: str, size: str, given: dict[str, Any]) -> int:
    value = given[size] if size in given else defaults(name).get(size)
    if value is None:
        raise ValueError(f"the cost of {name!r} depends on {size}, which is not given and has no default")
    if not isinstance(value, int):
        raise TypeError(f"{size}={value!r} is not a whole number, True or False")
    return int(value)


def defaults(name: str) -> dict[str, Any]:
    """Return the defaults of a block's constructor; none for a mechanism that is not written yet.

    :param name: a mechanism.
    :returns: the default of each option by its name; ``None`` for what has none.
    """
    if not entry(name).built:
        return {}
    parameters = signature(entry(name).load()).parameters.values()
    return {p.name: None if p.default is p.empty else p.default for p in parameters}
