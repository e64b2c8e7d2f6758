"""Buttons, sliders, tables; what a screen reader is told; widths, the dark, pages without a script."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attention.lab import live
from tests.live.scenes import made, scene
from tests.live.shown import Shown, changed, output

# --- buttons and sliders


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_the_steps_stay_in_one_line_and_in_their_place(cbam: Shown, width: int) -> None:
    """Whatever step is shown, of whatever variant: no button moves under the pointer."""
    cbam.page.set_viewport_size({"width": width, "height": 900})
    places = set()
    for variant in cbam.picture.programs:
        cbam.choose(variant)
        for _ in range(4):
            cbam.page.get_by_role("button", name="Step on").click()
            buttons = [each.bounding_box() for each in cbam.page.locator(".al-steps button").all()]
            assert len(buttons) == 3
            assert len({round(each["y"]) for each in buttons}) == 1
            places.add(tuple(round(each["x"]) for each in buttons))
    cbam.page.set_viewport_size({"width": 1280, "height": 900})
    assert len(places) == 1


def test_inputs_can_be_chosen(se: Shown) -> None:
    for name, (x,) in se.picture.presets.items():
        button = se.page.get_by_role("group", name="Input").get_by_role("button", name=name, exact=True)
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        assert se.page.locator('[aria-label="Input"] [aria-pressed="true"]').count() == 1
        torch.testing.assert_close(se.inputs(), x.flatten(), rtol=1e-6, atol=0)
        torch.testing.assert_close(se.values("y"), output(se), rtol=1e-6, atol=1e-9)


def test_variants_keep_what_was_painted(cbam: Shown) -> None:
    source = cbam.names[0]
    cbam.page.mouse.click(*cbam.where(source, 30))
    before = cbam.inputs()
    for number, name in enumerate(cbam.picture.programs):
        cbam.choose(name)
        assert torch.equal(cbam.inputs(), before)
        last = list(cbam.picture.drawn.values())[number][-1].name
        torch.testing.assert_close(cbam.values(last), output(cbam, number), rtol=1e-6, atol=1e-9)
        assert cbam.page.locator('[aria-label="Block"] [aria-pressed="true"]').inner_text() == name
        assert cbam.page.evaluate("document.activeElement.textContent") == name, "the keyboard stays where it was"


def slide(page: Shown, label: str, value: float) -> None:
    if not page.page.locator(".al-more").evaluate("node => node.open"):
        page.page.get_by_text("Sliders", exact=True).click()
    called = page.page.locator("span", has_text=re.compile(rf"^{re.escape(label)}$"))
    page.page.locator(".al-sliders label").filter(has=called).locator("input").fill(str(value))


def test_sliders_shift_a_channel_and_the_whole(se: Shown) -> None:
    before = se.inputs()
    slide(se, "add to x2", 0.2)
    expected = before.clone()
    expected[64:128] += 0.2
    torch.testing.assert_close(se.inputs(), expected)
    slide(se, "add to all of x", -0.1)
    torch.testing.assert_close(se.inputs(), expected - 0.1)
    torch.testing.assert_close(se.values("y"), output(se), rtol=1e-6, atol=1e-9)
    slide(se, "add to x2", 0)
    slide(se, "add to all of x", 0)
    torch.testing.assert_close(se.inputs(), before)


def test_what_was_painted_moves_with_its_channel(se: Shown) -> None:
    slide(se, "add to x2", 0.1)
    se.page.mouse.click(*se.where("x", 64 + 3))
    assert se.inputs()[64 + 3] == pytest.approx(1)
    slide(se, "add to x2", -0.2)
    assert se.inputs()[64 + 3] == pytest.approx(0.7)
    slide(se, "add to x2", 0.3)
    assert se.inputs()[64 + 3] == 1, "where the scale ends"


def test_the_brush_has_a_slider(se: Shown) -> None:
    slide(se, "brush on x", 0.4)
    se.page.mouse.click(*se.where("x", 17))
    assert se.inputs()[17] == pytest.approx(0.4)
    se.page.mouse.click(*se.where("x", 17))
    assert se.inputs()[17] == 0


def test_a_vector_has_a_slider_a_number(vector: Shown) -> None:
    sliders = vector.page.locator(".al-sliders label").filter(has_text=re.compile(r"^query\d"))
    assert sliders.count() == 4
    assert sliders.first.is_visible(), "they are open where they are needed"
    before = vector.inputs(1)
    slide(vector, "query2", 0.25)
    assert changed(before, vector.inputs(1)) == [1]
    assert float(vector.inputs(1)[1]) == pytest.approx(0.25, abs=0.02)
    torch.testing.assert_close(vector.values("c"), output(vector), rtol=1e-5, atol=1e-7)


def test_steps_go_through_the_zones(se: Shown) -> None:
    page = se.page
    now = page.locator(".al-step")
    zones = ["squeeze", "excite", "scale"]
    assert now.inner_text() == "all"
    for number, zone in enumerate(zones, start=1):
        page.get_by_role("button", name="Step on").click()
        assert now.inner_text() == f"{number} of 3: {zone}"
        dim = page.locator(".al-zone.al-dim").evaluate_all("nodes => nodes.map(node => node.dataset.zone)")
        assert dim == [each for each in ["input", *zones] if each != zone]
        for each in se.picture.steps:
            assert (f"is {each.about}." in se.says) == (each.zone == zone)
    page.get_by_role("button", name="Step on").click()
    assert now.inner_text() == "all"
    assert page.locator(".al-dim").count() == 0
    page.get_by_role("button", name="Step back").click()
    assert now.inner_text() == "3 of 3: scale"


def test_one_can_start_again(se: Shown) -> None:
    before, colours = se.inputs(), se.colours("y")
    slide(se, "add to x2", 0.2)
    se.page.mouse.click(*se.where("x", 3))
    se.page.get_by_role("button", name="Step on").click()
    se.page.get_by_role("button", name="Start again").click()
    assert torch.equal(se.inputs(), before)
    assert se.colours("y") == colours
    assert se.page.locator(".al-step").inner_text() == "all"
    values = se.page.locator(".al-sliders input").evaluate_all("nodes => nodes.map(node => Number(node.value))")
    assert values[1:] == [0] * 5
    assert se.says.startswith("Point at any number")


# --- what is said, and to whom


def test_a_screen_reader_is_told_once_things_are_quiet(se: Shown) -> None:
    region = se.page.get_by_role("status")
    assert region.count() == 1
    assert region.get_attribute("aria-live") == "polite"
    se.page.evaluate("async () => new Promise((done) => setTimeout(done, 500))")
    told = se.page.evaluate(
        """async () => {
          const region = document.querySelector("[role=status]");
          const canvas = document.querySelector("canvas");
          const told = [];
          new MutationObserver(() => told.push(region.textContent)).observe(region, { childList: true });
          const frame = canvas.getBoundingClientRect();
          for (let i = 0; i < 12; i++)
            canvas.dispatchEvent(new PointerEvent("pointermove",
              { clientX: frame.x + 6 + 3 * i, clientY: frame.y + 24, pointerType: "mouse", bubbles: true }));
          while (!told.length) await new Promise((done) => setTimeout(done, 50));
          await new Promise((done) => setTimeout(done, 500));
          return told;
        }"""
    )
    assert len(told) == 1, "twelve moves, one sentence"
    assert re.match(r"x, channel 1, row \d, column \d, is 0\.\d+\. 0\.1 more of it moves 1 of 4 numbers of z", told[0])
    for number, each in enumerate(next(iter(se.picture.drawn.values()))):
        canvas = se.page.locator("canvas").nth(number)
        assert canvas.get_attribute("role") == "application"
        assert each.about in canvas.get_attribute("aria-label")


def test_tables_hold_the_numbers_of_now(se: Shown) -> None:
    se.page.get_by_text("All numbers as tables").click()

    def numbers() -> Tensor:
        cells = se.page.locator(".al-tables td").all_inner_texts()
        return torch.tensor([float(each.replace("−", "-")) for each in cells], dtype=torch.float64)

    se.page.wait_for_function("() => document.querySelectorAll('.al-tables td').length > 500")
    whole = torch.cat([se.values(name) for name in se.names])
    torch.testing.assert_close(numbers(), whole, rtol=0.03, atol=0.006)
    se.page.mouse.click(*se.where("x", 0))
    se.page.wait_for_function("() => document.querySelector('.al-tables td').textContent === '1.00'")
    whole = torch.cat([se.values(name) for name in se.names])
    torch.testing.assert_close(numbers(), whole, rtol=0.03, atol=0.006)
    captions = se.page.locator(".al-tables caption").all_inner_texts()
    assert captions[0] == "x1: what comes in"
    assert "s: how much of each channel passes" in captions


# --- looks


def test_narrow_and_wide_keep_what_was_painted(se: Shown) -> None:
    se.page.mouse.click(*se.where("x", 3))
    se.choose("softmax")
    before, wide = se.inputs(), se.page.locator(".al-zone").first.bounding_box()["width"]
    try:
        se.page.set_viewport_size({"width": 390, "height": 900})
        se.page.wait_for_function("() => document.querySelector('.attention-live').attentionLive.narrow")
        assert torch.equal(se.inputs(), before)
        assert se.page.locator(".attention-live-now").count() == 1
        assert se.page.locator('[aria-label="Block"] [aria-pressed="true"]').inner_text() == "softmax"
        torch.testing.assert_close(se.values("y"), output(se, 1), rtol=1e-6, atol=1e-9)
        zones = [each.bounding_box() for each in se.page.locator(".al-zone").all()]
        assert max(each["x"] + each["width"] for each in zones) <= 390
        assert len({round(each["y"]) for each in zones}) >= 3, "what comes in, what decides, what comes out"
    finally:
        se.page.set_viewport_size({"width": 1280, "height": 900})
    se.page.wait_for_function("() => !document.querySelector('.attention-live').attentionLive.narrow")
    assert torch.equal(se.inputs(), before)
    assert se.page.locator(".al-zone").first.bounding_box()["width"] == pytest.approx(wide, abs=2)


def test_it_turns_dark_with_its_surroundings(se: Shown) -> None:
    def ground() -> int:
        return sum(se.colours("y")[70]) + sum(se.page.locator(".attention-live").evaluate(
            "node => getComputedStyle(node).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"))  # fmt: skip

    slide(se, "add to all of x", -0.5)  # near nothing everywhere: the ground shows
    light = ground()
    try:
        se.page.emulate_media(color_scheme="dark")
        se.page.wait_for_timeout(50)
        assert ground() < light / 2, "the reader's system"
    finally:
        se.page.emulate_media(color_scheme="light")
    se.page.wait_for_timeout(50)
    assert ground() == light
    se.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    se.page.wait_for_timeout(50)
    assert ground() < light / 2, "the page's own button"
    se.page.evaluate("delete document.documentElement.dataset.theme")


def test_nothing_moves_by_itself(browser: Any, tmp_path: Path) -> None:
    with Shown(browser, tmp_path, made("se"), reduced_motion="reduce") as page:
        page.hover("s", 1)
        assert page.page.evaluate("document.getAnimations().length") == 0
        moving = page.page.evaluate(
            """() => [...document.querySelectorAll(".attention-live, .attention-live *")].filter((node) => {
              const style = getComputedStyle(node);
              const lasting = style.transitionDuration.split(", ").some((v) => parseFloat(v) > 0);
              return lasting || style.animationName !== "none";
            }).length"""
        )
        assert moving == 0


def test_without_a_script_the_static_picture_is_there(browser: Any, tmp_path: Path) -> None:
    with Shown(browser, tmp_path, made("se"), java_script_enabled=False) as page:
        image = page.page.locator(".attention-live svg")
        assert image.is_visible()
        assert image.get_attribute("role") == "img"
        assert image.get_attribute("aria-label").startswith("Squeeze-and-Excitation, computed for the input ")
        box = image.bounding_box()
        assert box["width"] > 300
        assert box["height"] > 80
        assert page.page.locator("canvas").count() == 0


def test_with_a_script_the_static_picture_gives_way(se: Shown) -> None:
    assert not se.page.locator(".al-static").is_visible()
    assert se.page.locator(".attention-live-now").is_visible()


def test_a_picture_is_set_up_once_and_next_to_others(browser: Any, tmp_path: Path) -> None:
    """Cells of a notebook bring a script each, and a cell that is run again brings it again."""
    text = f"{live.markup(made('se'))}<script>{live.script()}</script>"
    page = browser.new_page()
    noise: list[str] = []
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.set_content(f"<!doctype html><title>A notebook</title><style>{live.style()}</style><main>{text}{text}</main>")
    page.wait_for_function("() => document.querySelectorAll('.al-alive').length === 2")
    page.evaluate(live.script())
    assert page.locator(".attention-live-now").count() == 2
    first, second = (page.locator(".attention-live").nth(k) for k in (0, 1))
    first.get_by_role("button", name="softmax").click()
    assert first.locator('[aria-label="Block"] [aria-pressed="true"]').inner_text() == "softmax"
    assert second.locator('[aria-label="Block"] [aria-pressed="true"]').inner_text() == "SE"
    assert page.evaluate("[...document.querySelectorAll('[id]')].length") == 0, "no names that could meet"
    page.close()
    assert noise == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("name", ["se", "a vector"])
def test_axe_finds_nothing_serious(browser: Any, tmp_path: Path, axe: Any, name: str, mode: str, width: int) -> None:
    with Shown(browser, tmp_path, scene(name), width, mode) as page:
        page.hover(page.names[-1], 0)
        page.page.get_by_text("All numbers as tables").click()
        if name == "se":
            page.page.get_by_text("Sliders", exact=True).click()
        assert page.faults(axe) == []


def test_what_a_step_leaves_in_the_background_can_be_read(se: Shown, axe: Any) -> None:
    se.page.get_by_role("button", name="Step on").click()
    assert se.faults(axe) == []


def test_four_panels_stand_side_by_side_where_their_zone_has_a_row_of_its_own(cbam: Shown, se: Shown) -> None:
    def shape(shown: Shown) -> tuple[float, float]:
        box = shown.page.locator(".al-zone canvas").first.bounding_box()
        return box["width"], box["height"]

    cbam.page.set_viewport_size({"width": 1280, "height": 900})
    wide, high = shape(cbam)
    assert wide > 3 * high
    wide, high = shape(se)
    assert wide < 2 * high, "beside other zones they stand two by two"
