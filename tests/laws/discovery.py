"""Find the Spec of each mechanism: ``SPEC`` in ``tests/<family>/test_<name>.py``."""

from importlib import import_module
from pathlib import Path

from attention import registry
from tests.laws.spec import Spec

__all__ = ["modules_without_entry", "spec_of", "specs"]

_ROOT = Path(__file__).parents[2]


def spec_of(name: str) -> Spec:
    """Return a mechanism's Spec.

    :raises AssertionError: where the test module, or the Spec in it, is missing.
    """
    family = registry.entry(name).family
    path = f"tests/{family}/test_{name}.py"
    assert (_ROOT / path).is_file(), f"{name} is registered as built, but {path} does not exist"
    spec = getattr(import_module(f"tests.{family}.test_{name}"), "SPEC", None)
    assert isinstance(spec, Spec), f"{name} is registered as built, but {path} exports no Spec named SPEC"
    assert spec.name == name, f"{path}: SPEC has the name {spec.name!r}"
    return spec


def specs() -> dict[str, Spec]:
    """Return the Specs of all written mechanisms that have one; :func:`spec_of` says what is wrong with the others."""
    found = {}
    for name in registry.names():
        try:
            found[name] = spec_of(name)
        except AssertionError:
            continue  # test_every_mechanism_has_a_spec reports it
    return found


def modules_without_entry(package: Path | None = None) -> list[str]:
    """List module files of the families that no ready entry of ``mechanisms.toml`` names.

    :param package: the folder of the package ``attention``.
    """
    package = package or _ROOT / "attention"
    written = {(e.family, e.name) for e in registry.entries().values() if e.built}
    return [
        f"{family}/{path.name}"
        for family in registry.FAMILIES
        for path in sorted((package / family).glob("*.py"))
        if not path.name.startswith("_") and (family, path.stem) not in written
    ]
