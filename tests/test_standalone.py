"""A block as one file: it needs torch alone, and is the same function as the block of the package."""

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import attention
from attention import registry
from attention.standalone import source
from tests.laws.discovery import specs

SPECS = specs()
#: What a file may import: torch, and a few modules of Python's own.
ALLOWED = {
    "torch",
    "math",
    "re",
    "typing",
    "operator",
    "collections",
    "contextlib",
    "functools",
    "numbers",
    "itertools",
}


@pytest.fixture(scope="module")
def made() -> dict[str, ModuleType]:
    """Every block's file, as a module."""
    found = {}
    for name in registry.names():
        module = found[name] = ModuleType(f"standalone_{name}")
        sys.modules[module.__name__] = module
        exec(compile(source(name), f"{name}.py", "exec"), module.__dict__)
    return found


@pytest.mark.parametrize("name", registry.names())
def test_the_file_needs_torch_alone(name: str) -> None:
    for node in ast.walk(ast.parse(source(name))):
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= ALLOWED
        elif isinstance(node, ast.ImportFrom):
            assert node.module.partition(".")[0] in ALLOWED


@pytest.mark.parametrize("name", registry.names())
def test_the_file_is_the_block(name: str, made: dict[str, ModuleType]) -> None:
    """Its outputs and maps are the same numbers, for every fixed case of the laws; eager, traced by FX, and trained."""
    spec, kind = SPECS[name], getattr(made[name], registry.entry(name).class_name)
    for case in spec.fixed:
        block, inputs = spec.block(case), spec.inputs(case)
        copy = spec.with_build(kind).fresh(case) if spec.build is None else _rebuilt(spec, case, kind)
        copy = copy.to(torch.float64).eval()
        copy.load_state_dict(block.state_dict(), strict=True)
        assert copy(*inputs).equal(block(*inputs))
        (expected, maps), (output, found) = block.attend(*inputs), copy.attend(*inputs)
        assert output.equal(expected)
        for value, wanted in zip(found.values(), maps.values(), strict=True):
            assert value.equal(wanted)
        if "fx" not in spec.exceptions:
            torch.testing.assert_close(torch.fx.symbolic_trace(copy)(*inputs), block(*inputs), rtol=1e-9, atol=1e-9)


def _rebuilt(spec, case, kind):
    """Build a block that is not made from channels alone: as the Spec builds ours, but of the file's class."""
    ours = registry.entry(spec.name).load()
    block = spec.fresh(case)
    assert type(block) is ours
    made = kind.__new__(kind)
    made.__dict__.update(block.__dict__)
    return made


@pytest.mark.parametrize("name", registry.names())
def test_a_fresh_block_starts_alike(name: str, made: dict[str, ModuleType]) -> None:
    if not registry.KINDS[registry.entry(name).kind]:
        pytest.skip("it is not built from channels alone")
    case, kind = SPECS[name].fixed[0], getattr(made[name], registry.entry(name).class_name)
    ours, theirs = SPECS[name].fresh(case), SPECS[name].with_build(kind).fresh(case)
    for (key, value), (other, found) in zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True):
        assert key == other
        assert value.equal(found)
    for each in (ours, theirs):
        with torch.no_grad():
            for value in each.state_dict().values():
                value.fill_(3)
        torch.manual_seed(7)
        each.reset_parameters()
    assert all(value.equal(theirs.state_dict()[key]) for key, value in ours.state_dict().items())


@pytest.mark.parametrize("name", registry.names())
def test_bad_arguments_and_inputs_are_refused_alike(name: str, made: dict[str, ModuleType]) -> None:
    spec, kind = SPECS[name], getattr(made[name], registry.entry(name).class_name)
    if spec.build is not None:
        pytest.skip("it is not built from channels alone")
    for bad in spec.bad_arguments:
        with pytest.raises(bad.error, match=bad.match):
            kind(**bad.options)
    case = spec.fixed[0]
    block, inputs = spec.with_build(kind).fresh(case).double().eval(), spec.inputs(case)
    for bad in spec.bad_inputs:
        spoilt = bad.spoil(inputs)
        with pytest.raises(bad.error, match=bad.pattern(spoilt)):
            block(*spoilt)


def test_it_runs_where_this_package_is_not(tmp_path: Path) -> None:
    for name in ("se", "non_local", "stn"):
        (tmp_path / f"{name}.py").write_text(source(name), encoding="utf-8")
    script = (
        "import sys\n"
        "for name in ('attention', 'einops', 'jaxtyping', 'numpy'): sys.modules[name] = None\n"
        "import torch, se, non_local, stn\n"
        "x = torch.randn(2, 32, 6, 5)\n"
        "print(*se.SqueezeExcitation(32)(x).shape, *non_local.NonLocal(32)(x).shape)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2", "32", "6", "5"] * 2


def test_it_says_where_it_is_from() -> None:
    text = attention.source("cbam")
    assert "MIT licence" in text
    assert "arXiv 1807.06521" in text
    assert "self.step(" not in text
    assert "self.maps" not in text
    assert "Float[" not in text
    assert text.index("class ConvolutionalBlockAttention") < text.index("def check_input")
    with pytest.raises(ValueError, match="is planned, not written yet"):
        attention.source("dynamic_capacity")
    with pytest.raises(ValueError, match="did you mean 'cbam'"):
        attention.source("cbm")
