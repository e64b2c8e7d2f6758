"""The prose pages and their pictures: nothing typed that is not so."""

import ast
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pybtex.database import parse_file

from attention.lab.style import PHONE, SMALLEST
from attention.registry import chapters, entries
from tools.writing import explaining, figures

ROOT = Path(__file__).resolve().parent.parent
LAWS = ROOT / "book" / "api" / "laws.md"
OWN_BLOCK = ROOT / "book" / "own_block.md"
EXPLANATION = ROOT / "book" / "explanation.md"
STATISTICS = ROOT / "book" / "statistics.md"
#: Pages that show what their Python prints.
PRINTING = [LAWS, OWN_BLOCK, STATISTICS]
PAGES = sorted((ROOT / "book").rglob("*.md"))
GLOSSARY = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
INTRO = (ROOT / "book" / "intro.md").read_text(encoding="utf-8")
IDEA = (ROOT / "book" / "idea.md").read_text(encoding="utf-8")
NOTATION = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
each_figure = pytest.mark.parametrize("name", figures.FIGURES)


def drawn(name: str) -> Figure:
    with mpl.rc_context(figures._SETTINGS):
        return figures.FIGURES[name]()


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_text().strip()]


# --- pictures


@each_figure
def test_the_committed_picture_is_current(name: str) -> None:
    assert figures.current(name, (figures.FOLDER / name).read_bytes()), "out of date; run: make figures"


@each_figure
def test_a_picture_is_the_same_every_time(name: str) -> None:
    first = figures.drawn(name)
    with mpl.rc_context({"font.size": 20, "figure.constrained_layout.use": True, "figure.facecolor": "black"}):
        assert figures.drawn(name) == first


def test_a_picture_that_is_out_of_date_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    now = figures.drawn("map.svg")
    of_another_version = now.replace(f"matplotlib {mpl.__version__}<".encode(), b"matplotlib 0.0<")
    assert figures.current("map.svg", now)
    assert figures.current("map.svg", of_another_version)
    assert not figures.current("map.svg", now.replace(b"#0072b2", b"#ff0000"))
    monkeypatch.setattr(figures, "shown", lambda: list(entries().values())[1:])
    assert not figures.current("map.svg", now)
    assert not figures.current("map.svg", of_another_version)


def repainted(png: bytes, **about: str) -> bytes:
    """Write a PNG anew, compressed otherwise, with some of what it says of itself changed."""
    image, written = Image.open(io.BytesIO(png)), io.BytesIO()
    info = PngInfo()
    for key, value in (image.text | about).items():
        info.add_text(key, value)
    image.save(written, "png", pnginfo=info, compress_level=1)
    return written.getvalue()


def test_a_card_that_is_out_of_date_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    now = figures.drawn("card.png")
    of_another_version = repainted(now, Source="matplotlib 0.0")
    assert repainted(now) != now
    assert figures.current("card.png", repainted(now)), "the same pixels"
    assert figures.current("card.png", of_another_version)
    assert not figures.current("card.png", repainted(now, Identifier="of other numbers"))
    monkeypatch.setattr(figures, "CARD_LINES", ("Another line", ""))
    assert not figures.current("card.png", now)
    assert not figures.current("card.png", of_another_version)


def test_the_card_is_as_previews_want_it() -> None:
    """1200 × 630 pixels; a feed shows it 400 wide, where its words must still be read."""
    path = figures.FOLDER / "card.png"
    assert Image.open(path).size == (1200, 630)
    assert path.stat().st_size < 300_000
    sizes = {text.get_text(): text.get_fontsize() for text in texts(drawn("card.png"))}
    assert drawn("card.png").get_figwidth() * 72 == 400, "so that a point is a pixel there"
    assert min(sizes.values()) >= SMALLEST
    assert sizes[figures.CARD_TITLE] >= 20


@pytest.mark.parametrize("name", [name for name in figures.FIGURES if name.endswith(".svg")])
def test_text_is_readable_on_a_phone(name: str) -> None:
    figure = drawn(name)
    assert figure.get_figwidth() * 72 == PHONE
    assert min(text.get_fontsize() for text in texts(figure)) >= SMALLEST


@each_figure
def test_no_text_is_cut_off_or_written_over_another(name: str) -> None:
    figure = drawn(name)
    figure.canvas.draw()
    frame = figure.bbox.padded(1)
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    for i, (text, box) in enumerate(boxes):
        assert frame.x0 <= box.x0, text
        assert box.x1 <= frame.x1, text
        assert frame.y0 <= box.y0, text
        assert box.y1 <= frame.y1, text
        for other, there in boxes[:i]:
            overlap = (min(box.x1, there.x1) - max(box.x0, there.x0), min(box.y1, there.y1) - max(box.y0, there.y0))
            assert min(overlap) <= 1, (text, other)


def test_the_map_shows_every_mechanism_once() -> None:
    words = [text.get_text() for text in texts(drawn("map.svg"))]
    assert all(words.count(entry.short) == 1 for entry in entries().values())
    assert {entry.axis for entry in entries().values()} == set(figures.AXES)


def test_the_numbers_in_the_picture_are_a_gate() -> None:
    values = {name: torch.tensor(value) for name, value in figures.example().items()}
    torch.testing.assert_close(values["z"], values["x"].mean(dim=(1, 2)))
    torch.testing.assert_close(values["out"], values["x"] * values["s"][:, None, None])
    words = [text.get_text() for text in texts(drawn("idea.svg"))]
    assert [f"{number:.2f}" in words for number in (*values["z"], *values["s"])] == [True] * 10


# --- pages


@each_page
def test_directives_are_written_with_colons(page: Path) -> None:
    assert not re.search(r"^```+\s*\{", page.read_text(encoding="utf-8"), re.MULTILINE)


@each_page
def test_citations_are_in_the_bibliography(page: Path) -> None:
    known = parse_file(str(ROOT / "book" / "references.bib")).entries
    cited = re.findall(r"\{cite(?::\w)?\}`([^`]+)`", page.read_text(encoding="utf-8"))
    assert {key.strip() for keys in cited for key in keys.split(",")} <= set(known)


@each_page
def test_pictures_exist_and_have_alt_text(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^:::\{(?:image|figure)\} (.*?)^:::", text, re.MULTILINE | re.DOTALL):
        assert (page.parent / block.splitlines()[0]).is_file()
        assert re.search(r"^:alt: \S.{40,}", block, re.MULTILINE)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Path], dict[str, Any]]:
    """Run the Python of a page from top to bottom, as a module, in a folder of its own; return what it defines."""
    monkeypatch.chdir(tmp_path)

    def run(page: Path) -> dict[str, Any]:
        module = ModuleType(f"page_{page.stem}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        for code in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            exec(compile(code, page.name, "exec"), module.__dict__)
        return module.__dict__

    return run


@pytest.mark.parametrize("page", [page for page in PAGES if page not in PRINTING], ids=lambda page: page.stem)
def test_python_on_a_page_runs(page: Path, run: Callable[[Path], dict[str, Any]]) -> None:
    run(page)


@pytest.mark.parametrize("page", PRINTING, ids=lambda page: page.stem)
def test_a_page_shows_what_its_python_prints(
    page: Path, capsys: pytest.CaptureFixture[str], run: Callable[[Path], dict[str, Any]]
) -> None:
    run(page)
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r"^```text\n(.*?)^```\n\s*<!-- (?:printed|interval): end", text, re.M | re.S)
    assert shown
    assert "".join(shown).split() == capsys.readouterr().out.split()


def test_what_the_page_on_laws_says_of_its_block_is_so(run: Callable[[Path], dict[str, Any]]) -> None:
    defined = run(LAWS)
    assert set(defined["report"].broken) == {"normalised_axis", "gradients_arrive", "half_precision"}
    assert "of query.bias never received a gradient" in defined["report"].broken["gradients_arrive"]
    assert "torch.float16, inputs up to 1000, is not finite" in defined["report"].broken["half_precision"]


def test_what_the_page_on_an_own_block_says_of_it_is_so(run: Callable[[Path], dict[str, Any]]) -> None:
    """The second mistake breaks no law, nor does the mended block; and the block is in the network, with its maps."""
    defined = run(OWN_BLOCK)
    laws, x = defined["laws"], defined["x"]
    slow = {"compiles", "exports", "onnx", "distributes", "second_derivatives"}
    assert laws.check(defined["Mended"](8), x, only=set(laws.LAWS) - slow).broken == {}
    assert laws.check(defined["RowAttention"](8), x, only=set(laws.LAWS) - slow).broken == {}
    with pytest.raises(AssertionError, match="the output differs by"):
        laws.equals(defined["Mended"](8).double(), x.double(), reference=defined["by_hand"])
    assert [name for _, name in defined["ranges"]] == ["row"] * 3
    blocks = [type(module).__name__ for module in defined["network"].modules()]
    assert blocks.count("RowAttention") == 3


def test_what_the_page_on_maps_says_of_its_example_is_so() -> None:
    """A map that lies on the object in every seed, by training, and that another image's can replace; and one not."""
    for seed in range(len(explaining.kept()["scores"])):
        shares = {kind: found[seed] for kind, found in explaining.kept()["on object"].items()}
        assert shares["trained"]["second block"] > 0.8 > 0.7 > shares["untrained"]["second block"]
    for whose in ("another", "mean"):
        found = explaining.exchanged("second block", "space", whose)
        assert found.verdict == "undecided"
        assert found.low > -0.01
        assert explaining.exchanged("first block", "channel", whose).verdict == "lower"
    assert explaining.kept()["settings"]["widths"][0] == 16


def test_each_question_before_a_map_is_believed_has_a_call_that_runs() -> None:
    questions = EXPLANATION.read_text(encoding="utf-8").partition("(explanation-questions)=")[2]
    asked = re.findall(r"^\*\*(\d)\. [^*]*\?\*\*(.*?)(?=^\*\*\d|\Z)", questions, re.M | re.S)
    assert [number for number, _ in asked] == ["1", "2", "3", "4", "5"]
    defined: dict[str, Any] = {}
    setup, _, _ = questions.partition("**1.")
    answers = {}
    for number, text in [("0", setup), *asked]:
        (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
        *body, last = ast.parse(code).body
        exec(compile(ast.Module(body, []), "explanation.md", "exec"), defined)
        if isinstance(last, ast.Expr):
            answers[number] = eval(compile(ast.Expression(last.value), "explanation.md", "eval"), defined)
        else:
            exec(compile(ast.Module([last], []), "explanation.md", "exec"), defined)
        assert number == "3" or "maps." in code
    change, saturated = answers["1"]
    assert 0 <= change <= 0.5
    assert 0 <= saturated <= 1
    assert answers["2"] == defined["scores"].own - defined["scores"].another
    assert answers["3"] == defined["scores"].own - defined["scores"].mean
    assert -1 <= answers["4"] < 1
    assert 0 <= answers["5"] <= 1


def test_the_number_of_chapters_is_right() -> None:
    assert len(chapters()) == 26
    assert "twenty-six chapters" in INTRO


def test_the_worked_example_is_right() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", IDEA, re.MULTILINE | re.DOTALL)
    result: dict[str, torch.Tensor] = {}
    exec(compile(code, "idea.md", "exec"), result)
    matrices = re.findall(r"\\begin\{pmatrix\}(.*?)\\end\{pmatrix\}", IDEA)
    stated = [[[float(v) for v in row.split("&")] for row in matrix.split(r"\\")] for matrix in matrices]
    torch.testing.assert_close(result["x"], torch.tensor(stated[:2]))
    torch.testing.assert_close(result["y"], torch.tensor(stated[2:]), rtol=0, atol=0.005)
    z = re.search(r"z = \(([^)]*)\)", IDEA)[1]
    s = re.search(r"\\approx \(([^)]*)\)", IDEA)[1]
    torch.testing.assert_close(result["z"], torch.tensor([float(v) for v in z.split(",")]))
    torch.testing.assert_close(result["s"], torch.tensor([float(v) for v in s.split(",")]), rtol=0, atol=0.005)


def test_a_soft_answer_is_the_mean_of_hard_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(5, generator=generator).softmax(0)
    features = torch.rand(5, 3, generator=generator)
    draws = torch.multinomial(weights, 20_000, replacement=True, generator=generator)
    torch.testing.assert_close(features[draws].mean(0), weights @ features, rtol=0, atol=0.02)


def test_the_figures_of_resnet_50_are_right() -> None:
    from attention.backbones.resnet import resnet50
    from attention.lab import cost

    with torch.device("meta"):
        first, later = resnet50(stride_in="1x1"), resnet50()
    parameters = sum(p.numel() for p in later.parameters())
    assert f"{parameters:,}\nparameters of ResNet-50 are {parameters / 1e6:.2f} M" in NOTATION
    assert f"{parameters / 2**20:.2f} M where M is $2^{{20}}$" in NOTATION
    x = torch.zeros(1, 3, 224, 224, device="meta")
    counts = [cost.count(model.eval(), x).macs / 1e9 for model in (first, later)]
    assert "the first takes {:.2f} G multiply–adds and version 1.5 takes {:.2f} G".format(*counts) in NOTATION


def test_the_glossary_gives_every_term_in_both_languages() -> None:
    blocks = re.findall(r"^:::\{glossary\}\n(.*?)^:::", GLOSSARY, re.MULTILINE | re.DOTALL)
    items = [item for block in blocks for item in re.split(r"\n\n", block.strip())]
    terms = [item.partition("\n")[0] for item in items]
    assert len(terms) >= 60
    assert len(set(terms)) == len(terms)
    for item in items:
        definition = item.partition("\n")[2]
        assert re.match(r'  <span lang="zh-Hans">[^<]*[\u4e00-\u9fff][^<]*</span> · ', definition), item
        marked = "".join(re.findall(r'<span lang="zh-Hans">([^<]*)</span>', item))
        assert re.findall(r"[\u4e00-\u9fff]", item) == re.findall(r"[\u4e00-\u9fff]", marked), item
        assert definition.rstrip()[-1] in ".?)", item
