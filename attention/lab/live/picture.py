"""Make the data of a live picture: runs with their constants, what is drawn of them, and how."""

import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from attention.contract import KINDS, Attention, Map
from attention.lab import roles
from attention.lab.live.equations import equation, plain, root, symbol
from attention.lab.live.export import Program, follow
from attention.lab.live.known import PLUMBING
from attention.lab.live.layout import Layout, arranged, beside, nice

__all__ = ["COMPUTED", "DRAWN", "PAINTED", "Drawn", "Picture", "picture"]

#: So many numbers may be drawn, computed, and painted on.
DRAWN, COMPUTED, PAINTED = 4_000, 20_000, 600
#: Of a module without named steps so many tensors are drawn.
_UNNAMED = 12
#: What follows one of these, and has no symbol, is drawn as what lies between two layers.
_BENT = frozenset(
    {"relu.default", "tanh.default", "leaky_relu.default", "gelu.default", "hardswish.default", "hardtanh.default"}
)
_Axes = list[tuple[tuple[str, ...], tuple[int, ...]]]


@dataclass
class Drawn:
    """One tensor of the picture.

    :param name: what the block, or the call, names it.
    :param value: its number in the run.
    :param tex: its symbol in TeX.
    :param zone: the part of the mechanism that it belongs to.
    :param about: what its numbers are.
    :param role: ``feature``, ``statistic``, ``hidden`` or ``map``.
    :param layout: how it is set out.
    :param letters: the letter of each axis.
    :param low: the lower end of its scale.
    :param high: the upper end.
    :param equation: what it is computed from, as HTML.
    :param panels: what its panels are called, where not by numbers.
    """

    name: str
    value: int
    tex: str
    zone: str
    about: str
    role: str
    layout: Layout
    letters: tuple[str, ...]
    low: float = 0.0
    high: float = 1.0
    equation: str = ""
    panels: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, texts and lists, as JSON takes them."""
        return {
            "name": self.name,
            "value": self.value,
            "zone": self.zone,
            "symbol": symbol(self.tex),
            "plain": plain(self.tex),
            "about": self.about,
            "role": self.role,
            "layout": self.layout.to_dict(),
            "low": self.low,
            "high": self.high,
            "equation": self.equation,
            "panels": list(self.panels),
        }


@dataclass
class Picture:
    """A live picture, ready to be written into a page.

    :param title: what it is a picture of.
    :param about: what is said of it: how its weights were made, say.
    :param presets: the inputs that one can choose from, by name.
    :param programs: the runs, by the name of the variant.
    :param drawn: what is drawn of each run, in the order of the picture; the inputs first.
    """

    title: str
    about: str
    presets: dict[str, tuple[Tensor, ...]]
    programs: dict[str, Program]
    drawn: dict[str, list[Drawn]]
    places: str = ""

    @property
    def steps(self) -> list[Drawn]:
        """What is drawn of the first run but the inputs."""
        return [each for each in next(iter(self.drawn.values())) if each.zone != "input"]

    def data(self) -> str:
        """Write it down for the page: JSON."""
        constants: dict[str, int] = {}
        told = {
            "title": self.title,
            "about": self.about,
            "presets": [
                {"name": name, "inputs": [_numbers(each) for each in inputs]} for name, inputs in self.presets.items()
            ],
            "variants": [
                {
                    "name": name,
                    "values": [_value(each, constants) for each in program.values],
                    "output": program.output,
                    "maps": program.maps,
                    "drawn": [each.to_dict() for each in self.drawn[name]],
                }
                for name, program in self.programs.items()
            ],
            "places": self.places,
        }
        told["constants"] = [json.loads(each) for each in constants]
        return json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def picture(
    module: nn.Module,
    inputs: Tensor | Mapping[str, Tensor | tuple[Tensor, ...]],
    *,
    symbols: Mapping[str, str] | None = None,
    variants: Mapping[str, nn.Module] | None = None,
    name: str = "",
    equations: Mapping[str, str] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    said: Mapping[str, str] | None = None,
    panels: Mapping[str, tuple[str, ...]] | None = None,
    weights: Mapping[str, str] | None = None,
    places: str = "",
    title: str = "",
    about: str = "",
) -> Picture:
    """Follow a module's run and choose what is drawn of it.

    :param module: an attention block, whose named steps are drawn; or any module from tensors to a tensor.
    :param inputs: what can be chosen as input, by name; one sample each, of one shape.
    :param symbols: TeX of inputs, steps, parameters and layers by name, where it is not that of the block.
    :param variants: other modules with the same inputs to switch to, by name.
    :param name: what the module itself is called among its variants; by default its class.
    :param equations: HTML for steps by name, where what is read off the run says too little.
    :param ranges: the ends of the scale of inputs and steps by name; by default what the inputs lead to, rounded up.
    :param said: what inputs are, by name; by default "what comes in".
    :param panels: what the panels of steps are called, by the step's name; by default they are numbered.
    :param weights: parameters to draw, by name, and what is said of each: ``{"conv.weight": "the kernel"}``.
    :param places: the step whose last axis holds coordinates (x, y) from −1 to 1 on the first input; drawn there.
    :param title: a heading; by default the class of the module.
    :param about: a sentence below the picture.
    :raises ValueError: for inputs that are no single samples of one shape, for too many numbers, and for a module
        that cannot be followed or has operations that the page does not know.
    """
    presets = _presets(inputs)
    called = name or type(module).__name__
    if called in (variants or {}):
        raise ValueError(f"variants has {called!r}, as the module itself is called: give it another name")
    modules = {called: module, **(variants or {})}
    given = next(iter(presets.values()))
    programs = {each: follow(one, *given) for each, one in modules.items()}
    made = _Maker(given, symbols or {}, equations or {}, said or {}, weights or {})
    drawn = {each: made.drawn(programs[each], one) for each, one in modules.items()}
    known = sorted({one.name for found in drawn.values() for one in found})
    options = {"equations": equations, "ranges": ranges, "said": said, "places": {places} - {""}}
    for option, names in options.items():
        if strange := sorted(set(names or ()) - set(known)):
            raise ValueError(f"{option}: {strange[0]!r} is not drawn; there are {', '.join(known)}")
    for found in drawn.values():
        for tensor in found:
            tensor.panels = (panels or {}).get(tensor.name, ())
    for each, program in programs.items():
        _refuse_size(each, program, drawn[each], given)
    _scale(programs, drawn, presets, modules, ranges or {})
    return Picture(title or type(module).__name__, about, presets, programs, drawn, places)


def _presets(inputs: Any) -> dict[str, tuple[Tensor, ...]]:
    """Bring the inputs to one form, and check them."""
    named = inputs if isinstance(inputs, Mapping) else {"input": inputs}
    if not named:
        raise ValueError("inputs is empty: give at least one")
    presets = {name: (each,) if isinstance(each, Tensor) else tuple(each) for name, each in named.items()}
    shapes = {name: [tuple(each.shape) for each in given] for name, given in presets.items()}
    if len({str(each) for each in shapes.values()}) > 1:
        raise ValueError(f"inputs differ in shape: {shapes}")
    for given in presets.values():
        for each in given:
            if not torch.is_floating_point(each):
                raise ValueError(f"inputs: expected floating-point tensors, received dtype {each.dtype}")
            if each.ndim == 0 or (each.ndim > 1 and each.shape[0] != 1):
                raise ValueError(f"inputs: one sample at a time; received shape {tuple(each.shape)}, batch first")
    return presets


class _Maker:
    """Chooses what is drawn of a run."""

    def __init__(
        self,
        given: tuple[Tensor, ...],
        symbols: Mapping[str, str],
        equations: Mapping[str, str],
        said: Mapping[str, str],
        weights: Mapping[str, str],
    ) -> None:
        self.given, self.symbols, self.equations, self.said, self.weights = given, symbols, equations, said, weights
        image = next((each for each in given if each.ndim == 4), None)
        self.known = dict(zip("bchw", image.shape, strict=True)) if image is not None else {"b": 1}

    def drawn(self, program: Program, module: nn.Module) -> list[Drawn]:
        found = self._inputs(program, module)
        found += self._steps(program, module) if program.steps else self._unnamed(program)
        for name, about in self.weights.items():
            self._add_weight(program, name, about, found)
        _align(program, found)
        names = {each.value: symbol(each.tex) for each in found}
        letters = {each.value: each.letters for each in found}
        for each in found:
            if each.zone != "input" and program.values[each.value].constant is None:
                each.equation = self.equations.get(each.name) or equation(
                    program, each.value, names, letters, self.symbols
                )
        return found

    def _inputs(self, program: Program, module: nn.Module) -> list[Drawn]:
        call = module.attend if isinstance(module, Attention) else module.forward
        named = [each for each in inspect.signature(call).parameters if each not in ("args", "kwargs")]
        found = []
        for place, value in enumerate(program.values):
            if value.input is None:
                continue
            name = named[value.input] if value.input < len(named) else f"x_{value.input + 1}"
            letters = {4: tuple("bchw"), 3: tuple("bnd"), 2: tuple("bd")}.get(len(value.shape), ())
            tex = self.symbols.get(name, name)
            about = self.said.get(name, "what comes in")
            found.append(
                Drawn(name, place, tex, "input", about, "feature", self._layout(value.shape, letters), letters)
            )
        return found

    def _layout(self, shape: list[int], letters: tuple[str, ...]) -> Layout:
        named = letters if len(letters) == len(shape) else self._guessed(shape)
        return arranged([((name,), (size,)) for name, size in zip(named, shape, strict=True) if name != "b"])

    def _guessed(self, shape: list[int]) -> tuple[str, ...]:
        """Name the axes of a tensor that nobody has named: those of places, where it is a feature map."""
        if len(shape) == 4 and shape[-2:] != [1, 1]:
            return tuple("bchw")
        return tuple("b" if not axis and size == 1 else f"d{axis}" for axis, size in enumerate(shape))

    def _steps(self, program: Program, module: nn.Module) -> list[Drawn]:
        known, found = dict(self.known), []
        taken = {value for value, _ in program.steps.values()}
        role = roles.of(module, *self.given)
        for key, (value, step) in program.steps.items():
            shape = program.values[value].shape
            known = step.sizes(tuple(shape), known)
            if program.values[root(program, value)].input is not None:
                continue  # it is drawn already
            axes: _Axes = [self._axis(names, known) for names in step.axes]
            layout = arranged([each for each in axes if each[0] != ("b",)])
            letters = tuple("".join(each) for each in step.axes)
            tex = self.symbols.get(key, step.symbol or key)
            found.append(Drawn(key, value, tex, step.zone, step.about, role[key], layout, letters))
        found += self._between(program, taken, found)
        found.sort(key=lambda each: each.value)
        if program.output not in {each.value for each in found}:
            found.append(self._bare(program, program.output, "y", found[-1].zone, "what comes out", "feature"))
        return found

    def _axis(self, names: tuple[str, ...], known: Mapping[str, int]) -> tuple[tuple[str, ...], tuple[int, ...]]:
        sizes = tuple(int(each) if each.isdigit() else known[each] for each in names)
        places = self.known.get("h", 1), self.known.get("w", 1)
        if len(names) == 1 and names[0] not in self.known and min(places) > 1 and sizes[0] == prod(places):
            return ("h", "w"), places  # all positions in a row, by another letter
        return names, sizes

    def _between(self, program: Program, taken: set[int], steps: list[Drawn]) -> list[Drawn]:
        """Draw what lies between two layers: it has no symbol in most papers, and decides all the same."""
        found: list[Drawn] = []
        for place, value in enumerate(program.values):
            if value.operation not in _BENT or place in taken or prod(value.shape) > 64:
                continue
            follows = _after(program, place)
            if not follows & taken or any(root(program, place) == root(program, each) for each in taken):
                continue
            zone = next(each.zone for each in sorted(steps, key=lambda each: each.value) if each.value in follows)
            tex = self.symbols.get(f"hidden_{len(found) + 1}", "h" + "'" * len(found))
            about = "what lies between the two layers"
            found.append(self._bare(program, place, tex, zone, about, "hidden"))
        return found

    def _add_weight(self, program: Program, name: str, about: str, found: list[Drawn]) -> None:
        """Put a parameter behind the first tensor that follows from it, and into its zone."""
        known = {value.name: place for place, value in enumerate(program.values) if value.name}
        if name not in known:
            raise ValueError(f"weights: {name!r} is no parameter of the run; there are {', '.join(known)}")
        follows = _after(program, known[name])
        place, user = next((place, each) for place, each in enumerate(found) if each.value in follows)
        tex = self.symbols.get(name, self.symbols.get(name.rpartition(".")[0], name))
        found.insert(place + 1, self._bare(program, known[name], tex, user.zone, about, "hidden"))

    def _bare(self, program: Program, value: int, tex: str, zone: str, about: str, role: str) -> Drawn:
        shape = program.values[value].shape
        return Drawn(tex, value, tex, zone, about, role, self._layout(shape, ()), self._guessed(shape))

    def _unnamed(self, program: Program) -> list[Drawn]:
        """Draw what each operation makes, of a module that names no steps."""
        made = [
            place
            for place, value in enumerate(program.values)
            if value.operation and value.operation not in PLUMBING and place != program.output
        ]
        if len(made) >= _UNNAMED:
            made = [place for place in made if program.values[place].operation in _BENT | {"_softmax.default"}]
        made = made[-_UNNAMED + 1 :]
        found = [
            self._bare(program, place, f"a_{{{number}}}", "inside", "an operation inside", "hidden")
            for number, place in enumerate(made, start=1)
        ]
        return [*found, self._bare(program, program.output, "y", "output", "what comes out", "feature")]


def _align(program: Program, found: list[Drawn]) -> None:
    """Lay a vector out as a row where it has a number for each of the panels that stand in a row, and a kernel, too."""
    rows = {each.layout.panels for each in found if each.layout.kind == "grid" and beside(each.layout) > 4}
    for each in found:
        layout = each.layout
        kernel = bool(rows) and program.values[each.value].constant is not None and layout.rows <= max(rows)
        if layout.kind == "bars" and layout.panels == 1 and (kernel or layout.rows in rows):
            each.layout = replace(layout, kind="matrix", rows=1, columns=layout.rows)


def _after(program: Program, value: int) -> set[int]:
    """Find a value and all that follows from it."""
    found = {value}
    for place in range(value + 1, len(program.values)):
        if not found.isdisjoint(program.values[place].sources):
            found.add(place)
    return found


def _refuse_size(name: str, program: Program, drawn: list[Drawn], given: tuple[Tensor, ...]) -> None:
    shown = sum(prod(program.values[each.value].shape) for each in drawn)
    made = sum(
        prod(size)
        for each in program.values
        if each.operation
        for size in (each.shape if _many(each.shape) else [each.shape])
    )
    painted = sum(each.numel() for each in given)
    for count, limit, what in (
        (shown, DRAWN, "drawn"),
        (made, COMPUTED, "computed"),
        (painted, PAINTED, "to paint on"),
    ):
        if count > limit:
            raise ValueError(f"{name}: {count:,} numbers would be {what}; allowed: {limit:,}. Take a smaller input")


def _many(shape: list[Any]) -> bool:
    return bool(shape) and isinstance(shape[0], list)


def _scale(
    programs: dict[str, Program],
    drawn: dict[str, list[Drawn]],
    presets: dict[str, tuple[Tensor, ...]],
    modules: dict[str, nn.Module],
    ranges: Mapping[str, tuple[float, float]],
) -> None:
    """Give each tensor a scale that holds for all inputs and variants."""
    ends: dict[str, list[float]] = {}
    runs = {name: [program.compute(*given) for given in presets.values()] for name, program in programs.items()}
    for name, found in drawn.items():
        for each in found:
            for run in runs[name]:
                numbers = run[each.value]
                assert isinstance(numbers, Tensor)
                finite = numbers[numbers.isfinite()]
                ends.setdefault(each.tex, [0.0])
                if finite.numel():
                    ends[each.tex] += [float(finite.min()), float(finite.max())]
    for name, found in drawn.items():
        program, module = programs[name], modules[name]
        declared: dict[str, Map] = getattr(module, "maps", {})
        kinds = {root(program, value): declared[key].kind for key, value in program.maps.items()}
        for each in found:
            low, high = min(ends[each.tex]), max(ends[each.tex])
            bounds = KINDS.get(kinds.get(root(program, each.value), "real"), (-math.inf, math.inf))
            top = nice(1.15 * max(abs(low), abs(high), 1e-6))
            each.low, each.high = (-top if low < 0 else 0.0), top
            if bounds[1] == 1:
                each.low, each.high = 0.0, (1.0 if kinds[root(program, each.value)] != "softmax" else min(top, 1.0))
            own = ranges.get(each.name)
            if own:
                each.low, each.high = own


def _numbers(values: Tensor) -> list[float]:
    return [_number(each) for each in values.detach().double().flatten().tolist()]


def _number(value: float) -> Any:
    if not math.isfinite(value):
        return "Infinity" if value > 0 else "-Infinity" if value < 0 else "NaN"
    short = float(f"{value:.7g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _value(value: Any, constants: dict[str, int]) -> dict[str, Any]:
    if value.input is not None:
        return {"shape": value.shape, "input": value.input}
    if value.constant is not None:
        key = json.dumps(_numbers(value.constant), separators=(",", ":"))
        return {"shape": value.shape, "constant": constants.setdefault(key, len(constants))}
    return {"shape": value.shape, "made": [value.operation, value.arguments, value.options]}
