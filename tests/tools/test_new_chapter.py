"""A new chapter's files are laid out once, by the book's rules, and claim nothing that is not written."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from attention.lab.session import budget
from attention.registry import chapters, entry
from tests.notebooks import looks
from tests.notebooks.rules import RULES, Chapter
from tools.chapters import SECTIONS, live_cell, notebook_path, read, tags
from tools.writing import new_chapter

PLANNED = [found.name for found in chapters() if not found.ready]


def test_a_block_that_is_written_stays(house: Path) -> None:
    (name, *_) = [found.name for found in chapters() if found.status == "block"]
    found = entry(name)
    written = [
        house / "attention" / found.family / f"{name}.py",
        house / "tests" / found.family / f"test_{name}.py",
    ]
    for path in written:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    assert new_chapter.main([name], house) == 0
    assert [path.read_text() for path in written] == ["mine", "mine"]
    assert notebook_path(found, house).exists()


@pytest.mark.parametrize("name", PLANNED)
def test_lays_out_all_files(house: Path, name: str) -> None:
    assert new_chapter.main([name], house) == 0
    found = entry(name)
    paths = [
        f"attention/{found.family}/{name}.py",
        f"attention/exercises/{name}.py",
        f"tests/{found.family}/test_{name}.py",
        f"notebooks/{found.family}/{name}.ipynb",
        f"attention/experiments/{name}/__init__.py",
        f"attention/experiments/{name}/tasks.py",
        f"attention/experiments/{name}/record.py",
        f"tests/exercises/answers/{name}.py",
    ]
    for path in map(house.joinpath, paths):
        content = path.read_text(encoding="utf-8")
        assert content.endswith("\n")
        if path.suffix == ".py":
            compile(content, str(path), "exec")
    sources = [cell.source for cell in read(house / paths[3]).cells if cell.source.startswith("## ")]
    assert [source.partition("\n")[0] for source in sources] == [f"## {section}" for section in SECTIONS]


def test_style(house: Path) -> None:
    for name in PLANNED:
        assert new_chapter.main([name], house) == 0
    ours = 'lint.isort.known-first-party = ["attention", "tests"]'  # ruff finds them by files that are not here
    for command in (["check", "--config", ours], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."],
            cwd=house,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_writes_over_nothing(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = PLANNED[0]
    assert new_chapter.main([name], house) == 0
    path = house / "attention" / entry(name).family / f"{name}.py"
    path.write_text("mine")
    before = {path: path.read_bytes() for path in house.rglob("*") if path.is_file()}
    assert new_chapter.main([name], house) == 2
    assert f"{name}.py" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in house.rglob("*") if path.is_file()} == before


def test_what_is_laid_out_does_not_pass(house: Path) -> None:
    """Neither the block nor the chapter pretends to be written."""
    name = PLANNED[0]
    new_chapter.main([name], house)
    found = entry(name)
    path = notebook_path(found, house)
    broken = {rule for rule, judge in RULES.items() if list(judge(Chapter(path, read(path), house)))}
    assert {"words", "executed_in_order", "equations_are_asserted", "exercises", "citations"} <= broken
    assert "metadata" not in broken
    assert not {"head", "folded_cells", "figures_have_captions"} & broken
    spec = importlib.util.spec_from_file_location("laid_out", house / "attention" / found.family / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(NotImplementedError, match="laid out, not written"):
        getattr(module, found.class_name)(8)


def test_the_head_of_a_chapter(house: Path) -> None:
    name = PLANNED[0]
    new_chapter.main([name], house)
    path = notebook_path(entry(name), house)
    made = read(path)
    assert not list(looks.head(Chapter(path, made, house)))
    pictures = [cell.source for cell in made.cells if "live" in tags(cell)]
    assert pictures == [live_cell(name)]


def test_the_recording_that_is_laid_out_has_its_four_names(house: Path) -> None:
    name = PLANNED[0]
    new_chapter.main([name], house)
    path = house / "attention" / "experiments" / name / "record.py"
    spec = importlib.util.spec_from_file_location("laid_out_record", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert f"attention/{entry(name).family}/{name}.py" in script.CODE
    chosen = budget("smoke")
    run, _ = script.runs(chosen)
    for laid_out in (lambda: script.one_run(chosen, **run), lambda: script.summary([], chosen)):
        with pytest.raises(NotImplementedError, match="laid out, not written"):
            laid_out()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", f"planned: {next(each.name for each in chapters() if not each.ready)}, "),
        ("ecaa", "did you mean 'eca'"),
        ("dot_product", "has no chapter of its own"),
        ("se", "nothing written"),
    ],
)
def test_refuses(house: Path, name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert new_chapter.main([name] if name else [], house) == 2
    assert message in capsys.readouterr().err
