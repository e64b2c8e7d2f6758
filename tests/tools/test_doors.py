"""What a stranger meets first: commands, licences, pins; and that a change makes the book new."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import attention
from tools import book
from tools.chapters import ROOT, wheel_name
from tools.environments import lock
from tools.publishing.address import files
from tools.publishing.site import build_wheel


def _make(*words: str, **options: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--no-print-directory", *words, *[f"{key}={value}" for key, value in options.items()]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    return done.stdout + done.stderr


def test_help_has_a_line_for_every_command() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    lines = _make("help").splitlines()
    assert [line.split()[1] for line in lines] == phony
    assert all(len(line.split()) > 3 and len(line) <= 120 for line in lines)
    assert {"book", "test", "execute", "sync", "colab", "record", "lint", "new-chapter"} <= set(phony)


def test_commands_pass_their_arguments_on() -> None:
    assert "tools.writing.execute se" in _make("-n", "execute", NAME="se")
    assert "tools.writing.new_chapter eca" in _make("-n", "new-chapter", NAME="eca")
    assert '--site "https://a.example"' in _make("-n", "address", SITE="https://a.example")


def test_torch_index_is_used_for_torch_alone() -> None:
    """The variable is empty by default, and pip's own settings decide."""
    stamps = ["-n", "--always-make", ".venv/.ready"]
    assert "--index-url" not in _make(*stamps)
    lines = _make(*stamps, TORCH_INDEX="https://index.example").splitlines()
    (line,) = [line for line in lines if "--index-url" in line]
    assert "https://index.example" in line
    assert "requirements.txt" not in line.partition("grep")[0]


def test_an_old_python_is_refused(tmp_path: Path) -> None:
    """With no interpreter that is new enough, make says so instead of making a broken environment."""
    for name in ("Makefile", "requirements.txt", "requirements-book.in"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(["make", "book", "PYTHON="], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no Python of at least 3.11" in done.stdout + done.stderr


def test_ci_calls_the_two_commands_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    commands = [line.strip() for line in script.splitlines() if line.startswith("make ")]
    console = re.search(r"## Two commands.*?```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    assert commands == [line.removeprefix("$ ") for line in console.splitlines()] == ["make book", "make test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_pins_are_exact_and_complete() -> None:
    """Every package that is asked for, directly or not, has one exact version, without a build's local part."""
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert lines == sorted(lines, key=lambda line: canonicalize_name(line.partition("==")[0]))
    pinned = {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in lines}
    reached = {
        canonicalize_name(name): version
        for name, version in lock.closure(lock.direct(ROOT / "requirements.in")).items()
    }
    assert reached.keys() <= pinned.keys()
    assert {name: pinned[name] for name in reached} == reached, "this environment is not that of requirements.txt"


def test_pins_are_the_same_on_every_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """With PyPI's build of torch for Linux, which brings CUDA along, and on a Mac."""

    class Installed:
        """What a package says of itself."""

        version = "1.0+cu130"

        def __init__(self, name: str) -> None:
            self.name = name
            self.requires = {
                "torch": [
                    "sympy",
                    'cuda-toolkit[cublas]==13.0; platform_system == "Linux"',
                    'nvidia-nccl-cu13==2; platform_system == "Linux"',
                    'triton==3; platform_system == "Linux"',
                ],
                "ipykernel": ['appnope; platform_system == "Darwin"', 'pexpect; sys_platform != "win32"'],
            }.get(name)

    monkeypatch.setattr(lock, "distribution", Installed)
    asked = [Requirement("torch"), Requirement("ipykernel")]
    here = {"torch": "1.0", "sympy": "1.0", "ipykernel": "1.0", "pexpect": "1.0"}
    for system, short in (("Linux", "linux"), ("Darwin", "darwin"), ("Windows", "win32")):
        monkeypatch.setattr("platform.system", lambda system=system: system)
        monkeypatch.setattr(sys, "platform", short)
        assert lock.closure(asked) == here


def test_pins_take_every_python_that_the_package_takes() -> None:
    """Also the first releases of the oldest: a distribution's Python is often one of these."""
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    for name in lock.closure(lock.direct(ROOT / "requirements.in")):
        wanted = metadata(name).get("Requires-Python", "")
        for version in (f"{oldest}.0", "3.12.0", "3.13.0"):
            assert SpecifierSet(wanted).contains(version), f"{name} needs Python {wanted}"


def test_the_book_needs_no_torch() -> None:
    reached = lock.closure(lock.direct(ROOT / "requirements-book.in"))
    assert {"Sphinx", "jupyter-book"} <= set(reached)
    assert "torch" not in reached


def test_the_package_has_lower_bounds_only() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        assert {part.operator for part in Requirement(text).specifier} == {">="}, text
    wanted = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    assert wanted <= {canonicalize_name(found.name) for found in lock.direct(ROOT / "requirements.in")}


def test_licences() -> None:
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
    text = (ROOT / "LICENSE-TEXT").read_text()
    assert text.startswith("Attribution 4.0 International")
    assert "Section 8 -- Interpretation." in text


def test_pre_commit_runs_the_same_lint() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    assert [hook["entry"] for hook in hooks] == ["make lint"]


def test_nothing_names_this_machine() -> None:
    """No path of a particular machine, and no package index but the one that the README mentions."""
    homes = re.compile(r"(?<![\w.])/(?:home|Users|root)/\w|https?://\S+/simple\b|--(?:extra-)?index-url[ =]https?:")
    for path in files(ROOT):
        if path.suffix in (".py", ".toml", ".yml", ".txt", ".in", ".md", ".cfg", ".ipynb") and path != Path(__file__):
            assert not homes.search(path.read_text(encoding="utf-8")), path.relative_to(ROOT)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel once."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def test_wheel_holds_the_package_and_its_data(wheel: Path) -> None:
    assert wheel.name == wheel_name(attention.__version__)
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "attention").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "attention/experiments/se/record.json" in ours
    assert names - {name for name in names if ".dist-info/" in name} == ours
    licences = {Path(name).name for name in names if "/licenses/" in name}
    assert licences == {"LICENSE", "LICENSE-TEXT"}


def test_every_way_to_a_wheel_brings_the_records(wheel: Path, tmp_path: Path) -> None:
    """``pip install .`` builds from the sources, ``python -m build`` from an sdist: the same files come out."""
    source = tmp_path / "source"
    for path in files(ROOT):
        if path.relative_to(ROOT).parts[0] not in ("tests", "book"):
            (source / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, source / path.relative_to(ROOT))
    ways = {
        "pip": ["pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir"],
        "build": ["build", "--no-isolation", "--outdir"],
    }
    expected = set(zipfile.ZipFile(wheel).namelist())
    for name, words in ways.items():
        into = tmp_path / name
        done = subprocess.run(
            [sys.executable, "-m", *words, str(into), "."], cwd=source, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        (made,) = into.glob("*.whl")
        assert set(zipfile.ZipFile(made).namelist()) == expected


def test_wheel_installs_without_dependencies(wheel: Path, tmp_path: Path) -> None:
    """As the set-up cell of a chapter does; the package then imports from there, and reads its data."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(tmp_path)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import attention;"
        "assert attention.__file__.startswith(sys.argv[1]);"
        "print(*attention.names()); assert 'torch' not in sys.modules; attention.create('se', 16);"
        "from attention.lab import maps, record, tasks;"
        "assert len(record.load('se')['experiment']) and len(maps.photographs()) and tasks.fashion_mnist(10, 10);"
        "assert not {'joblib', 'dask'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == attention.names()


@pytest.mark.parametrize(
    "name", ["_config.yml", "attention/a.py", "attention/data/x.toml", "book/_ext/e.py", "settings.toml"]
)
def test_a_change_that_sphinx_does_not_see_makes_the_book_new(tmp_path: Path, name: str) -> None:
    for each in (
        "_config.yml",
        "attention/a.py",
        "attention/data/x.toml",
        "book/_ext/e.py",
        "settings.toml",
        "book/a.md",
    ):
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).write_text(each)
    before = book.fingerprint(tmp_path)
    (tmp_path / "book" / "a.md").write_text("Sphinx sees this one itself")
    (tmp_path / "attention" / "__pycache__").mkdir()
    (tmp_path / "attention" / "__pycache__" / "a.pyc").write_text("no source")
    assert book.fingerprint(tmp_path) == before
    (tmp_path / name).write_text("changed")
    assert book.fingerprint(tmp_path) != before


def test_a_new_page_makes_the_book_new(tmp_path: Path) -> None:
    before = book.fingerprint(tmp_path)
    (tmp_path / "notebooks" / "channel").mkdir(parents=True)
    (tmp_path / "notebooks" / "channel" / "se.ipynb").write_text("{}")
    assert book.fingerprint(tmp_path) != before


def test_two_builds_of_one_folder_take_turns(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tools.book import alone\n"
        "with alone(Path(sys.argv[1])): print('in', flush=True); sys.stdin.readline(); print('out', flush=True)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "build")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as one:
        assert one.stdout.readline() == "in\n"
        with subprocess.Popen(command, **pipes) as other:
            assert other.stdout.readline().startswith("Another build writes into ")
            one.stdin.write("\n")
            one.stdin.flush()
            assert one.stdout.readline() == "out\n"
            assert other.communicate("\n")[0] == "in\nout\n"


def _build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> tuple[int, bool]:
    """Run the builder with a stand-in for Jupyter Book; say whether what was built before was still there."""
    seen = []

    def run(command, cwd, check):
        seen.append((tmp_path / "_build" / ".doctrees").exists())
        (tmp_path / "_build" / ".doctrees").mkdir(parents=True, exist_ok=True)
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(book, "ROOT", tmp_path)
    monkeypatch.setattr(book, "BUILD", tmp_path / "_build")
    monkeypatch.setattr(book.subprocess, "run", run)
    return book.main(), seen[0]


def test_a_failed_build_is_not_built_upon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sphinx would not warn again about a page that it has read: the second strict build would pass."""
    assert _build(tmp_path, monkeypatch, 1) == (1, False)
    assert _build(tmp_path, monkeypatch, 0) == (0, False)
    assert _build(tmp_path, monkeypatch, 0) == (0, True)  # a good one is
