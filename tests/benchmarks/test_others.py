"""The second table compares the same with the same, and runs where the other packages are not installed.

None of them is needed here: stand-ins have their layers' names. Where one is installed, its pairs are built as well.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from attention import registry
from benchmarks import importing, measuring, others

SMALL = measuring.SMOKE[0]
BY_NAME = {block.name: block for block in others.BLOCKS}
TIMES = {run: measuring.Timing(0.2, 0.1, 0.4, 0.6, 9) for run in measuring.RUNS}
ROW = others.Row("made up", "other Made", (8, 64, 56, 56), TIMES, 400, 400)


class Excite(nn.Module):
    """Squeeze-and-Excitation as other packages write it, with 1 × 1 convolutions."""

    def __init__(self, channels: int, hidden: int, bias: bool = True, wrong: float = 1.0) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=bias)
        self.wrong = wrong

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid() * self.wrong


def made(bias: bool = True, wrong: float = 1.0, narrower: int = 16, module: str = "other.layers") -> others.Other:
    return others.Other(module, "Excite", lambda _, c: Excite(c, c // narrower, bias, wrong), others._SE)


@pytest.fixture
def one_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave one block, which is compared with a package that is there and with one that is not."""
    block = others.Block("se", {"bias": True}, (made(), made(module="absent.layers")))
    monkeypatch.setattr(others, "BLOCKS", (block, replace(BY_NAME["dot_product"], others=())))
    monkeypatch.setattr(others, "imported", lambda package: "not here" if package == "absent" else SimpleNamespace())
    monkeypatch.setattr(others, "versions", lambda packages: dict.fromkeys(sorted(packages), "1.2"))
    monkeypatch.setattr(others, "import_module", lambda name: SimpleNamespace())


def result(*rows: others.Row, reasons: tuple = (), missing: dict | None = None, alone: tuple = ()) -> dict:
    written = {
        "environment": measuring.environment(),
        "versions": {"other": "1.2"},
        "rows": [asdict(row) for row in rows],
        "missing": missing or {},
        "alone": list(alone),
        "reasons": [list(reason) for reason in reasons],
    }
    return json.loads(json.dumps(written))


# What is compared


def test_blocks_are_of_the_registry_and_can_be_built() -> None:
    assert set(BY_NAME) <= set(registry.names())
    assert len(BY_NAME) == len(others.BLOCKS)
    for block in others.BLOCKS:
        assert block.others
        for _, channels, *_ in (*measuring.SHAPES, *measuring.SMOKE):
            block.build(channels)


def test_every_weight_of_ours_is_named() -> None:
    """Each name on our side is a layer or a parameter, and together they are all that the block has."""
    for block in others.BLOCKS:
        state = block.build(32).state_dict()
        for other in block.others:
            ours = [name for each in other.names.values() for name in ([each] if isinstance(each, str) else each)]
            found = [key for name in ours for key in state if key == name or key.startswith(f"{name}.")]
            assert sorted(found) == sorted(state), other.title


@pytest.mark.parametrize("block", others.BLOCKS, ids=lambda block: block.name)
def test_pairs_compute_the_same(block: others.Block) -> None:
    """With all that is installed: PyTorch's own, and our literal form, are always there."""
    for title, make in others.pairs(block):
        row = others.compare(block, make, SMALL, title, 0)
        assert (row.name, row.against, row.shape) == (block.title, title, SMALL)
        assert {times.repeats for times in row.times.values()} == {measuring.LEAST}


def test_weights_are_ours() -> None:
    ours, theirs = BY_NAME["se"].build(32), Excite(32, 2)
    others.adopt(theirs, ours, made())
    assert torch.equal(theirs.fc1.weight.flatten(1), ours.reduce.weight)
    assert torch.equal(theirs.fc2.bias, ours.expand.bias)
    assert theirs.fc1.weight.data_ptr() != ours.reduce.weight.data_ptr()


def test_several_of_our_layers_are_one_of_theirs() -> None:
    torch_own = BY_NAME["dot_product"].others[-1]
    ours = BY_NAME["dot_product"].build(32)
    theirs = torch_own.build(nn, 32)
    others.adopt(theirs, ours, torch_own)
    assert torch.equal(theirs.module.in_proj_weight[32:64], ours.keys.weight)


@pytest.mark.parametrize(
    ("other", "options", "message"),
    [
        (made(narrower=8), {"bias": True}, r"other Excite: fc1\.weight is 4 × 32 × 1 × 1, ours is 2 × 32"),
        (made(bias=False), {"bias": True}, r"nothing corresponds to our expand\.bias, reduce\.bias"),
        (replace(made(), names={"fc1": "reduce"}), {"bias": True}, r"nothing of ours corresponds to fc2\.weight"),
        (made(wrong=1.01), {"bias": True}, r"se, bias=True against other Excite, forward: .* differ by 0\.0"),
    ],
)
@pytest.mark.usefixtures("one_other")
def test_what_is_not_the_same_is_not_timed(other: others.Other, options: dict, message: str) -> None:
    block = others.Block("se", options, (other,))
    ((title, make),) = others.pairs(block)
    with pytest.raises(AssertionError, match=message):
        others.compare(block, make, SMALL, title, 0)


def test_memory_is_ours_as_a_part_of_theirs() -> None:
    """Theirs keeps one more picture here."""
    theirs = replace(
        made(), build=lambda _, c: nn.Sequential(Excite(c, c // 16), nn.Softplus(beta=1e6, threshold=-1e9))
    )
    theirs = replace(theirs, names={"0.fc1": "reduce", "0.fc2": "expand"})
    block = others.Block("se", {"bias": True})
    row = others.compare(block, lambda ours, c: _adopted(theirs, ours, c), SMALL, "two", 0)
    image = 4 * SMALL[0] * SMALL[1] * SMALL[2] * SMALL[3]
    assert row.theirs == row.ours + image
    assert row.ratios()["saved memory"] == row.ours / row.theirs


def _adopted(other: others.Other, ours: nn.Module, channels: int) -> nn.Module:
    theirs = other.build(None, channels)
    others.adopt(theirs, ours, other)
    return theirs


def test_the_literal_form_is_compared_where_there_is_another() -> None:
    titles = {block.name: [title for title, _ in others.pairs(block)] for block in others.BLOCKS}
    assert {name for name, against in titles.items() if others.OURS in against} == {"non_local", "dot_product"}


# Packages that are there and that are not


@pytest.fixture
def fresh() -> Iterator[None]:
    importing.imported.cache_clear()
    yield
    importing.imported.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_a_missing_package_is_a_line() -> None:
    assert importing.imported("no_such_package") == "No module named 'no_such_package'"
    assert importing.imported("json") is json
    assert importing.versions(["json"]) == {"json": json.__version__}


@pytest.mark.usefixtures("fresh")
def test_torchvision_is_imported_again_with_names_for_its_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    defined: list[str] = []

    def importer(name: str) -> SimpleNamespace:
        tried.append(name)
        if not defined:
            raise RuntimeError("operator torchvision::nms does not exist\nand more")
        return SimpleNamespace(__version__="0.0")

    monkeypatch.setattr(importing, "_DEFINED", [])
    monkeypatch.setattr(importing, "import_module", importer)
    monkeypatch.setattr(importing.torch.library, "Library", lambda *_: SimpleNamespace(define=defined.append))
    assert importing.imported("torchvision").__version__ == "0.0"
    assert [signature.partition("(")[0] for signature in defined] == ["nms", "qnms"]
    assert importing.imported("timm").__version__ == "0.0"
    assert tried == ["torchvision", "torchvision", "timm"]


@pytest.mark.usefixtures("fresh")
def test_a_package_that_fails_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def importer(name: str) -> None:
        raise RuntimeError("built for another torch\nand more")

    monkeypatch.setattr(importing, "import_module", importer)
    assert importing.imported("torchvision") == importing.imported("timm") == "built for another torch"


@pytest.mark.usefixtures("one_other")
def test_the_rest_runs_where_a_package_is_missing() -> None:
    measured = others.measure(None, measuring.SMOKE, 0)
    assert [(row["name"], row["against"]) for row in measured["rows"]] == [
        ("se, bias=True", "other Excite"),
        (others.BLOCKS[1].title, others.OURS),
    ]
    assert measured["missing"] == {"absent": "not here"}
    assert measured["versions"] == {"other": "1.2"}
    assert set(measured["alone"]) == set(registry.names()) - {"se", "dot_product"}
    text = others.report(json.loads(json.dumps(measured)) | {"environment": measuring.environment()})
    assert "Not compared with absent, which is optional: not here" in text
    assert others.measure(["sk"], measuring.SMOKE, 0)["rows"] == []


# What is said of it


def test_what_is_equal_and_what_is_ahead() -> None:
    text = others.report(result(ROW, missing={"timm": "not here"}, alone=("stn",)))
    assert "made up  other Made  8 × 64 × 56 × 56  0.50 (0.40 to 0.60)  0.50 (0.40 to 0.60)  1.00" in text
    assert ", other 1.2\n" in text
    assert "Without a counterpart here: stn" in text
    assert text.endswith("Of 3 ratios ours is ahead in 2 and equal in 1; behind in none.")


def test_what_is_behind_is_named_with_its_reason() -> None:
    slow = {
        "forward": measuring.Timing(0.1, 0.11, 0.9, 1.2, 9),
        "forward + backward": measuring.Timing(1, 1.3, 1, 2, 9),
    }
    other = replace(ROW, against="other Else", ours=480)
    reasons = (("made up", "other Made", ROW.shape, "it has more to do"),)
    text = others.report(result(replace(ROW, times=slow), other, reasons=reasons))
    assert text.partition("Of 6 ratios ")[2].splitlines() == [
        "ours is ahead in 2 and equal in 2; behind, above 1.1, in 2:",
        "  made up against other Made, 8 × 64 × 56 × 56: forward + backward 1.30; it has more to do",
        "  made up against other Else, 8 × 64 × 56 × 56: saved memory 1.20; no reason known",
    ]


def test_nothing_compared_is_said() -> None:
    assert "Nothing was compared." in others.report(result(missing={"timm": "not here"}))


def test_reasons_are_of_pairs_that_there_are() -> None:
    titles = {(block.title, other.title) for block in others.BLOCKS for other in block.others}
    titles |= {(block.title, others.OURS) for block in others.BLOCKS}
    assert {(name, against) for name, against, _ in others.REASONS} <= titles
    assert {shape for *_, shape in others.REASONS} <= set(measuring.SHAPES)
