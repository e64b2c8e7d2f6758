"""Do the runs of a comparison, several at once, and keep each as soon as it is done.

A finished run is one line of JSON in ``_runs/<name>.<budget>.jsonl``: what was run, by which code, on which device and
with which versions, how long it took and what came out. A second start does only what is missing, so that an
interruption loses no more than the runs in flight. Lines of other code, another device or other versions are refused: a
record has one making.

The runs are spread by joblib: over this machine's cores, or over a cluster where one is named. The workers of a cluster
need this repository with the same code, and its top on Python's path; runs in one process take turns, so each worker
has one thread: ``PYTHONPATH=. dask worker ADDRESS --nworkers 8 --nthreads 1``.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from joblib import Parallel, cpu_count, delayed, effective_n_jobs, parallel_config
from joblib.parallel import get_active_backend

from attention.lab import record
from attention.lab.session import Budget, budget

#: So many runs share a GPU at most.
ON_A_GPU = 8
#: Variables of the environment that decide what a run computes; a line says which of them were set.
DECIDING = ("ATTENTION_FASHION_MNIST",)
#: What must be the same in all runs of a record, of how they were made.
SAME = ("budget", "device", "python", "torch")

Run = dict[str, Any]
Line = dict[str, Any]
#: Torch has one random generator and one number of threads a process: runs in the same process take turns.
_TURN = threading.Lock()


def one(module: str, name: str, run: Run, commit: str | None = None) -> Line:
    """Do one run: what a process, or a worker of a cluster, is asked for.

    It computes with one thread, for two threads of a small network wait for each other: other runs use the other cores.

    :param module: the recording script's full name, ``attention.experiments.se.record``.
    :param name: the budget.
    :param run: the arguments of the script's ``one_run``.
    :param commit: the commit of the code, for a copy without history.
    :returns: the run's line.
    """
    script, root, code = _script(module)
    chosen = budget(name)
    with _TURN:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        began = time.perf_counter()
        try:
            result = script.one_run(chosen, **run)
        finally:
            torch.set_num_threads(threads)
        seconds = time.perf_counter() - began
    made = record.made(chosen, root=root, commit=commit)
    result = json.loads(json.dumps(result))  # what is read back later is the same as what is returned now
    return {"run": run, "code": code, "set": _set(), "made": made, "seconds": seconds, "result": result}


@cache
def _script(module: str) -> tuple[ModuleType, Path, dict[str, str]]:
    """Import a script; return it, the folder that its ``CODE`` starts from, and the hashes of what was imported."""
    script = import_module(module)
    path = Path(script.__file__).resolve()
    root = path.parents[module.count(".")]
    return script, root, record.hashes([*script.CODE, path.relative_to(root).as_posix()], root)


def _set() -> list[str]:
    return [name for name in DECIDING if os.environ.get(name)]


def complete(
    module: str,
    chosen: Budget,
    path: Path,
    *,
    jobs: int | None = None,
    backend: str | None = None,
    cluster: str | None = None,
    commit: str | None = None,
) -> list[Line]:
    """Do the runs of a comparison that are not kept yet.

    :param module: the recording script's full name.
    :param chosen: the budget.
    :param path: the file of finished runs; it need not be there.
    :param jobs: how many runs at once; by default one a core, on a GPU at most eight, on a cluster one a worker. 1
        stays in this process.
    :param backend: the name of a backend of joblib, ``dask`` or ``ray``; by default processes of this machine.
    :param cluster: the address of the scheduler of such a cluster.
    :param commit: the commit of the code, for a copy without history; by default git is asked.
    :returns: the lines of all runs, in the order in which the script names them.
    :raises SystemExit: where kept runs, or one that comes back from a worker, were made by other code, on another
        device or with other versions; where the file holds something else; for a cluster that no backend takes.
    """
    script, root, code = _script(module)
    wanted = script.runs(chosen)
    asked = {_key(run): run for run in wanted}
    kept = read(path)
    expected: Line = {"code": code, "set": _set()}
    if not backend:
        expected["made"] = record.made(chosen, root=root, commit=commit)
    elif kept:
        expected["made"] = next(iter(kept.values()))["made"]
    if differ := _differences(kept.values(), expected):
        raise SystemExit(f"{path} holds runs that do not go with today's: {differ}; --fresh sets them aside")
    done = {key: kept[key] for key in asked if key in kept}
    if done:
        print(f"{len(done)} of {len(asked)} runs are there: {path}", flush=True)
    calls = [delayed(one)(module, chosen.name, run, commit) for key, run in asked.items() if key not in done]
    if calls and not backend:
        cores = cpu_count()
        jobs = min(len(calls), jobs or (min(ON_A_GPU, cores) if chosen.name == "gpu" else cores))
    began = time.perf_counter()
    for line in _finished(calls, jobs, backend, cluster):
        expected.setdefault("made", line["made"])
        if differ := _differences([line], expected):
            raise SystemExit(f"{label(line['run'])} comes from a worker that does not go with the others: {differ}")
        append(path, line)
        done[_key(line["run"])] = line
        spent = f"{line['seconds']:.0f} s, {time.perf_counter() - began:.0f} s since the start"
        print(f"{label(line['run'])} done ({len(done)} of {len(asked)}), {spent}", flush=True)
    return [done[_key(run)] for run in wanted]


def _finished(
    calls: Sequence[tuple[Callable, tuple, dict]], jobs: int | None, backend: str | None, cluster: str | None
) -> Iterator[Line]:
    """Yield the lines of runs as they are done."""
    if not calls:
        return
    with parallel_config(backend or "loky", n_jobs=jobs or -1, **_cluster(backend, cluster)):
        if jobs == 1 or get_active_backend()[0].supports_return_generator:
            yield from Parallel(return_as="generator_unordered", batch_size=1)(calls)
            return
        size = effective_n_jobs()  # a backend that returns all at once, as Ray's does, is given little at once
        for start in range(0, len(calls), size):
            yield from Parallel(batch_size=1)(calls[start : start + size])


def _cluster(backend: str | None, cluster: str | None) -> dict[str, Any]:
    """Reach a cluster; return what its backend is told."""
    if backend == "ray":
        import ray
        from ray.util.joblib import register_ray

        register_ray()
        if cluster:
            ray.init(address=cluster, ignore_reinit_error=True)
    elif cluster and backend != "dask":
        raise SystemExit(f"a cluster is named, {cluster}, but the backend is {backend}: dask and ray have clusters")
    return {"scheduler_host": cluster} if cluster and backend == "dask" else {}


def read(path: Path) -> dict[str, Line]:
    """Read the finished runs, and drop a last line that was not written to its end.

    :param path: the file; it need not be there.
    :returns: the lines, by their runs, in the order in which they were done.
    :raises SystemExit: for any other line that cannot be read.
    """
    found: dict[str, Line] = {}
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    for number, raw in enumerate(lines):
        try:
            line = json.loads(raw) if raw.endswith(b"\n") else None
        except ValueError:
            line = None
        if isinstance(line, dict):
            found.setdefault(_key(line["run"]), line)
        elif number == len(lines) - 1:
            print(f"{path}: the last line was not written to its end; it is dropped", flush=True)
            os.truncate(path, sum(map(len, lines[:-1])))
        else:
            raise SystemExit(f"{path}: line {number + 1} is no run; --fresh sets the file aside")
    return found


def append(path: Path, line: Line) -> None:
    """Write a run down, so that it is there whatever happens next.

    :param path: the file; it and its folder are made where they are missing.
    :param line: the run's line.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(json.dumps(line).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def set_aside(path: Path) -> None:
    """Give a file of finished runs another name, ``se.cpu.1.jsonl``, so that the next start begins anew.

    :param path: the file; it need not be there.
    """
    number = 1
    while (target := path.with_suffix(f".{number}.jsonl")).exists():
        number += 1
    if path.exists():
        path.rename(target)
        print(f"{path.name} is now {target.name}", flush=True)


def label(run: Run) -> str:
    """Name a run: ``block se, seed 3``.

    :param run: its arguments.
    """
    return ", ".join(f"{key} {value}" for key, value in run.items())


def _key(run: Run) -> str:
    return json.dumps(run, sort_keys=True)


def _differences(lines: Iterable[Line], expected: Line) -> str:
    """Say in what lines differ from what is expected of each; empty where in nothing."""
    found = []
    for line in lines:
        files = [*expected["code"], *(file for file in line["code"] if file not in expected["code"])]
        found += [f"{file} differs" for file in files if line["code"].get(file) != expected["code"].get(file)]
        for name in sorted({*line["set"]} ^ {*expected["set"]}):
            then, now = ("set", "not set")[:: 1 if name in line["set"] else -1]
            found.append(f"{name} was {then} there and is {now} here")
        made = expected.get("made", line["made"])
        found += [f"{key} {line['made'][key]} instead of {made[key]}" for key in SAME if line["made"][key] != made[key]]
    return ", ".join(dict.fromkeys(found))
