"""Four representative blocks under inductor, with gradients and a second size: for the weekly workflow.

Inductor takes many seconds for a block, so the suite skips this file; ``INDUCTOR=1 python -m pytest
tests/laws/test_inductor.py`` runs it.
"""

import os
import warnings
from dataclasses import replace

import pytest
import torch

from attention.laws import same
from attention.laws.gradients import wanting_gradients, weighted_sum
from attention.laws.material import cast
from tests.laws.discovery import specs

pytestmark = pytest.mark.skipif(not os.environ.get("INDUCTOR"), reason="slow: the weekly workflow runs it (INDUCTOR=1)")

#: A gate, two gates in a row with maxima, pairs of positions, a sampler.
NAMES = ("se", "cbam", "non_local", "stn")


@pytest.mark.parametrize("name", NAMES)
def test_inductor_compiles_gradients_for_any_size(name: str) -> None:
    spec = specs()[name]
    block = spec.block(spec.fixed[0], torch.float32)
    torch._dynamo.reset()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = torch.compile(block, fullgraph=True)
            for height, width in ((8, 9), (6, 11)):
                case = replace(spec.fixed[0], height=height, width=width)
                inputs = wanting_gradients(cast(spec.inputs(case), torch.float32))
                leaves = [*inputs, *block.parameters()]
                expected, found = block(*inputs), compiled(*inputs)
                same(f"the output at {height} × {width}", found, expected, 1e-4)
                gradients = (torch.autograd.grad(weighted_sum(y, case.seed), leaves) for y in (found, expected))
                for one, other in zip(*gradients, strict=True):
                    same(f"a gradient at {height} × {width}", one, other, 1e-3)
    finally:
        torch._dynamo.reset()
