"""Run a chapter's recorded comparison and write its JSON: ``python tools/writing/record.py se``.

Finished runs are kept in ``_runs``: after an interruption the same command does the rest. Where the code of a record
has changed, but not what it computes, ``--confirm`` proves it and keeps the record.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a machine that only records need not install the package

import torch  # noqa: E402

from attention.lab import record  # noqa: E402
from attention.lab.session import Budget, budget  # noqa: E402
from tools.writing import runs  # noqa: E402
from tools.writing.confirm import confirm  # noqa: E402


def find(name: str, root: Path = ROOT) -> Path:
    """Return the script of a record, ``se`` or ``se.<what>``.

    :raises SystemExit: where there is none, naming those there are.
    """
    found = root.glob("attention/experiments/*/record*.py")
    scripts = {record.called(path): path for path in found}
    if name not in scripts:
        raise SystemExit(f"{name!r} has no recording; there are: {', '.join(sorted(scripts)) or 'none'}")
    return scripts[name]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="", help="the chapter, or se.<what> for a further record of it")
    parser.add_argument("--budget", choices=("smoke", "cpu", "gpu"), help="default: gpu where there is one, else cpu")
    parser.add_argument("--jobs", type=int, help="runs at once; default: one a core, on a GPU at most eight")
    parser.add_argument("--backend", help="of joblib: dask or ray; default: processes of this machine")
    parser.add_argument("--cluster", metavar="ADDRESS", help="of the scheduler of that backend")
    parser.add_argument("--fresh", action="store_true", help="set finished runs aside and begin anew")
    parser.add_argument("--runs", type=Path, default=ROOT / "_runs", help="the folder of finished runs; default: _runs")
    parser.add_argument("--target", type=Path, help="default: record.json beside the script")
    parser.add_argument("--commit", help="of the code, for a copy without its history; default: what git says")
    parser.add_argument(
        "--confirm",
        action="store_true",
        help="keep the record if today's code gives the same; default: budget cpu",
    )
    asked = parser.parse_args(words)
    path = find(asked.name)
    module = f"attention.experiments.{path.parent.name}.{path.stem}"
    script = import_module(module)
    if asked.confirm:
        chosen = budget(asked.budget or "cpu")
        print(confirm(path, script.CODE, script.runs(chosen)[0], chosen.name, ROOT))
        return
    elsewhere = asked.backend and asked.budget == "gpu"  # the workers have a GPU, and this machine need not have one
    chosen = Budget("gpu", torch.device("cuda")) if elsewhere else budget(asked.budget)
    if not chosen.judges and not asked.target:
        raise SystemExit(f"a run of budget {chosen.name!r} is no record; to see that it runs, give it a --target")
    target = asked.target or path.with_suffix(".json")
    kept = asked.runs / f"{asked.name}.{chosen.name}.jsonl"
    if asked.fresh:
        runs.set_aside(kept)
    print(f"recording {asked.name}, budget {chosen.name}", flush=True)
    how = {name: getattr(asked, name) for name in ("jobs", "backend", "cluster", "commit")}
    try:
        lines = runs.complete(module, chosen, kept, **how)
    except KeyboardInterrupt:
        raise SystemExit(f"interrupted; the same command does the runs that are not yet in {kept}") from None
    experiment = script.summary([line["result"] for line in lines], chosen)
    made = max((line["made"] for line in lines), key=lambda each: each["date"])
    made |= {"seconds": sum(line["seconds"] for line in lines)}
    record.write(target, experiment, made=made, code=lines[0]["code"])
    print(f"{record.origin(record.load(target))}\nwritten: {target}")


if __name__ == "__main__":
    main()
