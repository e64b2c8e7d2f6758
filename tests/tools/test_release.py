"""A release: one version everywhere, wheel and sdist whole, a complete site; and every check of that can fail."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import attention
from tools.chapters import ROOT, SETUP_TAGS, Settings, read, settings, tags, wheel_name, written
from tools.publishing import release, site, version

WHERE = Settings("https://book.example.org", "https://github.com/someone/book", "main", "pages")
COLAB = "https://colab.research.google.com/github/someone/book/blob/pages"
NOW = attention.__version__


def git(root: Path, *words: str) -> str:
    about = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
    return subprocess.run(["git", *about, *words], cwd=root, check=True, capture_output=True, text=True).stdout


def python(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=root, capture_output=True, text=True, check=False)


def copied(folder: Path) -> Path:
    """Copy the working tree, as a repository of its own, so that nothing changes under a test."""
    release.export(ROOT, folder)
    git(folder, "init", "--quiet")
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def dist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build both once, each from a copy of its own."""
    out = tmp_path_factory.mktemp("dist")
    for kind in ("sdist", "wheel"):
        source = tmp_path_factory.mktemp("source")
        release.export(tree, source)
        release.build(source, out, kind)
    return {"wheel": out / wheel_name(NOW), "sdist": out / f"attention_block_by_block-{NOW}.tar.gz"}


# --- the version


def test_a_new_version_reaches_every_file(tmp_path: Path) -> None:
    tree = copied(tmp_path / "tree")
    log = tree / "CHANGELOG.md"
    released = re.sub(r"\n## Next\n.*?(?=\n## )", "", log.read_text(), flags=re.DOTALL)
    log.write_text(released.replace(f"\n## {NOW}\n", f"\n## Next\n\nMuch.\n\n## {NOW}\n"))
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--message", "before")
    before = {path.relative_to(tree): path.read_bytes() for path in release.tracked(tree)}
    done = python(tree, "-m", "tools.publishing.version", "987.6.5")
    assert done.returncode == 0, done.stderr
    assert release.notes(tree, "987.6.5") == "Much."
    assert python(tree, "-m", "tools.writing.sync", "--check", "--quick").returncode == 0
    changed = {
        path.relative_to(tree) for path in release.tracked(tree) if before[path.relative_to(tree)] != path.read_bytes()
    }
    expected = {Path("attention/__init__.py"), Path("CITATION.cff"), Path("CHANGELOG.md")}
    assert changed == expected | {Path(f"{entry.document}.ipynb") for entry in written()}
    old = re.compile(rf"(?<![\w.=]){re.escape(NOW)}(?!\w|\.\d)")
    for path in release.tracked(tree):
        if path.name not in ("CHANGELOG.md", "requirements.txt"):
            text = path.read_text(encoding="utf-8", errors="ignore")
            if path.suffix == ".ipynb":  # outputs say which version put them out, until they are made anew
                text = "\n".join(cell.source for cell in read(path).cells)
            assert not old.search(text), path
    for entry in written():  # and in the chapters, the set-up cell alone
        was = nbformat.reads(before[Path(f"{entry.document}.ipynb")].decode(), 4)
        now = read(tree / f"{entry.document}.ipynb")
        differ = [b for a, b in zip(was.cells, now.cells, strict=True) if a != b]
        assert [tags(cell) for cell in differ] == [list(SETUP_TAGS)]
        assert wheel_name("987.6.5") in differ[0].source
    assert python(tree, "-m", "tools.publishing.colab", "se").returncode == 0
    assert wheel_name("987.6.5") in (tree / "_build" / "colab" / "channel" / "se.ipynb").read_text()
    release.build(tree, tmp_path, "wheel")
    assert (tmp_path / wheel_name("987.6.5")).exists()
    outcome = release.check_version(tree, tree / "_build", "v987.6.5")
    assert outcome.faults == []
    assert f"se.ipynb shows what {NOW} put out: make execute" in outcome.warnings
    assert "no section ## 987.6.6 yet" in python(tree, "-m", "tools.publishing.version", "987.6.6").stdout
    faults = release.check_version(tree, tree / "_build").faults
    assert faults == [
        "CHANGELOG.md has no section ## 987.6.6",
        "_build/colab/channel/se.ipynb names the wheel of 987.6.5",
    ]


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ("next", "is not a version"),
        ("9.0.0-rc1", "would be written '9.0.0rc1'"),
        ("v9.0.0", "would be written '9.0.0'"),
        (NOW, "is not later"),
        (f"{NOW}rc1", "is not later"),
    ],
)
def test_refuses_what_cannot_follow(tree: Path, new: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert version.main([new], tree) == 2
    assert problem in capsys.readouterr().err
    assert release.version(tree) == NOW


def test_shows_the_version(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert version.main([], tree) == 0
    assert f"VERSION={NOW}\n" in capsys.readouterr().out


def _naming(path: Path, other: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(new_notebook(cells=[new_code_cell(f'WHEEL = "{wheel_name(other)}"')])))


def _upload(path: Path, other: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as upload:
        upload.writestr(wheel_name(other), "")


def _edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new))

    return edit


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a repository that holds what states the version, and no more."""
    root = tmp_path / "small"
    (root / "attention").mkdir(parents=True)
    (root / "attention" / "__init__.py").write_text('"""A."""\n\n__version__ = "1.2.3"\n')
    (root / "CITATION.cff").write_text('version: "1.2.3"\n')
    (root / "CHANGELOG.md").write_text("# What changed\n\n## 1.2.3\n\nAll.\n\n## 1.2.2\n\nLess.\n")
    (root / "pyproject.toml").write_text('[project]\nname = "a"\ndynamic = ["version"]\n')
    (root / ".gitignore").write_text("_build/\n")
    _naming(root / "notebooks" / "channel" / "se.ipynb", "1.2.3")
    _naming(root / "_build" / "colab" / "channel" / "se.ipynb", "1.2.3")
    _upload(root / "_build" / "assignments" / "gradescope" / "eca.zip", "1.2.3")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "all")
    return root


def test_one_version(small: Path) -> None:
    outcome = release.check_version(small, small / "_build", "v1.2.3")
    assert (outcome.faults, outcome.note) == ([], "1.2.3, in 3 notebooks and uploads, and elsewhere")
    assert release.notes(small, "1.2.3") == "All."
    assert release.check_committed(small).warnings == []


@pytest.mark.parametrize(
    ("change", "tag", "fault"),
    [
        (_edit("CITATION.cff", "1.2.3", "1.2.2"), "", "CITATION.cff states 1.2.2"),
        (_edit("CITATION.cff", "version", "edition"), "", "CITATION.cff states none"),
        (_edit("CHANGELOG.md", "## 1.2.3\n\nAll.\n\n", ""), "", "no section ## 1.2.3"),
        (_edit("CHANGELOG.md", "All.", ""), "", "no section ## 1.2.3"),
        (_edit("pyproject.toml", "dynamic", 'version = "1.2.3"\ndynamic'), "", "pyproject.toml states 1.2.3 itself"),
        (lambda root: None, "v1.2.4", "the tag is v1.2.4, not v1.2.3"),
        (lambda root: None, "1.2.3", "the tag is 1.2.3"),
        (lambda root: _naming(root / "notebooks" / "new.ipynb", "1.2.2"), "", "notebooks/new.ipynb names the wheel of"),
        (lambda root: _naming(root / "_build" / "colab" / "b.ipynb", "1.2.2"), "", "colab/b.ipynb names the wheel of"),
        (
            lambda root: _naming(root / "_build" / "assignments" / "student" / "b.ipynb", "1.2.2"),
            "",
            "assignments/student/b.ipynb names the wheel of 1.2.2",
        ),
        (
            lambda root: _upload(root / "_build" / "assignments" / "gradescope" / "b.zip", "1.2.2"),
            "",
            "assignments/gradescope/b.zip names the wheel of 1.2.2",
        ),
    ],
)
def test_another_version_is_found(small: Path, change: Callable[[Path], None], tag: str, fault: str) -> None:
    change(small)
    (found,) = release.check_version(small, small / "_build", tag).faults
    assert fault in found


def test_a_version_that_packages_write_otherwise_is_found(small: Path) -> None:
    _edit("attention/__init__.py", "1.2.3", "1.2.3-rc1")(small)
    assert "would be written 1.2.3rc1" in release.check_version(small, small / "_build").faults[0]
    _edit("attention/__init__.py", "1.2.3-rc1", "soon")(small)
    assert release.check_version(small, small / "_build").faults[0] == "soon is not a version"
    _edit("attention/__init__.py", "__version__", "version")(small)
    with pytest.raises(ValueError, match="no line __version__"):
        release.version(small)


def test_what_is_not_committed_is_pointed_out(small: Path) -> None:
    (small / "new.md").write_text("new")
    assert release.check_committed(small).warnings == [
        "1 files are not as committed; what is checked is the working tree"
    ]
    assert release.check_committed(small).faults == []


# --- wheel and sdist


def test_wheel_and_sdist_are_whole(dist: dict[str, Path], tree: Path) -> None:
    assert release.check_wheel(dist["wheel"], tree).faults == []
    assert release.check_sdist(dist["sdist"], tree).faults == []


def test_the_sdist_gives_the_same_wheel(dist: dict[str, Path], tmp_path: Path) -> None:
    assert release.check_same(dist["wheel"], dist["sdist"]).faults == []
    other = rewritten(dist["wheel"], tmp_path, {"attention/contract.py": b"other"})
    faults = release.check_same(other, dist["sdist"]).faults
    assert faults == ["the wheel from the sdist: attention/contract.py has another content"]


def test_the_wheel_installs_and_imports(dist: dict[str, Path], tree: Path, tmp_path: Path) -> None:
    outcome = release.check_install(dist["wheel"], tree)
    assert outcome.faults == []
    assert re.fullmatch(r"\d{2,} modules, \d{2,} records", outcome.note)
    broken = rewritten(dist["wheel"], tmp_path, {"attention/__init__.py": b'__version__ = "0"'})
    assert "AssertionError" in release.check_install(broken, tree).faults[0]
    (tmp_path / "no.whl").write_bytes(b"")
    assert "it does not install" in release.check_install(tmp_path / "no.whl", tree).faults[0]


def rewritten(path: Path, folder: Path, changes: dict[str, bytes | None]) -> Path:
    """Write a wheel or an sdist anew, with files added or changed, or (``None``) left out."""
    files = {name: content for name, content in (release.contents(path) | changes).items() if content is not None}
    target = folder / path.name
    if path.suffix == ".whl":
        with zipfile.ZipFile(target, "w") as wheel:
            for name, content in files.items():
                wheel.writestr(name, content)
        return target
    top = folder / path.name.removesuffix(".tar.gz")
    for name, content in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    with tarfile.open(target, "w:gz", compresslevel=1) as sdist:
        sdist.add(top, top.name)
    return target


ABOUT = f"attention_block_by_block-{NOW}.dist-info"
RECORD = "attention/experiments/se/record.json"


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("attention/py.typed", None, "the wheel lacks attention/py.typed"),
        ("attention/mechanisms.toml", None, "the wheel lacks attention/mechanisms.toml"),
        (RECORD, None, f"the wheel lacks {RECORD}"),
        (RECORD, b"{}", f"{RECORD} has another content"),
        ("_runs/se.gpu.jsonl", b"", "the wheel holds _runs/se.gpu.jsonl, which does not belong there"),
        ("tests/test_contract.py", b"", "the wheel holds tests/test_contract.py, which does not belong there"),
        ("assignments/eca.grading.py", b"", "holds assignments/eca.grading.py"),
        ("attention/__pycache__/contract.cpython-311.pyc", b"", "holds attention/__pycache__"),
        (f"{ABOUT}/licenses/LICENSE-TEXT", None, f"the wheel lacks {ABOUT}/licenses/LICENSE-TEXT"),
        (f"{ABOUT}/entry_points.txt", b"", f"holds {ABOUT}/entry_points.txt"),
        (f"{ABOUT}/METADATA", b"Version: 0\n", "METADATA: Version is 0"),
    ],
)
def test_faults_of_a_wheel(
    dist: dict[str, Path], tree: Path, tmp_path: Path, name: str, content: bytes | None, fault: str
) -> None:
    faults = release.check_wheel(rewritten(dist["wheel"], tmp_path, {name: content}), tree).faults
    assert any(fault in found for found in faults)
    assert len(faults) == (3 if name.endswith("METADATA") else 1)


def test_more_faults_of_a_wheel(
    dist: dict[str, Path], tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = release.contents(dist["wheel"])[f"{ABOUT}/METADATA"]
    pinned = said.replace(b"Requires-Dist: torch>=", b"Requires-Dist: torch==")
    assert release.check_wheel(rewritten(dist["wheel"], tmp_path, {f"{ABOUT}/METADATA": pinned}), tree).faults == [
        "METADATA asks for more than lower bounds"
    ]
    other = tmp_path / wheel_name("0")
    shutil.copy(dist["wheel"], other)
    assert release.check_wheel(other, tree).faults == [f"{other.name} should be called {wheel_name(NOW)}"]
    monkeypatch.setattr(release, "WHEEL_LIMIT", 1000)
    assert "are more than the" in release.check_wheel(dist["wheel"], tree).faults[0]


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("MANIFEST.in", None, "the sdist lacks MANIFEST.in"),
        (RECORD, None, f"the sdist lacks {RECORD}"),
        ("_runs/se.gpu.jsonl", b"", "the sdist holds _runs/se.gpu.jsonl, which does not belong there"),
        ("tests/test_contract.py", b"", "the sdist holds tests/test_contract.py, which does not belong there"),
        ("attention/registry.py", b"", "the sdist: attention/registry.py has another content"),
        ("PKG-INFO", None, "the sdist lacks PKG-INFO"),
    ],
)
def test_faults_of_an_sdist(
    dist: dict[str, Path], tree: Path, tmp_path: Path, name: str, content: bytes | None, fault: str
) -> None:
    assert release.check_sdist(rewritten(dist["sdist"], tmp_path, {name: content}), tree).faults == [fault]


def test_what_cannot_be_built_says_why(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 3\n")
    with pytest.raises(RuntimeError, match="wheel could not be built"):
        release.build(tmp_path, tmp_path / "out", "wheel")


# --- the site


def _notebook(*addresses: str) -> str:
    text = "\n".join(f"[a page]({address})." for address in addresses)
    return nbformat.writes(new_notebook(cells=[new_markdown_cell(text), new_code_cell(f'WHEEL = "{_WHEEL}"')]))


_WHEEL = f"{WHERE.site}/{wheel_name(NOW)}"
_PAGE = f"""
<link rel="canonical" href="{WHERE.site}/book/page.html">
<meta property="og:image" content="{WHERE.site}/_static/card.png">
<h1 id="here">A page</h1><a href="../index.html">first</a><a href="#here">here</a><img src="../_static/card.png">
<a href="https://elsewhere.example/x">elsewhere</a><a href="{COLAB}/colab/channel/se.ipynb">Colab</a>
"""


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Return a small site that lacks nothing."""
    top = tmp_path / "site"
    files = {"index.html": "", "404.html": f'<a href="{WHERE.site}/">home</a>', ".nojekyll": "", "CNAME": ""}
    files |= {"book/page.html": _PAGE, "_static/card.png": "", wheel_name(NOW): ""}
    page, anchor = f"{WHERE.site}/book/page.html", f"{WHERE.site}/book/page.html#here"
    files |= {f"colab/{entry.family}/{entry.name}.ipynb": _notebook(page, anchor) for entry in written()}
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top


def test_a_whole_site(whole: Path) -> None:
    assert site.problems(whole, WHERE) == []


@pytest.mark.parametrize(
    ("name", "content", "faults"),
    [
        (wheel_name(NOW), None, {"leads to no file", "is missing"}),
        (wheel_name("0"), "", {"is of another version"}),
        ("colab/channel/se.ipynb", None, {"leads to no file", "is missing"}),
        ("colab/channel/se.ipynb", _notebook(f"{WHERE.site}/_images/gone.png"), {"leads to no file"}),
        ("colab/channel/se.ipynb", _notebook(f"{WHERE.site}/book/page.html#there"), {"leads to no anchor"}),
        ("book/page.html", _PAGE.replace("../index.html", "../../outside.html"), {"leads to no file"}),
        ("book/page.html", _PAGE.replace('href="#here"', 'href="#there"'), {"leads to no anchor"}),
        ("book/page.html", _PAGE.replace("channel/se", "channel/es"), {"leads to no file"}),
        ("_static/card.png", None, {"leads to no file", "is missing"}),
        (".nojekyll", None, {"is missing"}),
        ("CNAME", None, {"is missing"}),
        ("404.html", None, {"is missing"}),
    ],
)
def test_faults_of_a_site(whole: Path, name: str, content: str | None, faults: set[str]) -> None:
    if content is None:
        (whole / name).unlink()
    else:
        (whole / name).write_text(content)
    found = site.problems(whole, WHERE)
    assert found
    assert {fault for fault in faults if any(fault in line for line in found)} == faults
    assert all(any(fault in line for fault in faults) for line in found)


def test_a_site_has_a_limit(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "LIMIT", 100)
    (found,) = site.problems(whole, WHERE)
    assert "MB are more than" in found


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://book.example.org", "book.example.org"),
        ("https://someone.github.io/book", ""),
        ("https://book.example.org/of/someone", ""),
    ],
)
def test_what_is_laid_beside_the_book(tmp_path: Path, address: str, host: str) -> None:
    book, colab, wheel = tmp_path / "html", tmp_path / "colab", tmp_path / "new.whl"
    for folder in (book / "colab", colab):
        folder.mkdir(parents=True)
    for old in (book / "old.whl", book / "CNAME", book / "colab" / "old.ipynb", colab / "new.ipynb", wheel):
        old.write_text(old.name)
    site.lay(book, colab, wheel, replace(WHERE, site=address))
    files = {path.relative_to(book).as_posix() for path in book.rglob("*") if path.is_file()}
    assert files == {".nojekyll", "new.whl", "colab/new.ipynb", *(["CNAME"] if host else [])}
    assert not host or (book / "CNAME").read_text() == f"{host}\n"


def test_the_site_holds_the_wheel_that_was_checked(whole: Path, dist: dict[str, Path], house: Path) -> None:
    assert release.check_site(house / "none", dist["wheel"], house).faults == ["there is none: make site"]
    (house / "settings.toml").write_text(
        f'site = "{WHERE.site}"\nrepository = "{WHERE.repository}"\nbranch = "main"\npages = "pages"\n'
    )
    shutil.copy(dist["wheel"], whole)
    assert release.check_site(whole, dist["wheel"], house).faults == []
    rewritten(dist["wheel"], whole, {"attention/py.typed": None})
    assert release.check_site(whole, dist["wheel"], house).faults == ["the site's wheel lacks attention/py.typed"]


# --- addresses, quick checks, the command


def test_placeholders_are_pointed_out_and_never_published(house: Path) -> None:
    example = "https://some-book.example"
    assert site.placeholders(WHERE) == []
    assert site.placeholders(replace(WHERE, site=example)) == [f"site = {example}"]
    mine = "https://github.com/your_name/book"
    assert site.placeholders(replace(WHERE, repository=mine)) == [f"repository = {mine}"]
    path = house / "settings.toml"
    path.write_text(path.read_text().replace(settings(house).site, example))
    here, there = release.check_addresses(house, public=False), release.check_addresses(house, public=True)
    assert (here.faults, there.warnings) == ([], [])
    assert here.warnings == there.faults
    assert f"site = {example} is a placeholder" in here.warnings[0]


def test_the_quick_checks_are_part_of_it(tmp_path: Path) -> None:
    lint = tmp_path / "tools" / "testing" / "lint.py"
    lint.parent.mkdir(parents=True)
    for folder in (lint.parent, lint.parent.parent):
        (folder / "__init__.py").touch()  # else the scripts of the repository come first
    lint.write_text("print('passed  a\\nfailed  b\\nbecause\\n1 passed, 1 failed'); raise SystemExit(1)")
    assert release.check_lint(tmp_path).faults == ["failed  b; make lint says more"]
    lint.write_text("print('passed  a\\n1 passed, 0 failed')")
    assert (release.check_lint(tmp_path).faults, release.check_lint(tmp_path).note) == ([], "1 passed, 0 failed")
    lint.write_text("raise SystemExit(1)")
    assert release.check_lint(tmp_path).faults


def test_the_table(small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = {
        "good": lambda: release.Outcome(note="well"),
        "odd": lambda: release.Outcome(warnings=["look", "here"]),
    }
    monkeypatch.setattr(release, "build", lambda source, into, *kinds: (into / kinds[0]).touch())
    monkeypatch.setattr(release, "checks", lambda *words: outcomes)
    assert release.main([], small) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == ["passed good well", "warning odd look", "here", "2 passed, 1 of them with a warning, 0 failed"]
    assert {path.name for path in (small / "_build" / "dist").iterdir()} == {"sdist", "wheel", "NOTES.md"}
    assert (small / "_build" / "dist" / "NOTES.md").read_text() == "All.\n"

    def bad() -> release.Outcome:
        raise RuntimeError("it broke")

    outcomes["bad"] = bad
    assert release.main([], small) == 1
    assert "failed   bad               it broke" in capsys.readouterr().out


def test_every_check_is_part_of_the_command(small: Path) -> None:
    names = {name for name in vars(release) if name.startswith("check_")}
    used = {word for check in release.checks(small, small, "", False).values() for word in check.__code__.co_names}
    assert names == used & names
