"""The laws are tested too: each wrong variant must be caught by the law that is there for it, right blocks by none.

A variant is tried against the law that is expected to catch it. ``pytest tests/laws --every-law`` tries all of them
against every law; the table of which law caught which is printed at the end (``tests/laws/conftest.py``).
"""

import re
from collections.abc import Iterable

import pytest

from tests.channel.test_se import SPEC as SE
from tests.laws.laws import LAWS
from tests.laws.spec import Case, Spec
from tests.laws.variants import _SE, CONTEXT, VARIANTS, Context, Variant

#: A wrong block is wrong in most cases: it takes few to find out.
FEW = 25


def caught_by(spec: Spec, examples: int = FEW, numbers: Iterable[int] = LAWS) -> dict[int, str]:
    """Return the laws that a block breaks, with what they say."""
    found = {}
    for number in numbers:
        try:
            LAWS[number](spec, examples)
        except AssertionError as error:
            found[number] = str(error)
    return found


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.spec.build.__name__)
def test_wrong_variant_is_caught(variant: Variant, record_property, pytestconfig: pytest.Config) -> None:
    every = pytestconfig.getoption("--every-law", default=False)
    found = caught_by(variant.spec, numbers=LAWS if every else [variant.law])
    record_property("wrong_variant", [variant.about, variant.law, sorted(found)])
    assert variant.law in found, f"{variant.about}: expected law {variant.law}, caught by {sorted(found)}"
    assert re.search(variant.says, found[variant.law]), f"{variant.about}: caught, but by saying {found[variant.law]}"
    assert all(message.startswith(f"law {number} (") for number, message in found.items())


@pytest.mark.parametrize("spec", [SE.with_build(_SE), CONTEXT], ids=["se in steps", "context"])
def test_right_blocks_are_not_caught(spec: Spec) -> None:
    """The blocks that the variants spoil are right: it is the one change that each law saw."""
    assert caught_by(spec, 200) == {}


def test_every_law_has_caught_something() -> None:
    assert {variant.law for variant in VARIANTS} == set(LAWS)
    assert len({variant.about for variant in VARIANTS}) == len(VARIANTS) >= 14


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_cheap_laws_draw_many_cases(number: int) -> None:
    """Count the different cases that a law builds blocks for; and the same ones come again."""

    def drawn() -> list[Case]:
        seen: list[Case] = []

        class Counting(Spec):
            def block(self, case, *arguments, **options):
                seen.append(case)
                return super().block(case, *arguments, **options)

        LAWS[number](Counting(**{name: getattr(SE, name) for name in SE.__dataclass_fields__}))
        return seen

    first = drawn()
    assert len(first) >= 200
    assert len({repr(case) for case in first}) >= 180  # some of them differ only in what the law overrides
    assert first == drawn()
    assert any(case.height != case.width for case in first)
    assert {1} < {case.height * case.width for case in first}


def test_a_documented_exception_is_allowed_and_goes_stale() -> None:
    noted = {"exceptions": dict.fromkeys(("compile", "export", "fx", "meta", "onnx"), "a reason")}
    (data_dependent,) = (v.spec for v in VARIANTS if v.spec.build.__name__ == "DataDependent")
    assert set(caught_by(data_dependent)) == {7, 8, 12}  # a tensor without data has no truth value either
    assert caught_by(data_dependent.with_build(data_dependent.build, **noted)) == {}
    stale = caught_by(CONTEXT.with_build(Context, **noted), numbers=[8])
    assert "the exception 'compile' is no longer needed (a reason); delete it" in stale[8]


def test_a_documented_dead_parameter_is_allowed_and_goes_stale() -> None:
    (dead,) = (v.spec for v in VARIANTS if v.spec.build.__name__ == "DeadBias")
    noted = {"no_gradient": {"key.bias": "the softmax cancels it"}}
    assert set(caught_by(dead, numbers=[5])) == {5}
    assert caught_by(dead.with_build(dead.build, **noted), numbers=[5]) == {}
    stale = caught_by(CONTEXT.with_build(Context, no_gradient={"key.weight": "it does not"}), numbers=[5])
    assert "key.weight receives a gradient, though it is said that 'it does not'" in stale[5]


def test_messages_name_the_smallest_case() -> None:
    (square,) = (v.spec for v in VARIANTS if v.spec.build.__name__ == "OnlySquare")
    with pytest.raises(AssertionError, match=r"(?s)^law 1 \(shape in = shape out.*with Case\(.*height=") as caught:
        LAWS[1](square)
    assert "'channels': 1," in str(caught.value), "the case was not made small"
