"""Run a chapter's recorded comparison and write its JSON: ``python tools/writing/record.py se``.

Where the code of a record has changed, but not what it computes, ``--confirm`` proves it and keeps the record.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a machine that only records need not install the package

from attention.lab import record  # noqa: E402
from attention.lab.session import budget  # noqa: E402

#: Prints what a script gives for one seed, by the code of the folder that it runs in.
ONE_SEED = """
import json, sys
sys.path.insert(0, ".")
import torch
torch.set_num_threads(1)
from attention.lab import record
from attention.lab.session import budget
seed, name, script = int(sys.argv[1]), sys.argv[2], sys.argv[3]
json.dump(record.script(script).one_seed(seed, budget(name)), sys.stdout)
"""


def find(name: str, root: Path = ROOT) -> Path:
    """Return the script of a chapter.

    :raises SystemExit: where there is none, naming those there are.
    """
    scripts = {path.name.removesuffix(".record.py"): path for path in root.glob("notebooks/*/*.record.py")}
    if name not in scripts:
        raise SystemExit(f"{name!r} has no recording; there are: {', '.join(sorted(scripts)) or 'none'}")
    return scripts[name]


def confirm(path: Path, name: str, seed: int = 0, root: Path = ROOT) -> str:
    """Run one seed with the code that made a record and with today's; where both give the same, keep the record.

    All numbers must be equal to the last bit, but for times. The record then notes today's code, and how it was
    confirmed.

    :param path: the recording script.
    :param name: the budget to run with, ``smoke`` or ``cpu``.
    :param seed: the seed.
    :param root: the repository, with its history.
    :returns: what to tell.
    :raises SystemExit: where the results differ, or the code that made the record cannot be had.
    """
    target = path.with_suffix(".json")
    kept = record.load(target)
    commit = (kept["made"]["commit"] or "").rstrip("+")
    script = path.relative_to(root).as_posix()
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", commit or "none"], cwd=root, capture_output=True, check=False)
        if archive.returncode:
            raise SystemExit(f"{target.name}: the history does not have the commit {commit!r} that made it")
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        for file, known in kept["code"].items():
            if not (Path(folder) / file).is_file() or record.code_hash([Path(folder) / file]) != known:
                raise SystemExit(f"{target.name}: {file} at {commit[:7]} is not what made the record")
        then, now = (_one_seed(where, script, seed, name) for where in (Path(folder), root))
    if then != now:
        raise SystemExit(f"{target.name}: seed {seed} gives other results than at {commit[:7]}; record it anew")
    for file in kept["code"]:
        kept["code"][file] = record.code_hash([root / file])
    made = record.made(budget(name), root=root)
    kept["confirmed"] = {**made, "seed": seed}
    record.keep(target, kept)
    return f"{target.name}: seed {seed}, budget {name}, gives the same numbers as at {commit[:7]}; the record stands"


def _one_seed(where: Path, script: str, seed: int, name: str) -> Any:
    words = [sys.executable, "-c", ONE_SEED, str(seed), name, script]
    ran = subprocess.run(words, cwd=where, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{script} fails:\n{ran.stderr}")
    return _without_times(json.loads(ran.stdout))


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(each) for key, each in value.items() if key != "seconds"}
    return [_without_times(each) for each in value] if isinstance(value, list) else value


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="", help="the chapter")
    parser.add_argument("--budget", choices=("smoke", "cpu", "gpu"), help="default: gpu where there is one, else cpu")
    parser.add_argument("--target", type=Path, help="default: <name>.record.json beside the chapter")
    parser.add_argument("--commit", help="of the code, for a copy without its history; default: what git says")
    parser.add_argument(
        "--confirm", action="store_true", help="keep the record if today's code gives the same (budget: smoke or cpu)"
    )
    asked = parser.parse_args(words)
    path = find(asked.name)
    if asked.confirm:
        print(confirm(path, asked.budget or "cpu"))
        return
    target = asked.target or path.with_suffix(".json")
    chosen = budget(asked.budget)
    if not chosen.judges and not asked.target:
        raise SystemExit(f"a run of budget {chosen.name!r} is no record; to see that it runs, give it a --target")
    module = record.script(path)
    files = [*module.CODE, path.relative_to(ROOT).as_posix()]
    print(f"recording {asked.name}, budget {chosen.name}", flush=True)
    began = time.perf_counter()
    experiment = module.run(chosen)
    seconds = time.perf_counter() - began
    record.write(target, experiment, files, chosen=chosen, seconds=seconds, commit=asked.commit, root=ROOT)
    print(f"{record.origin(record.load(target))}\nwritten: {target}")


if __name__ == "__main__":
    main()
