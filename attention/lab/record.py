"""Larger comparisons that run once and are kept as JSON beside their chapter, with all that tells how they were made.

Beside ``notebooks/<family>/<name>.ipynb`` lies ``<name>.record.py``, a script of three names: ``CODE``, the files that
decide what comes out; ``one_seed(seed, budget)``, which returns what one seed gives; ``run(budget)``, which returns the
whole experiment as JSON takes it. ``make record NAME=<name>`` runs it and writes ``<name>.record.json``.
"""

import ast
import hashlib
import importlib.util
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from datetime import UTC, datetime
from importlib.resources import files as resources
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from attention.lab.session import Budget, budget

__all__ = ["code_hash", "keep", "load", "made", "origin", "over_seeds", "script", "stale", "write"]

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_NOTHING = frozenset({"ctx", "kind", "type_comment"})  # fields that change no behaviour


def script(path: str | Path) -> ModuleType:
    """Import a recording script, whose file name is no module name.

    :param path: ``<name>.record.py``.
    :returns: the module.
    :raises FileNotFoundError: where there is none.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"{path.name}: there is no such recording script")
    spec = importlib.util.spec_from_file_location(path.stem.replace(".", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def over_seeds(path: str | Path, seeds: Sequence[int], chosen: Budget, *, workers: int | None = None) -> list[Any]:
    """Call a script's ``one_seed(seed, budget)`` for each seed, several at once, each in a process of one thread.

    Small networks leave a GPU waiting for the next instruction, and two threads of a CPU for each other: several
    processes, a seed each, use both well. A line is printed as each seed is done.

    :param path: the script.
    :param seeds: the seeds.
    :param chosen: the budget.
    :param workers: number of processes; by default one for each core, and at most eight on a GPU. 1 stays in this
        process.
    :returns: what the calls returned, in the order of the seeds.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(len(seeds), workers or (min(8, cores) if chosen.name == "gpu" else cores))
    if workers == 1:
        return [script(path).one_seed(seed, chosen) for seed in seeds]
    began, done = time.perf_counter(), {}
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(_one, str(path), seed, chosen.name): seed for seed in seeds}
        for future in as_completed(futures):
            done[futures[future]] = future.result()
            spent = time.perf_counter() - began
            print(f"seed {futures[future]} done ({len(done)} of {len(seeds)}), {spent:.0f} s", flush=True)
    return [done[seed] for seed in seeds]


def _one(path: str, seed: int, name: str) -> Any:
    return script(path).one_seed(seed, budget(name))


def write(
    path: str | Path,
    experiment: dict[str, Any],
    files: Iterable[str],
    *,
    chosen: Budget,
    seconds: float,
    commit: str | None = None,
    root: Path | None = None,
) -> None:
    """Write an experiment's record.

    :param path: ``<name>.record.json``.
    :param experiment: what the script's ``run`` returned; numbers are kept to six digits.
    :param files: the files that decide what comes out, the script among them, relative to the repository's root.
    :param chosen: the budget it ran with.
    :param seconds: wall-clock time that it took.
    :param commit: the commit of the code, for a copy without history; by default git is asked.
    :param root: the repository; by default the one that ``path`` lies in.
    :raises FileNotFoundError: for a file that is not there, and a path outside every repository.
    """
    path = Path(path).resolve()
    root = root or _root(path)
    kept = {
        "made": made(chosen, commit=commit, root=root) | {"seconds": round(seconds)},
        "code": {name: code_hash([root / name]) for name in files},
        "experiment": _rounded(experiment),
    }
    keep(path, kept)


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


def keep(path: Path, kept: dict[str, Any]) -> None:
    """Write a record as a file that a person can read, and git can compare.

    :param path: ``<name>.record.json``.
    :param kept: ``made``, ``code`` and ``experiment``; and ``confirmed``, where changed code was shown to give the
        same numbers.
    """
    text = json.dumps(kept, indent=1, ensure_ascii=False, allow_nan=False)
    # Lists of plain values on one line each. No text of JSON holds a line break: nothing within quotes is touched.
    text = re.sub(r"\[\n\s*([^\[\]{}]*?)\n\s*\]", lambda m: "[" + re.sub(r"\s*\n\s*", " ", m[1]) + "]", text)
    path.write_text(text + "\n", encoding="utf-8")


def load(name: str | Path) -> dict[str, Any]:
    """Read a record.

    :param name: a chapter's name, or the path of a ``.record.json``. A chapter's record is looked for in the working
        folder, among the notebooks of the repository, and in the package.
    :returns: ``made`` (date, budget, device, versions, commit, seconds), ``code`` and ``experiment``.
    :raises FileNotFoundError: where there is none, saying how to make it.
    """
    for path in _candidates(name):
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    raise FileNotFoundError(f"there is no record of {str(name)!r}; `make record NAME={Path(name).name.split('.')[0]}`")


def _candidates(name: str | Path) -> Iterator[Path]:
    if str(name).endswith(".json"):
        yield Path(name)
        return
    file = f"{name}.record.json"
    yield Path.cwd() / file
    yield from sorted(Path(__file__).resolve().parents[2].glob(f"notebooks/*/{file}"))
    yield Path(str(resources("attention"))) / "data" / "records" / file


def origin(kept: dict[str, Any]) -> str:
    """Say in one line where a record comes from: device, versions, time, date."""
    made = kept["made"]
    minutes = f"{made['seconds'] / 60:.0f} min" if made["seconds"] >= 60 else f"{made['seconds']} s"
    return f"recorded on {made['device']}, torch {made['torch']}, Python {made['python']}, in {minutes}, {made['date']}"


def stale(path: str | Path) -> str | None:
    """Say whether the code that made a record has changed since.

    :param path: the ``.record.json``.
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
    chapter = path.name.removesuffix(".record.json")
    return f"{path.name} is stale: {', '.join(changed)} since it was recorded; run `make record NAME={chapter}`"


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
