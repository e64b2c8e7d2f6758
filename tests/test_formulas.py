"""Formulas of cost: read, evaluated exactly, typeset."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from attention import formulas, registry
from attention.formulas import evaluate, formula, latex


@pytest.fixture
def invented(monkeypatch: pytest.MonkeyPatch):
    """Add a planned mechanism whose cost the test chooses."""

    def add(**cost: object) -> None:
        found = replace(registry.entry("se"), name="invented", status="planned", cost=cost)
        monkeypatch.setattr(formulas, "entry", lambda name: found if name == "invented" else registry.entry(name))

    formula.cache_clear()
    yield add
    formula.cache_clear()


@pytest.mark.parametrize("name", registry.entries())
def test_every_formula_can_be_read(name: str) -> None:
    """Every letter is listed, and every formula is typeset."""
    for which in registry.entry(name).cost:
        if which != "symbols":
            expression = formula(name, which)
            assert {str(s) for s in expression.free_symbols} <= set(registry.entry(name).cost["symbols"])
            assert latex(name, which)


@given(st.integers(1, 40), st.integers(1, 16), st.booleans())
def test_se(hidden: int, reduction: int, bias: bool) -> None:
    channels = hidden * reduction
    sizes = {"channels": channels, "reduction": reduction, "bias": bias}
    assert evaluate("se", **sizes) == 2 * channels * hidden + bias * (hidden + channels)
    assert evaluate("se", "macs", **sizes) == 2 * channels * hidden


def test_options_that_are_left_out_take_the_default() -> None:
    assert evaluate("se", channels=64) == evaluate("se", channels=64, reduction=16, bias=False) == 512


def test_sizes_that_a_formula_does_not_use_are_welcome() -> None:
    assert evaluate("se", "macs", channels=64, height=7, width=5) == 512


def test_a_formula_is_an_expression() -> None:
    c, r = (sympy.Symbol(letter, integer=True, nonnegative=True) for letter in "Cr")
    assert formula("se", "macs") - 2 * c**2 / r == 0


def test_letters_that_sympy_uses_itself(invented) -> None:
    """N, S, E, I, Q and beta are functions and numbers to sympy, and plain letters here."""
    letters = ["N", "S", "E", "I", "Q", "beta", "lambda_"]
    invented(symbols={letter: f"size_{letter}" for letter in letters}, parameters="*".join(letters))
    assert evaluate("invented", **{f"size_{letter}": 2 for letter in letters}) == 2 ** len(letters)


def test_functions(invented) -> None:
    invented(symbols={"C": "channels", "r": "reduction"}, parameters="C*Max(floor(C/r), 8)")
    assert evaluate("invented", channels=100, reduction=16) == 800
    assert evaluate("invented", channels=200, reduction=16) == 2400


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"bias": False}, r"\frac{2 C^{2}}{r}"),
        ({"bias": True}, r"\frac{2 C^{2}}{r} + C + \frac{C}{r}"),
        ({"bias": False, "reduction": 16}, r"\frac{C^{2}}{8}"),
        ({}, r"\frac{2 C^{2}}{r} + b \left(C + \frac{C}{r}\right)"),
    ],
)
def test_latex(options: dict, text: str) -> None:
    assert latex("se", **options) == text


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "channels, which is not given"),
        ({"channels": 64, "reducton": 4}, TypeError, "'reducton' is no size or option of 'se'; known: .*reduction"),
        ({"channels": 64.0}, TypeError, "channels=64.0 is not a whole number"),
        ({"channels": 30}, ValueError, "channels=30, .*reduction=16 comes to 225/2, which is not a whole number"),
        ({"channels": 64, "reduction": 0}, ValueError, "not a whole number"),
        ({"channels": 64, "which": "flops"}, ValueError, "which='flops'.* it has: parameters, macs"),
        ({"channels": 64, "which": "symbols"}, ValueError, "which='symbols'"),
        ({"channels": 64, "name": "sse"}, ValueError, "'sse' is not a mechanism"),
    ],
)
def test_bad_arguments(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        evaluate(**({"name": "se"} | arguments))


def test_a_letter_that_is_not_listed(invented) -> None:
    invented(symbols={"C": "channels"}, parameters="C*k")
    with pytest.raises(ValueError, match=re.escape("[invented.cost] parameters uses k")):
        formula("invented")


def test_a_mechanism_without_formulas(invented) -> None:
    invented()
    with pytest.raises(ValueError, match=r"'invented' has no such formula in mechanisms.toml; it has: none"):
        formula("invented")


def test_cards_are_typeset_without_torch() -> None:
    code = """if True:
        import sys
        sys.modules["torch"] = None  # an import of torch fails
        from attention.formulas import evaluate, latex
        print(latex("se", bias=False), evaluate("se", channels=64, reduction=16, bias=False))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [r"\frac{2", "C^{2}}{r}", "512"]
