"""Every page in a real browser, at two widths and in both modes; and what a reader does there: search, copy, launch."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.book.browsing import Look, serve
from tests.book.conftest import ROOT
from tests.book.reading import pages
from tests.book.test_build import CHAPTERS, listed

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
    seen = set(wide.findings)
    found += launch(wide.page, name) + copying(wide.page, name)
    wide.turn("dark")
    found += wide.faults(name)
    wide.turn("light")
    found += narrow.problems(name)
    narrow.turn("dark")
    found += narrow.faults(name, axe=axe)
    narrow.turn("light")
    recorded = set(recorded_findings(name))
    if recorded != (seen := seen | set(narrow.findings)):
        found.append(f"{name}: axe finds {sorted(seen)}, the book's page says {sorted(recorded)}: `make accessibility`")
    assert found == [], "\n".join(found)


def recorded_findings(name: str) -> dict[str, Any]:
    results = json.loads((ROOT / "book" / "accessibility.json").read_text(encoding="utf-8"))
    return results["pages"].get(name.removesuffix(".html"), {"findings": {"not looked at": {}}})["findings"]


def launch(page: Any, name: str) -> list[str]:
    """Say what is wrong with the buttons that lead to Colab: each chapter has one, and no other page."""
    from attention_book.addresses import colab, load, placeholders

    name = name.removesuffix(".html")
    addresses = load(ROOT)
    expected = colab(addresses, name) if name in chapters() and not placeholders(addresses) else None
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
    copied, shown = page.evaluate("navigator.clipboard.readText()"), cell.locator("pre").text_content()
    return [] if copied.strip() == shown.strip() else [f"{name}: copied {copied[:60]!r}, shown {shown[:60]!r}"]


def test_every_page_is_looked_at(site: Path) -> None:
    built = {path.relative_to(site).as_posix() for path in pages(site)}
    assert built - {"index.html"} == set(PAGES), "index.html leads on to the first page"


def test_the_first_screen_has_the_live_picture(wide: Look, narrow: Look) -> None:
    """Title, a sentence or two, and a picture that computes: its input is seen without scrolling."""
    for look in (wide, narrow):
        page = look.visit(f"{listed()[0]}.html")
        stage = page.locator(".attention-live canvas").first
        stage.wait_for()
        assert page.evaluate("scrollY") == 0
        box = stage.bounding_box()
        assert box["y"] + box["height"] / 2 < 900


def test_the_map_is_read_and_walked_on_a_phone(wide: Look, narrow: Look) -> None:
    for look in (wide, narrow):
        page = look.visit("book/idea.html")
        sizes = page.locator(".map-grid :is(a, strong, span, li)").evaluate_all(
            "all => all.filter((one) => one.checkVisibility()).map((one) => parseFloat(getComputedStyle(one).fontSize))"
        )
        assert len(sizes) > 50
        assert min(sizes) >= 12
        links = page.locator(".mechanism-map a")
        heights = links.evaluate_all("all => all.map((one) => one.parentElement.getBoundingClientRect().height)")
        assert min(heights) >= (24 if look is wide else 40), "a finger finds it"
        links.first.focus()
        page.keyboard.press("Tab")
        on = page.evaluate(
            "() => { const on = document.activeElement; return [on.textContent, getComputedStyle(on).outlineStyle]; }"
        )
        assert on == [links.nth(1).text_content(), "solid"]
        target = links.nth(1).evaluate("link => link.href")
        links.nth(1).press("Enter")
        page.wait_for_url(target)


@pytest.mark.parametrize("name", ["book/statistics", "book/choosing", *CHAPTERS])
def test_tables_and_drawings_fit_a_phone_or_say_that_they_go_on(narrow: Look, name: str) -> None:
    page = narrow.visit(f"{name}.html")
    wide = page.locator("article table").evaluate_all(
        """all => all.filter((one) => one.checkVisibility()).map((one) => one.parentElement)
          .filter((box) => box.scrollWidth > box.clientWidth + 1)
          .map((box) => getComputedStyle(box, "::after").content)"""
    )
    assert set(wide) <= {'"more columns →"'}
    drawings = page.locator("article img.only-narrow").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect()).filter((box) => box.width > innerWidth - 32)"
    )
    assert drawings == []
    if name == "book/statistics":
        assert len(wide) <= 1, "the table of seven networks; what is found stands in the last column of the others"


def test_a_card_stands_on_a_phone(narrow: Look) -> None:
    page = narrow.visit("notebooks/branch/sk.html")
    card = page.locator("table.chapter-card")
    header, value = card.locator("th").first.bounding_box(), card.locator("td").first.bounding_box()
    assert value["y"] >= header["y"] + header["height"] - 1, "the row is two lines"
    assert card.evaluate("table => table.scrollWidth <= table.clientWidth + 1")
    assert card.bounding_box()["width"] <= NARROW
    formulas = page.locator("details.card-formulas")
    assert not formulas.locator(".math").first.is_visible()
    formulas.locator("summary").press("Enter")
    assert formulas.locator(".math").first.is_visible()


def test_a_first_visit_is_quiet(browser: Any, address: str) -> None:
    """Nobody has chosen a mode yet: the page takes that of the system, at once."""
    for theme in ("light", "dark"):
        with Look(browser, address, WIDE, "") as look:
            look.page.emulate_media(color_scheme=theme)
            page = look.visit(f"{listed()[0]}.html")
            assert page.evaluate("({ ...document.documentElement.dataset })").items() >= {
                ("mode", "auto"),
                ("theme", theme),
            }
            assert look.noise == []


def test_the_page_for_wrong_addresses_works_at_any_depth(browser: Any, address: str) -> None:
    with Look(browser, address, WIDE) as look:
        html = (ROOT / "_build" / "html" / "404.html").read_text(encoding="utf-8")
        look.context.route("**/no/such/page.html", lambda route: route.fulfill(body=html, content_type="text/html"))
        page = look.visit("no/such/page.html")
        assert look.noise == [], "styles and scripts are found"
        page.locator(".search-button__button:visible").click()
        page.locator("dialog[open] input[type=search]").fill("excitation")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search.html?q=excitation*")
        page.locator("#search-results li a").first.wait_for()


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


@pytest.mark.chapter("stn")
def test_search_opens_the_section_and_marks_the_word(wide: Look) -> None:
    page = wide.visit("search.html?q=align_corners")
    first = page.locator("#search-results li").first
    assert first.locator("mark").first.inner_text() == "align_corners"
    address = first.locator("a").get_attribute("href")
    assert "/notebooks/spatial/stn.html" in f"/{address}", "the chapter stands before the reference"
    first.locator("a").click()
    page.wait_for_url(f"**#{address.partition('#')[2]}")
    page.locator("article .highlighted").first.wait_for(state="attached")
    found = page.evaluate(
        """() => [...document.getElementById(location.hash.slice(1)).querySelectorAll(".highlighted")]
            .map((one) => one.textContent)"""
    )
    assert set(found) == {"align_corners"}
    assert wide.noise == []


@pytest.mark.parametrize("query", ["注意力", "通道注意力", "压缩 激励"])
def test_search_finds_chinese_words(wide: Look, query: str) -> None:
    page = wide.visit(f"search.html?q={query}")
    texts = page.locator("#search-results li").all_inner_texts()
    assert texts
    assert all(word in text for text in texts for word in query.split()), texts


def test_search_quotes_no_tex_and_offers_more(wide: Look) -> None:
    page = wide.visit("search.html?q=channels")
    results = page.locator("#search-results li")
    first = results.count()
    page.get_by_role("button", name="More sections").click()
    assert results.count() > first >= 10
    assert page.evaluate("document.activeElement.closest('li') !== null"), "the first of the new ones is reached"
    quoted = page.locator("#search-results .context").all_inner_texts()
    assert not [text for text in quoted if "\\(" in text or "\\math" in text or "\\frac" in text]


def test_search_names_few_sections_of_a_page_and_quotes_no_code(wide: Look) -> None:
    page = wide.visit("search.html?q=softmax")
    paths = page.locator("#search-results li a").evaluate_all("links => links.map((link) => link.pathname)")
    assert len(paths) > 10
    assert max(map(paths.count, paths)) <= 3
    quoted = page.locator("#search-results .context").all_inner_texts()
    assert not [text for text in quoted if "(dim=" in text or "def " in text or "·" in text], quoted


def test_the_sign_in_the_search_field_covers_no_letter(wide: Look) -> None:
    page = wide.visit(f"{listed()[0]}.html")
    page.locator(".search-button__button:visible").click()
    sign, field = page.locator("dialog[open] .fa-magnifying-glass"), page.locator("dialog[open] input")
    box, room = sign.bounding_box(), field.evaluate("node => parseFloat(getComputedStyle(node).paddingLeft)")
    assert field.bounding_box()["x"] + room > box["x"] + box["width"] + 4
    page.keyboard.press("Escape")


def test_search_says_what_it_did_not_find(wide: Look) -> None:
    page = wide.visit("search.html?q=xyzzyx")
    assert page.get_by_role("status").inner_text() == "No sections found."
    page = wide.visit("search.html?q=excitation xyzzyx")
    assert page.get_by_role("status").inner_text().startswith("No section has all of these words.")
    assert page.locator("#search-results li").count() > 3


@pytest.mark.chapter("sk")
def test_wrapped_code_is_copied_as_it_was_written(narrow: Look) -> None:
    page = narrow.visit("notebooks/branch/sk.html")
    cell = page.locator("div.cell_input:not(details *) pre").first
    wrapped = cell.evaluate(
        "pre => [...pre.querySelectorAll('.line')].some((line) => line.getClientRects()[0].height > 30)"
    )
    assert wrapped, "a line of it is longer than a phone is wide"
    selected = cell.evaluate("pre => { getSelection().selectAllChildren(pre); return getSelection().toString(); }")
    assert selected.rstrip("\n") == cell.text_content().rstrip("\n")
    assert copying(page, "notebooks/branch/sk.html") == []


def test_a_formula_that_is_too_wide_fades_out_and_has_a_name(narrow: Look) -> None:
    page = narrow.visit("book/api/blocks.html")
    box = page.locator("article mjx-container[display]").first
    box.evaluate("box => { box.style.width = '60px'; box.style.flex = 'none'; dispatchEvent(new Event('resize')); }")
    assert box.evaluate("box => [box.dataset.more, box.tabIndex, box.getAttribute('role')]") == ["right", 0, "region"]
    assert box.get_attribute("aria-label") == "Formula 1 on this page, scrolls sideways"
    assert box.evaluate("box => getComputedStyle(box).maskImage").startswith("linear-gradient")
    box.evaluate("box => { box.scrollLeft = 20; }")
    page.wait_for_function("box => box.dataset.more === 'left right'", arg=box.element_handle())
    box.evaluate("box => { box.style.width = box.style.flex = ''; dispatchEvent(new Event('resize')); }")
    assert (
        box.evaluate("box => ['data-more', 'tabindex', 'role', 'aria-label'].some((one) => box.hasAttribute(one))")
        is False
    )


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
    exercise = page.locator("details.exercise").first
    hint = exercise.locator("details.hint")
    assert not hint.locator("summary").is_visible()
    exercise.locator("> summary").press("Enter")
    hint.locator("summary").focus()
    assert not hint.locator("p").last.is_visible()
    page.keyboard.press("Enter")
    assert hint.locator("p").last.is_visible()


@pytest.mark.chapter("se")
def test_a_link_to_an_exercise_opens_it(wide: Look) -> None:
    page = wide.visit("notebooks/channel/se.html#se-2")
    assert page.locator("#se-2").evaluate("panel => panel.open")
    assert not page.locator("#se-1").evaluate("panel => panel.open")
    page.evaluate("location.hash = '#se-1'")
    page.locator("#se-1[open]").wait_for()


#: So many screens of 1280 × 900 pixels a chapter takes, with all panels closed.
SCREENS = 30


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_is_no_longer_than_it_may_be(wide: Look, name: str) -> None:
    page = wide.visit(f"{name}.html")
    assert page.evaluate("document.documentElement.scrollHeight") <= 900 * SCREENS
    size = page.locator("article > section > p").first.evaluate("node => parseFloat(getComputedStyle(node).fontSize)")
    assert size >= 16, "and not because its letters are small"


@pytest.mark.chapter("se")
def test_a_chapter_loads_little(browser: Any, address: str) -> None:
    """What really comes before the first scroll: at most 25 files, of which code, fonts and HTML weigh 1.5 MB."""
    with Look(browser, address, WIDE) as look:
        loaded: list[tuple[str, int]] = []
        look.page.on("response", lambda got: loaded.append((got.url, int(got.headers.get("content-length", 0)))))
        look.visit("notebooks/channel/se.html")
        pictures = (".png", ".svg")
        weight = sum(size for url, size in loaded if not url.endswith(pictures))
        assert 5 < len(loaded) <= 25, loaded
        assert 5e5 < weight <= 1.5e6, weight


def test_few_stops_lead_to_the_text(wide: Look) -> None:
    """The first stop of the tab key leads past all others; and those are fewer than there are pages.

    Of the list of pages, only the chapters of the own family are open.
    """
    first = chapters()[0]
    family = [name for name in chapters() if name.rpartition("/")[0] == first.rpartition("/")[0]]
    page = wide.visit(f"{first}.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.hash") == "#main-content"
    stops = 1
    while stops < 60 and not page.evaluate("document.activeElement.closest('main') !== null"):
        page.keyboard.press("Tab")
        stops += 1
    assert stops <= 14 + len(family)
    page.goto(page.url.partition("#")[0])
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_what_is_pressed_is_large_enough_and_at_one_height(narrow: Look, wide: Look) -> None:
    for look in (narrow, wide):
        page = look.visit(f"{chapters()[0]}.html")
        boxes = page.evaluate(
            """() => [...document.querySelectorAll("main summary, .bd-header-article :is(a, button), .copybtn")]
              .filter((node) => node.checkVisibility({ visibilityProperty: true }))
              .map((node) => [node.outerHTML.slice(0, 80), node.getBoundingClientRect()])
              .map(([name, { width, height, top }]) => ({ name, width, height, top }))"""
        )
        assert len(boxes) > 5
        assert [box for box in boxes if box["width"] < 24 or box["height"] < 24] == []
        icons = page.locator(".bd-header-article .btn :is(i, span[class*='fa-']):visible").evaluate_all(
            "all => all.map((one) => { const box = one.getBoundingClientRect(); return box.top + box.height / 2; })"
        )
        assert len(icons) >= 4, "and some more where the book has a public address"
        assert max(icons) - min(icons) <= 1, icons


def test_copy_buttons_are_seen_where_nothing_hovers(browser: Any, address: str) -> None:
    with Look(browser, address, NARROW, touch=True) as look:
        page = look.visit(f"{chapters()[0]}.html")
        assert page.evaluate("matchMedia('(hover: none)').matches")
        assert page.locator(".cell_input .copybtn").first.evaluate("node => getComputedStyle(node).opacity") == "1"


@pytest.mark.chapter("se")
def test_on_paper_are_text_figures_and_open_parts_alone(wide: Look) -> None:
    page = wide.visit("notebooks/channel/se.html")
    page.locator("details.exercise > summary").first.click()
    page.locator("details.solution > summary").first.click()
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 672, "height": 950})  # what the margins leave of A4
    seen = "all => all.filter((one) => one.checkVisibility()).map((one) => one.outerHTML.slice(0, 80))"
    pressed = "button, input, summary, .bd-sidebar, .prev-next-footer, .headerlink, .only-narrow, .al-zones"
    printed = "details:is([open], .exercise, .card-formulas, [lang=zh])"
    shown = page.locator(f":is({pressed}):not({printed} > summary)").evaluate_all(seen)
    always = page.locator("details:is(.card-formulas, [lang=zh]) p").evaluate_all(
        "all => all.map((one) => one.checkVisibility() && one.getBoundingClientRect().height > 10)"
    )
    opened = page.locator("details.solution p").evaluate_all(seen)
    drawn = page.locator(".al-static").evaluate_all(seen)
    exercises = page.locator(".exercise:not([open]) > section > p:first-child").evaluate_all(
        "all => all.filter((one) => one.checkVisibility() && one.getBoundingClientRect().height > 10)"
    )
    high = page.locator("article img, article svg.al-static").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect()).filter((box) => box.height > 950 || box.right > 673)"
    )
    wider = page.locator("article pre").evaluate_all(
        "all => all.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent.slice(0, 60))"
    )
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": WIDE, "height": 900})
    assert shown == []
    assert opened
    assert drawn
    assert len(exercises) == 5, "and the open one"
    assert always.count(True) == len(always) >= 3
    assert high == []
    assert wider == []


def test_paper_has_the_size_that_the_style_sheet_says(browser: Any, address: str, tmp_path: Path) -> None:
    with Look(browser, address, WIDE) as look:
        printed = look.visit("book/notation.html").pdf(prefer_css_page_size=True)
    sizes = {tuple(map(float, size)) for size in re.findall(rb"/MediaBox ?\[0 0 ([\d.]+) ([\d.]+)\]", printed)}
    assert all(abs(width - 595) < 2 and abs(height - 842) < 2 for width, height in sizes), "A4"
    assert sizes


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
    link = page.locator(".bd-links details.part[open] a").first
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
    "text scrolls sideways": '<pre tabindex="0" style="width: 50px; overflow: auto">a long line of text</pre>',
    "a formula is cut off": '<mjx-container display="true" tabindex="0" style="display: block; width: 20px; '
    'white-space: nowrap; overflow: auto">a + b + c + d + e</mjx-container>',
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
