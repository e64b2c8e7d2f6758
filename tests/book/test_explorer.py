"""The explorer and the player in a browser: by mouse, by finger, by keyboard, in the book and in other front ends."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from nbformat.v4 import new_output

from attention.lab import maps
from attention.lab.maps import embedded
from tests.book.browsing import Look, serve
from tests.book.conftest import ROOT
from tests.book.test_extension import build, small_book

#: What the test book needs besides, to look like the book.
LOOK = f"""
html_static_path = [{str(ROOT / "book" / "_static")!r}]
html_css_files = ["book.css"]
html_js_files = ["book.js"]
"""
PAGE = "notebooks/channel/se.html"
ROWS, COLUMNS = 4, 6
COUNT = ROWS * COLUMNS


def shifted() -> torch.Tensor:
    """Every position gives 0.7 to the next one, and the rest to the first; the last one looks at all alike."""
    weights = 0.7 * torch.eye(COUNT).roll(1, dims=1)
    weights[:, 0] += 0.3
    weights[-1] = 1 / COUNT
    return weights


def steps() -> torch.Tensor:
    """Five frames of two pictures, all grey; frame i is (0.2 i, 0.2 i + 0.1)."""
    levels = 0.2 * torch.arange(5)[:, None] + torch.tensor([0.0, 0.1])
    return levels[..., None, None].expand(5, 2, 6, 6)


def captions() -> list[str]:
    return [f"step {40 * i}" for i in range(5)]


@pytest.fixture(scope="module")
def outputs() -> list[dict[str, str]]:
    """What the cells of a notebook show: three explorers, the last two the same, and two players."""
    seen: list[dict[str, str]] = []
    generator = torch.Generator().manual_seed(0)
    photograph = maps.photographs()["cat"][:, ::2, ::2]
    noise = torch.rand(COUNT, 6, generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "get_ipython", lambda: object())
        patch.setattr(embedded, "display", lambda data, raw: seen.append(data))
        named = {"shifted": shifted(), "even": torch.full((COUNT, COUNT), 1 / COUNT)}
        maps.explore(photograph, named, grid=(ROWS, COLUMNS), position=(1, 2), about="Where positions look.")
        for _ in range(2):
            black = torch.rand(4, 6, generator=generator) * 0
            maps.explore(black, noise, grid=(ROWS, COLUMNS), keys=(2, 3), cells=[["a", "", *"cdef"], *["abcdef"] * 3])
        maps.animate(steps(), captions=captions(), labels=["first", "second"], about="Grey grows.")
        maps.animate(torch.rand(3, 7, 3, 8, 8, generator=generator), captions=["a", "b", "c"])
    return seen


@pytest.fixture(scope="module")
def served(outputs: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A book whose one chapter shows them."""
    folder = small_book(tmp_path_factory.mktemp("book"), [new_output("display_data", data=each) for each in outputs])
    with (folder / "conf.py").open("a", encoding="utf-8") as file:
        file.write(LOOK)
    status, text = build(folder)
    assert status == 0, text
    (folder / "out" / "favicon.ico").write_bytes(b"")
    with serve(folder / "out") as address:
        yield address


@pytest.fixture(scope="module")
def window(browser: Any, served: str) -> Iterator[Look]:
    with Look(browser, served, 1280) as window:
        yield window


@pytest.fixture
def look(window: Look) -> Iterator[Look]:
    """The page, loaded afresh; nothing may go wrong on it."""
    window.page.emulate_media(reduced_motion="no-preference")
    window.page.mouse.move(1, 1)
    window.visit(PAGE)
    yield window
    assert window.noise == []


@pytest.fixture(scope="module")
def axe() -> Any:
    return pytest.importorskip("axe_playwright_python.sync_playwright").Axe()


def pixels(canvas: Any) -> list[list[int]]:
    """Return red, green, blue and opacity of every pixel of a canvas."""
    values = canvas.evaluate("node => [...node.getContext('2d').getImageData(0, 0, node.width, node.height).data]")
    return [values[i : i + 4] for i in range(0, len(values), 4)]


class Explorer:
    """One explorer on a page."""

    def __init__(self, page: Any, number: int = 0) -> None:
        self.page = page
        self.root = page.locator(".attention-figure:has(.attention-stage)").nth(number)
        self.stage = self.root.locator(".attention-stage")

    @property
    def says(self) -> str:
        return self.root.get_by_role("status").inner_text()

    def at(self, row: int, column: int) -> dict[str, float]:
        """Return the middle of a cell, in pixels of the stage."""
        box = self.stage.bounding_box()
        return {"x": (column + 0.5) * box["width"] / COLUMNS, "y": (row + 0.5) * box["height"] / ROWS}

    def hover(self, row: int, column: int) -> str:
        self.stage.hover(position=self.at(row, column))
        return self.says

    def press(self, key: str) -> str:
        self.page.keyboard.press(key)
        return self.says

    def overlay(self) -> list[list[int]]:
        """Return the colours over the picture, one a key."""
        return pixels(self.stage.locator("canvas").nth(1))


@pytest.mark.parametrize("width", [1280, 390, 320])
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_page_has_no_faults(browser: Any, served: str, axe: Any, width: int, mode: str) -> None:
    with Look(browser, served, width, mode) as look:
        assert look.problems(PAGE, axe=axe) == []
        assert look.page.locator(".attention-instead:visible").count() == 0
        assert look.page.locator(".attention-body").count() == 5
        assert look.page.evaluate("document.getAnimations().length") == 0


# --- the explorer


def test_it_begins_where_it_was_told(look: Look) -> None:
    first = "Row 1, column 2: attends most to row 1, column 3: 70% of the weight; a uniform map gives 4.2%."
    assert Explorer(look.page).says == f"{first} 1 of 24 positions holds half of its weight."


def test_the_mouse_moves_the_position(look: Look) -> None:
    explorer = Explorer(look.page)
    assert explorer.hover(0, 0).startswith("Row 0, column 0: attends most to row 0, column 1: 70% of the weight")
    assert explorer.hover(2, 5).startswith("Row 2, column 5: attends most to row 3, column 0: 70%")
    assert explorer.hover(3, 5) == "Row 3, column 5: attends to all 24 positions alike (4.2% each)."
    look.page.mouse.move(1, 1)
    assert explorer.says.startswith("Row 3, column 5"), "it stays where the mouse left it"


def test_the_marks_and_the_colours_are_where_it_says(look: Look) -> None:
    explorer = Explorer(look.page)
    explorer.hover(1, 1)
    stage = explorer.stage.bounding_box()
    for mark, row, column in (("query", 1, 1), ("target", 1, 2)):
        box = explorer.stage.locator(f".attention-{mark}").bounding_box()
        middle = explorer.at(row, column)
        assert box["x"] + box["width"] / 2 - stage["x"] == pytest.approx(middle["x"], abs=1)
        assert box["y"] + box["height"] / 2 - stage["y"] == pytest.approx(middle["y"], abs=1)
    opacity = [alpha for *_, alpha in explorer.overlay()]
    assert opacity.index(max(opacity)) == COLUMNS + 2
    assert max(opacity) == round(0.85 * 255)
    assert 80 < opacity[0] < 105, "3/7 of it"
    assert sum(value > 0 for value in opacity) == 2
    explorer.hover(3, 5)
    assert not explorer.stage.locator(".attention-target").is_visible(), "nowhere most"
    assert len({tuple(colour) for colour in explorer.overlay()}) == 1


def test_a_click_pins_and_lets_go(look: Look) -> None:
    explorer = Explorer(look.page)
    explorer.stage.click(position=explorer.at(2, 2))
    assert explorer.says.startswith("Row 2, column 2, pinned: attends most to row 2, column 3")
    assert explorer.hover(0, 4).startswith("Row 2, column 2, pinned")
    explorer.stage.click(position=explorer.at(0, 4))
    assert explorer.says.startswith("Row 0, column 4, pinned"), "another click pins another"
    explorer.stage.click(position=explorer.at(0, 4))
    assert explorer.says.startswith("Row 0, column 4: ")
    assert explorer.hover(3, 3).startswith("Row 3, column 3: ")


def test_keys_step_through_the_positions(look: Look) -> None:
    explorer = Explorer(look.page)
    explorer.stage.focus()
    expected = {
        "ArrowRight": (1, 3),
        "ArrowDown": (2, 3),
        "ArrowLeft": (2, 2),
        "ArrowUp": (1, 2),
        "Home": (1, 0),
        "End": (1, 5),
        "Control+Home": (0, 0),
        "Control+End": (3, 5),
    }
    for key, (row, column) in expected.items():
        assert explorer.press(key).startswith(f"Row {row}, column {column}: "), key
    for key in ("ArrowRight", "ArrowDown"):
        assert explorer.press(key).startswith("Row 3, column 5: "), "the edge"
    assert explorer.press("Enter").startswith("Row 3, column 5, pinned")
    assert explorer.hover(0, 0).startswith("Row 3, column 5, pinned")
    assert explorer.press("Escape").startswith("Row 3, column 5: ")
    scrolled = look.page.evaluate("scrollY")
    explorer.press("Space")
    assert look.page.evaluate("scrollY") == scrolled


def test_keys_reach_it_and_leave_it(look: Look) -> None:
    page = look.page
    page.locator("article h1").evaluate("node => { node.tabIndex = -1; node.focus(); }")
    reached = []
    while len(reached) < 30 and reached[-2:] != ["button", "range"]:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.className || document.activeElement.type"))
    stage = "attention-stage"
    expected = [stage, "radio", "checkbox", stage, "checkbox", stage, "checkbox", "button", "range"]
    assert reached[-len(expected) :] == expected


def test_a_screen_reader_is_told(look: Look) -> None:
    explorer = Explorer(look.page)
    region = explorer.root.get_by_role("status")
    assert region.count() == 1
    assert explorer.stage.get_attribute("role") == "application"
    label = explorer.stage.get_attribute("aria-label")
    assert label.startswith("Where positions look. 4 by 6 positions"), label
    assert explorer.stage.locator("> :not([aria-hidden=true])").count() == 0
    before = region.inner_text()
    explorer.stage.focus()
    assert explorer.press("ArrowDown") != before


def test_maps_can_be_chosen(look: Look) -> None:
    explorer = Explorer(look.page)
    choices = explorer.root.get_by_role("radio")
    assert explorer.root.get_by_role("radiogroup", name="Attention map").count() == 1
    assert [choices.nth(i).is_checked() for i in range(choices.count())] == [True, False]
    explorer.root.get_by_label("even").check()
    assert explorer.says == "Row 1, column 2: attends to all 24 positions alike (4.2% each)."
    choices.nth(1).focus()
    assert explorer.press("ArrowUp").startswith("Row 1, column 2: attends most to row 1, column 3"), "by keyboard"
    assert choices.nth(0).is_checked()


def test_all_positions_can_have_one_scale(look: Look) -> None:
    """Scaled by its own largest weight, a position that looks at all alike is as strong as one that looks at one."""
    explorer = Explorer(look.page)
    explorer.hover(3, 5)
    legend = explorer.root.locator(".attention-legend p").last
    assert {alpha for *_, alpha in explorer.overlay()} == {round(0.85 * 255)}
    assert legend.inner_text().split() == ["0", "4.2%"]
    explorer.root.get_by_label("same scale everywhere").check()
    (alpha,) = {alpha for *_, alpha in explorer.overlay()}
    assert alpha == pytest.approx(0.85 * 255 / COUNT / 0.7, abs=2)
    assert legend.inner_text().split() == ["0", "70%"]
    explorer.stage.focus()
    explorer.press("ArrowUp")
    explorer.press("ArrowLeft")
    assert max(alpha for *_, alpha in explorer.overlay()) == round(0.85 * 255)


def test_cells_show_what_they_hold_and_empty_ones_say_so(look: Look) -> None:
    explorer = Explorer(look.page, 1)
    written = explorer.stage.locator(".attention-cells span")
    assert written.all_inner_texts() == ["a", "", *"cdef", *("abcdef" * 3)]
    box, stage = written.nth(9).bounding_box(), explorer.stage.bounding_box()
    middle = explorer.at(1, 3)
    assert box["x"] + box["width"] / 2 - stage["x"] == pytest.approx(middle["x"], abs=2)
    assert box["y"] + box["height"] / 2 - stage["y"] == pytest.approx(middle["y"], abs=2)
    assert explorer.hover(0, 0).startswith("Row 0, column 0 (a): attends")
    assert max(alpha for *_, alpha in explorer.overlay()) > 0
    assert explorer.hover(0, 1) == "Row 0, column 1: empty."
    assert max(alpha for *_, alpha in explorer.overlay()) == 0, "it shows no map"
    assert not explorer.stage.locator(".attention-target").is_visible()


def test_explorers_of_one_page_do_not_meet(look: Look) -> None:
    one, two, three = (Explorer(look.page, number) for number in range(3))
    before = one.says, three.says
    assert two.says == three.says, "the same output twice"
    two.hover(0, 0)
    assert two.says != three.says
    assert (one.says, three.says) == before
    names = look.page.locator("[type=radio]").evaluate_all("nodes => nodes.map(node => node.name)")
    assert len(set(names)) == 1
    assert look.page.evaluate("new Set([...document.querySelectorAll('[id]')].map(n => n.id)).size") == (
        look.page.locator("[id]").count()
    )


def test_fewer_keys_than_queries_are_called_keys(look: Look) -> None:
    says = Explorer(look.page, 1).hover(3, 5)
    assert re.match(
        r"Row 3, column 5 \(f\): attends most to key row [01], column [012]: a weight of 0\.\d+; the mean is 0", says
    ), says
    assert re.search(r"[123] of 6 positions holds? half of its weight\.$", says)
    assert len(Explorer(look.page, 1).overlay()) == 6


def test_a_finger_moves_the_position(browser: Any, served: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{served}/{PAGE}")
    explorer = Explorer(page)
    for row, column in ((0, 0), (3, 4), (3, 4), (1, 1)):
        explorer.stage.tap(position=explorer.at(row, column))
        assert explorer.says.startswith(f"Row {row}, column {column}: attends most to")
    explorer.root.get_by_label("even").tap()
    assert "to all 24 positions alike" in explorer.says
    for target in explorer.root.locator("label").all():
        assert target.bounding_box()["height"] >= 24, "large enough for a finger"
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    context.close()


# --- the player


def levels(page: Any, number: int = 0) -> list[int]:
    """Return the first pixel's red of each picture of a player."""
    canvases = page.locator(".attention-player").nth(number).locator("canvas")
    return [pixels(canvas)[0][0] for canvas in canvases.all()]


def test_it_rests_at_the_first_frame(look: Look) -> None:
    player = look.page.locator(".attention-player").first
    assert player.get_by_role("status").inner_text() == "step 0 (frame 1 of 5)"
    assert player.get_by_role("button").inner_text() == "Play"
    assert levels(look.page) == [0, 26]
    assert player.get_by_role("img", name="second").count() == 1
    look.page.wait_for_timeout(600)
    assert levels(look.page) == [0, 26]
    assert len(levels(look.page, 1)) == 7


def test_it_plays_once_when_asked(look: Look) -> None:
    player = look.page.locator(".attention-player").first
    status, button = player.get_by_role("status"), player.get_by_role("button")
    status.evaluate(
        "node => { window.seen = []; new MutationObserver(() => window.seen.push(node.textContent + node.ariaLive))"
        ".observe(node, { childList: true }); }"
    )
    button.click()
    assert button.inner_text() == "Pause"
    player.get_by_role("button", name="Play").wait_for()
    frames = [f"step {40 * i} (frame {i + 1} of 5)" for i in range(5)]
    assert look.page.evaluate("window.seen") == [*[f"{each}off" for each in frames[1:4]], f"{frames[4]}null"]
    assert levels(look.page) == [204, 230]


def test_it_can_be_paused_and_taken_up(look: Look) -> None:
    player = look.page.locator(".attention-player").first
    button = player.get_by_role("button")
    button.focus()
    # It is paused in the moment in which it shows the second frame, however slow the machine is.
    player.get_by_role("status").evaluate(
        "(status, button) => new MutationObserver((_, watch) => {"
        " if (status.textContent.includes('frame 2')) { watch.disconnect(); button.click(); } })"
        ".observe(status, { childList: true })",
        button.element_handle(),
    )
    look.page.keyboard.press("Enter")
    player.get_by_role("button", name="Play").wait_for()
    where = player.get_by_role("status").inner_text()
    assert where.startswith("step 40 (frame 2")
    look.page.wait_for_timeout(600)
    assert player.get_by_role("status").inner_text() == where


def test_the_slider_steps_through_the_frames(look: Look) -> None:
    player = look.page.locator(".attention-player").first
    slider = player.get_by_role("slider", name="Frame")
    slider.focus()
    for key, frame in {"ArrowRight": 1, "End": 4, "ArrowLeft": 3, "Home": 0}.items():
        look.page.keyboard.press(key)
        assert slider.get_attribute("aria-valuetext") == f"step {40 * frame}"
        assert player.get_by_role("status").inner_text() == f"step {40 * frame} (frame {frame + 1} of 5)"
        assert levels(look.page) == [round(51 * frame), round(51 * frame + 25.5 + 1e-9)], key


def test_less_motion_is_respected(look: Look) -> None:
    look.page.emulate_media(reduced_motion="reduce")
    player = look.page.locator(".attention-player").first
    button = player.get_by_role("button")
    assert button.inner_text() == "Next frame"
    for frame in (1, 2):
        button.click()
        assert player.get_by_role("status").inner_text().startswith(f"step {40 * frame} ")
    look.page.wait_for_timeout(600)
    assert player.get_by_role("status").inner_text().startswith("step 80 "), "it does not go on by itself"


# --- elsewhere

BLANK = (
    "<!doctype html><html lang=en {html}><head><title>A notebook</title></head><body {body}><main></main></body></html>"
)
LAB = """(text) => {
  const host = document.createElement("div");
  host.innerHTML = text;
  document.querySelector("main").append(host);
  for (const script of host.querySelectorAll("script")) {
    const clone = document.createElement("script");
    for (const { name, value } of script.attributes) clone.setAttribute(name, value);
    clone.textContent = script.textContent;
    script.replaceWith(clone);
  }
}"""
FRAGMENT = """(text) => {
  const main = document.querySelector("main");
  const range = document.createRange();
  range.selectNode(main);
  main.append(range.createContextualFragment(text));
}"""
LATER = """(text) => {
  const frame = new DOMParser().parseFromString(text, "text/html");
  const scripts = [...frame.querySelectorAll("script:not([type])")].map((script) => script.textContent);
  document.querySelector("main").append(...frame.body.childNodes);
  return new Promise((done) => setTimeout(() => { for (const text of scripts) (0, eval)(text); done(); }));
}"""


@pytest.fixture
def blank(browser: Any) -> Iterator[Any]:
    """A page, and what went wrong on it."""
    page = browser.new_page(viewport={"width": 800, "height": 900})
    noise: list[str] = []
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.set_content(BLANK.format(html="", body=""))
    yield page
    page.close()
    assert noise == []


@pytest.mark.parametrize(
    "inject", [LAB, FRAGMENT, LATER], ids=["as JupyterLab", "as a fragment", "without a script of its own"]
)
def test_it_lives_where_scripts_are_run_afterwards(blank: Any, outputs: list[dict[str, str]], inject: str) -> None:
    for time in range(2):  # the same cell run again, or a second view of it
        for output in (outputs[0], outputs[3]):
            blank.evaluate(inject, output["text/html"])
        explorer = Explorer(blank, time)
        assert explorer.hover(2, 2).startswith("Row 2, column 2: attends most to row 2, column 3")
        blank.locator(".attention-player").nth(time).get_by_role("slider").press("Home")
        assert levels(blank, time) == [0, 26]
    assert blank.locator(".attention-body").count() == 4
    assert len(set(blank.locator("[type=radio]").evaluate_all("nodes => nodes.map(node => node.name)"))) == 2


def test_keys_are_kept_from_jupyterlab(blank: Any, outputs: list[dict[str, str]]) -> None:
    blank.evaluate(LAB, outputs[0]["text/html"])
    blank.evaluate("window.heard = []; document.addEventListener('keydown', (event) => window.heard.push(event.key))")
    explorer = Explorer(blank)
    assert explorer.root.get_attribute("data-lm-suppress-shortcuts") == "true"
    explorer.stage.focus()
    for key in ("ArrowDown", "Enter", "Escape", "b"):
        blank.keyboard.press(key)
    assert blank.evaluate("window.heard") == ["b"], "what it does not know goes on"


def test_without_scripts_it_says_what_would_be_here(browser: Any, outputs: list[dict[str, str]]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for output, words in (
        (outputs[0], "One map of shifted and even"),
        (outputs[3], "The first of 5 frames"),
    ):
        page.set_content(BLANK.format(html="", body="").replace("<main>", f"<main>{output['text/html']}"))
        assert page.get_by_text(words).is_visible()
        sanitized = re.sub(r"<(script|style).*?</\1>", "", output["text/html"], flags=re.DOTALL)
        page.set_content(BLANK.format(html="", body="").replace("<main>", f"<main>{sanitized}"))
        assert page.get_by_text(words).is_visible()
        assert page.locator("main").inner_text().count("\n") < 5
        assert page.locator("img").evaluate("image => image.complete && image.naturalWidth > 100")
    context.close()


LIGHTNESS = """(node) => {
  const light = (colour) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.match(/[\\d.]+/g).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = light(getComputedStyle(node).backgroundColor);
  const all = [...node.querySelectorAll("p, label, button, span:not(:empty, .attention-cells *)")];
  const texts = all.filter((each) => each.checkVisibility());
  const contrasts = texts.map((each) => {
    const [more, less] = [light(getComputedStyle(each).color), ground].sort((x, y) => y - x);
    return (more + 0.05) / (less + 0.05);
  });
  return [ground, Math.min(...contrasts), contrasts.length];
}"""


@pytest.mark.parametrize(
    ("html", "body", "system", "dark"),
    [
        ("", "", "light", False),
        ("", "", "dark", True),
        ('data-theme="dark"', "", "light", True),
        ('data-theme="light"', "", "dark", False),
        ("", 'data-jp-theme-light="false"', "light", True),
        ("", 'data-jp-theme-light="true"', "dark", False),
        ('theme="dark"', "", "light", True),
        ('theme="light"', "", "dark", False),
    ],
)
def test_it_is_as_dark_as_its_surroundings(
    blank: Any, outputs: list[dict[str, str]], html: str, body: str, system: str, dark: bool
) -> None:
    blank.emulate_media(color_scheme=system)
    blank.set_content(BLANK.format(html=html, body=body))
    for output in (outputs[0], outputs[3]):
        blank.evaluate(LAB, output["text/html"])
    for figure in blank.locator(".attention-figure").all():
        ground, contrast, texts = figure.evaluate(LIGHTNESS)
        assert (ground < 0.2) == dark
        assert contrast > 4.5
        assert texts >= 3
    blank.emulate_media(color_scheme=system, media="print")
    if "data-theme" not in html and "theme=" not in html and not body:
        assert blank.locator(".attention-figure").first.evaluate(LIGHTNESS)[0] > 0.8, "paper is white"


def test_a_photograph_is_drawn(look: Look) -> None:
    """The picture's canvas holds the photograph, lightened: not one colour, and nothing below 0.3."""
    values = [red for red, *_ in pixels(Explorer(look.page).stage.locator("canvas").first)]
    assert len(values) == 112 * 112
    assert min(values) >= 76
    assert max(values) - min(values) > 100


def test_the_folder_of_this_book_is_not_needed(outputs: list[dict[str, str]]) -> None:
    assert not [each for each in outputs if str(Path.home()) in each["text/html"] or str(ROOT) in each["text/html"]]
