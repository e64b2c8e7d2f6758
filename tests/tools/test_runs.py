"""The runs of a comparison: kept one by one, taken up again, spread over a cluster; and records that are confirmed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import joblib
import pytest
import torch
from joblib.parallel import BACKENDS, ThreadingBackend

from attention.lab import record
from attention.lab.session import Budget
from tools.chapters import ROOT
from tools.writing import record as tool
from tools.writing import runs
from tools.writing.confirm import confirm

CPU = Budget("cpu", torch.device("cpu"))

#: Five runs that say what they were asked, and note in a file that they ran.
TOY = '''"""A comparison of nothing."""

import os
from pathlib import Path

import torch

HERE = Path(__file__).parent
CODE = ["decides.txt"]


def runs(budget):
    return [{"block": block, "seed": seed} for block in ("a", "b") for seed in (1, 0)] + [{"block": "c", "seed": 0}]


def one_run(budget, block, seed):
    with (HERE / "ran.txt").open("a") as file:
        file.write(f"{block}{seed}\\n")
    if (HERE / "interrupt").exists() and block == "b":
        raise KeyboardInterrupt
    torch.manual_seed(seed)
    drawn = [torch.rand(1).item() for _ in range(100)]
    return {"run": (block, seed), "drawn": drawn, "threads": torch.get_num_threads(), "process": os.getpid()}
'''
ORDER = ["a1", "a0", "b1", "b0", "c0"]


class Toy:
    """A recording script of its own name, and what it has done."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.module = folder, f"toy_{folder.name.replace('-', '_')}"
        (folder / f"{self.module}.py").write_text(TOY)
        (folder / "decides.txt").write_text("1")
        self.path = folder / "_runs" / "toy.cpu.jsonl"

    def complete(self, **how) -> list[dict]:
        return runs.complete(self.module, CPU, self.path, **({"jobs": 1} | how))

    def ran(self) -> list[str]:
        """Return what ran since the last call."""
        note = self.folder / "ran.txt"
        found = note.read_text().split() if note.exists() else []
        note.unlink(missing_ok=True)
        return found

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def rewrite(self, lines: list[dict]) -> None:
        self.path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    made = Toy(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("ATTENTION_FASHION_MNIST", raising=False)
    return made


def _named(lines: list[dict]) -> list[str]:
    return ["".join(map(str, line["result"]["run"])) for line in lines]


def test_runs_are_kept_line_by_line(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    found = toy.complete(commit="0123")
    assert found == toy.lines()
    assert _named(found) == toy.ran() == ORDER
    assert torch.get_num_threads() == threads
    assert {line["result"]["threads"] for line in found} == {1}
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(",  ")[0].split(" done ")[0] for line in said] == [
        f"block {name[0]}, seed {name[1]}" for name in ORDER
    ]
    first = found[0]
    assert first["run"] == {"block": "a", "seed": 1}
    assert list(first["code"]) == ["decides.txt", f"{toy.module}.py"]
    assert first["code"]["decides.txt"] == record.code_hash([toy.folder / "decides.txt"])
    assert (first["made"]["budget"], first["made"]["torch"]) == ("cpu", torch.__version__)
    assert (first["made"]["commit"], first["set"]) == ("0123", [])


def test_a_second_start_does_the_rest_and_keeps_the_order(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    (toy.folder / "interrupt").touch()
    with pytest.raises(KeyboardInterrupt):
        toy.complete()
    assert _named(toy.lines()) == ["a1", "a0"]
    assert toy.ran() == ["a1", "a0", "b1"]
    (toy.folder / "interrupt").unlink()
    toy.rewrite(toy.lines()[::-1])
    capsys.readouterr()
    assert _named(toy.complete()) == ORDER
    assert toy.ran() == ["b1", "b0", "c0"]
    assert "2 of 5 runs are there" in capsys.readouterr().out
    assert _named(toy.complete()) == ORDER
    assert toy.ran() == []


def test_a_torn_line_is_dropped(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.complete()
    toy.ran()
    for torn in (toy.path.read_bytes()[:-1], toy.path.read_bytes()[:-9] + b"\n", toy.path.read_bytes()[:-50]):
        toy.path.write_bytes(torn)
        assert _named(toy.complete()) == _named(toy.lines()) == ORDER
        assert "not written to its end" in capsys.readouterr().out
        assert toy.ran() == ["c0"]


def test_what_is_no_run_is_refused(toy: Toy) -> None:
    toy.complete()
    broken = toy.path.read_bytes().replace(b'{"run"', b'{"run', 1)
    toy.path.write_bytes(broken)
    with pytest.raises(SystemExit, match=r"toy\.cpu\.jsonl: line 1 is no run; --fresh"):
        toy.complete()
    assert toy.path.read_bytes() == broken


@pytest.mark.parametrize(
    ("key", "name", "value", "message"),
    [
        ("code", "decides.txt", "0" * 16, "decides.txt differs"),
        ("code", "other.py", "0" * 16, "other.py differs"),
        ("made", "device", "A GPU", r"device A GPU instead of CPU"),
        ("made", "torch", "1.0", r"torch 1\.0 instead of \d"),
        ("made", "python", "3.0", r"python 3\.0 instead of \d"),
    ],
)
def test_runs_of_another_making_are_refused(toy: Toy, key: str, name: str, value: str, message: str) -> None:
    toy.complete()
    toy.ran()
    lines = toy.lines()[:2]
    lines[1][key][name] = value
    toy.rewrite(lines)
    with pytest.raises(SystemExit, match=f"runs that do not go with today's: {message}.*; --fresh sets them aside"):
        toy.complete()
    assert toy.lines() == lines
    assert toy.ran() == []
    runs.set_aside(toy.path)
    assert _named(toy.complete()) == toy.ran() == ORDER
    assert json.loads((toy.path.parent / "toy.cpu.1.jsonl").read_text().splitlines()[1]) == lines[1]
    runs.set_aside(toy.path)
    assert {path.name for path in toy.path.parent.iterdir()} == {"toy.cpu.1.jsonl", "toy.cpu.2.jsonl"}
    runs.set_aside(toy.path)  # there is none


def test_other_data_is_another_making(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.complete()
    monkeypatch.setenv("ATTENTION_FASHION_MNIST", "/data")
    with pytest.raises(SystemExit, match="ATTENTION_FASHION_MNIST was not set there and is set here"):
        toy.complete()


def test_a_worker_with_other_code_is_found_out(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    one = runs.one

    def other(module, name, run, commit):
        line = one(module, name, run, commit)
        return line if run["block"] == "a" else line | {"code": line["code"] | {"decides.txt": "old"}}

    monkeypatch.setattr(runs, "one", other)
    with pytest.raises(SystemExit, match=r"block b, seed 1 comes from a worker that .*: decides\.txt differs"):
        toy.complete()
    assert _named(toy.lines()) == ["a1", "a0"]


class Rounds(ThreadingBackend):
    """A backend that returns all at once, as those do that are built upon pools of processes; Ray's is one."""

    supports_return_generator = False


def test_a_backend_without_generators_is_given_little_at_once(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """And runs that share a process take turns: each draws from the generator as if it were alone."""
    expected = [line["result"] for line in toy.complete()]
    runs.set_aside(toy.path)
    monkeypatch.setitem(BACKENDS, "rounds", Rounds)
    sizes, whole = [], joblib.Parallel.__call__
    monkeypatch.setattr(joblib.Parallel, "__call__", lambda self, calls: sizes.append(len(calls)) or whole(self, calls))
    assert [line["result"] for line in toy.complete(backend="rounds", jobs=2)] == expected
    assert sizes == [2, 2, 1]


def test_a_cluster_needs_a_backend_that_has_one(toy: Toy) -> None:
    with pytest.raises(SystemExit, match="but the backend is None: dask and ray have clusters"):
        toy.complete(cluster="tcp://127.0.0.1:1")


def test_runs_on_a_cluster_of_two_workers(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="dask[distributed] is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(toy.folder)]))
    quiet = {"dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", **quiet) as cluster:
        with distributed.Client(cluster) as client:
            workers = set(client.run(os.getpid).values())
        found = toy.complete(backend="dask", cluster=cluster.scheduler_address, jobs=None)
    assert len(workers) == 2
    assert _named(found) == ORDER
    assert {line["result"]["process"] for line in found} <= workers
    assert sorted(_named(toy.lines())) == sorted(toy.ran()) == sorted(ORDER)


# The command, in a repository of its own


SCRIPT = '''"""A comparison of nothing."""

import os
import signal
import time
from pathlib import Path

TOP = Path(__file__).parents[3]
CODE = ["toy.py"]


def runs(budget):
    return [{"seed": seed} for seed in range(6)]


def one_run(budget, seed):
    with (TOP / "ran.txt").open("a") as file:
        file.write(f"{seed}\\n")
    kept = TOP / "_runs" / "toy.cpu.jsonl"
    while (TOP / "kill").exists() and seed > 2:
        if seed == 3 and kept.exists() and kept.read_bytes().count(b"\\n") == 3:
            os.killpg(os.getpgid(0), signal.SIGKILL)
        time.sleep(0.01)
    space = {}
    exec((TOP / "toy.py").read_text(), space)
    return {"score": space["score"](seed), "seconds": time.perf_counter()}


def summary(results, budget):
    return {"scores": [result["score"] for result in results]}
'''


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A repository with the tools, what they need of the package, and one recording script."""
    root = tmp_path / "house"
    unneeded = shutil.ignore_patterns("__pycache__", "data", "experiments", "exercises", "grading")
    shutil.copytree(ROOT / "attention", root / "attention", ignore=unneeded)
    for name in (
        "tools/__init__.py",
        *(f"tools/writing/{part}.py" for part in ("__init__", "record", "runs", "confirm")),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / "pyproject.toml").touch()
    (root / ".gitignore").write_text("__pycache__/\n")
    (root / "toy.py").write_text("def score(seed):\n    return seed + 2\n")
    script = root / "attention" / "experiments" / "toy" / "record.py"
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT)
    return root


def _command(house: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/writing/record.py", *words]
    return subprocess.run(command, cwd=house, capture_output=True, text=True, start_new_session=True, check=False)


def test_a_recording_that_was_killed_is_taken_up(house: Path) -> None:
    """Killed with all its processes, in the middle of a fourth and a fifth run."""
    (house / "kill").touch()
    words = ("toy", "--budget", "cpu", "--jobs", "2", "--commit", "0123")
    assert _command(house, *words).returncode == -9
    kept = house / "_runs" / "toy.cpu.jsonl"
    assert [json.loads(line)["run"]["seed"] for line in sorted(kept.read_text().splitlines())] == [0, 1, 2]
    for path in (house / "kill", house / "ran.txt"):
        path.unlink()
    with kept.open("a") as file:
        file.write('{"run": {"seed": 3}, "code"')
    done = _command(house, *words)
    assert done.returncode == 0, done.stderr
    assert "the last line was not written to its end" in done.stdout
    assert "3 of 6 runs are there" in done.stdout
    assert sorted((house / "ran.txt").read_text().split()) == ["3", "4", "5"]
    made = record.load(house / "attention" / "experiments" / "toy" / "record.json")
    assert made["experiment"] == {"scores": [2, 3, 4, 5, 6, 7]}
    assert list(made["code"]) == ["toy.py", "attention/experiments/toy/record.py"]
    seconds = [json.loads(line)["seconds"] for line in kept.read_text().splitlines()]
    assert (made["made"]["seconds"], made["made"]["commit"]) == (round(sum(seconds)), "0123")


def test_a_chapter_may_have_a_second_record(house: Path) -> None:
    room = house / "attention" / "experiments" / "toy"
    (room / "record_twice.py").write_text(SCRIPT.replace('result["score"]', '2 * result["score"]'))
    assert _command(house, "toy.twice", "--budget", "cpu", "--jobs", "1", "--commit", "0").returncode == 0
    assert not (room / "record.json").exists()
    made = record.load(room / "record_twice.json")
    assert made["experiment"] == {"scores": [4, 6, 8, 10, 12, 14]}
    assert list(made["code"])[-1] == "attention/experiments/toy/record_twice.py"


def test_the_command_sets_aside_what_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "se.smoke.jsonl"
    kept.write_text("old")

    def complete(module, chosen, path, **how):
        assert (module, chosen.name, path) == ("attention.experiments.se.record", "smoke", kept)
        assert how == {"jobs": 3, "backend": "dask", "cluster": "a:1", "commit": None}
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "complete", complete)
    words = ["se", "--budget", "smoke", "--jobs", "3", "--backend", "dask", "--cluster", "a:1"]
    words += ["--runs", str(tmp_path), "--target", str(tmp_path / "x.json")]
    with pytest.raises(SystemExit, match="interrupted; the same command does the runs that are not yet in"):
        tool.main([*words, "--fresh"])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"se.smoke.1.jsonl": "old"}


@pytest.mark.parametrize(
    ("words", "message"),
    [(["none"], "'none' has no recording; there are: .*se"), (["se", "--budget", "smoke"], "give it a --target")],
)
def test_the_command_refuses(words: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        tool.main(words)


# Records that are confirmed


def _git(root: Path, *words: str) -> None:
    name = ["-c", "user.name=A", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *name, *words], cwd=root, check=True, capture_output=True)


NEW = "attention/experiments/toy/record.py"


@pytest.fixture
def history(house: Path) -> Path:
    """A repository with a history, and a record of its code; returns today's script."""
    _git(house, "init", "-q")
    _git(house, "add", ".")
    _git(house, "commit", "-qm", "start")
    _record(house, ["toy.py", NEW])
    return house / NEW


def _record(house: Path, files: list[str]) -> None:
    made = record.made(CPU, root=house) | {"seconds": 1.2}
    record.write(house / Path(NEW).with_suffix(".json"), {"s": 2}, made=made, code=record.hashes(files, house))


def test_changed_code_that_gives_the_same_keeps_the_record(history: Path) -> None:
    root, target = history.parents[3], history.with_suffix(".json")
    before = record.load(target)
    for text in ("return sum([seed, 1, 1])", "return 1 + seed + 1"):  # and once more, from what was confirmed
        (root / "toy.py").write_text(f"def score(seed):\n    {text}\n")
        assert "toy.py has changed" in record.stale(target)
        assert "seed 0, budget cpu, gives the same numbers" in confirm(history, ["toy.py"], {"seed": 0}, "cpu", root)
        assert record.stale(target) is None
        kept = record.load(target)
        assert (kept["made"], kept["experiment"]) == (before["made"], before["experiment"])
        assert (kept["confirmed"]["budget"], kept["confirmed"]["run"]) == ("cpu", {"seed": 0})
        _git(root, "add", ".")
        _git(root, "commit", "-qm", "confirmed")


def test_code_that_moved_is_found_in_the_history(house: Path) -> None:
    """A record made by a script of the older form, at another place, is confirmed for the code as it is called now."""
    old = "notebooks/toys/toy.record.py"
    (house / old).parent.mkdir(parents=True)
    (house / NEW).rename(house / old)
    (house / "lib.py").write_text((house / "toy.py").read_text())
    text = (house / old).read_text().replace("one_run(budget, seed)", "one_seed(seed, budget)")
    (house / old).write_text(text.replace("parents[3]", "parents[2]").replace("toy.py", "lib.py"))
    _git(house, "init", "-q")
    _git(house, "add", ".")
    _git(house, "commit", "-qm", "start")
    _record(house, ["lib.py", old])
    (house / old).unlink()
    (house / "lib.py").unlink()
    (house / NEW).write_text(SCRIPT)
    target = house / Path(NEW).with_suffix(".json")
    assert "lib.py is gone" in record.stale(target)
    assert "the record stands" in confirm(house / NEW, ["toy.py"], {"seed": 0}, "cpu", house)
    assert list(record.load(target)["code"]) == ["toy.py", NEW]
    assert record.stale(target) is None


def test_changed_code_that_gives_something_else_does_not(history: Path) -> None:
    root, target = history.parents[3], history.with_suffix(".json")
    (root / "toy.py").write_text("def score(seed):\n    return seed + 2 + 1e-12\n")
    before = target.read_text()
    with pytest.raises(SystemExit, match="the record of toy: seed 0, budget cpu, gives other results"):
        confirm(history, ["toy.py"], {"seed": 0}, "cpu", root)
    assert target.read_text() == before
    assert "toy.py has changed" in record.stale(target)


def test_a_few_steps_confirm_nothing(history: Path) -> None:
    root, target = history.parents[3], history.with_suffix(".json")
    (root / "toy.py").write_text("def score(seed):\n    return 2 + seed\n")
    before = target.read_text()
    assert "confirm it with the budget cpu" in confirm(history, ["toy.py"], {"seed": 0}, "smoke", root)
    assert target.read_text() == before


def test_code_that_was_never_committed_cannot_be_confirmed(history: Path) -> None:
    root, target = history.parents[3], history.with_suffix(".json")
    (root / "toy.py").write_text("def score(seed):\n    return seed + 3\n")
    _record(root, ["toy.py", NEW])
    assert record.load(target)["made"]["commit"].endswith("+")
    with pytest.raises(SystemExit, match="the history does not have the code that made it"):
        confirm(history, ["toy.py"], {"seed": 0}, "cpu", root)


def test_code_that_fails_is_shown(history: Path) -> None:
    (history.parents[3] / "toy.py").write_text("def score(seed):\n    raise KeyError('gone')\n")
    with pytest.raises(SystemExit, match="KeyError: 'gone'"):
        confirm(history, ["toy.py"], {"seed": 0}, "cpu", history.parents[3])
