"""The Colab edition: plain Markdown that says what the book says, the chapter's own code, and nothing raw left over."""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from attention.registry import entry
from tests.notebooks.rules import Chapter
from tools.chapters import FOLDED, ROOT, chapters, notebook_path, read, settings, tags, text, title
from tools.publishing import colab
from tools.publishing.lowering import Unresolved, leftovers, lower
from tools.writing import sync

MYST = r"""
(made-target)=
## Where {eq}`made-mean` leads

A code span `{eq}` stays, ``{cite}`x` `` too; $a_{b}$ stays. See {cite}`hu2018squeeze`, {cite:t}`hu2018squeeze`.

$$ z_c = \frac{1}{HW} \sum_{ij} u_c(i, j) $$ (made-mean)

$$
y = x
$$

By {eq}`made-mean` and {ref}`the target <made-target>`, [the notation](../../book/notation.md), {doc}`/book/notation`,
[](#made-target) and {term}`gate`.

::::{exercise} By $x$ hand
:label: made-1

Use {eq}`made-mean`.

```python
x = {"a": 1}  # {eq}`stays`
```

:::{hint}
:class: dropdown

Think.
:::
::::

:::{solution} made-1
:class: dropdown

It is $2$, by {eq}`made-mean`.
:::

After {ref}`made-1`:

:::{note}
A note.
:::
Text that follows it at once.

:::{admonition} Where *copies* differ
:class: warning

- one
- two
:::

:::{list-table} Two things
:header-rows: 1

* - Symbol
  - Meaning
* - $C$
  - {eq}`made-mean`
:::

:::{figure} ../../book/_static/idea.svg
:alt: The idea.

A caption, {eq}`made-mean`.
:::

% a comment

<!-- another
comment -->
"""


@pytest.fixture
def edition(house: Path):
    """Return a function that makes the edition of a chapter with the given cells after its laid-out ones."""
    (house / "book" / "notation.md").write_text("# Notation\n")
    sync.main([], house)
    path = notebook_path(entry("se"), house)

    def make(*cells):
        made = read(path)
        made.cells += cells
        path.write_text(text(made), encoding="utf-8")
        return made, colab.edition(entry("se"), colab.Book(house))

    return make


def _raw(source: str) -> list[str]:
    """Search rendered Markdown for what a plain renderer does not understand, and for links to no full address."""
    html = MarkdownIt("commonmark").enable("table").render(source)
    html = re.sub(r"<code.*?</code>", "§", html, flags=re.DOTALL)  # what is code stays as it is
    labelled = re.findall(r"\$\$ ?\([\w-]+\)|\\(?:eq)?ref\b|\\label\b", html)
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$", "¤", html, flags=re.DOTALL)
    return labelled + re.findall(
        r":::.*|\{[\w:-]+\}§|^(?:<p>)?\([\w-]+\)=.*|^(?:<p>)?% .*|^(?:<p>)?:[\w -]*:?\s.*|^(?:<p>)?\+\+\+"
        r"|\{[.#]\w[^}]*\}|\[\^[^\]]+\]|\{\{.*?\}\}|<!--.*?-->|(?:href|src)=[\"'](?!https?:).*?[\"']",
        text,
        re.MULTILINE,
    )


@pytest.mark.parametrize(
    "source",
    [
        ":::{note}\nText\n:::",
        "By {eq}`mean`.",
        "| a |\n|:--|\n| {eq}`mean` |",
        "See {cite:p}`hu2018squeeze`.",
        "{numref}`figure`",
        "(target)=\n# Title",
        "$$ x $$ (mean)",
        r"By $\eqref{mean}$.",
        "$$\nx \\label{mean}\n$$",
        "% a comment",
        "<!-- card: begin -->",
        "+++",
        "# Title {#id}",
        "`x`{.python}",
        "{.wide}\nText",
        "As said[^1].",
        "Term\n: What it means.",
        ":field: text",
        "{{ substitution }}",
        "[there](#label)",
        "[there](page.md)",
        "![alt](image.png)",
        '<img src="image.png">',
        "<a href='#label'>there</a>",
    ],
)
def test_what_is_raw_is_found(source: str) -> None:
    """By both searches, which share nothing: the one of this file, and the one that makes it an error."""
    assert leftovers(source) != []
    assert _raw(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "`{eq}`, ``{cite}`x` `` and `[^1]`, $a_{b}$, $x$: one, $\\{.5, 1\\}$.",
        "[a](https://a.example) ![b](https://b.example/c.png) <https://d.example>",
        "```python\n% timeit x\n[x](#y)\n```",
        "<details>\n<summary>Hint</summary>\n\nText: one.\n\n</details>",
        '<img src="https://a.example/b.png">',
        "$$\na \\tag{1.1}\n$$",
        "- $a$: one\n- at 10:30: two",
    ],
)
def test_what_is_plain_is_left_alone(source: str) -> None:
    assert leftovers(source) == []
    assert _raw(source) == []


def test_nothing_raw_is_left(edition) -> None:
    found = "".join(_raw(MYST))  # the search finds what it should
    assert all(
        piece in found for piece in (":::{exercise}", "{eq}§", "(made-target)=", "$$ (made-mean)", "% a comment")
    )
    _, made = edition(new_markdown_cell(MYST))
    for cell in made.cells:
        if cell.cell_type == "markdown":
            assert _raw(cell.source) == []
            assert leftovers(cell.source) == []


def test_says_what_the_book_says(edition) -> None:
    _, made = edition(new_markdown_cell(MYST))
    said = made.cells[-1].source
    site = settings().site
    assert said.startswith("## Where (1.1) leads")
    assert "`{eq}` stays, ``{cite}`x` `` too; $a_{b}$ stays." in said
    assert r"u_c(i, j) \tag{1.1}" in said
    assert "See ([Hu et al., 20" in said
    assert re.search(r"\), \[Hu et al\. \(20\d\d\)\]\(https://", said)
    assert "By (1.1) and the target, [the notation]" in said
    assert said.count(f"{site}/book/notation.html") == 2
    assert f"[gate]({site}/book/glossary.html#term-gate)" in said
    assert "> **Exercise 1.1 (By $x$ hand)**\n>\n> Use (1.1)." in said
    assert '> x = {"a": 1}  # {eq}`stays`' in said
    assert "<details>\n<summary>Solution to Exercise 1.1</summary>\n\nIt is $2$, by (1.1).\n\n</details>" in said
    assert "After Exercise 1.1:" in said
    assert "> **Note**\n>\n> A note.\n\nText that follows" in said
    assert "> **Where *copies* differ**\n>\n> - one\n> - two" in said
    assert "| Symbol | Meaning |\n|:--|:--|\n| $C$ | (1.1) |" in said
    assert f"![The idea.]({site}/_images/idea.svg)\n\n*A caption, (1.1).*" in said
    assert "comment" not in said


def test_formulas_survive_a_quotation(edition) -> None:
    """Notebooks take formulas out before they read the Markdown: no ``>`` may stand within one."""
    source = (
        ":::{note}\nBefore $a +\nb$ and\n\n$$\na &= b \\\\ % why\nc &= d\n$$\n\n- item\n\n  $$\n  e\n  + f\n  $$ \n:::"
    )
    _, made = edition(new_markdown_cell(source))
    said = made.cells[-1].source
    assert "> Before $a + b$ and\n>\n> $$ a &= b \\\\ c &= d $$\n>\n> - item\n>\n>   $$ e + f $$" in said


def test_title_of_what_is_folded_is_markup(edition) -> None:
    _, made = edition(new_markdown_cell(":::{dropdown} The *long* way, `x < y`\nText.\n:::"))
    assert "<summary>The <em>long</em> way, <code>x &lt; y</code></summary>" in made.cells[-1].source


def test_terms_have_the_anchors_of_the_glossary(house: Path) -> None:
    here = colab.Here(colab.Book(house), "notebooks/channel/se")
    assert [here.term(term).rpartition("#")[2] for term in ("gate", "multiply–add", "top-1 error")] == [
        "term-gate",
        "term-multiplyadd",
        "term-top-1-error",
    ]


def test_code_is_the_chapters_and_nothing_of_a_run_is_kept(edition) -> None:
    code = new_code_cell("x = '{eq}`a`'\n%time 1", execution_count=3, metadata={"tags": ["nbval-ignore-output"]})
    code.outputs = [new_output("stream", name="stdout", text="x")]
    chapter, made = edition(code)
    pairs = [(was, now) for was, now in zip(chapter.cells, made.cells, strict=True) if was.cell_type == "code"]
    assert len(pairs) >= 2
    for was, now in pairs:
        form = {"cellView": "form"} if "setup" in tags(was) else {}
        source = f"# @title {sync.SETUP_TITLE}\n{was.source}" if form else was.source
        assert (now.source, now.outputs, now.execution_count, dict(now.metadata)) == (source, [], None, form)
    assert made.metadata["accelerator"] == "GPU"
    assert set(made.metadata) == {"accelerator", "colab", "kernelspec", "language_info"}


def test_what_is_folded_becomes_a_form(edition) -> None:
    about = {"tags": [FOLDED], "mystnb": {"code_prompt_show": "Draw the map"}}
    _, made = edition(new_code_cell("draw()", metadata=about), new_code_cell("draw()"))
    assert [cell.source for cell in made.cells[-2:]] == ["# @title Draw the map\ndraw()", "draw()"]
    assert [dict(cell.metadata) for cell in made.cells[-2:]] == [{"cellView": "form"}, {}]


def test_the_head_leads_to_the_book_and_not_to_itself(edition) -> None:
    _, made = edition()
    first = made.cells[0].source
    assert f"]({settings().site}/notebooks/channel/se.html)" in first
    assert "Run all" in first
    (card,) = (cell.source for cell in made.cells if "| **Cost** |" in cell.source)
    assert card.startswith("| SE |")
    for source in (first, card):
        assert "colab.research" not in source
        assert "<!--" not in source


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (":::{mystery}\nText\n:::", "directive {mystery}"),
        ("A {mystery}`role`.", "role {mystery}"),
        ("See {eq}`nowhere`.", "nothing is labelled 'nowhere'"),
        ("See {ref}`nowhere`.", "nothing is labelled 'nowhere'"),
        ("As {cite}`nobody` says.", "'nobody' is not in the bibliography"),
        ("See [there](nowhere.md).", "'nowhere.md' is not a page"),
        ("```{note}\nText\n```", "written with backticks"),
        ("- item\n\n  :::{note}\n  Text\n  :::", "left over"),
        ("- item\n\n  $$\n  x\n  $$ (made-item)", "left over"),
        ("- item\n\n  % why", "left over"),
        ("As said[^1].", "left over"),
        ("A word{.wide}.", "left over"),
    ],
)
def test_what_cannot_be_said_is_an_error(edition, source: str, message: str) -> None:
    with pytest.raises(Unresolved, match=re.escape(message)):
        edition(new_markdown_cell(source))


def test_command_names_the_error_and_writes_the_rest(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sync.main([], house)
    assert colab.main([], house) == 0
    assert (house / "_build" / "colab" / "channel" / "se.ipynb").exists()
    path = notebook_path(entry("se"), house)
    made = read(path)
    made.cells.append(new_markdown_cell("{eq}`nowhere`"))
    path.write_text(text(made))
    assert colab.main(["se"], house) == 1
    assert "nowhere" in capsys.readouterr().err
    assert colab.main(["nothing"], house) == 1


def test_numbers_run_through_the_numbered_parts(tmp_path: Path) -> None:
    """As Jupyter Book counts: pages of unnumbered parts have no number, and a new part goes on counting."""
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: intro\nparts:\n"
        "  - chapters:\n      - file: a\n"
        "  - numbered: true\n    chapters:\n      - file: b\n      - file: c.ipynb\n"
        "  - numbered: true\n    chapters:\n      - file: d.md\n"
    )
    assert colab.contents(tmp_path) == {"intro": None, "a": None, "b": 1, "c": 2, "d": 3}


def test_pages_below_a_page_are_pages_too(tmp_path: Path) -> None:
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: intro\nparts:\n"
        "  - chapters:\n      - file: a\n        sections:\n          - file: below.md\n      - file: b\n"
    )
    assert list(colab.contents(tmp_path)) == ["intro", "a", "below", "b"]


def test_labels_are_counted_within_directives_too() -> None:
    source = "# T\n\n$$ a $$ (one)\n\n:::{note}\n$$ b $$ (two)\n:::\n\n:::{math}\n:label: three\nc\n:::\n\n$$ d $$"
    assert colab.index("x", 4, source).equations == {"one": "4.1", "two": "4.2", "three": "4.3"}


@pytest.mark.parametrize("name", chapters())
def test_every_chapter(name: str) -> None:
    chapter = read(chapters()[name])
    made = colab.edition(entry(name), colab.Book(ROOT))
    for now, was in zip(made.cells, chapter.cells, strict=True):
        form = title(was)
        assert dict(now.metadata) == ({"cellView": "form"} if form else {})
        if was.cell_type == "code":
            assert now.source == (f"# @title {form}\n{was.source}" if form else was.source)
            assert bool(form) is bool({FOLDED, "setup"} & set(tags(was))), "a form is what the book folds"
    for cell in made.cells:
        if cell.cell_type == "markdown":
            assert _raw(cell.source) == []
            assert leftovers(cell.source) == []


@pytest.mark.parametrize("name", chapters())
def test_links_into_the_book_lead_somewhere(name: str) -> None:
    path = chapters()[name]
    html = ROOT / "_build" / "html"
    page = (html / path.relative_to(ROOT)).with_suffix(".html")
    if not page.exists() or page.stat().st_mtime < path.stat().st_mtime:
        pytest.skip("the book is not built, or older than the chapter: make book")
    made = colab.edition(entry(name), colab.Book(ROOT))
    words = "\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    links = set(re.findall(re.escape(settings().site) + r"/([^\s)\"#]*)#?([^\s)\"]*)", words))
    assert (page.relative_to(html).as_posix(), "") in links
    broken = []
    for file, anchor in links:
        target = html / file
        if not target.is_file() or (anchor and f'id="{anchor}"' not in target.read_text(encoding="utf-8")):
            broken.append(f"{file}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("name", chapters())
def test_numbers_are_those_of_the_built_book(name: str) -> None:
    path = chapters()[name]
    document = path.relative_to(ROOT).with_suffix("").as_posix()
    page = ROOT / "_build" / "html" / f"{document}.html"
    if not page.exists() or page.stat().st_mtime < path.stat().st_mtime:
        pytest.skip("the book is not built, or older than the chapter: make book")
    html = page.read_text(encoding="utf-8")
    shown = dict(re.findall(r'id="equation-([^"]+)">\s*<span class="eqno">\(([\d.]+)\)', html))
    assert shown
    assert {label.lower(): number for label, number in colab.Book(ROOT).pages[document].equations.items()} == shown


def test_lowering_leaves_plain_markdown_alone() -> None:
    plain = "# T\n\nWith `code`, *stress*, $a_b$, [a link](https://a.example).\n\n- a\n- b\n\n```python\nx\n\n\ny\n```"
    assert lower(plain, None) == plain


def test_the_rules_see_the_same_blocks(edition) -> None:
    """The structural rules and the edition read Markdown with one parser."""
    chapter, _ = edition(new_markdown_cell(MYST))
    blocks = Chapter(Path("se.ipynb"), chapter, ROOT).blocks
    assert [block.options["label"] for block in blocks if block.kind == "equation" and block.options["label"]] == [
        "made-mean"
    ]
