"""The built pages, read as files: links, formulas' numbers, alt text, and nothing of the source left raw."""

import ast
import importlib
import inspect
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from attention_book.addresses import NOTE, load, placeholders

from attention.registry import AXES, FAMILIES, chapters, entries
from tests.book.conftest import ROOT
from tests.book.reading import broken_links, documents, images_without_alt, leftovers, listed, pages, soup, unnumbered

CHAPTERS = [name for name in listed() if name.startswith("notebooks/")]


def test_every_listed_page_is_built_and_no_other(site: Path) -> None:
    built = [str(path.relative_to(site).with_suffix("")) for path in documents(site)]
    assert sorted(built) == sorted(listed())


def test_the_site_opens_with_the_first_page(site: Path) -> None:
    assert f"{listed()[0]}.html" in (site / "index.html").read_text(encoding="utf-8")


def test_every_chapter_is_listed() -> None:
    found = [path.relative_to(ROOT).with_suffix("").as_posix() for path in (ROOT / "notebooks").glob("*/*.ipynb")]
    assert set(found) <= set(listed())


def test_nothing_is_left_raw(site: Path) -> None:
    assert [problem for path in documents(site) for problem in leftovers(path)] == []


def test_links_and_anchors_resolve(site: Path) -> None:
    assert [problem for path in pages(site) for problem in broken_links(path, site)] == []


def test_every_image_has_alt_text(site: Path) -> None:
    assert [problem for path in pages(site) for problem in images_without_alt(path)] == []


def test_every_image_of_a_text_has_a_size(site: Path) -> None:
    """Nothing moves when an image comes, and those further down come late; of two faces the hidden one never comes."""
    for path in documents(site):
        images = soup(path).select("article img")
        assert [image["src"] for image in images if not (image.get("width") and image.get("height"))] == [], path
        assert {image.get("decoding") for image in images} <= {"async"}, path
        section = soup(path).select_one("article h2")
        late = [*(section.find_all_next("img") if section else ()), *soup(path).select("article img.face-dark")]
        late = [image for image in late if image.find_parent("article")]
        assert [image["src"] for image in late if image.get("loading") != "lazy"] == [], path


def test_no_picture_is_higher_than_a_screen(site: Path) -> None:
    """A page of 1280 × 900 pixels shows each whole; what stands for a phone is not shown there."""
    for path in documents(site):
        images = [each for each in soup(path).select("article img") if "only-narrow" not in each.get("class", ())]
        assert [(image["src"], image["height"]) for image in images if int(image["height"]) > 860] == [], path


def test_every_drawing_has_a_face_for_each_page(site: Path) -> None:
    for path in documents(site):
        drawings = soup(path).select("article img.figure-face[src$='.svg']")
        kinds = [next((name for name in image["class"] if name.startswith("face-")), "") for image in drawings]
        assert kinds == ["face-light", "face-dark"] * (len(drawings) // 2), path
        for light, dark in zip(drawings[::2], drawings[1::2], strict=True):
            assert {key: light[key] for key in ("alt", "width", "height")} == {
                key: dark[key] for key in ("alt", "width", "height")
            }
            texts = [(path.parent / image["src"]).read_text(encoding="utf-8") for image in (light, dark)]
            assert not [text for text in texts if 'class="ground"' in text]
            assert texts[0] != texts[1]


def test_every_figure_of_a_chapter_has_a_caption(site: Path) -> None:
    for name in (name for name in listed() if name.startswith("notebooks/")):
        article = soup(site / f"{name}.html").select_one("article")
        bare = [image["alt"] for image in article.select(".cell_output img") if not image.find_parent("figure")]
        assert bare == [], name
        said = [caption.get_text() for caption in article.select("figure.captioned > figcaption")]
        numbers = [f"Figure {number}. " for number in range(1, len(said) + 1)]
        assert said
        assert all(words.startswith(number) for words, number in zip(said, numbers, strict=True)), said


def test_a_page_has_no_id_twice(site: Path) -> None:
    for path in documents(site):
        found = [part["id"] for part in soup(path).select("[id]")]
        assert len(found) == len(set(found)), path


def test_equations_of_chapters_are_numbered(site: Path) -> None:
    paths = [site / f"{name}.html" for name in listed() if name.startswith("notebooks/")]
    assert [problem for path in paths for problem in unnumbered(path)] == []
    assert all(soup(path).select("div.math[id^=equation-]") for path in paths), "a chapter without an equation"


def test_the_equations_of_every_page_begin_at_one(site: Path) -> None:
    for path in documents(site):
        numbers = re.findall(r'class="eqno">\(([\d.]+)\)', path.read_text(encoding="utf-8"))
        assert [int(number.rpartition(".")[2]) for number in numbers] == list(range(1, len(numbers) + 1)), path
        assert len({number.rpartition(".")[0] for number in numbers}) <= 1, path


def test_titles_and_descriptions_tell_pages_apart(site: Path) -> None:
    heads = [soup(path).head for path in documents(site)]
    titles = [head.title.get_text() for head in heads]
    descriptions = [head.select_one("meta[name=description]")["content"] for head in heads]
    assert len(set(titles)) == len(set(descriptions)) == len(heads)
    assert soup(site / f"{listed()[0]}.html").title.get_text() == "Attention, Block by Block"
    assert all(30 <= len(description) <= 200 for description in descriptions), descriptions
    assert all(head.select_one("link[rel=icon]")["href"].endswith("favicon.svg") for head in heads)


def test_previews_of_every_page_have_a_card(site: Path) -> None:
    heads = [soup(path).head for path in documents(site)]
    told = [{tag["property"]: tag["content"] for tag in head.select("meta[property^='og:']")} for head in heads]
    assert {about["og:image"] for about in told} == {f"{load(ROOT)['site']}/_static/card.png"}
    assert (site / "_static" / "card.png").read_bytes() == (ROOT / "book" / "_static" / "card.png").read_bytes()
    assert len({about["og:description"] for about in told}) == len({about["og:url"] for about in told}) == len(told)
    assert all(head.select_one("meta[name='twitter:card']")["content"] == "summary_large_image" for head in heads)


def test_the_page_for_wrong_addresses_can_stand_anywhere(site: Path) -> None:
    page = soup(site / "404.html")
    assert page.select_one("article h1").get_text().strip("# ") == "Page not found"
    assert page.select("input[type=search], .search-button__button")
    assert {f"/{name}.html" for name in (*listed(), "search")} <= {link["href"] for link in page.select("a")}
    places = [place.get("href") or place.get("src") for place in page.select("[href], [src]")]
    assert [place for place in places if not place.startswith(("/", "#", "https://"))] == []
    assert page.html["data-content_root"] == "/", "where its scripts find the index"
    assert page.select_one("meta[name=robots]")["content"] == "noindex"
    assert not page.select("link[rel=canonical]")


def test_the_first_page_has_a_card_for_each_mechanism(site: Path) -> None:
    """The chapters first, large; the others folded, by family. Each says what there is, and leads to it."""
    article = soup(site / f"{listed()[0]}.html").select_one("article")
    large, folded = article.select_one("ul.are-chapters"), article.select_one("details.mechanism-rest")
    assert large.find_next_sibling() is folded
    assert not folded.has_attr("open")
    written = [entry for entry in chapters() if entry.ready]
    others = [entry for family in FAMILIES for entry in chapters() if entry.family == family and not entry.ready]
    for place, found in ((large, written), (folded, others)):
        cards = place.select(".mechanism-card")
        assert [card.select_one(".mechanism-name").get_text() for card in cards] == [entry.title for entry in found]
        for card, entry in zip(cards, found, strict=True):
            said = {"block": "block, no chapter yet", "planned": "planned"}.get(entry.status)
            said = said or FAMILIES[entry.family].lower()
            assert card.select_one(".mechanism-state").get_text() == f"{entry.short}, {entry.year} · {said}"
            assert entry.idea.replace("'", "’") in card.get_text().replace("'", "’")
            links = [link["href"] for link in card.select("a")]
            assert links == ([f"../{entry.page}.html".replace("../book/", "")] if entry.built else [])
            assert [svg["aria-hidden"] for svg in card.select("svg")] == ["true"] * entry.built
    for status in ("block", "planned"):
        count = sum(entry.status == status for entry in others)
        assert not count or re.search(rf"\b{count} (with a tested )?{status}", folded.summary.get_text())


def test_the_first_page_begins_with_a_live_picture(site: Path) -> None:
    article = soup(site / f"{listed()[0]}.html").select_one("article")
    before = article.select_one(".attention-live").find_all_previous(["p", "h2", "pre", "table"])
    assert len([part for part in before if part.find_parent("article")]) == 1, "one paragraph, then the picture"


def test_the_map_has_a_box_for_each_mechanism_which_leads_to_it(site: Path) -> None:
    (drawn,) = soup(site / "book" / "idea.html").select("figure.mechanism-map")
    columns = zip(drawn.select(".map-axis"), drawn.select(".map-grid > ul"), strict=True)
    for (axis, question), (head, column) in zip(AXES.items(), columns, strict=True):
        assert head.select_one("strong").get_text() == axis
        assert head.get_text().strip().endswith(question)
        assert head.select("svg[aria-hidden=true]")
        assert column["aria-labelledby"] == head["id"]
        found = sorted([each for each in entries().values() if each.axis == axis], key=lambda each: each.year)
        assert len(column.select("li")) == len(found)
        for box, entry in zip(column.select("li"), found, strict=True):
            assert " ".join(box.get_text().split()).startswith(f"{entry.year} {entry.short}")
            home = entries()[entry.chapter or entry.name]
            links = [link["href"] for link in box.select("a")]
            assert links == ([f"../{home.page}.html".replace("../book/", "")] if home.built else [])
            assert all(entry.title in link.get_text() for link in box.select("a")), "its name says it in full"
    places = [box["style"] for box in drawn.select(".map-grid li.map-pill")]
    assert len(set(places)) == len(places) == len(entries()), "no box lies on another"


def test_cards_have_row_headers_and_formulas_that_are_folded(site: Path) -> None:
    for entry in (entry for entry in chapters() if entry.built):
        page = soup(site / f"{entry.page}.html")
        (card,) = page.select("table.chapter-card")
        for row in card.select("tr"):
            header, value = row.find_all(["th", "td"])
            assert (header.name, header["scope"], value.name) == ("th", "row", "td")
        assert card.caption.get_text().startswith(entry.short)
        (name,) = card.select("[lang=zh-Hans]")
        assert name.get_text() == entry.chinese["simplified"]
        folded = page.select("details.card-formulas")
        assert len(folded) == entry.ready
        assert all(panel.select(".math") and not panel.has_attr("open") for panel in folded)
        assert not card.select(".math:-soup-contains('frac')")


def test_no_page_leads_to_a_placeholder_and_each_says_once_why(site: Path) -> None:
    addresses = load(ROOT)
    lacking = placeholders(addresses)
    starts = tuple([addresses[name] for name in lacking] + ["https://colab.research.google.com/"] * bool(lacking))
    for path in pages(site):
        if path == site / "index.html":
            continue
        page = soup(path)
        assert starts == () or not [a["href"] for a in page.select("a[href]") if a["href"].startswith(starts)], path
        assert page.get_text().count(NOTE) == (1 if lacking else 0), path


def test_a_page_has_its_colours_without_a_script(site: Path) -> None:
    for path in documents(site):
        assert not soup(path).html.has_attr("data-theme"), path
        assert soup(path).body["data-default-mode"] == "auto", path
        assert 'getItem("theme") || (matchMedia(' in path.read_text(encoding="utf-8"), path


def test_the_table_of_choices_has_what_the_registry_says(site: Path) -> None:
    (table,) = soup(site / "book" / "choosing.html").select(".choices table")
    rows = [[" ".join(cell.get_text().split()) for cell in row.select("td")] for row in table.select("tbody tr")]
    known = entries()
    told = [entry for entry in known.values() if entry.when]
    assert len(told) >= 6
    plain = [
        [entry.short, entry.when, entry.when_not, ", ".join(known[name].short for name in entry.instead)]
        for entry in told
    ]
    assert [[cell.replace("’", "'") for cell in row] for row in rows] == plain
    assert len(table.select("td:first-child a.reference")) == len(told)


def test_every_number_that_circulates_has_its_anchor(site: Path) -> None:
    page = soup(site / "book" / "circulating.html")
    links = [link["href"] for link in page.select("article table a")]
    assert len(links) == len(set(links)) == len(page.select("article h3"))
    for link in links:
        (target,) = page.select(link)
        assert target.find_next("h3") is not None
        assert target.find_next("strong").get_text(strip=True)


def test_edit_and_issue_buttons_lead_to_the_source(site: Path) -> None:
    addresses = load(ROOT)
    if "repository" in placeholders(addresses):
        assert not [name for name in listed() if soup(site / f"{name}.html").select("[class*=btn-source-]")]
        return
    for name in listed():
        page = soup(site / f"{name}.html")
        source = ROOT / f"{name}{'.ipynb' if name.startswith('notebooks/') else '.md'}"
        edit = f"{addresses['repository']}/edit/{addresses['branch']}/{source.relative_to(ROOT)}"
        assert source.is_file()
        assert [link["href"] for link in page.select("a.btn-source-edit-button")] == [edit]
        issue = page.select_one("a.btn-source-issues-button")["href"]
        assert issue.startswith(f"{addresses['repository']}/issues/new?")


def test_what_chapters_import_is_on_the_pages_of_the_package(site: Path) -> None:
    shown = {part["id"] for path in (site / "book" / "api").glob("*.html") for part in soup(path).select("[id]")}
    names = {name for chapter in (ROOT / "notebooks").glob("*/*.ipynb") for name in imported(chapter)}
    assert len(names) > 5
    assert [each for each in names if {*each, *(f"module-{name}" for name in each)}.isdisjoint(shown)] == []


def imported(chapter: Path) -> set[tuple[str, str]]:
    """Return the full names of what a chapter imports from the package: as it does, and where they are defined."""
    code = "\n".join(cell.source for cell in nbformat.read(chapter, 4).cells if cell.cell_type == "code")
    plain = "\n".join(line for line in code.splitlines() if not line.lstrip().startswith(("%", "!")))
    parts = [node for node in ast.walk(ast.parse(plain)) if isinstance(node, ast.ImportFrom)]
    names = {f"{node.module}.{part.name}" for node in parts for part in node.names}
    return {(name, _home(name)) for name in names if name.startswith("attention.")}


def _home(name: str) -> str:
    module, _, part = name.rpartition(".")
    found = getattr(importlib.import_module(module), part, None)
    if found is None or inspect.ismodule(found):
        return importlib.import_module(name).__name__
    if not hasattr(found, "__module__"):  # a constant, which knows not where it is from
        return name
    return f"{found.__module__}.{found.__name__}"


def index(site: Path) -> dict[str, list[list[str]]]:
    """Return the sections of each page in the index of the search: id, title, prose, and what else is found."""
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    return dict(json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))["pages"])


def test_the_search_index_holds_every_page_and_leads_to_sections(site: Path) -> None:
    found = index(site)
    assert list(found) == listed(), "in the order of the contents"
    for name, sections in found.items():
        article = soup(site / f"{name}.html").select_one("article")
        ids = {part["id"] for part in article.select("[id]")}
        assert sections[0][0] == "", name
        assert [part for part, *_ in sections[1:] if part not in ids] == [], name
        assert all(title for _, title, *_ in sections), name


def test_the_search_index_holds_words_and_no_tex(site: Path) -> None:
    found = index(site).items()
    texts = {f"{name}#{part}": f"{text} {more}" for name, sections in found for part, _, text, more in sections}
    tex = re.compile(r"\\(?:frac|mathbb|operatorname|begin)\b")
    found = [place for place, text in texts.items() if tex.search(text) and not place.endswith(".latex")]
    assert found == [], "but what is said of a function that writes TeX"
    assert any("align_corners" in text for place, text in texts.items() if place.startswith("notebooks/spatial/stn#"))
    assert any("注意力" in text for text in texts.values())
    assert "excitation" in texts["book/glossary#term-Squeeze-and-Excitation"]


def test_the_search_quotes_prose_alone(site: Path) -> None:
    (about,) = [part for part in index(site)["notebooks/channel/se"] if part[0] == "the-steps-become-a-class"]
    assert about[2].startswith("The block of the package is the same function")
    assert "def forward" not in about[2]
    assert "def forward" in about[3]


def test_the_search_is_loaded_on_its_own_page_alone(site: Path) -> None:
    names = ("searchtools.js", "language_data.js", "searchindex.js")
    for path in pages(site):
        loaded = [script["src"] for script in soup(path).select("script[src]") if script["src"].endswith(names)]
        assert len(loaded) == (3 if path.name == "search.html" else 0), path


@pytest.mark.parametrize("name", CHAPTERS)
def test_an_exercise_is_one_closed_panel(site: Path, name: str) -> None:
    """It holds the text, the cell to work in, a hint and the solution; nothing of it stands outside."""
    article = soup(site / f"{name}.html").select_one("article")
    exercises = article.select("details.exercise")
    assert len(exercises) >= 5
    for exercise in exercises:
        number = re.match(r"Exercise \d+\.\d+", exercise.summary.get_text())[0]
        assert not exercise.has_attr("open")
        assert exercise.select(".cell_input pre")
        named = [panel.summary.get_text() for panel in exercise.select("details")]
        assert {text[: text.index(number)] for text in named} == {"Hint to ", "Solution to "}, number
    assert len(article.select("details.solution")) == len(exercises)


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_summary_in_chinese_says_so(site: Path, name: str) -> None:
    (summary,) = soup(site / f"{name}.html").select("article details[lang=zh]")
    assert re.search("[\u4e00-\u9fff]{2}", summary.summary.get_text())


def test_every_header_of_a_table_has_words(site: Path) -> None:
    corners = 0
    for path in pages(site):
        article = soup(path).select_one("article")
        for cell in article.select("th") if article else []:
            for formula in cell.select(".math"):
                formula.extract()
            assert cell.get_text().strip(), (path, cell)
        corners += len(article.select("thead td:empty")) if article else 0
    assert corners, "a table of which the first column is names has an empty corner, and no empty header"


def test_mathjax_is_loaded_where_there_are_formulas_and_nowhere_else(site: Path) -> None:
    with_formulas = 0
    for path in pages(site):
        page = soup(path)
        assert bool(page.select("script[src*='mathjax']")) == bool(page.select(".math")), path
        with_formulas += bool(page.select(".math"))
    assert 5 < with_formulas < len(pages(site))


def test_each_line_of_code_is_an_element(site: Path) -> None:
    blocks = [pre for path in documents(site) for pre in soup(path).select("article div.highlight > pre")]
    assert len(blocks) > 100
    for pre in blocks:
        rows = [line.get_text() for line in pre.select(":scope > .line")]
        assert "".join(rows) == pre.get_text()
        assert all(row.count("\n") == 1 and row.endswith("\n") for row in rows)


def test_the_site_is_small(site: Path) -> None:
    mathjax = sum(path.stat().st_size for path in (site / "_static" / "mathjax").rglob("*") if path.is_file())
    assert mathjax < 1.5e6, "MathJax is trimmed to what the pages load"
    assert not list((site / "_static").rglob("fontawesome*")), "icons are outlines in the style sheet"


def test_a_page_makes_few_requests(site: Path) -> None:
    for path in pages(site):
        assert len(requests(path)) <= 25, (path, requests(path))


#: What formulas of the chapters are set in; the test in the browser counts what is really loaded.
FONTS = (
    *("AMS-Regular", "Main-Regular", "Math-Italic"),
    *("Size1-Regular", "Size2-Regular", "Size3-Regular", "Size4-Regular", "Zero"),
)


def test_a_chapter_weighs_little(site: Path) -> None:
    """HTML, scripts, styles and fonts; the data of explorers, which are results, are counted apart."""
    folder = site / "_static" / "mathjax" / "output" / "chtml" / "fonts" / "woff-v2"
    fonts = sum((folder / f"MathJax_{name}.woff").stat().st_size for name in FONTS)
    for name in (name for name in listed() if name.startswith("notebooks/")):
        path = site / f"{name}.html"
        code = [each for each in requests(path) if each.suffix in (".js", ".css")]
        assert {each.name for each in code} >= {"site.css", "site.js"}
        data = sum(len(part.get_text().encode()) for part in soup(path).select("script[type='application/json']"))
        weight = sum(each.stat().st_size for each in (path, *code)) + fonts - data
        assert weight <= 1.5e6, (name, weight)
        assert data <= 300e3, (name, data)


def requests(path: Path) -> list[Path]:
    """List the files that a page asks for before it is scrolled: itself, styles, scripts, pictures at its top."""
    page = soup(path)
    addresses = [part["src"] for part in page.select("script[src], img[src]:not([loading=lazy])")]
    addresses += [part["href"] for part in page.select("link[rel=stylesheet], link[rel=icon], link[rel=preload]")]
    files = [
        (path.parent / urlsplit(address).path).resolve() for address in addresses if not address.startswith("data:")
    ]
    return [path, *dict.fromkeys(files)]


def test_nothing_on_a_page_hangs_on_a_style_that_was_left_out(site: Path) -> None:
    """The rules for what a page shows are still there; those for what no page shows are not."""
    style = (site / "_static" / "site.css").read_text(encoding="utf-8")
    for kept in (
        ".chapter-card",
        ".cell_input",
        ".attention-live",
        ".al-map .al-symbol",
        ".theme-switch",
        ".tooltip-inner",
        ".copybtn",
    ):
        assert kept in style, kept
    for left in (".carousel", ".accordion", ".fa-bars:before", "fa-solid-900", ".toast"):
        assert left not in style, left


def test_every_icon_has_an_outline(site: Path) -> None:
    style = (site / "_static" / "site.css").read_text(encoding="utf-8")
    families = ("fa-solid", "fa-regular", "fa-brands", "fa-lg")
    names = {
        name
        for path in pages(site)
        for icon in soup(path).select("[class*=fa-]")
        for name in icon["class"]
        if name.startswith("fa-") and name not in families
    }
    assert len(names) > 10
    for name in names:
        assert f".{name}{{--icon:var(--icon-{name.removeprefix('fa-')})}}" in style
        assert f"--icon-{name.removeprefix('fa-')}:url(" in style


def test_names_of_folded_parts_tell_them_apart(site: Path) -> None:
    for name in (name for name in listed() if name.startswith("notebooks/")):
        article = soup(site / f"{name}.html").select_one("article")
        names = [
            part.get_text(" ", strip=True)
            for part in article.select("details.fold > summary, details.admonition > summary")
        ]
        assert len(names) == len(set(names)) > 10, name
        assert not article.select("details.admonition[open], .admonition.dropdown:not(details)"), name
        exercises = [title.get_text() for title in article.select(".exercise .caption-number")]
        assert [each for each in exercises if f"Hint to {each.strip()}" not in names] == []


def test_the_contents_are_open_where_the_page_is(site: Path) -> None:
    for path in documents(site):
        parts = soup(path).select(".bd-links details.part")
        assert len(parts) > 5
        current = [part for part in parts if part.select_one("li.current")]
        assert [part for part in parts if part.has_attr("open")] == current
        assert len(current) == (path.stem != "intro")


def test_the_results_on_accessibility_are_those_of_the_pages(site: Path) -> None:
    """Every page was looked at and none has a serious finding; colours have the contrast that the page states."""
    from tools.testing.accessibility import RESULTS, contrasts

    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert list(results["pages"]) == [*listed(), "search", "404"], "run `make accessibility`"
    impacts = {finding["impact"] for about in results["pages"].values() for finding in about["findings"].values()}
    assert impacts <= {"moderate", "minor"}
    assert results["contrast"] == contrasts(site)
    assert [row for row in results["contrast"] if min(row["light"], row["dark"]) < row["least"]] == []
    assert {"axe-core", "Chromium"} <= set(results["versions"])
    text = soup(site / "book" / "accessibility.html").select_one("article").get_text()
    assert [name for name in results["pages"] if name not in text] == []
    assert results["date"] in text


@pytest.mark.parametrize(
    "text",
    [
        ":::{note}",
        "see {eq}`se-1`",
        "a number :math:<code>K</code>",
        "see :func:`capture`",
        "$$ x $$",
        r"the gate \sigma(z)",
        "the gate $s_c = 1$",
        "[a page](idea.md)",
        "(se-target)=",
        "**bold**",
        "{{ name }}",
    ],
)
def test_raw_source_is_noticed(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<article><p>{text}</p></article>", encoding="utf-8")
    assert len(leftovers(page)) == 1


def test_what_may_look_like_source_is_not_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<article><pre>x = {eq}`a`</pre><code>**kw</code><p>2 ** 3, 5 $ and 6 $, {a, b}</p>"
        r'<span class="math">$$ x $$</span></article>',
        encoding="utf-8",
    )
    assert leftovers(page) == []


def test_faults_of_a_page_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<a href="nowhere.html">a</a><a href="#nothing">b</a><a href="../outside.html">c</a><img src="x.png">'
        '<a href="#here">d</a><p id="here"></p><a href="https://arxiv.org/">e</a>'
        '<div class="math" id="equation-a">x</div>'
        '<div class="math" id="equation-b"><span class="eqno">(1.2)</span>x</div>'
        '<div class="math" id="equation-c"><span class="eqno">(1.2)</span>x</div>',
        encoding="utf-8",
    )
    (tmp_path.parent / "outside.html").write_text("", encoding="utf-8")
    assert len(broken_links(page, tmp_path)) == 4
    assert len(images_without_alt(page)) == 1
    assert len(unnumbered(page)) == 2
