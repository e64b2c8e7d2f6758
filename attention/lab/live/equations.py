"""What a step is computed from, as a line of HTML: read off the run, so that it cannot differ from it."""

import html
import re
from collections.abc import Mapping
from typing import Any

from attention.lab.live.export import Program
from attention.lab.live.known import PLUMBING

__all__ = ["equation", "plain", "root", "symbol"]

#: Longer lines say only what goes in.
_LONGEST = 110
_ATOM, _PRODUCT, _SUM = 3, 2, 1
_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ",
    "phi": "φ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ",
    "Lambda": "Λ", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
_ACCENTS = {"tilde": "\u0303", "hat": "\u0302", "bar": "\u0304", "dot": "\u0307", "vec": "\u20d7"}
_TOKEN = re.compile(r"\\([A-Za-z]+)|([_^])|([{}])|(')|(\s+)|(.)")
_FUNCTIONS = {
    "relu.default": "ReLU",
    "sigmoid.default": "σ",
    "tanh.default": "tanh",
    "exp.default": "exp",
    "log.default": "log",
    "abs.default": "abs",
    "gelu.default": "GELU",
    "hardsigmoid.default": "hard σ",
    "hardswish.default": "hard swish",
    "leaky_relu.default": "leaky ReLU",
    "sqrt.default": "√",
    "linalg_vector_norm.default": "length",
    "_native_batch_norm_legit_no_training.default": "norm",
    "native_group_norm.default": "norm",
    "native_layer_norm.default": "norm",
    "avg_pool2d.default": "windows’ mean",
    "max_pool2d_with_indices.default": "windows’ max",
    "clamp.default": "clamp",
    "hardtanh.default": "clamp",
}
_REDUCED = {"mean.dim": "mean", "sum.dim_IntList": "sum", "amax.default": "max", "amin.default": "min"}


def symbol(tex: str) -> str:
    r"""Set a symbol of the equations as HTML: ``M_c``, ``\tilde x``, ``A^{ch}``, ``\hat U_{cSE}``.

    :param tex: TeX of that kind: letters, Greek letters, accents, indices, primes, ``\mathrm``.
    """
    found, rest = _sequence(_tokens(tex), 0)
    if rest < len(_tokens(tex)):
        raise ValueError(f"symbol={tex!r}: a brace is closed that was not opened")
    return found.replace("</i><i>", "")


def plain(tex: str) -> str:
    """Set a symbol as plain text, as a screen reader is told it."""
    text = re.sub(r"</?(?:sub|sup)>", " ", symbol(tex))
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def _tokens(tex: str) -> list[tuple[str, str]]:
    kinds = ("command", "script", "brace", "prime", "space", "letter")
    return [(kind, text) for each in _TOKEN.findall(tex) for kind, text in zip(kinds, each, strict=True) if text]


def _sequence(tokens: list[tuple[str, str]], at: int) -> tuple[str, int]:
    parts: list[str] = []
    while at < len(tokens) and tokens[at] != ("brace", "}"):
        kind, text = tokens[at]
        if kind == "script":
            inner, at = _argument(tokens, at + 1)
            tag = "sub" if text == "_" else "sup"
            parts.append(f"<{tag}>{inner}</{tag}>")
            continue
        each, at = _argument(tokens, at)
        parts.append(each)
    return "".join(parts), at


def _argument(tokens: list[tuple[str, str]], at: int) -> tuple[str, int]:
    while at < len(tokens) and tokens[at][0] == "space":
        at += 1
    if at >= len(tokens):
        return "", at
    kind, text = tokens[at]
    if (kind, text) == ("brace", "{"):
        inner, at = _sequence(tokens, at + 1)
        return inner, at + 1
    if kind == "command" and text in _ACCENTS:
        inner, at = _argument(tokens, at + 1)
        accent = _ACCENTS[text]
        return re.sub(r"^((?:<[^>]+>)*.)", lambda match: match.group(1) + accent, inner), at
    if kind == "command" and text in ("mathrm", "text", "mathbf", "mathcal", "operatorname"):
        inner, at = _argument(tokens, at + 1)
        return re.sub(r"</?i>", "", inner), at
    if kind == "command":
        return f"<i>{_GREEK.get(text, html.escape(text))}</i>", at + 1
    if kind == "prime":
        return "′", at + 1
    return (f"<i>{html.escape(text)}</i>" if text.isalpha() else html.escape(text)), at + 1


def equation(
    program: Program,
    value: int,
    names: Mapping[int, str],
    letters: Mapping[int, tuple[str, ...]],
    symbols: Mapping[str, str],
) -> str:
    """Say what a value is computed from.

    :param program: the run.
    :param value: the number of the value.
    :param names: HTML of the values that are drawn; the line goes back as far as these.
    :param letters: the letter of each axis of the values that have such.
    :param symbols: TeX of parameters by name, or by the name of their layer.
    :returns: HTML; for a line that would be longer than a reader reads, what goes in and no more.
    """
    writer = _Writer(program, names, letters, symbols, value)
    line, _ = writer.made(value)
    if len(re.sub(r"<[^>]+>", "", line)) <= _LONGEST:
        return line
    return "computed from " + ", ".join(dict.fromkeys(writer.names[each] for each in writer.drawn(value)))


def root(program: Program, value: int) -> int:
    """Go back from a value through what moves all its numbers and changes none."""
    alone = ("view.default", "squeeze.dims", "unsqueeze.default", "clone.default", "permute.default")
    while program.values[value].operation in alone:
        value = program.values[value].arguments[0]["value"]
    return value


class _Writer:
    def __init__(
        self,
        program: Program,
        names: Mapping[int, str],
        letters: Mapping[int, tuple[str, ...]],
        symbols: Mapping[str, str],
        start: int,
    ) -> None:
        self.program, self.letters, self.symbols = program, letters, symbols
        every = {**{root(program, place): name for place, name in names.items()}, **names}
        own = (start, root(program, start))
        self.names = {place: name for place, name in every.items() if place not in own}

    def drawn(self, value: int) -> list[int]:
        """List the drawn values that one is made of, in the order of the run."""
        found: set[int] = set()
        open_ = list(self.program.values[value].sources)
        seen = set(open_)
        while open_:
            each = open_.pop()
            if each in self.names:
                found.add(each)
                continue
            new = [source for source in self.program.values[each].sources if source not in seen]
            seen.update(new)
            open_ += new
        return sorted(found)

    def text(self, given: Any) -> tuple[str, int]:
        if isinstance(given, dict) and "value" in given:
            place = given["value"]
            if place in self.names:
                return self.names[place], _ATOM
            return self.made(place)
        if isinstance(given, float | int):
            return f"{given:g}".replace("-", "−"), _ATOM
        return html.escape(str(given)), _ATOM

    def inside(self, given: Any, at_least: int) -> str:
        text, binds = self.text(given)
        return text if binds >= at_least else f"({text})"

    def made(self, value: int) -> tuple[str, int]:
        """Write what makes a value, and how strongly that binds."""
        entry = self.program.values[value]
        operation, arguments = entry.operation, entry.arguments
        if entry.constant is not None:
            return self._constant(value), _ATOM
        if not operation:
            return self.names[value], _ATOM
        if operation in PLUMBING:
            return self.text(arguments[0])
        if operation in _FUNCTIONS:
            return f"{_FUNCTIONS[operation]}({self.text(arguments[0])[0]})", _ATOM
        if operation in _REDUCED:
            return self._reduced(entry.arguments, _REDUCED[operation]), _ATOM
        if operation == "_softmax.default":
            over = self._axes(arguments[0], [arguments[1]])
            return f"softmax{f'<sub>{over}</sub>' if over else ''}({self.text(arguments[0])[0]})", _ATOM
        if operation in ("mul.Tensor", "mul.Scalar"):
            return " · ".join(self.inside(each, _PRODUCT) for each in arguments[:2]), _PRODUCT
        if operation in ("div.Tensor", "div.Scalar"):
            return f"{self.inside(arguments[0], _PRODUCT)} / {self.inside(arguments[1], _ATOM)}", _PRODUCT
        if operation in ("add.Tensor", "add.Scalar"):
            return f"{self.text(arguments[0])[0]} + {self.text(arguments[1])[0]}", _SUM
        if operation in ("sub.Tensor", "sub.Scalar"):
            return f"{self.text(arguments[0])[0]} − {self.inside(arguments[1], _PRODUCT)}", _SUM
        if operation == "neg.default":
            return f"−{self.inside(arguments[0], _PRODUCT)}", _PRODUCT
        if operation == "pow.Tensor_Scalar":
            return f"{self.inside(arguments[0], _ATOM)}<sup>{arguments[1]:g}</sup>", _ATOM
        if operation in ("mm.default", "bmm.default"):
            return self._product(*arguments), _PRODUCT
        if operation == "addmm.default":
            return f"{self._product(*arguments[1:3])} + {self.text(arguments[0])[0]}", _SUM
        if operation == "convolution.default":
            kernel = f"{self.inside(arguments[1], _ATOM)} ∗ {self.inside(arguments[0], _ATOM)}"
            return (f"{kernel} + {self.text(arguments[2])[0]}", _SUM) if arguments[2] else (kernel, _PRODUCT)
        if operation == "cat.default":
            return "[" + " ; ".join(self.text(each)[0] for each in arguments[0]) + "]", _ATOM
        if operation == "where.self":
            return f"{self.text(arguments[1])[0]} where allowed", _SUM
        name = operation.partition(".")[0].strip("_").replace("_", " ")
        return f"{name}({', '.join(self.text(each)[0] for each in arguments if isinstance(each, dict))})", _ATOM

    def _product(self, a: Any, b: Any) -> str:
        first, second = (self._factor(each) for each in (a, b))
        if self._is_constant(b) and not self._is_constant(a):  # a weight stands before what it is applied to
            first, second = second, first
        return f"{first} {second}"

    def _factor(self, given: Any) -> str:
        text = self.inside(given, _ATOM)
        place = given["value"]
        while self.program.values[place].operation in PLUMBING and place not in self.names:
            entry = self.program.values[place]
            if entry.operation == "permute.default" and list(entry.arguments[1])[-2:] in ([1, 0], [2, 1], [3, 2]):
                return f"{text}<sup>T</sup>"
            place = entry.arguments[0]["value"]
        return text

    def _is_constant(self, given: Any) -> bool:
        return self.program.values[given["value"]].constant is not None

    def _reduced(self, arguments: list[Any], what: str) -> str:
        axes = arguments[1] if len(arguments) > 1 else []
        over = self._axes(arguments[0], axes if isinstance(axes, list) else [axes])
        return f"{what}{f'<sub>{over}</sub>' if over else ''}({self.text(arguments[0])[0]})"

    def _axes(self, given: Any, axes: list[int]) -> str:
        """Name the axes over which something is taken, where they have letters."""
        place = given["value"]
        known = self.letters.get(place)
        if known is None or len(known) != len(self.program.values[place].shape):
            return ""
        return "".join(f"<i>{html.escape(known[axis])}</i>" for axis in axes)

    def _constant(self, value: int) -> str:
        entry = self.program.values[value]
        if entry.name:
            layer, _, kind = entry.name.rpartition(".")
            if entry.name in self.symbols:
                return symbol(self.symbols[entry.name])
            if layer in self.symbols:
                return symbol(self.symbols[layer] if kind == "weight" else f"b_{{{self.symbols[layer]}}}")
            letter = {"weight": "W", "bias": "b"}.get(kind, kind)
            return f"<i>{html.escape(letter)}</i>" + (f"<sub>{html.escape(layer)}</sub>" if layer else "")
        if entry.constant is not None and entry.constant.numel() == 1:
            return f"{float(entry.constant):.3g}".replace("-", "−")
        return "constants"
