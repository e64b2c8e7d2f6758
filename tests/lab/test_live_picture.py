"""A live picture as Python makes it: what is drawn, how it is called and scaled, what is refused, what is written."""

import json
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attention.contract import Attention, Map, Step
from attention.encoder_decoder.additive import AdditiveAttention
from attention.lab.live import Picture, picture
from attention.lab.live.equations import plain, symbol
from attention.lab.live.layout import Layout, arranged, nice
from attention.lab.live.picture import COMPUTED, DRAWN, PAINTED
from tests.lab.live_modules import Classifier, Mixer, Residual, Two, drawn, image, made, se


@pytest.fixture(scope="module", name="se")
def picture_of_se() -> Picture:
    return se()


# --- what is drawn


def test_the_named_steps_are_drawn_in_the_order_of_the_run(se: Picture) -> None:
    for found in se.drawn.values():
        assert [each.name for each in found] == ["x", "z", "h", "s", "y"]
        assert [each.zone for each in found] == ["input", "squeeze", "excite", "excite", "scale"]
        assert [each.role for each in found] == ["feature", "statistic", "hidden", "map", "feature"]
        assert [each.value for each in found] == sorted(each.value for each in found)
    assert [each.name for each in se.steps] == ["z", "h", "s", "y"]


def test_steps_say_what_the_block_says(se: Picture) -> None:
    block = made()
    for name, step in block.steps.items():
        assert (drawn(se)[name].zone, drawn(se)[name].about) == (step.zone, step.about)
        assert drawn(se)[name].tex == step.symbol or name
    assert drawn(se)["x"].tex == "u"


def test_what_a_step_is_computed_from_is_read_off_the_run(se: Picture) -> None:
    lines = {name: re.sub(r"<[^>]+>", "", each.equation) for name, each in drawn(se).items()}
    assert lines == {"x": "", "z": "meanhw(u)", "h": "ReLU(W1 z)", "s": "σ(W2 h)", "y": "u · s"}
    assert re.sub(r"<[^>]+>", "", drawn(se, 1)["s"].equation) == "σ(W2 h + bW2)"


def test_a_given_equation_stands_for_the_one_read_off() -> None:
    shown = picture(made(), image(), equations={"z": "<b>mine</b>"})
    assert drawn(shown)["z"].equation == "<b>mine</b>"
    assert "mine" not in drawn(shown)["s"].equation


def test_scales_hold_for_all_inputs_and_variants(se: Picture) -> None:
    """What the inputs lead to, rounded up, from 0 or as far to both sides; a map's kind says it."""
    for name, each in drawn(se).items():
        other = drawn(se, 1)[name]
        assert (each.low, each.high) == (other.low, other.high), name
        for program, found in zip(se.programs.values(), (each, other), strict=True):
            for given in se.presets.values():
                values = program.compute(*given)[found.value]
                assert each.low <= float(values.min()), name
                assert float(values.max()) <= each.high, name
    assert (drawn(se)["x"].low, drawn(se)["x"].high) == (0, 1)
    assert (drawn(se)["s"].low, drawn(se)["s"].high) == (0, 1)


def test_numbers_of_both_signs_get_a_scale_to_both_sides() -> None:
    shown = picture(nn.Linear(3, 2).double(), torch.tensor([[-2.0, 0.5, 1.0]], dtype=torch.float64))
    assert (drawn(shown)["input"].low, drawn(shown)["input"].high) == (-3, 3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 1), (0.04, 0.05), (1, 1), (1.01, 1.5), (2.4, 3), (8.1, 10), (700, 800), (8.1e-4, 1e-3)],
)
def test_ends_of_scales_are_round(value: float, expected: float) -> None:
    assert nice(value) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ([], ("bars", 1, 1, 1)),
        ([(("c",), (4,))], ("bars", 1, 4, 1)),
        ([(("c",), (4,)), (("h",), (1,)), (("w",), (1,))], ("bars", 1, 4, 1)),
        ([(("2",), (2,)), (("c",), (4,))], ("bars", 2, 4, 1)),
        ([(("c",), (3,)), (("h",), (5,)), (("w",), (6,))], ("grid", 3, 5, 6)),
        ([(("c",), (1,)), (("h",), (5,)), (("w",), (6,))], ("grid", 1, 5, 6)),
        ([(("h", "w"), (5, 6))], ("grid", 1, 5, 6)),
        ([(("c",), (3,)), (("h", "w"), (5, 6))], ("grid", 3, 5, 6)),
        ([(("h", "w"), (2, 3)), (("h", "w"), (2, 3))], ("matrix", 1, 6, 6)),
        ([(("h", "w"), (2, 3)), (("d",), (8,))], ("matrix", 1, 6, 8)),
        ([(("p",), (4,)), (("q",), (5,)), (("2",), (2,))], ("grid", 2, 4, 5)),
    ],
)
def test_a_tensor_is_set_out_as_its_axes_say(axes: Any, expected: tuple[str, int, int, int]) -> None:
    layout = arranged(axes)
    assert (layout.kind, layout.panels, layout.rows, layout.columns) == expected
    count = layout.panels * layout.rows * layout.columns
    places = [layout.place(at) for at in range(count)]
    assert len(set(places)) == count
    assert max(places) == (layout.panels - 1, layout.rows - 1, layout.columns - 1)
    sizes = torch.tensor([size for _, each in layout.axes for size in each])
    assert int(sizes.prod()) == count
    if not layout.last:
        assert places == sorted(places)


def test_coordinates_on_the_last_axis_are_panels() -> None:
    layout = arranged([(("h",), (2,)), (("w",), (3,)), (("2",), (2,))])
    assert layout.last
    assert [layout.place(at) for at in range(4)] == [(0, 0, 0), (1, 0, 0), (0, 0, 1), (1, 0, 1)]
    assert Layout("grid", 2, 2, 3, (), last=True).place(7) == (1, 1, 0)


# --- symbols


@pytest.mark.parametrize(
    ("tex", "html", "spoken"),
    [
        ("z", "<i>z</i>", "z"),
        ("M_c", "<i>M</i><sub><i>c</i></sub>", "M c"),
        (r"\tilde x", "<i>x\u0303</i>", "x\u0303"),
        (r"A^{ch}", "<i>A</i><sup><i>ch</i></sup>", "A ch"),
        (r"F''", "<i>F</i>′′", "F′′"),
        (r"\hat U_{cSE}", "<i>U\u0302</i><sub><i>cSE</i></sub>", "U\u0302 cSE"),
        (r"W_1", "<i>W</i><sub>1</sub>", "W 1"),
        (r"\alpha_{ij}", "<i>α</i><sub><i>ij</i></sub>", "α ij"),
        (r"\mathrm{pool}", "pool", "pool"),
        (r"a<b", "<i>a</i>&lt;<i>b</i>", "a<b"),
    ],
)
def test_symbols_are_set_as_in_the_equations(tex: str, html: str, spoken: str) -> None:
    assert symbol(tex) == html
    assert plain(tex) == spoken


def test_a_symbol_that_is_no_tex_is_refused() -> None:
    with pytest.raises(ValueError, match=r"symbol='x}': a brace is closed that was not opened"):
        picture(made(), image(), symbols={"x": "x}"})


# --- the data


def test_data_hold_all_that_the_page_needs(se: Picture) -> None:
    data = json.loads(se.data())
    assert [each["name"] for each in data["presets"]] == ["bright", "noise"]
    assert data["presets"][1]["inputs"] == [pytest.approx(image().flatten().tolist(), abs=1e-7)]
    assert [each["name"] for each in data["variants"]] == ["SE", "with bias"]
    for told, program in zip(data["variants"], se.programs.values(), strict=True):
        assert told["output"] == program.output
        assert told["maps"] == program.maps
        assert len(told["values"]) == len(program.values)
        for value, entry in zip(told["values"], program.values, strict=True):
            if entry.constant is not None:
                numbers = data["constants"][value["constant"]]
                assert numbers == pytest.approx(entry.constant.flatten().tolist(), rel=1e-6)
            elif entry.input is not None:
                assert value == {"shape": [1, 4, 6, 6], "input": 0}
            else:
                assert value["made"] == [entry.operation, entry.arguments, entry.options]
    shared = picture(made(), image(), variants={"again": made()})
    assert len(json.loads(shared.data())["constants"]) == 2, "the same weights are written once"


def test_numbers_that_json_has_not_are_words() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mask", torch.tensor([[0.0, float("-inf"), 0.0]]))

        def forward(self, x: Tensor) -> Tensor:
            return (x + self.mask).softmax(1)

    data = json.loads(picture(Masked(), torch.rand(1, 3)).data())
    assert data["constants"] == [[0, "-Infinity", 0]]


# --- modules of one's own


@pytest.mark.parametrize("kind", [Classifier, Residual, Mixer, Two])
def test_a_module_of_ones_own_is_drawn_operation_by_operation(kind: type[nn.Module]) -> None:
    shown = picture(kind().double(), image(2, 4))
    found = drawn(shown)
    assert 3 <= len(found) <= 14
    assert next(iter(found)) == "x"
    assert list(found)[-1] == "y"
    assert all(each.equation for name, each in found.items() if name != "x")
    assert found["y"].value == shown.programs[kind.__name__].output


def test_inputs_have_the_names_of_the_arguments() -> None:
    x, query = image(4, 3), torch.rand(1, 5, dtype=torch.float64)
    shown = picture(AdditiveAttention(4, 5, 3).double(), {"one": (x, query)}, said={"query": "what is asked"})
    inputs = [each for each in next(iter(shown.drawn.values())) if each.zone == "input"]
    assert [each.name for each in inputs] == ["x", "query"]
    assert [each.about for each in inputs] == ["what comes in", "what is asked"]
    assert [each.layout.kind for each in inputs] == ["grid", "bars"]


def test_a_step_that_is_the_input_is_drawn_once() -> None:
    class Late(Attention):
        def __init__(self) -> None:
            super().__init__()
            self.maps = {"gate": Map("b c", "sigmoid")}
            self.steps = {"u": Step("b c h w", "in", "it"), "s": Step("b c", "gate", "a gate")}

        def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            s = self.step("s", self.step("u", x).mean((2, 3)).sigmoid())
            return x * s[..., None, None], {"gate": s}

    shown = picture(Late(), image())
    assert [each.name for each in next(iter(shown.drawn.values()))] == ["x", "s", "y"]


# --- what is refused


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "inputs is empty"),
        (torch.rand(2, 4, 6, 6), r"one sample at a time; received shape \(2, 4, 6, 6\)"),
        (torch.tensor(1.0), r"one sample at a time; received shape \(\)"),
        (
            {"a": torch.rand(1, 4, 6, 6), "b": torch.rand(1, 4, 6, 5)},
            r"inputs differ in shape: .*\[\(1, 4, 6, 5\)\]",
        ),
        (torch.ones(1, 4, 6, 6, dtype=torch.int64), "expected floating-point tensors, received dtype torch.int64"),
    ],
)
def test_wrong_inputs_are_refused(inputs: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        picture(made(), inputs)


@pytest.mark.parametrize(
    ("module", "x", "says"),
    [
        (nn.Conv2d(1, 40, 3), torch.rand(1, 1, 13, 13), rf"Conv2d: 5,009 numbers would be drawn; allowed: {DRAWN:,}"),
        (
            nn.AvgPool2d(5),
            torch.rand(1, 1, 25, 25),
            rf"AvgPool2d: 625 numbers would be to paint on; .*{PAINTED}",
        ),
    ],
    ids=["drawn", "to paint on"],
)
def test_too_many_numbers_are_refused(module: nn.Module, x: Tensor, says: str) -> None:
    with pytest.raises(ValueError, match=f"{says}.*Take a smaller input"):
        picture(module, x)


def test_a_block_that_computes_much_and_draws_little_is_refused() -> None:
    class Hidden(Attention):
        def __init__(self) -> None:
            super().__init__()
            self.maps, self.steps = {}, {"y": Step("b c h w", "all", "the output")}

        def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            rows = x.flatten(2)
            pairs = (rows[..., None] - rows[..., None, :]).abs().sum(-1)
            return self.step("y", pairs.reshape(x.shape)), {}

    with pytest.raises(ValueError, match=rf"Hidden: [\d,]+ numbers would be computed; allowed: {COMPUTED:,}"):
        picture(Hidden(), image(4, 12))


@pytest.mark.parametrize("option", ["ranges", "equations", "said", "places"])
def test_a_name_that_is_not_drawn_is_refused(option: str) -> None:
    given = {"ranges": {"zz": (0, 1)}, "equations": {"zz": "1"}, "said": {"zz": "it"}, "places": "zz"}[option]
    with pytest.raises(ValueError, match=rf"{option}.*'zz'.*(x|z), "):
        picture(made(), image(), **{option: given})


def test_a_variant_may_not_have_the_name_of_the_module() -> None:
    with pytest.raises(ValueError, match=r"variants.*'SE'"):
        picture(made(), image(), name="SE", variants={"SE": made(bias=True)})
