"""Every chapter keeps to the rules; and every rule catches a chapter that does not."""

import random
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from tests.notebooks import letters, looks, rules, sample
from tools.chapters import CARD, FOLDED, ROOT, chapters, read

CHAPTERS = chapters()
Change = Callable[[nbformat.NotebookNode], None]


@pytest.mark.parametrize("rule", rules.RULES)
@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter(name: str, rule: str) -> None:
    path = CHAPTERS[name]
    assert path.exists(), f"mechanisms.toml calls [{name}] ready, but {path.relative_to(ROOT)} is missing"
    found = list(rules.RULES[rule](rules.Chapter(path, read(path), ROOT)))
    assert not found, "\n".join([f"{path.relative_to(ROOT)}:", *found])


def test_every_notebook_is_a_written_chapter() -> None:
    """A notebook that no entry of mechanisms.toml calls ready would be tested by nobody."""
    found = {path for path in (ROOT / "notebooks").glob("**/*.ipynb") if ".ipynb_checkpoints" not in path.parts}
    assert found <= set(CHAPTERS.values())


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], dict[str, list[str]]]:
    """Change the sample chapter and return what each rule says of it."""
    monkeypatch.setattr(rules, "checkable", lambda name: (sample.exercise("made.1"),))

    def judge(change: Change) -> dict[str, list[str]]:
        made = sample.notebook()
        change(made)
        chapter = sample.chapter(tmp_path, made)
        return {name: found for name, rule in rules.RULES.items() if (found := list(rule(chapter)))}

    return judge


def test_the_sample_breaks_no_rule(broken) -> None:
    assert broken(lambda made: None) == {}


def _code(made: nbformat.NotebookNode, number: int) -> nbformat.NotebookNode:
    return [cell for cell in made.cells if cell.cell_type == "code"][number]


def _of(made: nbformat.NotebookNode, section: str) -> nbformat.NotebookNode:
    return next(cell for cell in made.cells if cell.source.startswith(f"## {section}"))


def _set_source(section: str, old: str, new: str) -> Change:
    def change(made: nbformat.NotebookNode) -> None:
        cell = _of(made, section)
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def _in_exercise(old: str, new: str) -> Change:
    def change(made: nbformat.NotebookNode) -> None:
        cell = next(cell for cell in made.cells if "{exercise} Number 1" in cell.source)
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def _set_code(number: int, source: str) -> Change:
    return lambda made: _code(made, number).update(source=source)


def _outputs(number: int, *outputs: nbformat.NotebookNode) -> Change:
    return lambda made: _code(made, number).update(outputs=list(outputs))


def _tag(number: int, *names: str) -> Change:
    return lambda made: _code(made, number).metadata.update(tags=list(names))


def _add(source: str) -> Change:
    return lambda made: made.cells.insert(2, new_markdown_cell(source))


def _longer(lines: int, times: int) -> Change:
    """Add cells of so many lines before the exercises, renumbering."""

    def change(made: nbformat.NotebookNode) -> None:
        place = made.cells.index(_of(made, "Exercises"))
        made.cells[place:place] = [new_code_cell("x = 1\n" * (lines - 1) + "x = 1") for _ in range(times)]
        for number, cell in enumerate((c for c in made.cells if c.cell_type == "code"), start=1):
            cell.execution_count = number

    return change


def _strip(made: nbformat.NotebookNode) -> None:
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def _swap(made: nbformat.NotebookNode) -> None:
    shapes, cost = _of(made, "Shapes"), _of(made, "Cost")
    shapes.source, cost.source = cost.source, shapes.source


def _captioned(words: str) -> Change:
    """Give the sample's figure another caption."""
    return lambda made: _code(made, 3).update(outputs=[sample.figure(), sample.caption(words)])


def _titled(number: int, title: str) -> Change:
    return lambda made: _code(made, number).metadata.update(mystnb={"code_prompt_show": title})


def _fold(number: int, title: str = "Draw the figure") -> Change:
    return lambda made: [_tag(number, FOLDED)(made), _titled(number, title)(made)]


def _drop(text: str) -> Change:
    def change(made: nbformat.NotebookNode) -> None:
        made.cells = [cell for cell in made.cells if text not in cell.source]

    return change


SCRIPT = new_output("display_data", {"text/html": "<div></div><script>\n1\n</script>", "text/plain": "[live picture]"})
FIGURE = {"image/png": sample.PNG, "text/plain": "A figure."}
BROKEN: dict[str, tuple[str, Change, str]] = {
    "a second title": ("head", _add("# Another"), "stands once"),
    "no card": ("head", lambda m: m.cells[3].update(source="A card."), "card's markers stand once"),
    "a card without its end": ("head", lambda m: m.cells[3].update(source=CARD[0]), "card's markers stand once"),
    "a card further down": ("head", lambda m: m.cells.insert(6, m.cells.pop(3)), "between the set-up and the first"),
    "the set-up further down": ("head", lambda m: m.cells.insert(3, m.cells.pop(1)), "the second cell is the set-up"),
    "a set-up cell that shows": ("head", _tag(0, "setup", "nbval-ignore-output"), "the second cell is the set-up"),
    "no live picture": ("head", _drop("live.show"), "the live picture is in the third cell"),
    "a live picture further down": ("head", lambda m: m.cells.insert(5, m.cells.pop(2)), "in the third cell"),
    "another live picture": ("head", _set_code(1, 'live.show("se")'), "the live picture's cell is 'from"),
    "a live picture with its script": ("head", _outputs(1, SCRIPT), "without its script"),
    "a live picture that is compared": ("head", _tag(1, "live"), "is tagged live, nbval-ignore-output"),
    "much code": ("little_code", _longer(5, 100), "lines of code before the exercises"),
    "many cells": ("little_code", _longer(1, 70), "cells of code before the exercises"),
    "a section is missing": ("sections", _drop("## In the wild"), "should be"),
    "sections in another order": ("sections", _swap, "should be"),
    "a section of another name": ("sections", _set_source("Cost", "## Cost", "## Costs"), "should be"),
    "an empty section": ("sections", lambda m: _of(m, "The question").update(source="## The question"), "empty"),
    "too few words": ("words", _set_source("The question", "Words that say something.", ""), "words; allowed"),
    "a letter that no page explains": ("notation", _add("Here $\\tilde x = s x$."), "knows no '\\\\tilde x'"),
    "a letter of another chapter": ("notation", _add("$$\nM = 9\n$$"), "knows no 'M'"),
    "a matrix that is called as the width": ("notation", _add("So $W z$."), "a matrix has an index"),
    "too many words": ("words", _add("word " * 3000), "words; allowed"),
    "no summary in Chinese": ("summary_in_chinese", _set_source("Summary", "中文摘要", "摘要"), "holds one panel"),
    "a short summary": ("summary_in_chinese", _set_source("Summary", "门" * 100, ""), "has 80 signs"),
    "too large": ("size", _outputs(3, new_output("stream", name="stdout", text="x" * 1_100_000)), "bytes"),
    "long cells": ("short_cells", _longer(7, 8), "median 7 lines"),
    "several very long cells": ("short_cells", _longer(21, 1), "90th percentile 21 lines"),
    "one endless cell": ("short_cells", _longer(36, 1), "longest 36 lines"),
    "no outputs": ("executed_in_order", _strip, "no outputs"),
    "run out of order": ("executed_in_order", lambda m: _code(m, 3).update(execution_count=9), "should be 1 to"),
    "an empty code cell": ("executed_in_order", _set_code(4, "  "), "is empty"),
    "an error": ("clean_outputs", _outputs(4, new_output("error", ename="E", evalue="", traceback=[])), "ends in E"),
    "a complaint": ("clean_outputs", _outputs(4, new_output("stream", name="stderr", text="Warning")), "stderr"),
    "an image in HTML": (
        "clean_outputs",
        _outputs(4, new_output("display_data", {"text/html": '<img src="data:image/png;base64,AA">'})),
        "inside its HTML",
    ),
    "a widget": (
        "clean_outputs",
        _outputs(4, new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}})),
        "dead on a page",
    ),
    "a figure without alt text": (
        "figures_have_alt_text",
        _outputs(3, new_output("display_data", FIGURE)),
        "without alt text",
    ),
    "a blank alt text": (
        "figures_have_alt_text",
        _outputs(3, new_output("display_data", FIGURE, metadata={"image/png": {"alt": " "}})),
        "without alt text",
    ),
    "a figure without a caption": ("figures_have_captions", _outputs(3, sample.figure()), "without a caption"),
    "an explorer without a caption": (
        "figures_have_captions",
        lambda m: [
            _tag(4, "explorer", "nbval-ignore-output")(m),
            _outputs(4, new_output("display_data", {"text/html": "<div></div>"}))(m),
        ],
        "without a caption",
    ),
    "a caption without a number": ("figures_have_captions", _captioned("What to see."), "has no number"),
    "a wrong number": ("figures_have_captions", _captioned("**Figure 2.** What."), "shows figure 2, should be 1"),
    "a long caption": ("figures_have_captions", _captioned("**Figure 1.** One. Two? Three."), "3 sentences"),
    "a caption that is no sentence": ("figures_have_captions", _captioned("**Figure 1.** A plot"), "0 sentences"),
    "a computed caption": (
        "figures_have_captions",
        _set_code(3, 'show(fig, caption=f"{score:.2f} is reached.")'),
        "a caption is computed",
    ),
    "a computed caption around a call": (
        "figures_have_captions",
        _set_code(3, "with style.captioned(words):\n    task.show()"),
        "a caption is computed",
    ),
    "a fold without a title": ("folded_cells", lambda m: _code(m, 3).metadata.pop("mystnb"), "needs a title"),
    "a title that says nothing": ("folded_cells", _titled(3, "code"), "needs a title"),
    "two folds of one title": ("folded_cells", lambda m: [_fold(n)(m) for n in (3, 4)], "needs a title of its own"),
    "a title and no fold": ("folded_cells", lambda m: _code(m, 3).metadata.update(tags=[]), f"no tag {FOLDED}"),
    "a fold that others need": ("folded_cells", _set_code(4, "print(colour)"), "needs 'colour' of cell"),
    "a fold that is part of the story": ("folded_cells", _set_code(3, "x = 1"), "neither draws nor checks"),
    "a folded exercise": ("folded_cells", _fold(-1, "Check the answer"), "is an exercise, and folded"),
    "an output that is hidden": ("folded_cells", _tag(4, "hide-output"), "is tagged hide-output"),
    "a figure directive without alt": ("figures_have_alt_text", _add(":::{figure} a.png\nCaption\n:::"), "no :alt:"),
    "a Markdown image without alt": ("figures_have_alt_text", _add("![](a.png)"), "no alt text"),
    "widget state": ("metadata", lambda m: m.metadata.update(widgets={}), "metadata is"),
    "another kernel": ("metadata", lambda m: m.metadata.kernelspec.update(name="conda"), "metadata is"),
    "timings of cells": ("metadata", lambda m: _code(m, 2).metadata.update(execution={}), "metadata"),
    "an attachment": ("metadata", lambda m: m.cells[1].update(attachments={"a.png": {}}), "attachments"),
    "backtick directive": ("colon_directives", _add("```{note}\nText\n```"), "backticks"),
    "a directive without a name": ("colon_directives", _add(":::\nText\n:::"), "directive"),
    "an equation asserted nowhere": (
        "equations_are_asserted",
        _set_code(2, "z = 2  # eq: made-mean"),
        "'made-mean' is asserted nowhere",
    ),
    "an assertion that names no equation": ("equations_are_asserted", _set_code(2, "assert True"), "asserted nowhere"),
    "an equation that is not there": (
        "equations_are_asserted",
        _set_code(4, "assert True  # eq: made-up"),
        "which there is not",
    ),
    "no numbered equation": (
        "equations_are_asserted",
        _set_source("Derivation", " (made-mean)", ""),
        "no equation is numbered",
    ),
    "volatile cells": (
        "few_volatile_cells",
        lambda m: [_tag(n, "nbval-ignore-output")(m) for n in (4, 5)],
        "2 of 6 code cells",
    ),
    "a set-up cell that is compared": ("few_volatile_cells", _tag(0, "setup"), "needs the tag"),
    "a cell that is skipped": ("few_volatile_cells", _tag(4, "nbval-skip"), "kept from being run"),
    "a comment that skips": ("few_volatile_cells", _set_code(4, "# NBVAL_SKIP\nprint(1)"), "kept from being run"),
    "an unknown citation": ("citations", _add("As {cite:p}`key, nobody2000` say."), "'nobody2000'"),
    "nothing cited": ("citations", _set_source("Summary", "{cite:t}`key`", "them"), "cites nothing"),
    "too few exercises": ("exercises", _drop("Number "), "0 exercises"),
    "an exercise without label": ("exercises", _in_exercise(":label: made-1\n", ""), "no :label:"),
    "an exercise without solution": ("exercises", _in_exercise("{solution} made-1", "{note}"), "has no solution"),
    "an open solution": (
        "exercises",
        _in_exercise("made-1\n:class: dropdown", "made-1\n:class: open"),
        "not folded",
    ),
    "an exercise without hint": ("exercises", _in_exercise("{hint}", "{note}"), "no hint"),
    "no check": ("exercises", _set_code(-1, "print(1)"), "no exercise is checked"),
    "a check of another exercise": ("exercises", _set_code(-1, 'check("other.1", 1)'), "has no such exercise"),
    "an exercise that is not checked": ("exercises", _set_code(-1, 'check("made.2", 1)'), "is checked nowhere"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_rule_catches(what: str, broken) -> None:
    rule, change, message = BROKEN[what]
    found = broken(change)
    assert rule in found, f"no rule caught it; others: {found}"
    assert message in "\n".join(found[rule])


def test_folded_cells_and_the_set_up_are_not_counted(broken) -> None:
    def change(made: nbformat.NotebookNode) -> None:
        _code(made, 3).source = "\n".join(['colour = "red"'] * 600 + ['show(colour, caption="What to see.")'])
        _code(made, 0).source = "x = 1\n" * 600

    assert broken(change) == {}


@pytest.mark.parametrize(
    ("source", "binds", "needs"),
    [
        ("x = y", {"x"}, {"y"}),
        ("y = 1\nx = y", {"x", "y"}, set()),
        ("x = x + 1", {"x"}, {"x"}),
        ("a, *b = [c for c in d]", {"a", "b"}, {"d"}),
        ("def f(a, b=c):\n    return a + d", {"f"}, {"c", "d"}),
        ("from m import n as o\nimport p.q", {"o", "p"}, set()),
        ("for i in r:\n    print(i)", {"i"}, {"r", "print"}),
        ("%pip install x", set(), set()),
    ],
)
def test_names_that_a_cell_binds_and_needs(source: str, binds: set[str], needs: set[str]) -> None:
    assert looks._names(source) == (binds, needs)


@pytest.mark.parametrize(
    ("tex", "found"),
    [
        (r"\textcolor{#1f6fb2}{\tilde x}_c = s_c\, x_c", {r"\tilde x", "c", "s", "x"}),
        (r"\operatorname{softmax}(W_q x) \in \mathbb{R}^{H' \times W'}", {"W", "q", "x", "H"}),
        (r"\sum_{j=1}^N \alpha_{ij}\, v_j + \log_2 C + z^{\text{avg}}", {r"\alpha", "N", "j", "v", "C", "z"}),
        (r"\mathcal{B}(\hat{a}), \varepsilon \ge \tfrac12", {r"\mathcal B", r"\hat a", r"\varepsilon"}),
        (r"\textcolor{#2e7d4f}{z^{avg}_c}, |t|_{odd}", {"z", "c", "t"}),
    ],
)
def test_letters_of_a_formula(tex: str, found: set[str]) -> None:
    assert letters.letters_of(tex) == found


def test_formulas_that_are_a_papers_are_not_ours() -> None:
    text = "Ours is $x$.\n\nThe paper\nwrites $u$ and $v$.\n\n`$a$` and\n\n$$\ny\n$$ (label)"
    text += "\n\n| Here | In {cite:t}`key` |\n|:--|:--|\n| $q$ | $\\theta$ |"
    assert letters.written(text) == ["\ny\n", "x"]


def test_an_exercise_may_have_letters_of_its_own(broken) -> None:
    assert "notation" not in broken(_in_exercise("Do it.", "Do it with $D$."))


@pytest.mark.parametrize("fine", ["$W$ columns", "$HW$", "$H, W$", "$N = H W$", "$W_1 z$", "$W / 2$", "$C H W$"])
def test_a_width_is_no_matrix(fine: str, broken) -> None:
    assert "notation" not in broken(_add(fine))


def test_every_rule_is_tested() -> None:
    of_records = {"record_is_current", "record_is_small"}
    assert {rule for rule, _, _ in BROKEN.values()} | of_records == set(rules.RULES)


def test_an_explorer_may_hold_a_small_still(tmp_path: Path) -> None:
    made = sample.notebook()
    for size, fits in ((3000, True), (5000, False)):
        html = f'<img src="data:image/png;base64,{"A" * size}">'
        _outputs(4, new_output("display_data", {"text/html": html}))(made)
        _tag(4, "explorer")(made)
        assert (list(rules.clean_outputs(sample.chapter(tmp_path, made))) == []) is fits


def test_record_script_and_result_belong_together(tmp_path: Path) -> None:
    chapter = sample.chapter(tmp_path, sample.notebook())
    assert not list(rules.record_is_current(chapter))
    assert not list(rules.record_is_small(chapter))
    chapter.experiments.mkdir(parents=True)
    (chapter.experiments / "record.py").write_text("")
    assert "one is missing: make record NAME=made" in "\n".join(rules.record_is_current(chapter))
    (chapter.experiments / "record.py").unlink()
    (chapter.experiments / "record_depth.json").write_text("{}")
    (said,) = rules.record_is_current(chapter)
    assert said.startswith("record_depth.py and record_depth.json")
    assert said.endswith("NAME=made.depth")


def test_stale_record_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from attention.lab import record

    chapter = sample.chapter(tmp_path, sample.notebook())
    assert chapter.experiments == tmp_path / "attention" / "experiments" / "made"
    chapter.experiments.mkdir(parents=True)
    for name in ("record.py", "record.json"):
        (chapter.experiments / name).write_text("{}")
    monkeypatch.setattr(record, "stale", lambda path: "the code has changed")
    assert list(rules.record_is_current(chapter)) == ["the code has changed"]
    monkeypatch.setattr(record, "stale", lambda path: None)
    assert not list(rules.record_is_current(chapter))


def test_a_record_that_keeps_too_much_is_caught(tmp_path: Path) -> None:
    chapter = sample.chapter(tmp_path, sample.notebook())
    chapter.experiments.mkdir(parents=True)
    drawn, path = random.Random(0), chapter.experiments / "record.json"
    for size, fits in ((39_000, True), (41_000, False)):
        path.write_bytes(drawn.randbytes(size))  # what cannot be compressed
        assert (list(rules.record_is_small(chapter)) == []) is fits
    assert "bytes when compressed; allowed: 40,000" in "".join(rules.record_is_small(chapter))
    path.write_text("0" * 1_000_000)
    assert list(rules.record_is_small(chapter)) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("assert x == 1", True),
        ("torch.testing.assert_close(a, b)", True),
        ("%pip install x\nassert_close(a, b)", True),
        ("x = 'assert'  # assert", False),
        ("print(x", False),
    ],
)
def test_asserts(source: str, expected: bool) -> None:
    assert looks.asserts(source) is expected


def test_words_of_card_exercises_and_formulas_do_not_count() -> None:
    made = sample.notebook()
    before = rules.word_count(rules.Chapter(Path("made.ipynb"), made, ROOT))
    made.cells[3].source = made.cells[3].source.replace("| channel |", "| channel and a lot more of it |")
    next(c for c in made.cells if "Number 1" in c.source).source += "\n\nMore words."
    _of(made, "Derivation").source += "\n\n$a$ {cite:t}`key` [](#made-mean)"
    assert rules.word_count(rules.Chapter(Path("made.ipynb"), made, ROOT)) == before
    _of(made, "Derivation").source += " three more words"
    assert rules.word_count(rules.Chapter(Path("made.ipynb"), made, ROOT)) == before + 3
