"""The rooms of the house: who may import whom is said in pyproject.toml, and a violation is found."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from attention import registry
from tools.testing.lint import IMPORTS, ROOT

#: A file, a line that it may not hold, and the contract that says so.
STRANGERS = [
    ("attention/channel/se.py", "from attention.lab import maps", "A mechanism knows the contract"),
    ("attention/channel/se.py", "from ..backbones.resnet import ResNet", "A mechanism knows the contract"),
    ("attention/hybrid/cbam.py", "import attention.experiments.se.tasks", "A mechanism knows the contract"),
    ("attention/branch/sk.py", "from attention.registry import create", "A mechanism knows the contract"),
    ("attention/spatial/stn.py", "from attention import create", "not the package"),
    ("attention/lab/style.py", "from attention.channel.se import SqueezeExcitation", "know no mechanism"),
    ("attention/lab/cost.py", "from .. import backbones", "Chapters' rooms"),
    ("attention/lab/record.py", "from attention.experiments.se import record", "Chapters' rooms"),
    ("attention/backbones/inception.py", "from attention.channel import se", "know no mechanism"),
    ("attention/backbones/resnet.py", "from attention.lab import style", "Chapters' rooms"),
    ("attention/grading/wire.py", "from attention.exercises import se", "Chapters' rooms"),
    ("attention/exercises/se.py", "from attention.experiments.se import tasks", "Chapters' rooms"),
    ("attention/registry.py", "from attention.formulas import evaluate", "Chapters' rooms"),
    ("attention/laws/values.py", "from attention.hybrid import cbam", "know no mechanism"),
    ("attention/laws/report.py", "from attention.lab import cost", "Chapters' rooms"),
    ("attention/hybrid/cbam.py", "from attention.laws import same", "A mechanism knows the contract"),
    ("attention/contract.py", "from attention.branch.sk import SelectiveKernel", "know no mechanism"),
    ("attention/lab/shapes/tables.py", "from attention.lab.shapes.runs import Trace", "No circles"),
    ("attention/lab/plots.py", "from attention.lab.comparison import Comparison", "No circles"),
    ("attention/lab/restore.py", "from tools.chapters import ROOT", "none of the scripts"),
]
#: What is meant to be possible: these lines break nothing.
FRIENDS = [
    ("attention/hybrid/cbam.py", "from attention.channel.se import SqueezeExcitation"),
    ("attention/channel/se.py", "from attention.contract import Attention"),
    ("attention/lab/cost.py", "from attention.published import published"),
    ("attention/laws/law.py", "from attention.contract import Gate"),
    ("attention/grading/wire.py", "from attention.lab.comparison import Interval"),
    ("attention/experiments/cbam/tasks.py", "from attention.backbones.resnet import ResNet"),
    ("attention/exercises/cbam.py", "from attention.hybrid.cbam import ConvolutionalBlockAttention"),
]


def linted(root: Path, lines: list[tuple[str, str]]) -> tuple[int, str]:
    """Add lines, each within a function of its own, to a copy of the sources, and check the copy's contracts."""
    for folder in ("attention", "tools"):
        ignored = shutil.ignore_patterns("__pycache__", "*.npz", "*.png", "*.jpg", "*.json")
        shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", root)
    for number, (name, line) in enumerate(lines):
        with (root / name).open("a", encoding="utf-8") as file:
            file.write(f"\n\ndef _added_{number}():\n    {line}\n")
    done = subprocess.run([sys.executable, "-c", IMPORTS], cwd=root, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def dotted(name: str) -> str:
    return name.removesuffix(".py").replace("/", ".")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    status, text = linted(tmp_path_factory.mktemp("strangers"), [(name, line) for name, line, _ in STRANGERS])
    assert status == 1
    return text


@pytest.mark.parametrize(("name", "line", "contract"), STRANGERS, ids=[f"{n}: {line}" for n, line, _ in STRANGERS])
def test_a_line_that_goes_against_the_plan_breaks_its_contract(report, name: str, line: str, contract: str) -> None:
    kept, _, broken = report.partition("Broken contracts")
    (said,) = (row for row in kept.splitlines() if contract in row)
    assert said.endswith("BROKEN")
    assert dotted(name) in broken or contract == "No circles"  # of a circle, the report names the smaller half


def test_what_is_meant_to_be_possible_breaks_nothing(tmp_path: Path) -> None:
    status, text = linted(tmp_path, FRIENDS)
    assert status == 0, text


def test_no_file_of_the_workbench_is_named_after_a_mechanism() -> None:
    names = {path.stem for path in (ROOT / "attention" / "lab").rglob("*.py")}
    assert not names & set(registry.entries())


def test_every_written_chapter_has_its_rooms() -> None:
    for entry in registry.chapters():
        rooms = [
            f"{entry.module.replace('.', '/')}.py",
            f"attention/experiments/{entry.name}/tasks.py",
            f"attention/exercises/{entry.name}.py",
            f"{entry.document}.ipynb",
            f"tests/{entry.family}/test_{entry.name}.py",
        ]
        assert not entry.ready or not [room for room in rooms if not (ROOT / room).is_file()]
