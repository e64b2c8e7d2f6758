"""Make the environment in which the Colab edition is tested: ``.venv-colab``, with what Colab has and nothing of ours.

From a list as ``pip freeze`` writes it, Colab's published one or the committed ``tests/colab/packages.txt``, it takes
what the package asks for, the kernel, and what these ask for in turn, each at the listed version, even where versions
contradict each other: so they do in Colab. What the set-up cell installs there is kept beside it as wheels, so that
the tests need no network. An environment that is current stays as it is.
"""

import argparse
import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from tools.environments.lock import CUDA
from tools.writing.sync import SETUP

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv-colab"
LIST = ROOT / "tests" / "colab" / "packages.txt"
KERNEL = "ipykernel"


def brought() -> list[str]:
    """Return the packages that the set-up cell installs beside the book's own."""
    return re.search(r"%pip install .*?\{\{WHEEL\}\} (.*)", SETUP)[1].split()


def needed(root: Path = ROOT) -> list[str]:
    """Return what must be there for a chapter to run: what the package asks for, and the kernel."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [canonicalize_name(Requirement(line).name) for line in project["dependencies"]] + [KERNEL]


def listed(text: str) -> dict[str, str]:
    """Read what ``pip freeze`` wrote.

    :param text: lines like ``numpy==2.1.3``, ``torch==2.11.0+cu128`` or ``torch @ https://…/torch-2.11.0-….whl``.
    :returns: version by normalised name, without local parts (``+cu128``). Packages from a repository or a folder,
        which have no version there, are left out.
    """
    found = {}
    for line in text.splitlines():
        try:
            asked = Requirement(line.split(" #")[0].strip())
        except InvalidRequirement:  # a comment, an option, an editable installation
            continue
        versions = [part.version for part in asked.specifier if part.operator in ("==", "===")]
        if version := versions[0] if versions else _of_file(asked.url or ""):
            found[canonicalize_name(asked.name)] = Version(version).public
    return found


def _of_file(address: str) -> str:
    name = unquote(urlsplit(address).path).rpartition("/")[2]
    for parse in (parse_wheel_filename, parse_sdist_filename):
        try:
            return str(parse(name)[1])
        except (InvalidWheelFilename, InvalidSdistFilename):
            continue
    return ""


def site_packages(folder: Path) -> Path:
    """Return where an environment made by this Python keeps its packages."""
    return folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def asked_for(installed: Path) -> dict[str, Requirement]:
    """Return what the packages in a folder ask for on this machine, by normalised name."""
    found = {}
    for package in distributions(path=[str(installed)]):
        for line in package.requires or ():
            child = Requirement(line)
            if child.marker is None or child.marker.evaluate({"extra": ""}):
                child.marker = None
                found[canonicalize_name(child.name)] = child
    return found


def install(folder: Path, versions: dict[str, str], torch_index: str) -> None:
    """Install what is needed, layer by layer, each package at its listed version and without regard to the others.

    :param folder: the environment.
    :param versions: the list, by name.
    :param torch_index: where torch comes from; empty for where everything does.
    """
    wanted: dict[str, Requirement] = {name: Requirement(name) for name in needed() if name in versions}
    done: set[str] = set()
    while layer := sorted(wanted.keys() - done):
        lines = [f"{name}=={versions[name]}" if name in versions else str(wanted[name]) for name in layer]
        if "torch" in layer and torch_index:
            line = lines.pop(layer.index("torch"))
            _pip(folder, "install", "--no-deps", "--index-url", torch_index, line)
        if lines:
            _pip(folder, "install", "--no-deps", *lines)
        done |= set(layer)
        asked = asked_for(site_packages(folder))
        wanted = {name: child for name, child in asked.items() if not name.startswith(CUDA)}
    # A build of torch for CUDA asks for its own exact versions of that.
    if cuda := [str(child) for name, child in asked.items() if name.startswith(CUDA)]:
        _pip(folder, "install", *cuda)


def _empty(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)


def _pip(folder: Path, *words: str) -> None:
    command = [folder / "bin" / "python", "-m", "pip", words[0], "--disable-pip-version-check", "--quiet", *words[1:]]
    subprocess.run(command, check=True)


def make(packages: Path, constraint: Path | None, torch_index: str, folder: Path) -> bool:
    """Make the environment, unless there is one that was made of the same.

    :param packages: the list.
    :param constraint: versions for what the set-up cell installs; without it, the newest, as a reader gets them.
    :param torch_index: where torch comes from; empty for where everything does.
    :param folder: the environment.
    :returns: whether it was made.
    :raises ValueError: where the list names none of what is needed.
    """
    versions = listed(packages.read_text(encoding="utf-8"))
    if not versions.keys() & set(needed()):
        raise ValueError(f"{packages.name} names no package that a chapter needs; is it what pip freeze writes?")
    pins = constraint.read_text(encoding="utf-8") if constraint else ""
    made_of = json.dumps([versions, needed(), brought(), pins, torch_index, platform.python_version()])
    digest = hashlib.sha256(made_of.encode()).hexdigest()
    stamp = folder / ".ready"
    if stamp.exists() and stamp.read_text() == digest:
        return False
    missing = [name for name in needed() if name not in versions]
    print(f"Making the environment {folder.name} from {packages.name} (once, about two minutes)", flush=True)
    print(f"not in the list, so not installed: {', '.join(missing) or 'nothing'}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)  # nothing of an earlier list may stay
    _empty(folder)
    install(folder, versions, torch_index)
    held = ["--constraint", str(constraint)] if constraint else []
    _pip(folder, "download", "--no-deps", "--dest", str(folder / "wheels"), *held, *brought())
    shutil.copy(packages, folder / "packages.txt")
    stamp.write_text(digest)
    return True


def main(arguments: list[str] | None = None) -> int:
    """Make the environment where it is not current."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--packages", type=Path, default=LIST, help="a list as pip freeze writes it")
    options.add_argument("--constraint", type=Path, help="versions for what the set-up cell installs; else the newest")
    options.add_argument("--torch-index", default="", help="where torch comes from")
    given = options.parse_args(arguments)
    try:
        make(given.packages, given.constraint, given.torch_index, FOLDER)
    except (OSError, ValueError, subprocess.CalledProcessError) as problem:
        print(f"the environment like Colab's was not made: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
