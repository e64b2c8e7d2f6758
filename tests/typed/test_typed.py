"""Run every block with its annotations checked, and show that a wrong annotation does not get through."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError, install_import_hook

from attention import registry
from tests.laws.discovery import specs
from tests.laws.laws import law_1, law_2, law_3
from tests.laws.spec import BadInputs, Spec

SPECS = specs()
#: A wrong annotation is wrong in most cases.
EXAMPLES = 40


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("law", [law_1, law_2, law_3], ids=lambda law: f"law {law.number}")
def test_annotations_hold(law, name: str) -> None:
    """Shapes, values and maps, for random cases: all calls inside agree with their annotations."""
    law(SPECS[name], EXAMPLES)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_annotations_hold_in_other_types(name: str, dtype: torch.dtype) -> None:
    for case in SPECS[name].fixed:
        inputs = (x.to(dtype) if x.is_floating_point() else x for x in SPECS[name].inputs(case))
        SPECS[name].block(case, dtype)(*inputs)


def _wrong_inputs() -> list:
    return [
        pytest.param(SPECS[name], bad, id=f"{name}: {bad.about}") for name in SPECS for bad in SPECS[name].bad_inputs
    ]


@pytest.mark.parametrize(("spec", "bad"), _wrong_inputs())
def test_wrong_input_is_refused(spec: Spec, bad: BadInputs) -> None:
    """By the annotation or by the block itself: what annotations cannot say (a channel too many), the block does."""
    inputs = spec.inputs(spec.fixed[0])
    with pytest.raises((TypeCheckError, bad.error)):
        spec.block(spec.fixed[0])(*bad.spoil(inputs))


def test_the_hook_is_at_work() -> None:
    """Without it a rank of 3 would reach the block's own check, which raises ``ValueError``."""
    block = registry.create("se", 16)
    with pytest.raises(TypeCheckError, match="batch channels height width"):
        block.weights(torch.zeros(16, 5, 5))
    with pytest.raises(TypeCheckError, match="reduction"):
        registry.create("se", 16, reduction="4")


RIGHT = "batch channels 1 1"
WRONG = (
    "batch channels height width",
    "batch 1 1 channels",
    "batch channels 2 1",
    "batch channels",
    "channels batch 1 1",
)


@pytest.mark.parametrize("shape", [RIGHT, *WRONG])
def test_a_wrong_annotation_is_caught(shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SE's own source, its gate annotated with another shape, must not survive the laws under the hook."""
    source = Path(sys.modules["attention.channel.se"].__file__).read_text(encoding="utf-8")
    result = f'-> Float[Tensor, "{RIGHT}"]:'
    assert source.count(result) == 1
    (tmp_path / "annotated_se.py").write_text(source.replace(result, result.replace(RIGHT, shape)), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "annotated_se", raising=False)
    with install_import_hook("annotated_se", "beartype.beartype"):
        build = importlib.import_module("annotated_se").SqueezeExcitation
    spec = replace(SPECS["se"], build=build)
    if shape == RIGHT:
        law_1(spec, EXAMPLES)
    else:
        with pytest.raises(AssertionError, match=f"TypeCheckError.*(?s:.*){shape}"):
            law_1(spec, EXAMPLES)
