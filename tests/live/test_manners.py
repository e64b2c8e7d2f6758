"""What a reader does with a live picture: by mouse, by finger, by keyboard."""

import re
from typing import Any

import pytest
import torch

from tests.live.shown import Shown, changed, output

# --- the mouse


@pytest.mark.parametrize("name", ["se", "cbam"])
def test_a_press_paints_and_everything_follows(show: Any, name: str) -> None:
    page = show(name)
    source, *_, last = page.names
    before, was, colours = page.inputs(), page.values(last), page.colours(source)
    page.hover(source, 9)
    page.page.mouse.down()
    page.page.mouse.up()
    assert changed(before, page.inputs()) == [9]
    assert page.inputs()[9] == 1, "the brush, the upper end of the scale"
    assert changed(was, page.values(last))
    torch.testing.assert_close(page.values(last), output(page), rtol=1e-6, atol=1e-9)
    assert page.colours(source)[9] != colours[9]
    page.page.mouse.down()
    page.page.mouse.up()
    assert page.inputs()[9] == 0, "a second press takes it away"


def test_a_drag_paints_a_line(se: Shown) -> None:
    before = se.inputs()
    se.hover("x", 64 + 8)
    se.page.mouse.down()
    x, y = se.where("x", 64 + 13)
    se.page.mouse.move(x, y, steps=12)
    se.page.mouse.up()
    assert changed(before, se.inputs()) == list(range(64 + 8, 64 + 14))
    se.hover("x", 64 + 30)
    assert len(changed(before, se.inputs())) == 6, "the mouse is up"


def test_pointing_changes_nothing_and_says_what_it_moves(se: Shown) -> None:
    before = se.inputs()
    says = se.hover("x", 5)
    assert re.match(r"x1,1,6 is 0\.\d+\. 0\.1 more of it moves 1 of 4 numbers of z \(by up to 0\.00\d+\), ", says), says
    assert torch.equal(before, se.inputs())
    se.page.mouse.move(1, 1)
    assert se.says.startswith("Point at any number")


def test_a_click_holds_and_lets_go(se: Shown) -> None:
    se.hover("s", 2)
    assert se.says.startswith("s3 is ")
    se.page.mouse.down()
    se.page.mouse.up()
    se.wait()
    assert "Held" in se.says
    assert se.hover("s", 0).startswith("s3 is ")
    se.hover("s", 2)
    se.page.mouse.down()
    se.page.mouse.up()
    assert se.hover("s", 0).startswith("s1 is ")


def test_the_formula_of_a_number_has_its_numbers_in_it(se: Shown) -> None:
    """What stands behind each sign of equality is the same number."""
    for name in ("z", "h", "s", "y"):
        for at in (0, 1):
            se.hover(name, at)
            _, symbols, numbers, value = se.formula.replace("−", "-").split(" = ")
            assert float(value) == pytest.approx(float(se.values(name)[at]), abs=6e-3)
            if "…" not in numbers:
                assert calculated(numbers) == pytest.approx(float(value), abs=0.03), numbers
            assert re.search("[a-zA-Zσ]", symbols)


def calculated(line: str) -> float:
    """Calculate a line of numbers: ``ReLU(3.20 · 0.90 − 2.40 · 0.15)``."""
    line = line.replace("·", "*").replace("σ", "sigmoid").replace("exp", "exp")
    known = {
        "ReLU": lambda v: max(v, 0.0),
        "sigmoid": lambda v: 1 / (1 + torch.e**-v),
        "exp": lambda v: torch.e**v,
    }
    assert re.fullmatch(r"(ReLU|sigmoid|exp|[\d.()+*/ -])+", line), line
    return eval(line, {"__builtins__": {}}, known)  # only the signs of the line above


def test_what_lights_up_is_outlined(se: Shown) -> None:
    """One pixel moves one z: the colour of the marks appears there, and at no other z. However little it moves a gate,
    that gate is marked in the same colour."""

    def marked(name: str = "z") -> list[int]:
        return se.live(
            """(index) => {
              const { view, canvas } = live.tensors[index];
              const ratio = canvas.width / (view.place.width + 2);
              const hot = views(getComputedStyle(live.root).getPropertyValue("--al-hot"));
              return [0, 1, 2, 3].filter((k) => {
                const [x, y, w, h] = view.box(k).map((v) => Math.round(v * ratio));
                const { data } = view.context.getImageData(x + ratio, y + ratio, w, h);
                for (let i = 0; i < data.length; i += 4)
                  if (hot.every((v, c) => Math.abs(data[i + c] - v) < 12)) return true;
                return false;
              });
              function views(text) { return [1, 3, 5].map((i) => parseInt(text.trim().slice(i, i + 2), 16)); }
            }""",
            se.index(name),
        )

    assert marked() == []
    se.hover("x", 64 + 3)
    assert marked() == [1]
    shares = se.live("(index) => [...live.hot[index].shares]", se.index("s"))
    assert min(shares) < 0.5
    assert marked("s") == [0, 1, 2, 3]
    se.page.mouse.move(1, 1)
    assert marked() == []
    # And the other way: a pixel of the output marks all between the input and itself that moves it.
    se.hover("y", 64 + 3)
    assert marked("s") == [1]
    assert marked("z") == [0, 1, 2, 3]


def test_what_lies_between_is_found_and_told(se: Shown) -> None:
    found = se.touched("y", 64 + 3)
    assert found["s"] == [1]
    assert found["h"] == [0, 1]
    assert found["z"] == [0, 1, 2, 3]
    assert se.says.endswith("On the way: 4 of 4 of z, 2 of 2 of h, 1 of 4 of s.")


def test_what_is_said_covers_nothing_that_the_keyboard_comes_to(se: Shown) -> None:
    se.page.set_viewport_size({"width": 500, "height": 480})  # the picture is higher
    told = se.page.locator(".al-told")
    for canvas in se.page.locator("canvas").all():
        canvas.focus()
        se.page.keyboard.press("ArrowRight")
        se.wait()
        box = canvas.bounding_box()
        assert box["y"] + box["height"] <= told.bounding_box()["y"] + 1
    se.page.set_viewport_size({"width": 1280, "height": 900})


def test_what_is_said_takes_no_more_room_than_nothing(se: Shown) -> None:
    """Nothing moves while one points about."""
    told = se.page.locator(".al-told")
    before = told.bounding_box()["height"]
    for name, at in [("x", 5), ("z", 1), ("h", 0), ("s", 3), ("y", 70)]:
        se.hover(name, at)
        assert told.bounding_box()["height"] == before, name


def test_a_bar_of_a_vector_is_drawn_by_the_mouse(vector: Shown) -> None:
    before = vector.inputs(1)
    x, y = vector.where("query", 1)
    vector.page.mouse.move(x, y)
    vector.page.mouse.down()
    vector.page.mouse.move(x + 12, y, steps=4)
    vector.page.mouse.up()
    assert changed(before, vector.inputs(1)) == [1]
    torch.testing.assert_close(vector.values("c"), output(vector), rtol=1e-5, atol=1e-7)


# --- the finger


def test_a_tap_paints(finger: Shown) -> None:
    before = finger.inputs()
    finger.page.touchscreen.tap(*finger.where("x", 20))
    assert changed(before, finger.inputs()) == [20]
    assert finger.says.startswith("x1,3,5 is 1.00.")


def test_a_tap_only_points_where_one_wants_that(finger: Shown) -> None:
    before = finger.inputs()
    finger.page.get_by_role("group", name="Press to").get_by_role("button", name="point").tap()
    finger.page.touchscreen.tap(*finger.where("x", 20))
    assert torch.equal(before, finger.inputs())
    assert finger.says.startswith("x1,3,5 is ")
    finger.page.get_by_role("group", name="Press to").get_by_role("button", name="paint").tap()
    finger.page.touchscreen.tap(*finger.where("x", 20))
    assert changed(before, finger.inputs()) == [20]


def test_a_tap_on_what_is_computed_points(finger: Shown) -> None:
    before = finger.inputs()
    finger.page.touchscreen.tap(*finger.where("s", 1))
    finger.wait()
    assert finger.says.startswith("s2 is ")
    assert finger.formula.startswith("s2 = ")
    assert torch.equal(before, finger.inputs())


def test_a_finger_scrolls_the_page_over_all_that_it_does_not_paint_on(finger: Shown) -> None:
    page = finger.page

    def moved(name: str, at: int, by: int) -> float:
        finger.where(name, at)
        top = page.evaluate("scrollY")
        finger.scroll(name, at, by)
        return page.evaluate("scrollY") - top

    for name in ("s", "y"):
        assert moved(name, 1, 150) < -50, name
    before = finger.inputs()
    assert moved("x", 20, 60) == 0, "a finger paints on the input"
    assert len(changed(before, finger.inputs())) > 2
    page.get_by_role("group", name="Press to").get_by_role("button", name="point").tap()
    before = finger.inputs()
    assert moved("x", 20, -150) > 50, "where it only points, it scrolls there too"
    assert torch.equal(before, finger.inputs())


def test_what_a_finger_touches_is_large_enough(finger: Shown) -> None:
    finger.page.get_by_text("Sliders").tap()
    for node in finger.page.locator("button, .al-sliders label").all():
        assert node.bounding_box()["height"] >= 24, node.inner_text()


def test_a_finger_is_told_of_fingers(finger: Shown) -> None:
    finger.page.touchscreen.tap(*finger.where("s", 1))
    finger.wait()
    assert "Held: touch it again to let go." in finger.says
    assert "Escape" not in finger.says


def test_the_effect_of_a_touch_is_in_view(finger: Shown) -> None:
    """Input, what decides, output and what is said fit on the screen of a phone together."""
    finger.page.set_viewport_size({"width": 390, "height": 780})
    boxes = [each.bounding_box() for each in finger.page.locator("canvas").all()]
    told = finger.page.locator(".al-told").bounding_box()["height"]
    assert max(each["y"] + each["height"] for each in boxes) - min(each["y"] for each in boxes) + told <= 780


# --- the keyboard


def test_a_tensor_is_one_stop_and_so_is_a_group_of_buttons(se: Shown) -> None:
    page = se.page
    stops = []
    for _ in range(40):
        page.keyboard.press("Tab")
        stops.append(
            page.evaluate("document.activeElement.dataset.tensor ?? document.activeElement.textContent.trim()")
        )
        if "All numbers as tables" in stops:
            break
    assert stops == [
        "one bright channel", "SE", "paint", "›",
        *(str(i) for i in range(len(se.names))), "Sliders", "All numbers as tables",
    ]  # fmt: skip
    page.locator('[aria-label="Input"] button').first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    chosen = page.locator('[aria-label="Input"] [aria-pressed="true"]')
    assert chosen.inner_text() == "spots"
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.textContent") == "spots"


def test_the_keyboard_does_it_all(se: Shown) -> None:
    page = se.page
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "CANVAS":
            break
    assert page.evaluate("document.activeElement.dataset.tensor") == "0", "the first tensor is the input"
    assert se.says.startswith("x1,1,1 is ")
    for key, place in [("ArrowRight", "1,1,2"), ("ArrowDown", "1,2,2"), ("PageDown", "2,2,2"), ("ArrowLeft", "2,2,1"),
                       ("ArrowUp", "2,1,1"), ("PageUp", "1,1,1")]:  # fmt: skip
        page.keyboard.press(key)
        assert se.says.startswith(f"x{place} is "), key
    before, scrolled = se.inputs(), page.evaluate("scrollY")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert changed(before, se.inputs()) == [1]
    assert page.evaluate("scrollY") == scrolled
    page.keyboard.press("Enter")
    assert "Held" in se.says
    page.keyboard.press("Escape")
    assert se.says.startswith("Point at any number")
    page.keyboard.press("Tab")
    se.wait()
    assert page.evaluate("document.activeElement.dataset.tensor") == "1"
    assert se.says.startswith("z1 is ")
    page.keyboard.press("Space")
    assert "Held" in se.says, "there is nothing to paint"
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.tagName"))
    assert {"CANVAS", "Sliders", "All numbers as tables"} <= reached


def test_numbers_are_changed_by_the_keyboard(vector: Shown) -> None:
    page = vector.page
    page.locator("canvas").nth(vector.index("query")).focus()
    before = vector.inputs(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    after = vector.inputs(1)
    assert changed(before, after) == [1]
    assert after[1] > before[1]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("-")
    assert vector.inputs(1)[1] < before[1]
    for _ in range(60):
        page.keyboard.press("+")
    high = vector.live("(index) => live.tensors[index].drawn.high", vector.index("query"))
    assert vector.inputs(1)[1] == high, "not beyond the scale"
    torch.testing.assert_close(vector.values("c"), output(vector), rtol=1e-5, atol=1e-7)


def test_keys_are_kept_from_the_page(se: Shown) -> None:
    """JupyterLab has keys of its own."""
    se.page.evaluate("window.heard = []; document.addEventListener('keydown', (event) => heard.push(event.key))")
    se.page.locator("canvas").first.focus()
    for key in ("ArrowDown", "Space", "Enter", "Escape", "b"):
        se.page.keyboard.press(key)
    assert se.page.evaluate("heard") == ["b"], "what it does not know goes on"
    assert se.page.locator(".attention-live").get_attribute("data-lm-suppress-shortcuts") == "true"
