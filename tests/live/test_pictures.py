"""Every picture of the package in a page: of its size, on a telephone, and what each of its numbers says."""

import math
import re
from typing import Any

from attention.lab import live
from attention.lab.live.static import drawing
from tests.live.shown import Shown

#: So many characters the picture may have that is there without a script.
STATIC = 30_000


def test_it_is_small(shown: Shown) -> None:
    assert len(drawing(shown.picture)) <= STATIC
    assert len(live.markup(shown.picture)) > STATIC / 10


def test_symbols_are_set(shown: Shown) -> None:
    """TeX that pages do not know would stand there as it is."""
    for found in shown.picture.drawn.values():
        for each in found:
            assert "\\" not in each.to_dict()["plain"]
            assert "begin" not in each.to_dict()["plain"]
            assert len(each.to_dict()["plain"]) <= 12, "a symbol"


def test_every_tensor_can_be_pointed_at(shown: Shown) -> None:
    """Its first number, in the first variant its last too: a sentence and, if computed, a formula; nothing fails."""
    for number, (variant, found) in enumerate(shown.picture.drawn.items()):
        if len(shown.picture.drawn) > 1:
            shown.choose(variant)
        for each in found:
            for at in (0,) if number else (0, shown.values(each.name).numel() - 1):
                shown.touched(each.name, at)
                assert " is " in shown.says
                assert "undefined" not in shown.says + shown.formula
                assert "NaN" not in shown.says + shown.formula
                if shown.picture.programs[variant].values[each.value].operation:
                    assert shown.formula.count(" = ") >= 2
    if len(shown.picture.drawn) > 1:
        shown.choose(next(iter(shown.picture.drawn)))
    assert shown.noise == []


def test_it_fits_a_telephone(shown: Shown, axe: Any) -> None:
    shown.page.set_viewport_size({"width": 390, "height": 900})
    shown.page.emulate_media(color_scheme="dark")
    try:
        shown.page.wait_for_function("() => document.querySelector('.attention-live').attentionLive.narrow")
        assert shown.page.evaluate("document.scrollingElement.scrollWidth") <= 390
        assert shown.overflow() == []
        assert shown.faults(axe) == []
    finally:
        shown.page.emulate_media(color_scheme="light")
        shown.page.set_viewport_size({"width": 1280, "height": 900})
        shown.page.wait_for_function("() => !document.querySelector('.attention-live').attentionLive.narrow")


_FORMULAS = """() => {
  const live = document.querySelector('.attention-live').attentionLive;
  const found = [];
  for (const tensor of live.tensors.filter((each) => each.input < 0)) {
    const data = live.values[tensor.drawn.value].data;
    for (let k = 0; k < 5; k++) {
      const at = Math.floor((k * (data.length - 1)) / 4);
      found.push([tensor.drawn.plain, at, data[at], live.formula(tensor, at).numbers]);
    }
  }
  return found;
}"""
#: What a formula may hold for Python to compute it; one that leaves terms out, or names a normalisation, it cannot.
_COMPUTED = {
    "σ": lambda v: 1 / (1 + math.exp(-v)),
    "ReLU": lambda v: max(v, 0.0),
    "tanh": math.tanh,
    "exp": math.exp,
    "log": lambda v: math.log(max(v, 1e-9)),
    "abs": abs,
    "max": max,
    "min": min,
    "root": lambda v: math.sqrt(max(v, 0.0)),
}


def test_formulas_give_the_number(shown: Shown) -> None:
    """What stands beneath a number, computed as it stands there, is that number, to the digits that are shown."""
    tried = 0
    for symbol, at, value, text in shown.page.evaluate(_FORMULAS):
        code = text.replace("−", "-").replace("·", "*").replace("√", "root")
        names = set(re.findall(r"[^\W\d_]+", code))
        if "…" in code or "∞" in code or not names <= set(_COMPUTED):
            continue
        found = float(eval(code, {"__builtins__": {}}, _COMPUTED))  # made of numbers and of the names above
        factors = 1 + code.count("*") + 3 * code.count("exp") + code.count("/")
        assert abs(found - value) <= 0.012 * factors * max(1.0, abs(value)), (symbol, at, text, value)
        tried += 1
    assert tried >= 3, "formulas that could be computed"


def test_eca_shows_its_kernel_below_the_channels_that_it_weighs(show: Any) -> None:
    """Channels stand in one row, each number of a vector below its channel; the kernel is drawn and moves the gates."""
    page = show("eca")
    boxes = {
        name: page.live("(index) => { const v = live.tensors[index].view; return [...Array(8).keys()].map((p) => "
                        "v.box(v.layout.panels > 1 ? v.at(p, 0, 0) : p)); }", page.index(name))
        for name in ("x", "z", "s", "y")
    }  # fmt: skip
    for name, found in boxes.items():
        assert len({y for _, y, *_ in found}) == 1, name
        assert [x for x, *_ in found] == [x for x, *_ in boxes["x"]], name
    for variant, taps in (("k = 3", 3), ("k = 5", 5), ("k = 1", 1)):
        page.choose(variant)
        assert page.values("w").numel() == taps
        middle = page.touched("s", 4)
        assert middle["w"] == list(range(taps))
        assert middle["z"] == list(range(4 - taps // 2, 5 + taps // 2)), "the kernel's window"
        assert page.touched("w", 0)["s"]
        assert page.touched("x", 70)["w"] == [], "an input moves no weight"
