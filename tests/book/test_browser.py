"""Every page in a real browser, at two widths and in both modes; and what a reader does there: search, copy, launch."""

from pathlib import Path
from typing import Any

import pytest

from tests.book.browsing import Look, serve
from tests.book.conftest import ROOT
from tests.book.reading import pages
from tests.book.test_build import listed

WIDE, NARROW = 1280, 390


@pytest.fixture(scope="session")
def axe() -> Any:
    return pytest.importorskip("axe_playwright_python.sync_playwright").Axe()


@pytest.fixture(scope="module")
def wide(browser: Any, address: str) -> Any:
    with Look(browser, address, WIDE) as look:
        yield look


@pytest.fixture(scope="module")
def narrow(browser: Any, address: str) -> Any:
    with Look(browser, address, NARROW) as look:
        yield look


def chapters() -> list[str]:
    return [name for name in listed() if name.startswith("notebooks/")]


#: All pages that are looked at: those of the table of contents, and two that stand in none.
PAGES = [*(f"{name}.html" for name in listed()), "search.html", "404.html"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_faults(wide: Look, narrow: Look, axe: Any, name: str) -> None:
    """Both widths in both modes; axe, which takes longest, sees each width and each mode once."""
    found = wide.problems(name, axe=axe)
    found += launch(wide.page, name) + copying(wide.page, name)
    wide.turn("dark")
    found += wide.faults(name)
    wide.turn("light")
    found += narrow.problems(name)
    narrow.turn("dark")
    found += narrow.faults(name, axe=axe)
    narrow.turn("light")
    assert found == [], "\n".join(found)


def launch(page: Any, name: str) -> list[str]:
    """Say what is wrong with the buttons that lead to Colab: each chapter has one, and no other page."""
    from attention_book.addresses import colab, load

    name = name.removesuffix(".html")
    expected = colab(load(ROOT), name) if name in chapters() else None
    buttons = page.locator(".btn-launch-colab").evaluate_all("links => links.map(link => link.href)")
    if buttons != ([expected] if expected else []):
        return [f"{name}: buttons lead to {buttons}, not {expected}"]
    if not expected:
        return []
    found = []
    if page.get_by_role("link", name="Run this chapter in Colab").count() != 1:
        found.append(f"{name}: the button has no name")
    others = page.locator("a[href*='colab.research']").evaluate_all("links => links.map(link => link.href)")
    if set(others) != {expected}:
        found.append(f"{name}: another way into Colab: {others}")
    return found


def copying(page: Any, name: str) -> list[str]:
    """Say what is wrong with the buttons that copy a chapter's code; the first one is pressed."""
    if name.removesuffix(".html") not in chapters():
        return []
    cells, buttons = page.locator("div.cell_input pre"), page.locator("div.cell_input button.copybtn")
    if not cells.count() == buttons.count() > 0:
        return [f"{name}: {buttons.count()} buttons for {cells.count()} cells"]
    cell = page.locator("div.cell_input:not(details *)").first
    cell.scroll_into_view_if_needed()
    cell.hover()
    cell.locator("button.copybtn").click()
    copied, shown = page.evaluate("navigator.clipboard.readText()"), cell.locator("pre").inner_text()
    return [] if copied.strip() == shown.strip() else [f"{name}: copied {copied[:60]!r}, shown {shown[:60]!r}"]


def test_every_page_is_looked_at(site: Path) -> None:
    built = {path.relative_to(site).as_posix() for path in pages(site)}
    assert built - {"index.html"} == set(PAGES), "index.html leads on to the first page"


def test_search_finds_the_chapter(wide: Look) -> None:
    page = wide.visit(f"{listed()[0]}.html")
    page.locator(".search-button__button:visible").click()
    page.locator("dialog[open] input[type=search]").fill("excitation")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=excitation*")
    page.locator("#search-results li a").first.wait_for()
    found = page.locator("#search-results li a").evaluate_all("links => links.map(link => link.pathname)")
    assert any(path.endswith("/notebooks/channel/se.html") for path in found), found
    page.locator("#search-results li .context").first.wait_for()
    quoted = page.locator("#search-results li .context").all_inner_texts()
    assert not [text for text in quoted if "On this page" in text or "Open issue" in text], "articles only are quoted"
    assert wide.noise == []


def test_what_the_keyboard_is_on_is_framed(wide: Look) -> None:
    page = wide.visit(f"{listed()[0]}.html")
    bare = []
    for _ in range(25):
        page.keyboard.press("Tab")
        bare += page.evaluate(
            "() => { const on = document.activeElement; const { outlineStyle, outlineWidth } = getComputedStyle(on);"
            " return outlineStyle === 'none' || parseFloat(outlineWidth) < 2 ? [on.outerHTML.slice(0, 100)] : []; }"
        )
    assert bare == []


@pytest.mark.chapter("se")
def test_what_is_folded_says_what_it_is_and_opens_by_keyboard(narrow: Look) -> None:
    page = narrow.visit("notebooks/channel/se.html")
    panels = page.locator("details.fold")
    names = panels.locator("summary").all_inner_texts()
    assert len(names) == len(set(names)) > 5
    panel = panels.first
    assert not panel.locator("pre").is_visible()
    panel.locator("summary").focus()
    page.keyboard.press("Enter")
    assert panel.locator("pre").is_visible()
    outline = panel.locator("summary").evaluate("node => getComputedStyle(node).outlineStyle")
    assert outline == "solid"
    buttons = page.locator("button.toggle-button").evaluate_all("all => all.map((one) => one.ariaLabel)")
    assert len(buttons) == len(set(buttons)) > 5, "hints and solutions tell themselves apart"
    assert all(name.startswith(("Hint: Exercise 1.", "Solution to Exercise 1.")) for name in buttons), buttons


def test_the_dark_mode_is_left_for_printing(browser: Any, address: str) -> None:
    with Look(browser, address, WIDE, "dark") as look:
        page = look.visit(f"{listed()[0]}.html")
        themes = []
        for moment in ("load", "beforeprint", "afterprint"):
            page.evaluate(f"dispatchEvent(new Event('{moment}'))")
            themes.append(page.evaluate("document.documentElement.dataset.theme"))
        assert themes == ["dark", "light", "dark"]


@pytest.mark.chapter("non_local")
def test_the_explorers_of_the_book_come_to_life(wide: Look) -> None:
    page = wide.visit("notebooks/self_attention/non_local.html")
    explorers = page.locator(".attention-figure:has(.attention-stage)")
    assert explorers.count() >= 1
    for explorer in explorers.all():
        stage, says = explorer.locator(".attention-stage"), explorer.get_by_role("status")
        stage.scroll_into_view_if_needed()
        box = stage.bounding_box()
        stage.hover(position={"x": box["width"] - 3, "y": box["height"] - 3})
        moved = says.inner_text()
        assert "attends" in moved
        stage.hover(position={"x": 3, "y": 3})
        assert says.inner_text().startswith("Row 0, column 0")
        page.keyboard.press("Tab")
        stage.focus()
        page.keyboard.press("ArrowRight")
        assert says.inner_text().startswith("Row 0, column 1")
    assert wide.noise == []


@pytest.mark.chapter("stn")
def test_the_players_of_the_book_play(narrow: Look) -> None:
    page = narrow.visit("notebooks/spatial/stn.html")
    player = page.locator(".attention-figure:has(input[type=range])").first
    slider = player.locator("input[type=range]")
    last = slider.get_attribute("max")
    assert slider.input_value() == "0", "it rests on the first frame"
    first = player.inner_text()
    player.get_by_role("button").click()
    page.wait_for_function("([node, last]) => node.value === last", arg=[slider.element_handle(), last])
    assert player.inner_text() != first
    assert narrow.noise == []


def test_menus_open_on_a_phone(narrow: Look) -> None:
    page = narrow.visit(f"{chapters()[0] if chapters() else listed()[1]}.html")
    link = page.locator(f".bd-links a[href$='{listed()[1].rpartition('/')[2]}.html']").first
    assert not link.is_visible()
    page.locator("button.primary-toggle:visible").click()
    link.wait_for(state="visible")
    page.keyboard.press("Escape")
    link.wait_for(state="hidden")
    page.locator("button.secondary-toggle:visible").click()
    page.locator("#pst-secondary-sidebar-modal[open] nav a").first.wait_for(state="visible")


DOT = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
PAGE = """<!doctype html><html lang="en" data-theme="light"><head><title>A page</title>
<style>body {{ color: #111; background: #fff }}</style></head>
<body><main><h1>A page</h1><input type="search" aria-label="Search"><article>{}</article></main></body></html>"""

FAULTS = {
    "sticks out": '<p style="width: 500px">wide</p>',
    "foreign host": '<img src="http://fonts.example/a.png" alt="a">',
    "on the console": "<script>console.error('oh')</script>",
    "error of a script": "<script>nothing.at.all()</script>",
    "a request failed": '<script>fetch("http://127.0.0.1:9/").catch(() => 0)</script>',
    "axe: image-alt": f'<img src="{DOT}">',
    "axe: color-contrast": '<p style="color: #bbb">pale</p>',
    "axe: color-contrast, serious": '<style>.k { color: #bbb }</style><pre><span class="n">x</span> <span class="k">in'
    '</span> <span class="n">y</span></pre>',
    "formula is not rendered": '<span class="math">x</span>',
    "formula has an error": '<span class="math"><mjx-container><mjx-merror>x</mjx-merror></mjx-container></span>',
    "2 visible search": '<input type="search" aria-label="Search again">',
    "contrast of": "<style>article { color: #777 }</style>",
    "wrong ground": "<style>body { background: #000 } article { color: #fff }</style>",
    "no face for this page": f'<img class="figure-face" alt="a" src="{DOT}">',
    "has no face for": f'<img class="figure-face face-dark" alt="a" src="{DOT}">',
    "no key reaches it": '<div style="overflow-x: auto"><p style="width: 500px">wide</p></div>',
}


@pytest.fixture(scope="module")
def faulty(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("faulty")
    for number, fault in enumerate(["<p>Nothing wrong.</p>", *FAULTS.values()]):
        (folder / f"{number}.html").write_text(PAGE.format(fault), encoding="utf-8")
    (folder / "favicon.ico").write_bytes(b"")
    with serve(folder) as address, Look(browser, address, NARROW) as look:
        yield look


def test_a_page_without_fault_passes(faulty: Look, axe: Any) -> None:
    assert faulty.problems("0.html", axe=axe) == []


@pytest.mark.parametrize(("number", "fault"), list(enumerate(FAULTS, start=1)))
def test_faults_are_noticed(faulty: Look, axe: Any, number: int, fault: str) -> None:
    found = faulty.problems(f"{number}.html", axe=axe)
    assert any(fault in problem for problem in found), found
