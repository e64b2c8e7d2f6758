"""A made-up chapter that breaks no rule, for tests to break."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.notebooks.rules import Chapter
from tools.chapters import CARD, FOLDED, LIVE_TAGS, METADATA, ROOT, SECTIONS, SETUP_TAGS, live_cell

PNG = "iVBORw0KGgo="
PROSE = {
    "Derivation": "## Derivation\n\nThe mean.\n\n$$\nz = \\frac{1}{N} \\sum_i x_i\n$$ (made-mean)\n\nSo.",
    "Exercises": "## Exercises\n\nTry.",
    "Summary and references": "## Summary and references\n\nAfter {cite:t}`key`.\n\n"
    f":::{{dropdown}} 中文摘要\n{'门' * 180}\n:::",
}
EXERCISE = """\
::::{{exercise}} Number {0}
:label: made-{0}

Do it.

:::{{hint}}
:class: dropdown

Think.
:::
::::

:::{{solution}} made-{0}
:class: dropdown

So.
:::"""


def figure() -> nbformat.NotebookNode:
    """Write a figure as an output."""
    about = {"image/png": {"alt": "A figure."}}
    return new_output("display_data", {"image/png": PNG, "text/plain": "A figure."}, metadata=about)


def caption(words: str) -> nbformat.NotebookNode:
    """Write a caption as an output."""
    said = {"text/markdown": words, "text/plain": "Figure 1."}
    return new_output("display_data", said, metadata={"text/markdown": {"caption": True}})


def cells() -> list[nbformat.NotebookNode]:
    """Write the cells of the chapter, outputs included."""
    card = f"{CARD[0]}\n| Made | in short |\n|:--|:--|\n| **Axis** | channel |\n{CARD[1]}"
    found = [
        new_markdown_cell("# Made up\n\nAn idea."),
        new_code_cell("budget = None", metadata={"tags": list(SETUP_TAGS)}),
        new_code_cell(live_cell("made"), metadata={"tags": list(LIVE_TAGS)}),
        new_markdown_cell(card),
    ]
    for name in SECTIONS:
        found.append(new_markdown_cell(PROSE.get(name, f"## {name}\n\n" + "Words that say something. " * 42)))
        if name == "Step by step":
            found.append(new_code_cell("z = sum([1, 3]) / 2\nassert z == 2  # eq: made-mean\nz"))
            found[-1].outputs = [new_output("execute_result", {"text/plain": "2.0"}, execution_count=2)]
        elif name == "Shapes":
            about = {"tags": [FOLDED], "mystnb": {"code_prompt_show": "Draw the figure"}}
            found.append(new_code_cell('colour = "red"\nshow(colour, caption="What to see.")', metadata=about))
            found[-1].outputs = [figure(), caption("**Figure 1.** What to see.")]
        elif name in ("Cost", "Experiment", "What it looks at"):
            found.append(new_code_cell("print(1)"))
            found[-1].outputs = [new_output("stream", name="stdout", text="1\n")]
        elif name == "Exercises":
            found += [new_markdown_cell(EXERCISE.format(number)) for number in range(1, 6)]
            found.append(new_code_cell('check("made.1", None)'))
    for number, cell in enumerate((cell for cell in found if cell.cell_type == "code"), start=1):
        cell.execution_count = number
    for number, cell in enumerate(found):
        cell.id = f"cell-{number}"
    return found


def notebook() -> nbformat.NotebookNode:
    """Put the chapter together."""
    return new_notebook(cells=cells(), metadata=nbformat.from_dict(METADATA))


def chapter(folder: Path, made: nbformat.NotebookNode) -> Chapter:
    """Return the chapter in a repository of its own: a bibliography that holds ``key``, and the page on notation."""
    (folder / "book").mkdir(exist_ok=True)
    (folder / "book" / "references.bib").write_text("@article{key, author={A, B}, title={T}, year={2000}}\n")
    shutil.copy(ROOT / "book" / "notation.md", folder / "book")
    return Chapter(folder / "made.ipynb", made, folder)


def exercise(identifier: str) -> SimpleNamespace:
    """Stand for an exercise that can be checked."""
    return SimpleNamespace(id=identifier)
