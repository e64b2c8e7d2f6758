"""Lay out the files of a planned chapter, in the order in which they are written; nothing is written over.

What is laid out is honest: the block refuses to be built, the test and the chapter fail until they are written.
"""

import argparse
import sys
from pathlib import Path
from textwrap import indent, wrap

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from attention import registry
from attention.registry import Entry
from tools.chapters import CARD, LIVE_TAGS, METADATA, ROOT, SECTIONS, live_cell, notebook_path, settings, text
from tools.writing.sync import setup_cell, setup_metadata

#: What each section is for, as a comment that the author replaces.
PURPOSE = {
    "The question": "What can the mechanisms before this one not do? Run one of them and watch it fail.",
    "Derivation": "From the question to the equations: each numbered, each symbol with shape and meaning, each step "
    "with its reason.",
    "Step by step": "One equation a cell, on a tensor small enough to check by hand; an assertion for each. Then a "
    "class, and the proof that it equals the block of the package.",
    "Shapes": "The picture that lab.shapes draws from a real run, and the table.",
    "Cost": "Formula against count, asserted; how it grows; next to the mechanisms before.",
    "Experiment": "The paper's claim as a statement that can turn out false; live on a small task, recorded on a "
    "larger one.",
    "What it looks at": "The maps on real inputs, and what changes them.",
    "In the wild": "Where to insert it, when not to; where paper, official code and popular copies differ.",
    "Exercises": "Five or so, each with a hint and a folded solution; checks where there is something to check.",
    "Summary and references": "Three to five sentences, and the works cited.",
}

#: What stands below the live picture.
TRY = "Three to five sentences: what to try in the picture, and what to notice."

BLOCK = '''\
"""{title}."""

from jaxtyping import Float
from torch import Tensor

from attention.contract import {base}

__all__ = ["{class_name}"]


class {class_name}({base}):
    r"""{title} ({short}).

    {idea}

    :param channels: number of channels $C$ of the input.

    {source}
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        raise NotImplementedError("{class_name} is laid out, not written")

    def {method}(self, x: Float[Tensor, "batch channels height width"]) -> {returns}:
        """Compute {computes}."""
        raise NotImplementedError
'''

TEST = '''\
"""{title}: its Spec for the laws, and what holds for this block alone."""

from typing import Any

from hypothesis import strategies as st

from attention.{family}.{name} import {class_name}
from tests.laws.spec import Case, Spec, bad_images, cases


def naive(block: {class_name}, x: list[Any]) -> tuple[list[Any], dict[str, list[Any]]]:
    """Compute the paper's equations, one number at a time."""
    raise NotImplementedError("write the equations of the paper as loops")


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    return {{"channels": draw(st.integers(1, 16))}}


SPEC = Spec(
    name="{name}",
    cases=cases(options()),
    fixed=(Case({{"channels": 8}}),),
    naive=naive,
    bad_arguments=(),
    bad_inputs=bad_images(),
)
'''

EXERCISES = '''\
"""The exercises of the chapter on {title}.

Their statements and solutions stand in the chapter; here is what ``check`` asks of an answer.
"""

from attention.lab.checks import Exercise

__all__ = ["EXERCISES"]

#: The exercises that can be checked, ``{name}.1`` and so on, in the order of the chapter.
EXERCISES: tuple[Exercise, ...] = ()
'''

ANSWERS = '''\
"""Answers to the exercises on {title}."""

from typing import Any

#: Labels of the equations that an exercise belongs to, in the order in which it names them.
EQUATIONS: dict[str, tuple[str, ...]] = {{}}
#: Of a solution that is printed as numbers or names, the parts that hold them, as they stand in the chapter.
PRINTED: dict[str, tuple[str, ...]] = {{}}
#: Right answers to each exercise, the first as the chapter gives it.
RIGHT: dict[str, list[Any]] = {{}}
#: Exercise, wrong answer, and what has to be said to it: four or more for each exercise.
WRONG: list[tuple[str, Any, str | tuple[str, ...]]] = []
'''

EXPERIMENTS = '''\
"""The experiments of the chapter on {title}."""

from attention.experiments.{name} import tasks as tasks
'''

TASKS = '''\
"""The tasks of the chapter on {title}."""

__all__: list[str] = []
'''

RECORD = '''\
"""The larger comparison of the chapter on {title}.

``make record NAME={name}`` runs it and keeps what came out.
"""

from typing import Any

from attention.lab.session import Budget

#: The files that decide what comes out: a change in one of them makes the record stale.
CODE = [
    "attention/contract.py",
    "attention/{family}/{name}.py",
    "attention/lab/training.py",
]


def runs(budget: Budget) -> list[dict[str, Any]]:
    """Name the runs of the comparison, each by the arguments of ``one_run``."""
    return [{{"seed": seed}} for seed in range(budget.pick(smoke=2, cpu=8, gpu=16))]


def one_run(budget: Budget, seed: int) -> dict[str, Any]:
    """Train the models of the comparison once, and return what came out as JSON takes it."""
    raise NotImplementedError("the experiment of {name} is laid out, not written")


def summary(results: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """Put together what the record keeps, and no more than the chapter shows: 40 KB when compressed."""
    raise NotImplementedError("the experiment of {name} is laid out, not written")
'''


def files(entry: Entry, root: Path) -> dict[Path, str]:
    """Return the files of a chapter with their first text.

    :param entry: the mechanism.
    :param root: the top of the repository.
    """
    gate = entry.kind == "gate"
    arxiv = f", arXiv {entry.arxiv}" if entry.arxiv else ""
    words = {
        **{key: getattr(entry, key) for key in ("name", "title", "short", "family", "class_name")},
        "idea": _paragraph(entry.idea),
        "base": "Gate" if gate else "Attention",
        "method": "weights" if gate else "attend",
        "returns": "Tensor" if gate else "tuple[Tensor, dict[str, Tensor]]",
        "computes": "the gate" if gate else "the output and the maps that led to it",
        "source": _paragraph(f"Source: {entry.authors}, *{entry.paper}*, {entry.venue}{arxiv}."),
    }
    experiments = root / "attention" / "experiments" / entry.name
    return {
        root / "attention" / entry.family / f"{entry.name}.py": BLOCK.format(**words),
        root / "tests" / entry.family / f"test_{entry.name}.py": TEST.format(**words),
        root / "attention" / "exercises" / f"{entry.name}.py": EXERCISES.format(**words),
        root / "tests" / "exercises" / "answers" / f"{entry.name}.py": ANSWERS.format(**words),
        experiments / "__init__.py": EXPERIMENTS.format(**words),
        experiments / "tasks.py": TASKS.format(**words),
        experiments / "record.py": RECORD.format(**words),
        notebook_path(entry, root): text(layout(entry, root)),
    }


def _paragraph(words: str) -> str:
    """Wrap a paragraph of a class's docstring; its first line is indented already."""
    return indent("\n".join(wrap(words, 114)), "    ").lstrip()


def layout(entry: Entry, root: Path) -> nbformat.NotebookNode:
    """Lay out a chapter's notebook: title, set-up cell, live picture, card, and the sections with what each is for."""
    cells = [
        new_markdown_cell(f"# {entry.title}\n\n{entry.idea}"),
        new_code_cell(setup_cell(entry, settings(root)), metadata=setup_metadata()),
    ]
    cells.append(new_code_cell(live_cell(entry.name), metadata={"tags": list(LIVE_TAGS)}))
    cells.append(new_markdown_cell(f"<!-- {TRY} -->"))
    cells.append(new_markdown_cell("\n".join(CARD)))
    cells += [new_markdown_cell(f"## {name}\n\n<!-- {PURPOSE[name]} -->") for name in SECTIONS]
    for number, cell in enumerate(cells):
        cell.id = f"{entry.name.replace('_', '-')}-{number}"
    return new_notebook(cells=cells, metadata=nbformat.from_dict(METADATA))


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Lay out one chapter."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="?", default="", help="a planned mechanism")
    given = parser.parse_args(arguments)
    if not given.name:
        planned = ", ".join(entry.name for entry in registry.chapters() if not entry.ready)
        print(f"Which one? make new-chapter NAME=…; planned: {planned}", file=sys.stderr)
        return 2
    try:
        entry = registry.entry(given.name)
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2
    if entry.chapter:
        print(f"{entry.name} has no chapter of its own: {entry.chapter}'s introduces it", file=sys.stderr)
        return 2
    block = (
        root / "attention" / entry.family / f"{entry.name}.py",
        root / "tests" / entry.family / f"test_{entry.name}.py",
    )
    there = [path for path in block if entry.built and path.exists()]  # a block that is written stays
    wanted = {path: content for path, content in files(entry, root).items() if path not in there}
    taken = [path.relative_to(root).as_posix() for path in wanted if path.exists()]
    if taken:
        print(f"nothing written, for these are there already: {', '.join(taken)}", file=sys.stderr)
        return 2
    for path, content in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        package = path.parent / "__init__.py"
        if path.is_relative_to(root / "attention") and package not in wanted and not package.exists():
            package.write_text(f'"""{registry.FAMILIES[entry.family]}."""\n', encoding="utf-8")
            print(f"wrote {package.relative_to(root).as_posix()}")
        path.write_text(content, encoding="utf-8")
        print(f"wrote {path.relative_to(root).as_posix()}")
    print(f'Next: the steps of CONTRIBUTING.md, from 4 on; then status = "ready" in [{entry.name}], and _toc.yml.')
    return 0


if __name__ == "__main__":
    sys.exit(main())
