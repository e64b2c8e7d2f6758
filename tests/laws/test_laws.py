"""Every law on every mechanism, and what must be there for the laws to run at all."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attention import registry
from attention.contract import Attention, Gate
from tests.laws.discovery import modules_without_entry, spec_of, specs
from tests.laws.laws import LAWS
from tests.laws.spec import EXCEPTIONS, WORKS, Spec

SPECS = specs()


@pytest.mark.parametrize("name", registry.names())
def test_every_mechanism_has_a_spec(name: str) -> None:
    spec_of(name)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("number", LAWS)
def test_law(number: int, name: str, record_property) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are small, and CPU seconds of one thread say what a law costs
    start = time.process_time()
    try:
        LAWS[number](SPECS[name])
    finally:
        torch.set_num_threads(threads)
        record_property("law", [name, number, time.process_time() - start])


@pytest.mark.parametrize("name", SPECS)
def test_entry_and_class_agree(name: str) -> None:
    """What ``mechanisms.toml`` says of a block is what its class declares."""
    spec, entry = SPECS[name], registry.entry(name)
    block = spec.fresh(spec.fixed[0])
    assert isinstance(block, Attention)
    assert type(block) is entry.load()
    assert isinstance(block, Gate) == (entry.kind == "gate"), f"kind={entry.kind!r}, but the class is no such thing"
    assert {m.dims for m in block.maps.values()} == set(entry.maps)  # a loop has a map for each pass, of the same dims
    assert all(m.about for m in block.maps.values()), "each map says in one line what a large value means"


def test_every_module_has_an_entry() -> None:
    assert modules_without_entry() == []


def test_a_module_without_an_entry_is_found(tmp_path: Path) -> None:
    (tmp_path / "channel").mkdir()
    for name in ("se.py", "stray.py", "_helpers.py", "__init__.py"):
        (tmp_path / "channel" / name).touch()
    assert modules_without_entry(tmp_path) == ["channel/stray.py"]


def test_every_ready_entry_has_its_module() -> None:
    for entry in registry.entries().values():
        if entry.built:
            assert entry.load().__module__ == entry.module, f"{entry.name}: {entry.class_name} lives elsewhere"


def _registered(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    se = registry.entry("se")
    monkeypatch.setattr(registry, "entries", lambda: {"se": se, name: replace(se, name=name)})


def test_a_mechanism_without_a_test_module_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    _registered(monkeypatch, "stray")
    assert "stray" in registry.names()
    with pytest.raises(AssertionError, match=r"^stray is registered as built, but tests/.*/test_stray.py does not"):
        spec_of("stray")


def test_a_test_module_without_a_spec_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    module = __import__("tests.channel.test_se", fromlist=["SPEC"])
    monkeypatch.delattr(module, "SPEC")
    with pytest.raises(AssertionError, match=r"test_se.py exports no Spec named SPEC"):
        spec_of("se")
    monkeypatch.setattr(module, "SPEC", SPECS["se"].with_build(lambda **options: None, name="es"), raising=False)
    with pytest.raises(AssertionError, match="SPEC has the name 'es'"):
        spec_of("se")


def test_what_works_with_what_is_told_by_the_specs() -> None:
    """A column for each tool; a reason, with what to do instead, where it does not work."""
    assert {key for keys in WORKS.values() for key in keys} <= set(EXCEPTIONS)
    table = {name: spec.works() for name, spec in SPECS.items()}
    assert all(set(row) == set(WORKS) for row in table.values())
    assert {column for column, reason in table["se"].items() if reason} == {"script"}
    assert "block.attend(x)[0]" in table["non_local"]["double backward"]
    noted = SPECS["se"].with_build(registry.create, exceptions={"onnx": "no such operator", "law 12": "none at all"})
    assert noted.works()["ONNX"] == "none at all; no such operator"
    assert noted.works()["export"] == "none at all"


def test_specs_are_checked_themselves() -> None:
    spec: Spec = SPECS["se"]
    for changes, message in (
        ({"fixed": spec.fixed * 2}, "6 fixed cases; allowed: 1 to 4"),
        ({"fixed": ()}, "0 fixed cases"),
        ({"exceptions": {"law 99": "there is none"}}, "'law 99'.*are unknown"),
        ({"exceptions": {"export": " "}}, "'export' gives no reason"),
        ({"no_gradient": {"reduce.bias": ""}}, "'reduce.bias' gives no reason"),
        ({"bad_inputs": ()}, "every block refuses something"),
    ):
        with pytest.raises(ValueError, match=message):
            spec.with_build(registry.create, **changes)
