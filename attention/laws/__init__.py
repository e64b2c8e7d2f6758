"""What any attention block must hold to, tried on yours.

One law in one line, which is silent where it holds and raises ``AssertionError`` with a sentence where it does not:

>>> from attention import laws
>>> laws.normalised_axis(MyBlock(64), torch.randn(4, 64, 7, 9))

All laws, in a script or a notebook:

>>> print(laws.check(MyBlock(64), torch.randn(4, 64, 7, 9)))

And as tests, one for each law:

>>> @pytest.mark.parametrize("law", laws.LAWS.values(), ids=str)
... def test_my_block(law):
...     law(MyBlock(64), torch.randn(4, 64, 7, 9))

With ``hypothesis``, which the extra ``laws`` of this package brings, many sizes are tried: ``check(…, draws=50)``, or a
test of your own on what :func:`images` draws. The suite of this package is made of the same functions, with the papers'
equations and the contract beside them.
"""

from attention.laws.axes import normalised_axis
from attention.laws.comparing import EXACT, same, same_maps
from attention.laws.gradients import (
    forward_mode,
    gradients_are_right,
    gradients_arrive,
    second_derivatives,
    unchanged,
)
from attention.laws.graphs import compiles, distributes, exports, fx, onnx, quantises, traces
from attention.laws.law import LAWS, Law, prepared
from attention.laws.material import image, images, randomise, resized
from attention.laws.precision import copies, devices, dtypes, half_precision, layouts, pickles
from attention.laws.report import Called, Finding, Report, check
from attention.laws.values import as_declared, batch_mates, batch_of_none, batch_of_one, equals, maps, shape

__all__ = [
    "EXACT",
    "LAWS",
    "Called",
    "Finding",
    "Law",
    "Report",
    "as_declared",
    "batch_mates",
    "batch_of_none",
    "batch_of_one",
    "check",
    "compiles",
    "copies",
    "devices",
    "distributes",
    "dtypes",
    "equals",
    "exports",
    "forward_mode",
    "fx",
    "gradients_are_right",
    "gradients_arrive",
    "half_precision",
    "image",
    "images",
    "layouts",
    "maps",
    "normalised_axis",
    "onnx",
    "pickles",
    "prepared",
    "quantises",
    "randomise",
    "resized",
    "same",
    "same_maps",
    "second_derivatives",
    "shape",
    "traces",
    "unchanged",
]

_ORDERED = {
    each.name: each
    for each in (
        *(shape, batch_mates, batch_of_one, batch_of_none, normalised_axis, maps),
        *(unchanged, gradients_arrive, gradients_are_right, second_derivatives, forward_mode),
        *(dtypes, half_precision, layouts, devices, copies, pickles),
        *(compiles, exports, onnx, fx, traces, quantises, distributes),
    )
}
assert set(_ORDERED) == set(LAWS)
LAWS.clear()
LAWS.update(_ORDERED)
