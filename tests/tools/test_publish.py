"""What is published: one branch of one commit with exactly the site, and the wheels of earlier versions; or nothing."""

import subprocess
from pathlib import Path

import pytest

from tools.chapters import Settings
from tools.publishing import publish
from tools.publishing.publish import Refused

WHERE = Settings("https://book.example.org", "https://github.com/someone/book", "main", "pages")
SITE = {
    "index.html": "<p>first</p>\n",
    "404.html": "",
    ".nojekyll": "",
    ".gitignore": "*.js\n",
    "_static/book.js": "1\r\n",
    "notebooks/channel/se.html": "é",
    "with space.html": "",
    "package-2.whl": "two",
}


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode().strip()


def write(top: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(text.encode())


def held(remote: Path, branch: str = "pages") -> dict[str, str]:
    """Return the files of a branch."""
    names = git(remote, "ls-tree", "-r", "-z", "--name-only", branch).split("\0")
    return {
        name: subprocess.run(
            ["git", "show", f"{branch}:{name}"], cwd=remote, check=True, capture_output=True
        ).stdout.decode()
        for name in names
        if name
    }


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """Return a bare repository whose main branch holds one commit."""
    path, work = tmp_path / "remote.git", tmp_path / "work"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch", "main", str(path))
    git(tmp_path, "clone", "--quiet", str(path), str(work))
    git(work, "-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "--quiet", "--allow-empty", "-m", "main")
    git(work, "push", "--quiet", "origin", "HEAD:main")
    return path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    top = tmp_path / "root" / "_build" / "html"
    write(top, SITE)
    return top


def test_one_commit_however_often(remote: Path, site: Path) -> None:
    main = git(remote, "rev-parse", "main")
    before = sorted(site.rglob("*"))
    for count in range(3):
        write(site, {"index.html": f"<p>{count}</p>\n", f"page-{count}.html": ""})
        (site / f"page-{count - 1}.html").unlink(missing_ok=True)
        assert publish.publish(site, str(remote), "pages", f"The book at {count}") == []
        assert git(remote, "rev-list", "--count", "pages") == "1"
        assert git(remote, "log", "-1", "--format=%s", "pages") == f"The book at {count}"
        assert held(remote) == SITE | {"index.html": f"<p>{count}</p>\n", f"page-{count}.html": ""}
    assert git(remote, "rev-parse", "main") == main, "no other branch is touched"
    assert git(remote, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/main", "refs/heads/pages"]
    (site / "page-2.html").unlink()
    assert sorted(site.rglob("*")) == before, "nor the site's folder"


def test_wheels_of_earlier_versions_stay(remote: Path, site: Path) -> None:
    publish.publish(site, str(remote), "pages", "two")
    (site / "package-2.whl").rename(site / "package-3.whl")
    assert publish.publish(site, str(remote), "pages", "three") == ["package-2.whl"]
    write(site, {"package-3.whl": "three, mended"})
    (site / "404.html").unlink()
    assert publish.publish(site, str(remote), "pages", "again") == ["package-2.whl"]
    found = held(remote)
    assert {name: found[name] for name in found if name.endswith(".whl")} == {
        "package-2.whl": "two",
        "package-3.whl": "three, mended",
    }
    assert "404.html" not in found
    assert git(remote, "rev-list", "--count", "pages") == "1"


def test_settings_of_git_do_not_matter(
    remote: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person may have told git to ignore some files, to convert the ends of lines, or to sign commits."""
    (tmp_path / "ignore").write_text("*.html\n")
    (tmp_path / ".gitconfig").write_text(
        f"[core]\nexcludesFile = {tmp_path / 'ignore'}\nautocrlf = input\n[commit]\ngpgSign = true\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.autocrlf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "input")
    publish.publish(site, str(remote), "pages", "all")
    monkeypatch.delenv("GIT_DIR")
    assert held(remote) == SITE


@pytest.mark.parametrize(
    ("where", "repository", "problem"),
    [
        (Settings("https://a.example", WHERE.repository, "main", "pages"), "", "placeholders"),
        (Settings(WHERE.site, "https://github.com/your_name/book", "main", "pages"), "", "placeholders"),
        (WHERE, "someone-else/book", "settings.toml names someone/book, but this is someone-else/book"),
    ],
)
def test_refuses_to_mislead(site: Path, where: Settings, repository: str, problem: str) -> None:
    with pytest.raises(Refused, match=problem):
        publish.check(site, where, repository)


def test_needs_a_site(site: Path) -> None:
    publish.check(site, WHERE, "Someone/Book")
    (site / ".nojekyll").unlink()
    with pytest.raises(Refused, match="there is no site: make site"):
        publish.check(site, WHERE, "")


def _settings(root: Path, site: str) -> None:
    (root / "settings.toml").write_text(
        f'site = "{site}"\nrepository = "{WHERE.repository}"\nbranch = "main"\npages = "pages"\n'
    )


def test_the_command(
    remote: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    monkeypatch.delenv("REMOTE", raising=False)
    _settings(root, WHERE.site)
    assert publish.main([], root) == 1
    assert "where to?" in capsys.readouterr().err
    monkeypatch.setenv("REMOTE", str(remote))  # as the workflow does
    assert publish.main(["--repository", "someone/book", "--commit", "abc"], root) == 0
    assert "pages holds the site, in one commit" in capsys.readouterr().out
    assert git(remote, "log", "-1", "--format=%s", "pages") == "The book at abc"
    _settings(root, "https://a.example")
    git(remote, "update-ref", "-d", "refs/heads/pages")
    assert publish.main([], root) == 1
    assert "not published: placeholders" in capsys.readouterr().err
    assert git(remote, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_a_password_is_not_shown(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    remote = "https://someone:secret@127.0.0.1:9/book.git"
    _settings(tmp_path / "root", WHERE.site)
    assert publish.main(["--remote", remote], tmp_path / "root") == 1
    said = capsys.readouterr().err
    assert "not published: git ls-remote failed" in said
    assert "secret" not in said

    def old_git(*words: str) -> None:
        raise Refused(f"git push failed: unable to access '{remote}'")

    monkeypatch.setattr(publish, "publish", old_git)
    assert publish.main(["--remote", remote], tmp_path / "root") == 1
    assert capsys.readouterr().err.endswith("unable to access 'https://…@127.0.0.1:9/book.git'\n")
