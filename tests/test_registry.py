"""The registry, and the rules of the house: who may import whom, and that an import does nothing else."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import attention
from attention import registry
from attention.contract import Attention

PACKAGE = Path(attention.__file__).parent
ROOT = PACKAGE.parent


# Looking up


def test_names_are_those_that_are_written() -> None:
    assert "se" in registry.names()
    assert registry.names() == [n for n, e in registry.entries().items() if e.built]
    assert registry.names() == [n for f in registry.FAMILIES for n in registry.names(f)]
    assert attention.names is registry.names


def test_chapters_are_the_mechanisms_that_have_one() -> None:
    chapters = {e.name for e in registry.chapters()}
    for name, entry in registry.entries().items():
        assert (name in chapters) == (entry.chapter == "")
        assert entry.chapter == "" or entry.chapter in chapters, f"{name} is introduced in {entry.chapter!r}"


def test_unknown_family() -> None:
    with pytest.raises(ValueError, match=r"family='chanel' is not one of channel, spatial, hybrid, self_attention"):
        registry.names("chanel")


@pytest.mark.parametrize("name", [["se"], None, 3])
def test_a_name_that_is_no_text_is_unknown(name: object) -> None:
    with pytest.raises(ValueError, match="is not a mechanism"):
        registry.entry(name)


@pytest.mark.parametrize(("name", "near"), [("SE", "se"), ("se_", "se"), ("sse", "se")])
def test_unknown_name_suggests_the_nearest(name: str, near: str) -> None:
    for look in (registry.entry, lambda n: registry.create(n, 64)):
        with pytest.raises(ValueError, match=f"^name='{name}' is not a mechanism; did you mean '.*'") as caught:
            look(name)
        assert near in str(caught.value)


def test_a_name_like_no_other_lists_them_all() -> None:
    with pytest.raises(ValueError, match=r"^name='qqqqqqqqqq' is not a mechanism; known: se, "):
        registry.entry("qqqqqqqqqq")
    with pytest.raises(ValueError, match=r"^name=7 is not a mechanism"):
        registry.entry(7)


def _with(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    table = {**registry.entries(), "other": replace(registry.entry("se"), name="other", **changes)}
    monkeypatch.setattr(registry, "entries", lambda: table)


def test_planned_mechanism_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    _with(monkeypatch, title="Something Else", status="planned")
    assert "other" not in registry.names()
    with pytest.raises(ValueError, match=r"^name='other' \(Something Else\) is planned, not written yet; written: se"):
        registry.create("other", 64)


@pytest.mark.parametrize("kind", [k for k, built in registry.KINDS.items() if not built])
def test_what_is_not_built_from_channels_says_so(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _with(monkeypatch, kind=kind)
    with pytest.raises(ValueError, match=f"^name='other' is a {kind}, not built from channels alone; use attention."):
        registry.create("other", 64)


# Building


def test_create_builds_with_defaults_and_options() -> None:
    block = attention.create("se", 32)
    assert isinstance(block, Attention)
    assert type(block) is registry.entry("se").load() is attention.SqueezeExcitation
    assert block.reduce.out_features == 2
    assert block.reduce.bias is None
    other = attention.create("se", channels=32, reduction=4, bias=True)
    assert other.reduce.out_features == 8
    assert other.reduce.bias is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"reductions": 4},
            r"'reductions' is not an option of 'se'; allowed: reduction, bias; did you mean 'reduction'\?",
        ),
        ({"zzz": 4}, r"'zzz' is not an option of 'se'; allowed: reduction, bias$"),
        ({"self": 4}, r"'self' is not an option of 'se'"),
    ],
)
def test_unknown_option_names_those_that_are_known(options: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        registry.create("se", 32, **options)


@pytest.mark.parametrize("channels", [0, -1, 30, "64", 64.0, None, True])
def test_bad_channels_leave_nothing_behind(channels: object) -> None:
    """The constructor refuses before it makes a single layer, and draws no random number."""
    torch = pytest.importorskip("torch")
    before = torch.get_rng_state()
    with pytest.raises((ValueError, TypeError), match="channels="):
        registry.create("se", channels)
    assert torch.get_rng_state().equal(before)


def test_attributes_of_the_package() -> None:
    for entry in registry.entries().values():
        if entry.built:
            assert getattr(attention, entry.class_name) is entry.load()
        else:
            assert not hasattr(attention, entry.class_name)
    assert not hasattr(attention, "Nonsense")
    assert not hasattr(attention, "nonsense")
    assert all(hasattr(attention, name) for name in attention.__all__)


# The table


def test_entries_are_sound() -> None:
    assert list(registry.entries()), "mechanisms.toml has no entry"
    order = list(registry.FAMILIES)
    families = [e.family for e in registry.entries().values()]
    assert families == sorted(families, key=order.index), "entries stand in the order of the families"
    for name, entry in registry.entries().items():
        assert entry.name == name
        assert name.isidentifier()
        assert name.islower()
        assert entry.kind in registry.KINDS
        assert entry.class_name[:1].isupper()
        assert 2014 <= entry.year <= 2026
        assert entry.idea.endswith(".")
        assert set(entry.prerequisites) <= set(registry.entries())
        assert {"parameters", "macs", "symbols"} <= set(entry.cost), f"{name}: the cost law needs formulas"
    classes = [e.class_name for e in registry.entries().values()]
    assert len(set(classes)) == len(classes), "a class name belongs to one mechanism"


def test_unknown_status_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (PACKAGE / "mechanisms.toml").read_text(encoding="utf-8").replace('status = "ready"', 'status = "done"', 1)
    (tmp_path / "mechanisms.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(registry, "files", lambda package: tmp_path)
    with pytest.raises(ValueError, match=r"mechanisms.toml: \[\w+\] status='done' is not one of ready, block, planned"):
        registry.entries.__wrapped__()


# Nothing at import time


def _run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "", f"an import printed {done.stdout!r}"


def test_registry_and_package_need_no_torch() -> None:
    _run("""
import sys
import attention, attention.registry
import attention.formulas, attention.published
attention.registry.entries(); attention.names(); attention.registry.entry("se"); attention.registry.chapters()
heavy = {"torch", "numpy", "matplotlib", "einops", "jaxtyping", "IPython"} & set(sys.modules)
assert not heavy, f"imported {sorted(heavy)}"
""")


def test_importing_every_module_changes_nothing() -> None:
    """Random states, threads, default types and plotting are as they were; no figure, no socket, no file written."""
    _run("""
import importlib, pkgutil, random, sys
import matplotlib, numpy, torch

def state():
    return (
        random.getstate(), str(numpy.random.get_state()), torch.get_rng_state().tolist(), torch.initial_seed(),
        torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(), str(torch.get_default_device()),
        dict.items(matplotlib.rcParams).__repr__(), matplotlib.get_backend(auto_select=False),
    )

def audit(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    asks = event in ("socket.connect", "socket.getaddrinfo", "urllib.Request")
    if asks or writes and "__pycache__" not in str(arguments[0]):
        raise RuntimeError(f"{event} {arguments}")

import attention
for name in ("scipy.stats", "sympy", "IPython.display", "torchinfo", "torch.utils.flop_counter"):
    importlib.import_module(name)  # other people's imports may do what they like
before = state()
sys.addaudithook(audit)
for module in pkgutil.walk_packages(attention.__path__, "attention."):
    importlib.import_module(module.name)
after = state()
changed = [i for i, (a, b) in enumerate(zip(before, after)) if a != b]
assert not changed, f"imports changed {changed}: {[after[i] for i in changed]}"
assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
""")
