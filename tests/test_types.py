"""What a type checker says of a user's script: right calls pass, wrong arguments are found, nothing is ``Any``."""

import re
import subprocess
import sys

import pytest

from attention import registry
from tools.chapters import ROOT

#: A user's lines, and what has to be said of each; nothing where it is right.
LINES = {
    "attention.SqueezeExcitation(64)": "",
    "attention.SqueezeExcitation(64, reduction=8, bias=True)": "",
    'attention.SqueezeExcitation(64, reduction="8")': 'Argument "reduction" to "SqueezeExcitation" has',
    "attention.SqueezeExcitation(64, ratio=8)": 'Unexpected keyword argument "ratio" for "SqueezeExcitation"',
    "attention.ConvolutionalBlockAttention()": 'Missing positional argument "channels"',
    "attention.SelectiveKernel(64, branches=3).attend()": 'Missing positional argument "x" in call to "attend"',
    "attention.CBAM(64)": 'Module has no attribute "CBAM"',
    "attention.create(64)": "No overload variant",
    'attention.names("channel").append("x")': "",
    "attention.names(7)": 'Argument 1 to "names" has incompatible type "int"',
}
#: What is revealed of an expression's type.
TYPES = {
    'attention.create("se", 64)': "attention.channel.se.SqueezeExcitation",
    'attention.create("cbam", channels=64, reduction=4)': "attention.hybrid.cbam.ConvolutionalBlockAttention",
    "attention.create(input(), 64)": "attention.contract.Attention",
    "attention.NonLocal(64)": "attention.self_attention.non_local.NonLocal",
    'attention.SqueezeExcitation(64).maps["channel"]': "attention.contract.Map",
    "attention.names()": "list[str]",
}
#: Other people's types are not read: torch's take a minute.
CONFIG = """
[mypy]
strict = true
[mypy-torch.*,jaxtyping.*,einops.*,numpy.*,scipy.*]
follow_imports = skip
ignore_missing_imports = true
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Run mypy on the script, in a folder of its own, with the package as it is installed."""
    folder = tmp_path_factory.mktemp("user")
    lines = ["import attention", *LINES, *(f"reveal_type({expression})" for expression in TYPES)]
    (folder / "script.py").write_text("\n".join(lines) + "\n")
    (folder / "mypy.ini").write_text(CONFIG)
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(folder / "cache"), "script.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: dict[int, str] = {}
    for number, message in re.findall(r"^script\.py:(\d+): (?:error|note): (.*)$", done.stdout, re.MULTILINE):
        found[int(number)] = f"{found.get(int(number), '')}{message}\n"
    return found


@pytest.mark.parametrize(("number", "line"), list(enumerate(LINES, start=2)))
def test_wrong_arguments_are_found(said: dict[int, str], number: int, line: str) -> None:
    expected = LINES[line]
    assert (expected in said.get(number, "")) if expected else number not in said, said.get(number)


@pytest.mark.parametrize(("number", "expression"), list(enumerate(TYPES, start=2 + len(LINES))))
def test_types_are_known(said: dict[int, str], number: int, expression: str) -> None:
    assert f'Revealed type is "{TYPES[expression]}"' in said[number].replace("builtins.", "")


def test_the_stub_names_what_the_package_offers() -> None:
    stub = (ROOT / "attention" / "__init__.pyi").read_text(encoding="utf-8")
    import attention

    for name in attention.__all__:
        assert re.search(rf"as {name}$|^def {name}\(|^{name}: ", stub, re.MULTILINE), name


def test_the_names_found_on_first_use_are_listed() -> None:
    import attention

    classes = {entry.class_name for entry in registry.entries().values() if entry.built}
    assert classes | {"create", "names", "Attention", "Gate", "Map"} <= set(dir(attention)) & set(attention.__all__)
    space: dict[str, object] = {}
    exec("from attention import *", space)
    assert classes <= set(space)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("CBAM", "Convolutional Block Attention Module is the class attention.ConvolutionalBlockAttention"),
        ("SELayer", "is the class attention.SqueezeExcitation"),
        ("SpatialTransformerNetwork", "is the class attention.SpatialTransformer"),
        ("NonLocalBlock", "is the class attention.NonLocal"),
        ("ECALayer", "is the class attention.EfficientChannelAttention"),
        ("DynamicCapacityNetwork", "Dynamic Capacity Network is planned, not written yet"),
    ],
)
def test_an_abbreviation_leads_to_the_class(name: str, hint: str) -> None:
    import attention

    with pytest.raises(AttributeError, match=f"has no attribute '{name}'; .*{re.escape(hint)}"):
        getattr(attention, name)
    with pytest.raises(AttributeError, match=r"has no attribute 'Nothing'$"):
        _ = attention.Nothing
