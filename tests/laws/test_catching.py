"""The table of laws on the page about a reader's own block: each law catches the mistake that stands beside it."""

import pytest
import torch

from attention import laws
from tests.laws.variants import VARIANTS, Context
from tools.writing.catching import CATCHES, caught

BUILDS = {variant.spec.build.__name__: variant.spec.build for variant in VARIANTS}


def built(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    build = BUILDS[name]
    return build(8) if issubclass(build, Context) else build(8, 2)


@pytest.mark.parametrize(("law", "name"), CATCHES.items(), ids=CATCHES)
def test_a_law_catches_the_mistake_beside_it(law: str, name: str) -> None:
    assert list(laws.check(built(name), torch.randn(3, 8, 4, 5), only=[law]).broken) == [law]


def test_every_law_has_its_row() -> None:
    rows = caught().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(laws.LAWS)
    assert [row.split("`")[1] for row in rows if row.endswith("| – |")] == ["quantises", "distributes"]
    assert all(law.title in row for law, row in zip(laws.LAWS.values(), rows, strict=True))
