"""Write the table of all laws, each with a mistake that it catches: for the page on a reader's own block.

The mistakes are wrong blocks of ``tests/laws/variants.py``; a test holds each law to its own.
"""

from pathlib import Path

from attention.laws import LAWS

__all__ = ["CATCHES", "PAGE", "PARTS", "caught"]

PAGE = Path("book", "own_block.md")
#: For each law the class, in ``tests/laws/variants.py``, of a block that breaks it; none of those breaks the last two.
CATCHES: dict[str, str] = {
    "shape": "HeightWidthConfused",
    "batch_mates": "SharedOverBatch",
    "batch_of_one": "SqueezesBatch",
    "batch_of_none": "OnlySquare",
    "normalised_axis": "SoftmaxOverBatch",
    "maps": "NoSigmoid",
    "unchanged": "InPlace",
    "gradients_arrive": "DetachedGate",
    "gradients_are_right": "WrongBackward",
    "second_derivatives": "NoSecondDerivative",
    "forward_mode": "WrongBackward",
    "dtypes": "WideConstant",
    "half_precision": "HalfScores",
    "layouts": "ViewsInput",
    "devices": "WideConstant",
    "copies": "SharedCopy",
    "pickles": "HoldsLambda",
    "compiles": "DataDependent",
    "exports": "DataDependent",
    "onnx": "FixedBatch",
    "fx": "AsksForTheBatch",
    "traces": "Noisy",
}


def caught() -> str:
    """List the laws: the name, what holds, and a mistake that it catches."""
    from tests.laws.variants import VARIANTS  # it imports hypothesis, which little else here needs

    about = {variant.spec.build.__name__: variant.about for variant in VARIANTS}
    lines = ["| Law | What holds | A mistake that it catches |", "|:--|:--|:--|"]
    for name, law in LAWS.items():
        mistake = about[CATCHES[name]] if name in CATCHES else "–"
        lines.append(f"| `{name}` | {law.title} | {mistake} |")
    return "\n".join(lines)


#: The parts of the page, by their markers' name.
PARTS = {"caught": caught}
