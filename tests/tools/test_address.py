"""The public addresses can be changed everywhere with one command, and changed back."""

import shutil
from pathlib import Path

import pytest

from tools.chapters import ROOT, settings
from tools.publishing import address
from tools.writing import sync

SITE, REPOSITORY = "https://another.example/the/book", "https://github.com/some-one/some.thing"


def _holding(root: Path, words: list[str]) -> list[str]:
    found = []
    for path in address.files(root):
        text = path.read_text(encoding="utf-8", errors="ignore")
        found += [f"{path.relative_to(root)}: {word}" for word in words if word in text]
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of the whole repository, without what is built."""
    root = tmp_path / "tree"
    for path in address.files(ROOT):
        target = root / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return root


@pytest.mark.parametrize(
    ("site", "repository"), [(SITE, REPOSITORY), ("https://host/path", "https://github.com/owner/name")]
)
def test_there_and_back(tree: Path, site: str, repository: str) -> None:
    """Also by way of an address that anyone might give as an example."""
    sync.main(["--quick"], tree)
    old = settings(tree)
    before = {path: path.read_bytes() for path in address.files(tree)}
    assert _holding(tree, [old.slug])
    assert address.main(["--site", f"{site}/", "--repository", repository], tree) == 0
    assert settings(tree) == type(old)(site, repository, old.branch, old.pages)
    assert _holding(tree, [old.site, old.repository, old.slug]) == []
    assert sync.main(["--check", "--quick"], tree) == 0
    assert address.main(["--site", old.site, "--repository", old.repository], tree) == 0
    assert {path: path.read_bytes() for path in address.files(tree)} == before


def test_one_alone(house: Path) -> None:
    sync.main([], house)
    old = settings(house)
    assert address.main(["--site", SITE], house) == 0
    assert settings(house).site == SITE
    assert settings(house).repository == old.repository
    assert _holding(house, [old.site]) == []


def test_longer_addresses_are_left_alone(house: Path) -> None:
    sync.main([], house)
    old = settings(house)
    path = house / "other.md"
    path.write_text(f"{old.site}.org {old.site}-2 <{old.site}> {old.site}.")
    assert address.main(["--site", SITE], house) == 0
    assert path.read_text() == f"{old.site}.org {old.site}-2 <{SITE}> {SITE}."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--site", "http://plain.example"], "SITE='http://plain.example'"),
        (["--site", "another.example"], "allowed: https://<host>/<path>"),
        (["--site", 'https://a.example/"'], "is not an address"),
        (["--repository", "https://github.com/owner"], "allowed: https://github.com/<owner>/<name>"),
        (["--repository", "https://gitlab.example/owner/name"], "is not a repository"),
    ],
)
def test_refuses_what_is_no_address(
    house: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in address.files(house)}
    assert address.main(arguments, house) == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in address.files(house)} == before
