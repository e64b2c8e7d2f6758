"""Records say how they were made, and know when they are stale."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from attention.experiments.se import record as script
from attention.lab import record
from attention.lab.classes import ClassMeans, class_share
from attention.lab.comparison import Comparison
from attention.lab.maps import capture
from attention.lab.session import Budget, budget

ROOT = Path(__file__).resolve().parents[2]
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
    write(tmp_path, {"mean": 1 / 3, "list": [1, 2.0, (3,)]}, 61.7, commit="abc")
    return tmp_path


def write(root: Path, experiment: dict, seconds: float = 1.0, commit: str | None = None) -> Path:
    """Write a record of two files, and return where it is."""
    path = root / "lab" / "record.json"
    made = record.made(CPU, root=root, commit=commit) | {"seconds": seconds}
    record.write(path, experiment, made=made, code=record.hashes(["lab/code.py", "lab/data.txt"], root))
    return path


def test_a_record_keeps_what_was_found_and_how(house):
    kept = record.load(house / "lab" / "record.json")
    assert kept["experiment"] == {"mean": 0.333333, "list": [1, 2.0, [3]]}
    made = kept["made"]
    assert (made["budget"], made["seconds"], made["commit"], made["torch"]) == ("cpu", 62, "abc", torch.__version__)
    assert made["python"] == ".".join(map(str, sys.version_info[:3]))
    assert made["device"].startswith("CPU")
    assert made["device"] in record.origin(kept)
    assert "1 min" in record.origin(kept)


def test_texts_are_kept_to_the_letter(house):
    said = {"note": "[ 0, 1 ) and [  a\n  b ]", "list": ["x [", " y ]"]}
    assert record.load(write(house, said))["experiment"] == said


def test_without_a_history_there_is_no_commit(house):
    assert record.load(write(house, {}))["made"]["commit"] is None


def test_a_record_is_fresh_until_its_code_does_something_else(house):
    path, code = house / "lab" / "record.json", house / "lab" / "code.py"
    assert record.stale(path) is None
    code.write_text(SAME["comments"])
    assert record.stale(path) is None
    code.write_text(OTHER["number"])
    assert record.stale(path) == (
        "the record of lab is stale: lab/code.py has changed since it was made; run `make record NAME=lab`"
    )
    code.write_text("def broken(:")
    assert "lab/code.py has changed" in record.stale(path)
    code.write_text(CODE)
    (house / "lab" / "data.txt").write_text("1 2 4")
    assert "lab/data.txt has changed" in record.stale(path)
    (house / "lab" / "data.txt").unlink()
    assert "lab/data.txt is gone" in record.stale(path)


def test_numbers_that_json_does_not_have_are_refused(house):
    before = (house / "lab" / "record.json").read_text()
    with pytest.raises(ValueError, match="JSON"):
        write(house, {"x": float("nan")})
    assert (house / "lab" / "record.json").read_text() == before


def test_a_chapter_s_record_lies_in_the_package():
    path = ROOT / "attention" / "experiments" / "se" / "record.json"
    assert record.load("se") == record.load(path) == record.load(str(path))


@pytest.mark.parametrize(
    ("file", "name"), [("record.json", "toy"), ("record.py", "toy"), ("record_depth.json", "toy.depth")]
)
def test_a_record_is_called_by_its_chapter_and_what_it_asks(tmp_path, file, name):
    assert record.called(tmp_path / "toy" / file) == name


def test_a_record_that_is_not_there_says_how_it_is_made(tmp_path):
    for name in ("nothing", tmp_path / "nothing" / "record.json"):
        with pytest.raises(FileNotFoundError, match=f"no record of '{name}'; `make record NAME=nothing`"):
            record.load(name)
    with pytest.raises(FileNotFoundError, match=r"'se\.nothing'; `make record NAME=se\.nothing`"):
        record.load("se.nothing")


# The chapter on SE

BARE = """
import sys
for name in ("matplotlib", "IPython", "PIL", "scipy", "torchinfo", "tqdm", "pandas", "torchvision"):
    sys.modules[name] = None
import runpy
folder = sys.argv[1]
words = ["se", "--budget", "smoke", "--commit", "0123", "--jobs", "1"]
sys.argv = ["record.py", *words, "--target", f"{folder}/record.json", "--runs", folder]
runpy.run_path("tools/writing/record.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The smallest recording, on a machine that has torch, numpy, einops, jaxtyping, and little else."""
    folder = tmp_path_factory.mktemp("record")
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "recording se, budget smoke" in done.stdout
    assert "seed 1 done (2 of 2)" in done.stdout
    assert len((folder / "se.smoke.jsonl").read_text().splitlines()) == 2
    return json.loads((folder / "record.json").read_text(encoding="utf-8"))


def test_the_recording_runs_and_compares_four_networks(smoke):
    comparison = Comparison.from_dict(smoke["experiment"]["comparison"])
    assert comparison.names == ("plain", "SE", "no squeeze", "wider")
    assert comparison.seeds == (0, 1)
    assert smoke["made"]["budget"] == "smoke"
    assert smoke["made"]["commit"] == "0123"
    assert list(smoke["code"]) == [*script.CODE, "attention/experiments/se/record.py"]


def test_the_recording_keeps_mean_gates_of_two_blocks_by_class(smoke):
    kept = smoke["experiment"]["gates"]
    assert [list(shares) for shares in kept["shares"]] == 2 * [["stages.0.0.attention", "stages.1.0.attention"]]
    assert all(0 < share < 1 for shares in kept["shares"] for share in shares.values())
    assert list(kept["by class"]) == ["first block", "last block"]
    for found, channels in zip(kept["by class"].values(), (8, 16), strict=True):
        found = ClassMeans.from_dict(found)
        assert found.means.shape == (10, channels)
        assert (found.means > 0).all()
        assert (found.means < 1).all()
        assert found.counts.sum() == 100
        assert 0 < found.share < 1


def test_the_share_between_classes_is_that_of_the_workbench():
    labels = torch.arange(300) % 10
    gates = torch.rand(300, 7) + 0.1 * torch.rand(10, 7)[labels]
    assert script.share(gates, labels) == pytest.approx(class_share(gates, labels), rel=1e-5)


def test_the_gates_are_those_that_the_workbench_captures():
    model = script.network("smoke", script.blocks("smoke")["SE"]).eval()
    x = torch.rand(30, 1, 28, 28)
    found, captured = script.gates(model, x), capture(model, x)
    assert list(found) == list(captured)
    for block, gate in found.items():
        torch.testing.assert_close(gate, captured[block]["channel"].flatten(1))
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_the_controls_have_as_many_parameters(name):
    with torch.device("meta"):
        sizes = {label: script.size_of(script.network(name, block)) for label, block in script.blocks(name).items()}
        wider = script.size_of(script.network(name, widths=script.wider(name)))
    assert sizes["no squeeze"] == sizes["SE"] > sizes["plain"]
    assert wider == pytest.approx(sizes["SE"], rel=0.01)


def test_the_control_without_squeeze_is_se_where_the_map_is_constant():
    control = script.NoSqueeze(8, 4)
    block = script.SqueezeExcitation(8, 4)
    block.load_state_dict(control.state_dict())
    flat = torch.randn(3, 8, 1, 1).expand(3, 8, 5, 4)
    torch.testing.assert_close(control(flat), block(flat))
    x = torch.randn(3, 8, 5, 4)
    assert not torch.allclose(control(x), block(x), atol=1e-3)


def test_every_network_of_a_seed_starts_from_the_same_convolutions():
    states = []
    for block in script.blocks("cpu").values():
        torch.manual_seed(3)
        states.append(script.network("cpu", block).state_dict())
    assert all(torch.equal(states[0][k], state[k]) for state in states for k in states[0])


def test_every_file_that_decides_is_there():
    assert all((ROOT / name).is_file() for name in script.CODE)
    assert budget("smoke").name in script.SIZES
