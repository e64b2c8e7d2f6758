"""The built pages, read as files: links, formulas' numbers, alt text, and nothing of the source left raw."""

from pathlib import Path

import pytest
import yaml

from tests.book.conftest import ROOT
from tests.book.reading import broken_links, documents, images_without_alt, leftovers, pages, soup, unnumbered


def listed() -> list[str]:
    """Return the names of all pages in the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *[chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]]


def test_every_listed_page_is_built_and_no_other(site: Path) -> None:
    built = [str(path.relative_to(site).with_suffix("")) for path in documents(site)]
    assert sorted(built) == sorted(listed())


def test_the_site_opens_with_the_first_page(site: Path) -> None:
    assert f"{listed()[0]}.html" in (site / "index.html").read_text(encoding="utf-8")


def test_every_chapter_is_listed() -> None:
    chapters = [path.relative_to(ROOT).with_suffix("").as_posix() for path in (ROOT / "notebooks").glob("*/*.ipynb")]
    assert set(chapters) <= set(listed())


def test_nothing_is_left_raw(site: Path) -> None:
    assert [problem for path in documents(site) for problem in leftovers(path)] == []


def test_links_and_anchors_resolve(site: Path) -> None:
    assert [problem for path in pages(site) for problem in broken_links(path, site)] == []


def test_every_image_has_alt_text(site: Path) -> None:
    assert [problem for path in pages(site) for problem in images_without_alt(path)] == []


def test_equations_of_chapters_are_numbered(site: Path) -> None:
    chapters = [site / f"{name}.html" for name in listed() if name.startswith("notebooks/")]
    assert [problem for path in chapters for problem in unnumbered(path)] == []
    assert all(soup(path).select("div.math[id^=equation-]") for path in chapters), "a chapter without an equation"


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
