"""Larger comparisons that run once and are kept as JSON in their chapter's room, with how they were made.

``attention/experiments/<name>/record.py`` says what is run, in four names:

* ``CODE``: the files that decide what comes out, besides itself, relative to the repository's root.
* ``runs(budget)``: the runs of the comparison, each as the keyword arguments of ``one_run``: ``[{"seed": 0}, …]``.
* ``one_run(budget, **run)``: what one run gives, as JSON takes it.
* ``summary(results, budget)``: the whole experiment, from the results of all runs in the order of ``runs``.

``make record NAME=<name>`` runs it and writes ``record.json`` beside it, which travels in the package. A chapter with
a second question has a second script, ``record_<what>.py``, whose record is ``<name>.<what>`` and lies in
``record_<what>.json``: what answers one question is not run again for another. Here is what reads, writes and judges
these files; what runs a comparison is a tool of the repository.
"""

import ast
import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import torch

from attention.lab.session import Budget

__all__ = ["called", "code_hash", "hashes", "keep", "load", "made", "origin", "stale", "write"]

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_NOTHING = frozenset({"ctx", "kind", "type_comment"})  # fields that change no behaviour


def write(path: str | Path, experiment: dict[str, Any], *, made: dict[str, Any], code: dict[str, str]) -> None:
    """Write an experiment's record.

    :param path: ``record.json``.
    :param experiment: what the script's ``summary`` returned; numbers are kept to six digits.
    :param made: how it was made: what :func:`made` returns, and ``seconds``, the runs' own times added up.
    :param code: the files that decided what came out and their hashes, the script the last, from :func:`hashes`.
    :raises ValueError: for numbers that JSON does not have, such as NaN.
    """
    made = made | {"seconds": round(made["seconds"])}
    keep(path, {"made": made, "code": code, "experiment": _rounded(experiment)})


def hashes(names: Iterable[str], root: Path) -> dict[str, str]:
    """Hash files of code, each for itself.

    :param names: the files, relative to the root.
    :param root: the repository, or the folder that holds the package.
    :returns: the hash of each, by its name.
    :raises FileNotFoundError: for a file that is not there.
    """
    return {name: code_hash([root / name]) for name in names}


def made(chosen: Budget, *, root: Path, commit: str | None = None) -> dict[str, Any]:
    """Return when, on what and with what something is computed: what a record says of its making.

    :param chosen: the budget.
    :param root: the repository.
    :param commit: the commit of the code, for a copy without history; by default git is asked.
    """
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "budget": chosen.name,
        "device": _device(chosen),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit or _commit(root),
    }


def keep(path: str | Path, kept: dict[str, Any]) -> None:
    """Write a record as a file that a person can read, and git can compare.

    :param path: ``record.json``.
    :param kept: ``made``, ``code`` and ``experiment``; and ``confirmed``, where changed code was shown to give the
        same numbers.
    :raises ValueError: for numbers that JSON does not have, such as NaN.
    """
    text = json.dumps(kept, indent=1, ensure_ascii=False, allow_nan=False)
    # Lists of plain values on one line each. No text of JSON holds a line break: nothing within quotes is touched.
    text = re.sub(r"\[\n\s*([^\[\]{}]*?)\n\s*\]", lambda m: "[" + re.sub(r"\s*\n\s*", " ", m[1]) + "]", text)
    Path(path).write_text(text + "\n", encoding="utf-8")


def load(name: str | Path) -> dict[str, Any]:
    """Read a record.

    :param name: a chapter's name, or ``<name>.<what>`` for a further record of it, which lie in the package; or the
        path of a file that ends in ``.json``.
    :returns: ``made`` (date, budget, device, versions, commit, and ``seconds``: the runs' own times, added up; records
        of November 2026 have the time from the start to the end instead), ``code`` and ``experiment``.
    :raises FileNotFoundError: where there is none, saying how to make it.
    """
    if str(name).endswith(".json"):
        path, known = Path(name), called(Path(name))
    else:
        chapter, _, what = str(name).partition(".")
        file = f"record_{what}.json" if what else "record.json"
        path, known = resources("attention").joinpath("experiments", chapter, file), str(name)
    if not path.is_file():
        raise FileNotFoundError(f"there is no record of {str(name)!r}; `make record NAME={known}`")
    return json.loads(path.read_text(encoding="utf-8"))


def called(path: Path) -> str:
    """Return the name of a record, ``se`` or ``se.<what>``, from the path of its script or of its JSON."""
    what = path.stem.removeprefix("record").removeprefix("_")
    return path.resolve().parent.name + (f".{what}" if what else "")


def origin(kept: dict[str, Any]) -> str:
    """Say in one line where a record comes from: device, versions, time, date."""
    made = kept["made"]
    minutes = f"{made['seconds'] / 60:.0f} min" if made["seconds"] >= 60 else f"{made['seconds']} s"
    return f"recorded on {made['device']}, torch {made['torch']}, Python {made['python']}, in {minutes}, {made['date']}"


def stale(path: str | Path) -> str | None:
    """Say whether the code that made a record has changed since.

    :param path: the ``record.json``.
    :returns: what has changed, and what to do; ``None`` for a record that is fresh.
    """
    path = Path(path).resolve()
    root = _root(path)
    changed = []
    for name, known in load(path)["code"].items():
        if not (root / name).is_file():
            changed.append(f"{name} is gone")
        elif code_hash([root / name]) != known:
            changed.append(f"{name} has changed")
    if not changed:
        return None
    name = called(path)
    return f"the record of {name} is stale: {', '.join(changed)} since it was made; run `make record NAME={name}`"


def code_hash(paths: Iterable[str | Path]) -> str:
    """Hash what files of code do: comments, docstrings, blank lines and layout do not count, nor Python's version.

    The hash is taken over the syntax tree, of which fields that are empty are left out: newer versions of Python add
    such fields. Files that are not Python, or cannot be parsed, count byte for byte.

    :param paths: the files; their order counts, their names do not.
    :returns: the first 16 hexadecimal digits of a sha256.
    """
    digest = hashlib.sha256()
    for path in map(Path, paths):
        raw = path.read_bytes()
        if path.suffix == ".py":
            with suppress(SyntaxError):
                raw = "\n".join(_said(ast.parse(raw))).encode()
        digest.update(hashlib.sha256(raw).digest())
    return digest.hexdigest()[:16]


def _said(node: Any) -> Iterator[str]:
    """Write a syntax tree down, unambiguously, without what has no effect."""
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for field, value in ast.iter_fields(node):
            if field == "body" and isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
                value = value[1:]
            if isinstance(node, ast.JoinedStr):
                value = list(_joined(value))
            if field not in _NOTHING and value is not None and value != []:
                yield f".{field}"
                yield from _said(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for value in node:
            yield from _said(value)
        yield "]"
    else:
        yield repr(node)


def _joined(parts: list[ast.expr]) -> Iterator[Any]:
    """Join the neighbouring texts of an f-string and drop empty ones: Python 3.12 adds an empty one here and there."""
    text = ""
    for part in parts:
        if isinstance(part, ast.Constant):
            text += part.value
            continue
        yield from [text, part] if text else [part]
        text = ""
    if text:
        yield text


def _root(path: Path) -> Path:
    for folder in path.parents:
        if (folder / "pyproject.toml").is_file():
            return folder
    raise FileNotFoundError(f"{path.name}: no folder above it holds a pyproject.toml, so the code cannot be found")


def _device(chosen: Budget) -> str:
    if chosen.name == "gpu":
        return torch.cuda.get_device_name()
    return f"CPU ({platform.machine()})"


def _commit(root: Path) -> str | None:
    """The commit, with a plus sign where files differ from it; ``None`` without git or without a history."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
