"""The built pages, read as files: links, formulas' numbers, alt text, and nothing of the source left raw."""

import ast
import importlib
import inspect
from pathlib import Path

import nbformat
import pytest
import yaml
from attention_book.addresses import load

from attention.registry import FAMILIES, chapters
from tests.book.conftest import ROOT
from tests.book.reading import broken_links, documents, images_without_alt, leftovers, pages, soup, unnumbered


def listed() -> list[str]:
    """Return the names of all pages in the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    pages = [page for part in toc["parts"] for page in part["chapters"]]
    return [toc["root"], *(each["file"] for page in pages for each in (page, *page.get("sections", ())))]


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
    assert page.select("h1")
    assert not page.select("script, img, link")
    assert [link["href"] for link in page.select("a")] == [
        f"{load(ROOT)['site']}/{name}" for name in ("", "search.html")
    ]


def test_the_first_page_says_which_chapters_are_written(site: Path) -> None:
    (table,) = soup(site / f"{listed()[0]}.html").select("article table")
    rows = [[cell.get_text().strip() for cell in row.select("td")] for row in table.select("tbody tr")]
    assert [family for family, *_ in rows] == list(FAMILIES.values())
    columns = zip(*(names for _, *names in rows), strict=True)
    found = [[name for names in column for name in names.split(", ") if name != "–"] for column in columns]
    for names, status in zip(found, ("ready", "block", "planned"), strict=True):
        assert names == [entry.short for entry in chapters() if entry.status == status]
    assert len(table.select("a.reference")) == len(found[0]) + len(found[1])


def test_edit_and_issue_buttons_lead_to_the_source(site: Path) -> None:
    addresses = load(ROOT)
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


def test_the_search_index_knows_excitation(site: Path) -> None:
    assert '"excit"' in (site / "searchindex.js").read_text(encoding="utf-8"), "the stem of 'excitation'"


def test_the_site_is_small(site: Path) -> None:
    mathjax = sum(path.stat().st_size for path in (site / "_static" / "mathjax").rglob("*") if path.is_file())
    assert 1e6 < mathjax < 3e6, "MathJax is trimmed to what the pages load"


@pytest.mark.parametrize(
    "text",
    [
        ":::{note}",
        "see {eq}`se-1`",
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
