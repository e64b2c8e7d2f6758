"""The book's own Sphinx extension, on a small book of its own: what it does, and what it refuses."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from shutil import rmtree
from typing import Any

import nbformat
import pytest
from attention_book.addresses import NOTE, colab, load
from attention_book.api import lower_roles
from attention_book.descriptions import PREVIEW, describe
from attention_book.equations import broken, width
from attention_book.lines import lines
from attention_book.mathjax import EXTENSIONS, source
from attention_book.missing import from_the_top
from attention_book.search import plain
from bs4 import BeautifulSoup
from docutils import nodes
from docutils.utils import new_document
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sphinx.errors import ConfigError

from attention.registry import FAMILIES, chapters, entries, entry
from tests.book.conftest import ROOT
from tools.chapters import METADATA, settings
from tools.publishing.site import broken_links

#: One pixel; the page must state its size.
DOT = "R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
SETTINGS = """
site = "https://book.example.org/here/"
repository = "https://github.com/someone/book"
branch = "main"
pages = "gh-pages"
"""
CONF = """
extensions = ["myst_nb", "attention_book"]
html_theme = "sphinx_book_theme"
html_theme_options = {
    "navbar_persistent": [], "use_edit_page_button": True, "use_issues_button": True, "use_repository_button": True,
}
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "dollarmath", "fieldlist"]
autodoc2_packages = [{"path": "package", "module": "attention", "auto_mode": False}]
autodoc2_render_plugin = "myst"
autodoc2_index_template = None
autodoc2_class_docstring = "both"
autodoc2_hidden_objects = ["dunder", "private", "inherited", "undoc"]
"""
MODULE = '''
"""A module with a formula: $$ y = x $$

>>> double(x)
tensor(2.)
"""

from torch import Tensor, nn

__all__ = ["LIMIT", "Block", "Plain", "double"]

#: How far it goes,
#: at most.
LIMIT = 3


class _Base(nn.Module):
    """A base that nobody sees."""


class Block(_Base):
    """A block.

    :param width: see :data:`LIMIT` and :meth:`run`, and what is not shown, :func:`_hidden`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()

    def run(self, x: Tensor) -> Tensor:
        """Run it."""


class Plain(nn.Module):
    """A block without a constructor of its own."""


def double(x: Tensor) -> Tensor:
    """Double it.

    :param x: what is doubled, $x$.
    :returns: $2x$.
    :raises ValueError: never.
    """


def _hidden() -> None:
    """Hide."""


def unlisted() -> None:
    """Nobody lists it."""
'''
CARD = """\
<!-- card: begin -->
[![Open in Colab](badge.svg)](https://colab.research.google.com/github/someone/book/blob/gh-pages/a)

| SE | in short |
|:--|:--|
| **Year** | 2018 |
<!-- card: end -->

| a | b |
|--|--|
| 1 | 2 |
"""


def picture(**about: Any) -> Any:
    """Make an output as ``attention.lab.style.show`` does."""
    data = {"image/gif": DOT, "text/plain": "a dot"}
    return new_output("display_data", data=data, metadata={"image/gif": about} if about else {})


def caption(text: str) -> Any:
    """Make an output as ``attention.lab.style`` does for a caption."""
    data = {"text/markdown": text, "text/plain": "Figure"}
    return new_output("display_data", data=data, metadata={"text/markdown": {"caption": True}})


FOLDED = "Draw <two> dots"


def small_book(
    folder: Path, outputs: list[Any], module: str = MODULE, api: str = "attention", settings: str = SETTINGS
) -> Path:
    """Write a book with one chapter and an API page. A code cell has the given outputs, another is folded."""
    chapter = folder / "notebooks" / "channel" / "se.ipynb"
    chapter.parent.mkdir(parents=True)
    shutil.copy(ROOT / "book" / "_static" / "open-in-colab.svg", chapter.parent / "badge.svg")
    about = {"tags": ["hide-input"], "mystnb": {"code_prompt_show": FOLDED}}
    cells = [
        new_markdown_cell(f"# SE\n\n{CARD}\n\n$x$"),
        new_code_cell("secret()", metadata={"tags": ["setup", "remove-cell"]}),
        new_code_cell("show()", execution_count=1, outputs=outputs),
        new_markdown_cell("## Later"),
        new_code_cell("draw()", execution_count=2, outputs=[picture(alt="A late dot", width=30)], metadata=about),
    ]
    chapter.write_text(nbformat.writes(new_notebook(cells=cells, metadata=METADATA)), encoding="utf-8")
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text(module, encoding="utf-8")
    (folder / "conf.py").write_text(CONF, encoding="utf-8")
    (folder / "settings.toml").write_text(settings, encoding="utf-8")
    toctree = ":::{toctree}\nnotebooks/channel/se\napi\n:::"
    forms = ":::{mechanisms}\n:cards:\n:::\n\n:::{mechanisms}\n:map:\n\nThe caption.\n:::"
    (folder / "index.md").write_text(f"# Book\n\n{forms}\n\n{toctree}\n", encoding="utf-8")
    (folder / "api.md").write_text(f"# The API\n\n:::{{api}} {api}\n:::\n", encoding="utf-8")
    return folder


def build(folder: Path, *, path: list[str] | None = None) -> tuple[int, str]:
    """Build it strictly; with ``path``, by an interpreter that sees only these folders and the standard library."""
    search = [str(ROOT), str(ROOT / "book" / "_ext"), *(path or [])]
    flags = ["-S"] if path else []
    command = [sys.executable, *flags, "-m", "sphinx", "-b", "html", "-W", "-n", "--keep-going", ".", "out"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(search)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def read(folder: Path, page: str) -> BeautifulSoup:
    return BeautifulSoup((folder / "out" / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    explorer = new_output("display_data", data={"text/html": '<div class="explorer">.</div>', "text/plain": "."})
    printed = new_output("stream", name="stdout", text="printed")
    outputs = [picture(alt="A dot", width=40), picture(alt="A wide dot", width=900, scroll=True)]
    outputs += [caption("**Figure 1.** A *wide* dot, $x$."), explorer, printed, caption("**Figure 2.** It moves.")]
    folder = small_book(tmp_path_factory.mktemp("book"), outputs)
    status, text = build(folder)
    assert status == 0, text
    return folder


def test_figures_of_one_cell_keep_their_own_alt_text(book: Path) -> None:
    figures = read(book, "notebooks/channel/se").select("article img.figure-face")
    assert [figure["alt"] for figure in figures] == ["A dot", "A wide dot", "A late dot"]
    assert [figure.find_parent(class_="scroll") is not None for figure in figures] == [False, True, False]
    widths = [figure["style"] for figure in figures]
    assert all(f"{width}px" in style for width, style in zip((40, 675, 30), widths, strict=True))


def test_a_caption_is_in_the_figure_once(book: Path) -> None:
    page = read(book, "notebooks/channel/se").select_one("article")
    wide, explorer = page.select("figure.captioned")
    assert [image["alt"] for image in page.select("figure img")] == ["A wide dot"]
    assert explorer.select_one("div.explorer")
    said = [figure.select_one("figcaption").get_text() for figure in (wide, explorer)]
    assert said == ["Figure 1. A wide dot, \\(x\\).", "Figure 2. It moves."]
    assert wide.select_one("figcaption strong").get_text() == "Figure 1."
    assert wide.select("figcaption em, figcaption .math"), "its Markdown is the book's"
    assert page.get_text().count("It moves.") == page.get_text().count("Figure 1.") == 1
    assert wide.select_one(".scroll") is not None
    assert wide.select_one(".scroll figcaption") is None, "a caption does not scroll away"


def test_a_caption_without_a_figure_fails_the_build(tmp_path: Path) -> None:
    status, text = build(small_book(tmp_path, [caption("**Figure 1.** Nothing.")]))
    assert status != 0
    assert "a caption has no figure above it" in text


def test_images_have_a_size_and_late_ones_come_late(book: Path) -> None:
    images = read(book, "notebooks/channel/se").select("article img.figure-face")
    assert [(image["width"], image["height"]) for image in images] == [("40", "40"), ("675", "675"), ("30", "30")], (
        "the second would be higher than a screen"
    )
    assert [image.get("loading") for image in images] == [None, None, "lazy"]
    assert {image.get("decoding") for image in images} == {"async"}


def drawing(side: int, colour: str = "#0072b2") -> str:
    ground = f'<g class="ground"><path d="M0 0h{side}" style="fill:#ffffff"/></g>'
    size = f'width="{side}" height="{side}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{ground}<path d="M0 0h9" style="fill:{colour}"/></svg>'


def test_a_drawing_has_two_faces_and_so_has_its_form_for_phones(tmp_path: Path) -> None:
    about = {"alt": "A line", "width": 900, "scroll": True, "narrow": {"svg": drawing(1000), "width": 350}}
    data = {"image/svg+xml": drawing(400), "text/plain": "[figure]"}
    made = new_output("display_data", data=data, metadata={"image/svg+xml": about})
    status, text = build(small_book(tmp_path, [made, caption("**Figure 1.** A line.")]))
    assert status == 0, text
    images = read(tmp_path, "notebooks/channel/se").select("article figure img")
    kinds = [{*image["class"]} & {"only-wide", "only-narrow", "face-light", "face-dark"} for image in images]
    assert kinds == [{one, other} for one in ("only-wide", "only-narrow") for other in ("face-light", "face-dark")]
    assert [(image["width"], image["height"]) for image in images] == [("840", "840")] * 2 + [("350", "350")] * 2
    assert {image["alt"] for image in images} == {"A line"}
    assert {image["loading"] for image in images} == {"lazy"}, "the hidden ones never come"
    files = [
        (tmp_path / "out" / "notebooks" / "channel" / image["src"]).read_text(encoding="utf-8") for image in images
    ]
    assert not [file for file in files if 'class="ground"' in file]
    assert ["#0072b2" in file for file in files] == [True, False] * 2


def test_a_folded_cell_is_a_closed_panel_with_its_title(book: Path) -> None:
    (panel,) = read(book, "notebooks/channel/se").select("article details")
    assert not panel.has_attr("open")
    summary = panel.select_one("summary")
    assert summary.get_text(" ", strip=True) == f"Code {FOLDED}"
    assert not summary.has_attr("aria-label"), "the text that is seen is its name"
    assert panel.select_one("pre").get_text().strip() == "draw()"
    assert panel.select("img") == [], "what the cell shows stays open"


def test_the_set_up_cell_is_not_on_the_page(book: Path) -> None:
    assert "secret" not in read(book, "notebooks/channel/se").get_text()


def test_a_figure_without_alt_text_and_an_unknown_module_fail_the_build(tmp_path: Path) -> None:
    status, text = build(small_book(tmp_path, [picture(width=40)], api="attention.nothing"))
    assert status != 0
    assert "a figure has no alt text" in text
    assert "nothing public at or below attention.nothing" in text


def test_the_launch_button_is_on_chapters_only(book: Path) -> None:
    expected = "https://colab.research.google.com/github/someone/book/blob/gh-pages/colab/channel/se.ipynb"
    button = read(book, "notebooks/channel/se").select("a.btn-launch-colab")
    assert [link["href"] for link in button] == [expected]
    assert not read(book, "index").select("a.btn-launch-colab")


def test_nothing_leads_to_a_placeholder(tmp_path: Path) -> None:
    settings = SETTINGS.replace("someone", "your_name")
    folder = small_book(tmp_path, [picture(alt="A dot")], settings=settings)
    page = folder / "index.md"
    links = "[the sources](https://github.com/your_name/book/issues), [ours](https://github.com/someone/else)"
    page.write_text(f"{page.read_text(encoding='utf-8')}\n{links}\n", encoding="utf-8")
    chapter = folder / "notebooks" / "channel" / "se.ipynb"
    chapter.write_text(chapter.read_text(encoding="utf-8").replace("someone", "your_name"), encoding="utf-8")
    status, text = build(folder)
    assert status == 0, text
    for name in ("index", "notebooks/channel/se", "api", "404"):
        assert not [link["href"] for link in read(folder, name).select("a[href]") if "your_name" in link["href"]]
        assert not read(folder, name).select("img[alt='Open in Colab'], [class*=btn-source-]")
        assert read(folder, name).get_text().count(NOTE) == 1
    said = read(folder, "index").select_one("article")
    assert "the sources, ours" in said.get_text(), "the words stay"
    assert said.select("a[href='https://github.com/someone/else']")


def test_what_leads_to_the_sources_comes_with_the_address(book: Path) -> None:
    for name, suffix in (("index", "md"), ("notebooks/channel/se", "ipynb")):
        page = read(book, name)
        edit = [link["href"] for link in page.select("a.btn-source-edit-button")]
        assert edit == [f"https://github.com/someone/book/edit/main/{name}.{suffix}"]
        assert page.select("a.btn-source-issues-button, a.btn-source-repository-button")
        assert NOTE not in page.get_text()
    badge = read(book, "notebooks/channel/se").select_one("article a:has(> img[alt='Open in Colab'])")
    assert badge["href"].startswith("https://colab.research.google.com/github/someone/book/")


def test_the_page_for_wrong_addresses_starts_from_the_top(book: Path) -> None:
    page = read(book, "404")
    places = [place.get("href") or place.get("src") for place in page.select("[href], [src]")]
    assert all(place.startswith(("/here/", "#", "https://")) for place in places), places
    assert {"/here/index.html", "/here/search.html"} <= set(places)
    assert page.html["data-content_root"] == "/here/"
    assert broken_links(book / "out" / "404.html", book / "out", "/here/") == []
    assert broken_links(book / "out" / "404.html", book / "out", "/") != []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('<a href="a/b.html#c">', '<a href="/top/a/b.html#c">'),
        ('<form action="search.html">', '<form action="/top/search.html">'),
        ('<html data-content_root="./">', '<html data-content_root="/top/">'),
        ('<a href="#c">', '<a href="#c">'),
        ('<a href="https://a.b/">', '<a href="https://a.b/">'),
        ('<img src="data:image/png,x">', '<img src="data:image/png,x">'),
    ],
)
def test_addresses_that_are_relative_are_moved(old: str, new: str) -> None:
    assert from_the_top(old, "/top/") == new


def test_the_card_has_row_headers_and_no_other_table_has(book: Path) -> None:
    tables = read(book, "notebooks/channel/se").select("article table")
    assert ["chapter-card" in table["class"] for table in tables] == [True, False]
    assert [len(table.select("th[scope=row]")) for table in tables] == [1, 0]
    (row,) = tables[0].select("tr")
    assert [cell.get_text() for cell in row.find_all(["th", "td"])] == ["Year", "2018"]
    assert tables[0].caption.get_text() == "SE in short"


def test_the_cards_link_to_what_is_written(book: Path) -> None:
    page = read(book, "index")
    (card,) = page.select(".are-chapters > .mechanism-card")
    assert card.select_one(".mechanism-state").get_text() == f"SE, {entries()['se'].year} · channel attention"
    assert [link["href"] for link in card.select("a.reference")] == ["notebooks/channel/se.html"]
    others = page.select("details.mechanism-rest .mechanism-card")
    left = [each.title for family in FAMILIES for each in chapters() if each.family == family and each.name != "se"]
    assert [other.select_one(".mechanism-name").get_text() for other in others] == left
    assert all(other.select_one(".mechanism-state").get_text().endswith("planned") for other in others)
    assert page.select_one("details.mechanism-rest > summary").get_text() == f"More mechanisms: {len(left)} planned"
    assert page.select("details.mechanism-rest a.reference") == [], "no page of a block is in this small book"


def test_the_map_links_to_what_is_written_and_has_its_caption(book: Path) -> None:
    (drawn,) = read(book, "index").select("figure.mechanism-map")
    assert [link.get_text() for link in drawn.select("a")] == ["SE: Squeeze-and-Excitation, chapter"]
    assert len(drawn.select(".map-grid li.map-pill")) == len(entries())
    assert drawn.figcaption.get_text().strip() == "The caption."


def test_a_form_of_the_mechanisms_must_be_chosen(tmp_path: Path) -> None:
    folder = small_book(tmp_path, [picture(alt="A dot")])
    page = folder / "index.md"
    page.write_text(page.read_text(encoding="utf-8").replace(":cards:\n", ""), encoding="utf-8")
    status, text = build(folder)
    assert status != 0
    assert "choose one of :cards:, :map:, :api:" in text


def test_mathjax_is_on_the_site(book: Path) -> None:
    page = read(book, "notebooks/channel/se")
    source = [script["src"] for script in page.select("script[src*=mathjax]")]
    assert [(book / "out" / "notebooks" / "channel" / path.partition("?")[0]).resolve().is_file() for path in source]
    assert not [script for script in source if script.startswith("http")]
    assert list((book / "out" / "_static" / "mathjax" / "output" / "chtml" / "fonts").rglob("*.woff"))


def test_mathjax_brings_what_it_may_ask_for(book: Path) -> None:
    """A formula with ``\\cancel`` loads an extension when it is first met: all of those are there, and no other."""
    folder = book / "out" / "_static" / "mathjax"
    asked = re.search(
        r"autoload:\(0,\w\.expandable\)\(\{(.*?)\}\)", (folder / "tex-chtml.js").read_text(encoding="utf-8")
    )[1]
    names = re.findall(r"(?:^|,)(\w+):\[", asked)
    assert {"boldsymbol", "cancel", "color", "verb"} < set(names)
    assert sorted(path.stem for path in (folder / "input" / "tex" / "extensions").iterdir()) == sorted(names)
    assert names == list(EXTENSIONS)
    for page in [*ROOT.glob("notebooks/*/*.ipynb"), *ROOT.glob("book/**/*.md"), *ROOT.glob("attention/**/*.py")]:
        assert r"\require" not in page.read_text(encoding="utf-8"), f"{page}: the others cannot be asked for"


def test_every_font_that_a_page_may_show_is_there(book: Path) -> None:
    fonts = (book / "out" / "_static" / "mathjax" / "output" / "chtml" / "fonts" / "woff-v2").iterdir()
    assert {path.name for path in fonts} == {path.name for path in (source() / "output/chtml/fonts/woff-v2").iterdir()}


def test_what_no_page_loads_is_left_out(book: Path) -> None:
    static = book / "out" / "_static"
    assert not [path for path in static.rglob("*") if path.suffix in (".map", ".ttf")]
    assert not (static / "locales").exists()
    assert not list(static.rglob("fontawesome*"))
    for name in ("index", "notebooks/channel/se", "api"):
        assert broken_links(book / "out" / f"{name}.html", book / "out") == []


def test_previews_show_the_card_and_say_what_a_page_is_about(book: Path) -> None:
    seen = {}
    for name in ("index", "notebooks/channel/se", "api"):
        head = read(book, name).head
        about = {tag["property"]: tag["content"] for tag in head.select("meta[property^='og:']")}
        assert about["og:image"] == "https://book.example.org/here/_static/card.png", "absolute: no preview resolves it"
        assert (about["og:image:width"], about["og:image:height"]) == ("1200", "630")
        assert "five feature maps" in about["og:image:alt"]
        assert about["og:url"] == f"https://book.example.org/here/{name}.html"
        assert [tag["content"] for tag in head.select("meta[name='twitter:card']")] == ["summary_large_image"]
        seen[name] = (about["og:title"], about.get("og:description"), about["og:type"])
    assert seen["index"][0] == "Book"
    assert seen["notebooks/channel/se"] == ("SE", entry("se").idea, "article")
    assert seen["index"][2] == "website"


def test_the_card_is_where_the_previews_look_for_it() -> None:
    assert (ROOT / "book" / PREVIEW).is_file()


def test_the_api_page_shows_what_is_public(book: Path) -> None:
    page = read(book, "api").select_one("article")
    names = [name.get_text() for name in page.select("dt.sig .descname")]
    assert names == ["LIMIT", "Block", "run", "Plain", "double"]
    text = page.get_text(" ", strip=True)
    assert "How far it goes, at most." in " ".join(text.split())
    assert not {"Bases", "_Base", ":data:", ":func:", ":meth:"} & set(text.replace("(", " ").split())
    assert page.select("dl.field-list"), "field lists are rendered"
    assert [example.get_text() for example in page.select("div.highlight pre")] == [">>> double(x)\ntensor(2.)\n"]
    assert not page.select("blockquote")
    assert len(page.select(".math")) == 3, "and so are formulas"
    targets = {link["href"] for link in page.select("a.reference.internal")}
    assert {"#attention.LIMIT", "#attention.Block.run"} <= targets
    assert "_hidden" in [code.get_text() for code in page.select("dd code")]


def test_the_api_page_needs_no_torch(book: Path, tmp_path: Path) -> None:
    """Build it again where neither torch nor anything that rests on it can be found; the page is the same."""
    hidden = ("torch", "functorch", "jaxtyping", "einops", "matplotlib", "sympy", "numpy", "scipy")
    visible = tmp_path / "site-packages"
    visible.mkdir()
    for found in Path(nbformat.__file__).parents[1].iterdir():
        if not found.name.startswith(hidden):
            (visible / found.name).symlink_to(found)
    again = small_book(tmp_path / "book", [picture(alt="A dot")])
    status, text = build(again, path=[str(visible)])
    assert status == 0, text
    assert str(read(again, "api").select_one("article")) == str(read(book, "api").select_one("article"))


@pytest.mark.parametrize(
    ("source", "description"),
    [
        ("One sentence. Another\none.", "One sentence. Another one."),
        ("A paragraph " * 12 + "ends. " + "The next one " * 9, ("A paragraph " * 12).strip() + " ends."),
        ("Short. " + "long " * 60, "Short. " + ("long " * 38).strip() + "…"),
        ("", ""),
    ],
)
def test_a_page_is_described_by_its_first_plain_paragraph(source: str, description: str) -> None:
    page = new_document("page")
    formula = nodes.paragraph("", "", nodes.math("", "x"), nodes.Text(" is a formula."))
    listed = nodes.bullet_list("", nodes.list_item("", nodes.paragraph("", "In a list.")))
    page += [formula, listed, nodes.paragraph("", source)]
    assert describe(page) == description


def test_roles_are_written_as_myst_does() -> None:
    known = {"a.b.run", "a.b.Block", "a.b.Block.run"}
    assert lower_roles(":meth:`run`", "a.b.Block", known) == "{py:meth}`run <a.b.Block.run>`"
    assert lower_roles(":py:func:`run`", "a.b.other", known) == "{py:func}`run <a.b.run>`"
    assert lower_roles(":func:`wrong`", "a.b", known) == "{py:func}`wrong`", "Sphinx warns of it"
    assert lower_roles(r"with :math:`x \in X`", "a.b", known) == r"with $x \in X$"
    assert lower_roles("{py:func}`run`: a `:param x:`", "a.b", known) == "{py:func}`run`: a `:param x:`"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SETTINGS.replace("site", "where"), "site missing"),
        (SETTINGS.replace('"main"', '""'), "branch missing"),
        (SETTINGS.replace("github.com", "elsewhere.example"), "is not on https://github.com/"),
        (None, "is missing"),
    ],
)
def test_settings_are_checked(tmp_path: Path, text: str | None, problem: str) -> None:
    if text is not None:
        (tmp_path / "settings.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        load(tmp_path)


def test_settings_agree_with_those_of_the_tools() -> None:
    assert colab(load(ROOT), "notebooks/channel/se") == settings(ROOT).colab(entry("se"))


def test_only_chapters_have_a_colab_edition() -> None:
    addresses = load(ROOT)
    assert colab(addresses, "book/idea") is None
    assert colab(addresses, "notebooks/readme") is None


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        ("a = b, \\qquad c = d", "a = b, \\qquad c = d"),  # short
        (
            "z_c = \\sum_i u_i, \\qquad s = \\sigma(W_2 z),\n \\qquad x = s u",
            "\\begin{aligned}\nz_c &= \\sum_i u_i, \\\\[0.4em]\ns &= \\sigma(W_2 z), \\\\[0.4em]\nx &= s u\n"
            "\\end{aligned}",
        ),
        (
            "\\sum_{k=1} a_k = b, \\quad \\text{where } c",
            "\\begin{gathered}\n\\sum_{k=1} a_k = b, \\\\[0.4em]\n\\text{where } c\n\\end{gathered}",
        ),
        (
            "\\begin{aligned} a &= b \\qquad c \\end{aligned}, \\left( d \\qquad e \\right)",
            "\\begin{aligned} a &= b \\qquad c \\end{aligned}, \\left( d \\qquad e \\right)",
        ),
        ("a = b, \\qquad c = d \\tag{1}", "a = b, \\qquad c = d \\tag{1}"),
    ],
)
def test_long_equations_stand_on_a_line_each(tex: str, expected: str) -> None:
    assert broken(tex, limit=10) == expected


def test_the_width_of_a_formula_is_that_of_what_is_seen() -> None:
    assert width(r"\mathbf{x}") == width("x") == 1
    assert width(r"\sigma") == 1
    assert width(r"\operatorname{softmax}(x)") == 10
    assert width("x^{ab}") == 2
    assert width(r"\left( x \right)") == 3


def test_lines_are_elements_and_the_text_stays() -> None:
    markup = '<span class="k">def</span> f(x):\n\n    <span class="k">return</span> x &lt; 1\n'
    found = BeautifulSoup(f"<pre>{lines(markup)}</pre>", "html.parser")
    assert found.get_text() == BeautifulSoup(f"<pre>{markup}</pre>", "html.parser").get_text()
    assert [line.get("style") for line in found.select(".line")] == [None, None, "--indent:4"]


def test_a_block_whose_elements_span_lines_is_left_as_it_is() -> None:
    markup = '<span class="s">a\nb</span>\n'
    assert lines(markup) == markup


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        ("C", "C"),
        (r"\sigma(z_1)", "σ(z1)"),
        (r"\Lambda", "Λ"),
        (r"H \times W", "H × W"),
        (r"x \in \mathbb{R}", "x ∈ ℝ"),
        (r"\mathrm{Freq}", "Freq"),
        (r"\frac{1}{2}", "…"),
        ("x^2", "…"),
        (r"\tilde x", "…"),
    ],
)
def test_formulas_are_quoted_without_tex(tex: str, text: str) -> None:
    assert plain(tex) == text


def test_the_index_holds_sections_and_what_an_earlier_build_found(tmp_path: Path) -> None:
    def index() -> dict[str, list[list[str]]]:
        text = (folder / "out" / "searchindex.js").read_text(encoding="utf-8")
        return dict(json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))["pages"])

    folder = small_book(tmp_path, [])
    page = folder / "more.md"
    page.write_text(
        "---\norphan: true\n---\n# One\n\nFirst $x^2$.\n\n$$ y $$\n\n## Two\n\n通道注意力\n\n```\ncode\n```\n"
    )
    assert build(folder)[0] == 0
    first = index()
    assert first["more"] == [["", "One", "First ….", ""], ["two", "Two", "通道注意力", "code"]]
    assert [title for _, title, *_ in first["api"]][-1] == "double"
    rmtree(folder / "jupyter_execute")  # which the next build would take for pages
    page.write_text("---\norphan: true\n---\n# Three\n\nLast.\n")
    assert build(folder)[0] == 0
    assert index() == first | {"more": [["", "Three", "Last.", ""]]}
