"""Prove that changed code gives what the code of a record gave, and keep the record.

The code that made a record, or with which it was confirmed the last time, is taken from the history. One run by it and
one by today's code must give the same, to the last bit, but for times.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attention.lab import record
from attention.lab.session import budget
from tools.writing.runs import label

#: Prints what one run gives, by the code of the folder that it works in. In older code a run was a seed.
ONE_RUN = """
import importlib.util, json, sys
sys.path.insert(0, ".")
import torch
torch.set_num_threads(1)
from attention.lab.session import budget
script, name, run = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
spec = importlib.util.spec_from_file_location("script", script)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
one_run = getattr(module, "one_run", None) or module.one_seed
json.dump(one_run(budget=budget(name), **run), sys.stdout)
"""


def confirm(script: Path, code: list[str], run: dict[str, Any], name: str, root: Path) -> str:
    """Do a run with the code that made a record and with today's; where both give the same, keep the record.

    The record then notes today's code, and how it was confirmed. A few steps prove little: with the budget ``smoke``
    the record is left as it is.

    :param script: today's recording script, beside its record.
    :param code: the files that decide today, its ``CODE``.
    :param run: the arguments of the run.
    :param name: the budget to run with, ``smoke`` or ``cpu``.
    :param root: the repository, with its history.
    :returns: what to tell.
    :raises SystemExit: where the results differ, or the code that made the record cannot be had.
    """
    target, now = script.with_suffix(".json"), script.relative_to(root).as_posix()
    kept, title = record.load(target), f"the record of {record.called(script)}"
    today = record.hashes([*code, now], root)  # before it runs: what is changed meanwhile is not confirmed
    with tempfile.TemporaryDirectory() as folder:
        commit = _unpack(kept, root, Path(folder))
        if not commit:
            raise SystemExit(f"{title}: the history does not have the code that made it")
        then = list(kept["code"])[-1]  # the script stands last, under the name that it had
        results = [_one_run(Path(folder), then, name, run), _one_run(root, now, name, run)]
    told = f"{title}: {label(run)}, budget {name}, gives"
    if results[0] != results[1]:
        raise SystemExit(f"{told} other results than at {commit[:7]}; record it anew")
    told += f" the same numbers as at {commit[:7]}"
    if not budget(name).judges:
        return f"{told}; that proves little, and the record is left as it is: confirm it with the budget cpu"
    kept["code"] = today
    kept["confirmed"] = {**record.made(budget(name), root=root), "run": run, "against": commit}
    record.keep(target, kept)
    return f"{told}; the record stands"


def _unpack(kept: dict[str, Any], root: Path, folder: Path) -> str | None:
    """Lay the whole tree into a folder in which a record's code is what it says; return the commit."""
    for commit in dict.fromkeys(_commits(kept, root)):
        with tempfile.TemporaryDirectory() as trial:
            if _archive(commit, root, Path(trial), list(kept["code"])) and (
                record.hashes(kept["code"], Path(trial)) == kept["code"]
            ):
                _archive(commit, root, folder)
                return commit
    return None


def _commits(kept: dict[str, Any], root: Path) -> Iterator[str]:
    """Name the commits that may have the code: those that the record names, then all that changed one of its files."""
    for about in (kept["made"], kept.get("confirmed", {})):
        if about.get("commit"):
            yield about["commit"].rstrip("+")
    words = ["git", "log", "--format=%H", "--", *kept["code"]]
    yield from subprocess.run(words, cwd=root, capture_output=True, text=True, check=False).stdout.split()


def _archive(commit: str, root: Path, folder: Path, names: list[str] | None = None) -> bool:
    """Lay files of a commit into a folder, by default all; say whether it has them."""
    words = ["git", "archive", commit, "--", *(names or ["."])]
    archive = subprocess.run(words, cwd=root, capture_output=True, check=False)
    if archive.returncode == 0:
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return archive.returncode == 0


def _one_run(where: Path, script: str, name: str, run: dict[str, Any]) -> Any:
    """Do a run with the code of a folder."""
    words = [sys.executable, "-c", ONE_RUN, script, name, json.dumps(run)]
    ran = subprocess.run(words, cwd=where, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{script} fails:\n{ran.stderr}")
    return _without_times(json.loads(ran.stdout))


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(each) for key, each in value.items() if key != "seconds"}
    return [_without_times(each) for each in value] if isinstance(value, list) else value
