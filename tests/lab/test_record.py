"""Records say how they were made, and know when they are stale."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from attention.lab import record
from attention.lab.comparison import Comparison
from attention.lab.maps import capture, class_share
from attention.lab.session import Budget, budget
from tools.writing import record as tool

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "notebooks" / "channel" / "se.record.py"
CPU = Budget("cpu", torch.device("cpu"))

CODE = '''"""A module."""

import math


class Thing:
    """A class."""

    size: int = 3

    def area(self, factor=1.0, *rest, **named):
        """A method."""
        # why
        return math.pi * self.size**2 * factor, f"{self.size!r:>{4}} {factor=:.2f}", rest, {**named}


async def wait(x, /, *, y):
    """A coroutine."""
    match x:
        case [1, *_] if y:
            return "text" b"".decode() if False else None
'''.replace('"text" b"".decode()', '"text"')

SAME = {
    "comments": CODE.replace("# why", "# because").replace("import math", "import math  # for pi"),
    "docstrings": CODE.replace('"""A method."""', '"""Another\n\n        text."""').replace('"""A class."""\n', ""),
    "module docstring": CODE.replace('"""A module."""', ""),
    "blank lines": CODE.replace("\n\n", "\n\n\n\n"),
    "layout": CODE.replace(
        "factor=1.0, *rest, **named", "\n        factor=1.0,\n        *rest,\n        **named,\n    "
    ),
    "quotes": CODE.replace('return "text"', "return 'text'"),
    "brackets": CODE.replace("self.size**2", "(self.size ** 2)"),
    "line ends": CODE.replace("\n", "\r\n"),
}
OTHER = {
    "number": CODE.replace("size: int = 3", "size: int = 4"),
    "type of a number": CODE.replace("factor=1.0", "factor=1"),
    "operator": CODE.replace("**2 * factor", "**2 + factor"),
    "name": CODE.replace("def area", "def volume"),
    "text": CODE.replace('"text"', '"Text"'),
    "order": CODE.replace("x, /, *, y", "y, /, *, x"),
    "import": CODE.replace("import math", "import cmath as math"),
    "a text that is no docstring": CODE.replace("# why", 'note = """A note."""'),
    "format": CODE.replace(":.2f", ":.3f"),
    "a bare return": CODE.replace("else None", "else 0"),
}


def hashed(tmp_path: Path, text: str, name: str = "code.py") -> str:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return record.code_hash([path])


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_what_changes_nothing_keeps_the_hash(text, tmp_path):
    assert text != CODE
    assert hashed(tmp_path, text) == hashed(tmp_path, CODE)


@pytest.mark.parametrize("text", OTHER.values(), ids=OTHER)
def test_what_changes_behaviour_changes_the_hash(text, tmp_path):
    assert text != CODE
    assert hashed(tmp_path, text) != hashed(tmp_path, CODE)


def test_the_hash_is_the_same_under_every_python(tmp_path):
    assert hashed(tmp_path, CODE) == "3496fbb4bd4b7984"


def test_only_a_leading_text_is_a_docstring(tmp_path):
    one, two = ('def f():\n    x = 1\n    "kept"\n    return x\n', "def f():\n    x = 1\n    return x\n")
    assert hashed(tmp_path, one) != hashed(tmp_path, two)


def test_other_files_count_byte_for_byte_and_their_order_counts(tmp_path):
    assert hashed(tmp_path, "a # b", "x.toml") != hashed(tmp_path, "a", "x.toml")
    (tmp_path / "1.py").write_text("x = 1")
    (tmp_path / "2.py").write_text("x = 2")
    pair = [tmp_path / "1.py", tmp_path / "2.py"]
    assert record.code_hash(pair) != record.code_hash(pair[::-1])


@pytest.fixture
def house(tmp_path):
    """A small repository with a record."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "code.py").write_text(CODE)
    (tmp_path / "lab" / "data.txt").write_text("1 2 3")
    path = tmp_path / "lab" / "x.record.json"
    files = ["lab/code.py", "lab/data.txt"]
    record.write(path, {"mean": 1 / 3, "list": [1, 2.0, (3,)]}, files, chosen=CPU, seconds=61.7, commit="abc")
    return tmp_path


def test_a_record_keeps_what_was_found_and_how(house):
    kept = record.load(house / "lab" / "x.record.json")
    assert kept["experiment"] == {"mean": 0.333333, "list": [1, 2.0, [3]]}
    made = kept["made"]
    assert (made["budget"], made["seconds"], made["commit"], made["torch"]) == ("cpu", 62, "abc", torch.__version__)
    assert made["python"] == ".".join(map(str, sys.version_info[:3]))
    assert made["device"].startswith("CPU")
    assert made["device"] in record.origin(kept)
    assert "1 min" in record.origin(kept)


def test_texts_are_kept_to_the_letter(house):
    path, said = house / "lab" / "y.record.json", {"note": "[ 0, 1 ) and [  a\n  b ]", "list": ["x [", " y ]"]}
    record.write(path, said, ["lab/code.py"], chosen=CPU, seconds=1)
    assert record.load(path)["experiment"] == said


def test_without_a_history_there_is_no_commit(house):
    path = house / "lab" / "y.record.json"
    record.write(path, {}, ["lab/code.py"], chosen=CPU, seconds=1)
    assert record.load(path)["made"]["commit"] is None


def test_a_record_is_fresh_until_its_code_does_something_else(house):
    path, code = house / "lab" / "x.record.json", house / "lab" / "code.py"
    assert record.stale(path) is None
    code.write_text(SAME["comments"])
    assert record.stale(path) is None
    code.write_text(OTHER["number"])
    assert record.stale(path) == (
        "x.record.json is stale: lab/code.py has changed since it was recorded; run `make record NAME=x`"
    )
    code.write_text("def broken(:")
    assert "lab/code.py has changed" in record.stale(path)
    code.write_text(CODE)
    (house / "lab" / "data.txt").write_text("1 2 4")
    assert "lab/data.txt has changed" in record.stale(path)
    (house / "lab" / "data.txt").unlink()
    assert "lab/data.txt is gone" in record.stale(path)


def test_numbers_that_json_does_not_have_are_refused(house):
    with pytest.raises(ValueError, match="JSON"):
        record.write(house / "lab" / "z.record.json", {"x": float("nan")}, [], chosen=CPU, seconds=1)
    assert not (house / "lab" / "z.record.json").exists()


def test_a_record_that_is_not_there_says_how_it_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="make record NAME=nothing"):
        record.load("nothing")
    (tmp_path / "nothing.record.json").write_text('{"here": 1}')
    assert record.load("nothing") == {"here": 1}


SEEDED = """
import torch
def one_seed(seed, budget):
    return [seed, budget.name, torch.get_num_threads()]
"""


def test_seeds_run_in_processes_of_one_thread_and_keep_their_order(tmp_path, capfd):
    path = tmp_path / "x.record.py"
    path.write_text(SEEDED)
    assert record.over_seeds(path, (3, 1), CPU, workers=2) == [[3, "cpu", 1], [1, "cpu", 1]]
    assert "2 of 2" in capfd.readouterr().out
    assert [found[0] for found in record.over_seeds(path, (5, 4), CPU, workers=1)] == [5, 4]
    with pytest.raises(FileNotFoundError, match=r"y\.record\.py"):
        record.script(tmp_path / "y.record.py")


# The chapter on SE

BARE = """
import sys
for name in ("matplotlib", "IPython", "PIL", "scipy", "torchinfo", "tqdm", "pandas", "torchvision"):
    sys.modules[name] = None
import runpy
sys.argv = ["record.py", "se", "--budget", "smoke", "--target", sys.argv[1], "--commit", "0123"]
runpy.run_path("tools/writing/record.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The smallest recording, on a machine that has torch, numpy, einops, jaxtyping, and little else."""
    target = tmp_path_factory.mktemp("record") / "se.record.json"
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(target)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "recording se, budget smoke" in done.stdout
    return json.loads(target.read_text(encoding="utf-8"))


def test_the_recording_runs_and_compares_four_networks(smoke):
    comparison = Comparison.from_dict(smoke["experiment"]["comparison"])
    assert comparison.names == ("plain", "SE", "no squeeze", "wider")
    assert comparison.seeds == (0, 1)
    assert smoke["made"]["budget"] == "smoke"
    assert smoke["made"]["commit"] == "0123"
    assert "notebooks/channel/se.record.py" in smoke["code"]


def test_the_recording_keeps_gates_a_block_and_class(smoke):
    kept = smoke["experiment"]["gates"]
    assert list(kept["thousandths"]) == ["stages.0.0.attention", "stages.1.0.attention"]
    for (block, gates), channels in zip(kept["thousandths"].items(), (8, 16), strict=True):
        gates = torch.tensor(gates) / 1000
        assert gates.shape == (100, channels)
        assert (gates > 0).all()
        assert (gates < 1).all()
        assert all(0 < seed[block] < 1 for seed in kept["shares"])
    assert len(kept["labels"]) == 100


def test_the_share_between_classes_is_that_of_the_workbench():
    labels = torch.arange(300) % 10
    gates = torch.rand(300, 7) + 0.1 * torch.rand(10, 7)[labels]
    assert record.script(SCRIPT).share(gates, labels) == pytest.approx(class_share(gates, labels), rel=1e-5)


def test_the_gates_are_those_that_the_workbench_captures():
    script = record.script(SCRIPT)
    model = script.network("smoke", script.blocks("smoke")["SE"]).eval()
    x = torch.rand(30, 1, 28, 28)
    found, captured = script.gates(model, x), capture(model, x)
    assert list(found) == list(captured)
    for block, gate in found.items():
        torch.testing.assert_close(gate, captured[block]["channel"].flatten(1))
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_the_controls_have_as_many_parameters(name):
    script = record.script(SCRIPT)
    with torch.device("meta"):
        sizes = {label: script.size_of(script.network(name, block)) for label, block in script.blocks(name).items()}
        wider = script.size_of(script.network(name, widths=script.wider(name)))
    assert sizes["no squeeze"] == sizes["SE"] > sizes["plain"]
    assert wider == pytest.approx(sizes["SE"], rel=0.01)


def test_the_control_without_squeeze_is_se_where_the_map_is_constant():
    script = record.script(SCRIPT)
    control = script.NoSqueeze(8, 4)
    block = script.SqueezeExcitation(8, 4)
    block.load_state_dict(control.state_dict())
    flat = torch.randn(3, 8, 1, 1).expand(3, 8, 5, 4)
    torch.testing.assert_close(control(flat), block(flat))
    x = torch.randn(3, 8, 5, 4)
    assert not torch.allclose(control(x), block(x), atol=1e-3)


def test_every_network_of_a_seed_starts_from_the_same_convolutions():
    script = record.script(SCRIPT)
    states = []
    for block in script.blocks("cpu").values():
        torch.manual_seed(3)
        states.append(script.network("cpu", block).state_dict())
    assert all(torch.equal(states[0][k], state[k]) for state in states for k in states[0])


def test_an_unknown_chapter_is_refused():
    done = subprocess.run(
        [sys.executable, "tools/writing/record.py", "none"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "'none' has no recording; there are: " in done.stderr
    assert "se" in done.stderr


def test_every_file_that_decides_is_there():
    script = record.script(SCRIPT)
    assert all((ROOT / name).is_file() for name in script.CODE)
    assert budget("smoke").name in script.SIZES


TOY = """import time
from pathlib import Path

CODE = ["toy.py"]


def one_seed(seed, budget):
    space = {}
    exec(Path("toy.py").read_text(), space)
    return {"score": space["score"](seed), "seconds": time.perf_counter()}
"""


@pytest.fixture
def history(tmp_path):
    """A repository with a recording script, the code that decides, and a record made by it."""

    def git(*words):
        name = ["-c", "user.name=A", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *name, *words], cwd=tmp_path, check=True, capture_output=True)

    script = tmp_path / "notebooks" / "toys" / "toy.record.py"
    script.parent.mkdir(parents=True)
    script.write_text(TOY)
    (tmp_path / "toy.py").write_text("def score(seed):\n    return seed + 2\n")
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "attention").symlink_to(ROOT / "attention")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "start")
    target = script.with_suffix(".json")
    files = ["toy.py", "notebooks/toys/toy.record.py"]
    record.write(target, {"score": 2}, files, chosen=CPU, seconds=1)
    return script


def test_changed_code_that_gives_the_same_keeps_the_record(history):
    root, target = history.parents[2], history.with_suffix(".json")
    before = record.load(target)
    (root / "toy.py").write_text("def score(seed):\n    return sum([seed, 1, 1])\n")
    assert "toy.py has changed" in record.stale(target)
    assert "gives the same numbers" in tool.confirm(history, "cpu", root=root)
    assert record.stale(target) is None
    kept = record.load(target)
    assert (kept["made"], kept["experiment"]) == (before["made"], before["experiment"])
    assert kept["confirmed"]["budget"] == "cpu"
    assert kept["confirmed"]["seed"] == 0


def test_changed_code_that_gives_something_else_does_not(history):
    root, target = history.parents[2], history.with_suffix(".json")
    (root / "toy.py").write_text("def score(seed):\n    return seed + 2 + 1e-12\n")
    before = target.read_text()
    with pytest.raises(SystemExit, match="seed 0 gives other results"):
        tool.confirm(history, "cpu", root=root)
    assert target.read_text() == before
    assert "toy.py has changed" in record.stale(target)


def test_code_that_the_history_does_not_have_cannot_be_confirmed(history):
    root, target = history.parents[2], history.with_suffix(".json")
    kept = record.load(target)
    kept["made"]["commit"] = None
    record.keep(target, kept)
    with pytest.raises(SystemExit, match="the history does not have"):
        tool.confirm(history, "cpu", root=root)


def test_a_record_made_by_code_that_was_not_committed_cannot_be_confirmed(history):
    root, target = history.parents[2], history.with_suffix(".json")
    (root / "toy.py").write_text("def score(seed):\n    return seed + 3\n")
    record.write(target, {"score": 3}, ["toy.py"], chosen=CPU, seconds=1)
    assert record.load(target)["made"]["commit"].endswith("+")
    with pytest.raises(SystemExit, match=r"toy\.py at \w+ is not what made the record"):
        tool.confirm(history, "cpu", root=root)


def test_code_that_fails_is_shown(history):
    (history.parents[2] / "toy.py").write_text("def score(seed):\n    raise KeyError('gone')\n")
    with pytest.raises(SystemExit, match="KeyError: 'gone'"):
        tool.confirm(history, "cpu", root=history.parents[2])
