"""The environment is like Colab's: its versions, and nothing that the set-up cell has to bring."""

import re
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.chapters import ROOT
from tools.environments.colab_environment import FOLDER, LIST, brought, listed, needed
from tools.environments.lock import CUDA


@pytest.fixture(scope="module")
def installed(packages: Path) -> dict[str, str]:
    """Return version by name, local parts (``+cpu``) left out."""
    return {canonicalize_name(one.name): Version(one.version).public for one in distributions(path=[str(packages)])}


@pytest.fixture(scope="module")
def versions(packages: Path) -> dict[str, str]:
    """Return the list that the environment was made of."""
    return listed((FOLDER / "packages.txt").read_text(encoding="utf-8"))


def test_versions_are_those_of_the_list(installed: dict[str, str], versions: dict[str, str]) -> None:
    assert {name: version for name, version in installed.items() if versions.get(name, version) != version} == {}
    assert set(needed()) & versions.keys() <= installed.keys()


def test_nothing_of_ours_is_there(installed: dict[str, str], versions: dict[str, str], packages: Path) -> None:
    assert {"attention-block-by-block", "attention"} & installed.keys() == set()
    assert set(brought()) & installed.keys() <= versions.keys()
    assert not (packages / "attention").exists()
    assert not [path for path in packages.glob("*.pth") if str(ROOT) in path.read_text()]


def test_wheels_of_what_the_setup_cell_installs_are_at_hand(packages: Path) -> None:
    names = [canonicalize_name(path.name.partition("-")[0]) for path in (FOLDER / "wheels").glob("*.whl")]
    assert sorted(names) == sorted(brought())


def test_the_committed_list_is_complete(installed: dict[str, str], versions: dict[str, str]) -> None:
    committed = listed(LIST.read_text(encoding="utf-8"))
    if versions != committed:
        pytest.skip("the environment was made of another list")
    tools = {"pip", "setuptools", "wheel"}  # which pip freeze leaves out
    cuda = {name for name in installed if name.startswith(CUDA)}  # what a build of torch for CUDA brings along
    assert installed.keys() - tools - cuda == committed.keys()


def test_the_committed_list_is_like_colabs() -> None:
    committed = listed(LIST.read_text(encoding="utf-8"))
    exact = {"ipython": "7.34.0", "ipykernel": "6.17.1"}
    minor = {"numpy": "2.1", "matplotlib": "3.10", "einops": "0.8"}
    assert {name: committed[name] for name in exact} == exact
    assert {name: ".".join(committed[name].split(".")[:2]) for name in minor} == minor
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert committed["torch"] == re.search(r"^torch==(.*)$", pinned, re.MULTILINE)[1]
    assert set(brought()) & committed.keys() == set()
