"""The prose pages and their pictures: nothing typed that is not so."""

import ast
import io
import re
import sys
from collections.abc import Callable
from dataclasses import replace
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

import attention
from attention.lab.style import PHONE, SMALLEST
from attention.pictures import idea_query
from attention.registry import FAMILIES, chapters, entries
from attention.self_attention.non_local import SIMILARITIES
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
HISTORY = (ROOT / "book" / "history.md").read_text(encoding="utf-8")
CHOOSING = (ROOT / "book" / "choosing.md").read_text(encoding="utf-8")
ALT = re.search(r":name: timeline\n:alt: (.*)", HISTORY)[1]
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
    now = figures.drawn("idea.svg")
    of_another_version = now.replace(f"matplotlib {mpl.__version__}<".encode(), b"matplotlib 0.0<")
    assert figures.current("idea.svg", now)
    assert figures.current("idea.svg", of_another_version)
    assert not figures.current("idea.svg", now.replace(b"#8a8a8a", b"#ff0000"))
    other = {key: value + 1 for key, value in figures.example().items()}
    monkeypatch.setattr(figures, "example", lambda: other)
    assert not figures.current("idea.svg", now)
    assert not figures.current("idea.svg", of_another_version)


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


@pytest.mark.parametrize("page", ["README.md", "book/intro.md"])
def test_the_first_pages_claim_what_there_is(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    found = chapters()
    years = [entry.year for entry in found]
    assert f"about {len(found)} mechanisms, from {min(years)} to {max(years)}." in text
    for status, words in {"ready": "have a chapter", "block": "have a tested block", "planned": "are planned"}.items():
        count = sum(entry.status == status for entry in found)
        assert (f"{count} {words}" in text) == (count > 0)
    assert not re.search(r"\bproves?\b|[Tt]wenty", text)


def section(page: str, heading: str) -> str:
    """Return what stands under a heading of the second level."""
    return page.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def numbers(text: str) -> list[float]:
    return [float(v) for v in re.findall(r"-?\d+(?:\.\d+)?", text.replace("−", "-"))]


def test_the_worked_gate_is_right(run: Callable[[Path], dict[str, Any]]) -> None:
    result, gate = run(ROOT / "book" / "idea.md"), section(IDEA, "A gate you can compute by hand")
    matrices = re.findall(r"\\begin\{pmatrix\}(.*?)\\end\{pmatrix\}", gate)
    stated = [[[float(v) for v in row.split("&")] for row in matrix.split(r"\\")] for matrix in matrices]
    torch.testing.assert_close(result["x"], torch.tensor(stated[:2]))
    torch.testing.assert_close(result["y"], torch.tensor(stated[2:]), rtol=0, atol=0.005)
    z = re.search(r"z = \(([^)]*)\)", gate)[1]
    s = re.search(r"\\approx \(([^)]*)\)", gate)[1]
    torch.testing.assert_close(result["z"], torch.tensor([float(v) for v in z.split(",")]))
    torch.testing.assert_close(result["s"], torch.tensor([float(v) for v in s.split(",")]), rtol=0, atol=0.005)


def test_the_worked_read_is_right(run: Callable[[Path], dict[str, Any]]) -> None:
    """The table, the text and the code have the numbers of the live picture's *looks up*."""
    told, result = section(IDEA, "A read you can compute by hand"), run(ROOT / "book" / "idea.md")
    assert next(iter(idea_query.picture().presets)) == "looks up", "it opens on these numbers"
    q, keys, values, tau = (given[0] for given in idea_query.picture().presets["looks up"])
    for name, given in (("q", q), ("keys", keys), ("values", values[:, 0])):
        torch.testing.assert_close(result[name].double(), given, rtol=0, atol=1e-7)
    assert f"$q = ({', '.join(f'{v:g}' for v in q)})$, and $\\tau = {tau.item():g}$" in told
    scores = keys @ q
    exponentials = (scores / tau).exp()
    weights = exponentials / exponentials.sum()
    rows = [line for line in told.splitlines() if re.match(r"\| \d", line)]
    for i, row in enumerate(rows):
        scaled = f"{(scores[i] / tau).item():.2f}"
        shown = [i + 1, *keys[i].tolist(), values[i, 0].item(), scores[i].item(), float(scaled)]
        assert numbers(row) == [*shown, round(exponentials[i].item(), 2), round(weights[i].item(), 2)]
    assert len(rows) == len(keys)
    assert f"| Sum | | | | | {exponentials.sum().item():.2f} | 1.00 |" in told
    soft = (weights @ values).item()
    assert f"The read is $o \\approx {soft:.2f}$" in told
    assert soft == pytest.approx(result["soft"].item(), abs=1e-6)
    assert result["hard"].item() in result["values"].tolist()
    warmer = ", ".join(f"{weight:.2f}" for weight in scores.softmax(0).tolist())
    assert f"with $\\tau = 1$ the weights are ({warmer})" in told
    assert f"gives {values.mean().item():.2f}. In" in told


def test_soft_and_hard_are_told_in_the_same_numbers(run: Callable[[Path], dict[str, Any]]) -> None:
    result, told = run(ROOT / "book" / "idea.md"), " ".join(section(IDEA, "Soft and hard").split())
    weights, values = result["weights"], result["values"]
    assert f"the soft answer is always {result['soft'].item():.2f}" in told
    third, fourth, first = (f"{100 * weights[i].item():.0f}" for i in (2, 3, 0))
    said = f"{values[2].item():g} in {third} of 100 draws, {values[3].item():g} in {fourth}, and {values[0].item():g}"
    assert f"{said} in {first};".replace("-", "−") in told
    assert 100 * (weights[1] + weights[4]).item() < 1.5, "the others are hardly ever drawn"


def test_a_non_local_blocks_weights_may_sum_to_something_else() -> None:
    told = section(IDEA, "What is weighed")
    assert "Two of\nthe four forms of a [non-local block]" in told
    x = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    sums = {}
    for similarity in SIMILARITIES:
        (weights,) = attention.create("non_local", 16, similarity=similarity).eval().attend(x)[1].values()
        sums[similarity] = bool(torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5))
    assert len(sums) == 4
    assert {similarity for similarity, one in sums.items() if not one} == {"dot product", "concatenation"}


# The story


def test_every_step_of_the_timeline_is_told_with_its_year() -> None:
    known = parse_file(str(ROOT / "book" / "references.bib")).entries
    headings = re.findall(r"^## (.*)$", HISTORY, re.MULTILINE)
    for (name, key, _, _), step in zip(figures.STEPS, figures.told(), strict=True):
        cite = key or entries()[name].cite
        assert known[cite].fields["year"] == str(step.year)
        where = [heading for heading in headings if cite in section(HISTORY, heading)]
        assert where, f"the page does not tell of {cite}"
        years = [int(year) for year in re.findall(r"\d{4}", where[0])]
        assert where[0] == "Today" or min(years) <= step.year <= max(years), (where, step)


def test_the_timelines_alt_text_names_every_step_and_year() -> None:
    years = {str(step.year) for step in figures.told()}
    assert years == set(re.findall(r"\b20\d\d\b", ALT))
    words = {"Encoder–decoder": "encoder–decoder", "Additive": "additive attention", "Captioner": "captioner"}
    words |= {"Dot product": "dot products", "Non-local": "non-local blocks", "Latent diffusion": "latent diffusion"}
    for step in figures.told():
        assert words.get(step.name, step.name) in ALT, step.name


def test_what_was_added_and_what_was_given_up_is_told_of_each_step() -> None:
    for heading in re.findall(r"^## (\d.*)$", HISTORY, re.MULTILINE):
        told = section(HISTORY, heading)
        assert told.count("*What it added.*") == told.count("*What it gave up.*") == 1, heading


def test_the_timeline_draws_every_step_once_and_the_year_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [text.get_text() for text in texts(drawn("timeline.svg"))]
    assert all(words.count(step.name) == 1 for step in figures.told())
    assert [step.year for step in figures.told() if step.name == "SE"] == [entries()["se"].year]
    now = figures.fingerprint("timeline.svg")
    monkeypatch.setattr(figures, "entries", lambda: entries() | {"se": replace(entries()["se"], year=2031)})
    assert "2031" in [text.get_text() for text in texts(drawn("timeline.svg"))]
    assert figures.fingerprint("timeline.svg") != now


# The choice


def test_the_five_lines_lead_to_every_family_with_a_chapter() -> None:
    rows = re.findall(r"^\| (?!What|:)(.*) \|$", section(CHOOSING, "In five lines"), re.MULTILINE)
    assert len(rows) == 5
    named = [re.findall(r"\[([^\]]+)\]\(([^)]+)\)", row) for row in rows]
    shorts = {entry.short: entry for entry in entries().values()}
    for links in named:
        assert shorts[links[0][0]].ready, "a chapter first"
        for short, target in links:
            assert target.rpartition(".")[0].removeprefix("../") in {shorts[short].page, f"blocks/{shorts[short].name}"}
    assert {shorts[links[0][0]].family for links in named} == {entry.family for entry in chapters() if entry.ready}


def test_mechanisms_are_filed_as_the_table_says() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|", section(CHOOSING, "Others file them elsewhere"), re.M)
    filed = {name: here for names, here in rows[1:] for name in names.split(", ") if not name.startswith(":")}
    shorts = {entry.short: FAMILIES[entry.family] for entry in entries().values()}
    assert len(filed) >= 15
    assert {name: shorts[name] for name in filed} == filed


def test_the_price_of_se_is_as_it_is_told() -> None:
    from tools.writing.circulating import claims, filled

    told = " ".join(section(CHOOSING, "None, to begin with").split())
    found = re.search(
        r"less than a thousandth to the multiply–adds of ResNet-50, and takes between (\d+) and (\d+)% of", told
    )
    assert 0 < float(filled("{more_macs[SE-ResNet-50 | ResNet-50]:.3f}")) < 0.1
    (time,) = (claim.source for claim in claims() if claim.name == "se-time")
    pairs = [tuple(map(int, re.search(r"percent\[(3\d+), (\d+)\]", time).groups()))]
    eca = (ROOT / "notebooks" / "channel" / "eca.ipynb").read_text(encoding="utf-8")
    pairs += [tuple(map(int, row)) for row in re.findall(r"\| (\d+) \| (\d+) \| \d+ \|\\n", eca)]
    assert len(pairs) == 6
    lost = [100 * (before - after) / before for before, after in pairs]
    assert (round(min(lost)), round(max(lost))) == tuple(map(int, found.groups()))


def test_blocks_that_begin_as_the_identity_do() -> None:
    assert "Non-local and STN do by themselves here" in " ".join(CHOOSING.split())
    x = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    spatial = attention.SpatialTransformer(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(8)), 8).eval()
    for block in (attention.create("non_local", 16).eval(), spatial):
        torch.testing.assert_close(block(x), x, rtol=0, atol=1e-5)


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


def test_the_notation_tells_what_the_paper_of_each_chapter_writes() -> None:
    own, _, told = NOTATION.partition("(notation-chapters)=")[2].partition("(notation-papers)=")
    written = {entry.short for entry in chapters() if entry.ready}
    named = [set(re.findall(r"^\| (?!Chapter)([A-Z][^|]+) \|", part, re.M)) for part in (own, told.split("\n## ")[1])]
    assert named == [written, written]


def test_a_letter_stands_once_on_the_page_on_notation() -> None:
    """Among the symbols that all chapters share; those of one chapter are none of them."""
    shared, _, own = NOTATION.partition("(notation-papers)=")[0].partition("(notation-chapters)=")
    symbols = [re.findall(r"\$([^$]+)\$", row) for row in re.findall(r"^\| (\$[^|]*) \|", shared, re.MULTILINE)]
    named = [symbol for row in symbols for symbol in row]
    assert len(named) > 20
    assert len(set(named)) == len(named)
    theirs = re.findall(r"^\| [^|]+ \| ([^|]+) \|", own, re.MULTILINE)
    assert not set(named) & {symbol for row in theirs for symbol in re.findall(r"\$([^$]+)\$", row)}


def glossary() -> dict[str, tuple[str, str]]:
    """Return each term of the glossary: the line of its Chinese words, and its definition."""
    blocks = re.findall(r"^:::\{glossary\}\n(.*?)^:::", GLOSSARY, re.MULTILINE | re.DOTALL)
    items = [item.strip() for block in blocks for item in re.split(r"\n\n(?=\S)", block)]
    found = {}
    for item in items:
        term, words, definition = re.fullmatch(r"(\S.*)\n  (\S.*)\n\n  (\S.*)", item, re.DOTALL).groups()
        assert term not in found, term
        found[term] = words, " ".join(definition.split())
    return found


def test_the_glossary_gives_every_term_in_both_scripts() -> None:
    assert len(glossary()) >= 110
    simplified, traditional = r'<span lang="zh-Hans">[^<]+</span>', r'<span lang="zh-Hant">[^<]+</span>(?:\\\*)?'
    for term, (words, definition) in glossary().items():
        end = rf"(?:{traditional}(?: \(our own words\))?|in Taiwan the English word)"
        assert re.fullmatch(rf"{simplified} · {end}", words), (term, words)
        assert definition[-1] in ".?)", term
        unmarked = re.sub(r'<span lang="zh-Han[st]">[^<]*</span>', "", f"{words} {definition}")
        assert not re.search(r"[\u4e00-\u9fff]", unmarked), term
    assert "asterisk (\\*)" in GLOSSARY.partition(":::")[0]


#: Characters of the glossary that differ between the scripts: Simplified, then Traditional.
DIFFERENT = (
    "图统计门关键数类视觉残归简单软应随机权积层带离变换频识络参训练过拟头缩点询补组连场语义检测标双线损种优",
    "圖統計門關鍵數類視覺殘歸簡單軟應隨機權積層帶離變換頻識絡參訓練過擬頭縮點詢補組連場語義檢測標雙線損種優",
)


def test_each_script_is_marked_as_what_it_is() -> None:
    differ = [pair for pair in zip(*DIFFERENT, strict=True) if len(set(pair)) == 2]
    for script, own, other in (("Hans", 0, 1), ("Hant", 1, 0)):
        written = set("".join(re.findall(rf'<span lang="zh-{script}">([^<]*)</span>', GLOSSARY)))
        assert not written & {pair[other] for pair in differ}
        assert len(written & {pair[own] for pair in differ}) > 25


def test_words_that_mislead_a_reader_of_chinese_are_told() -> None:
    told = {term: " ".join(parts) for term, parts in glossary().items()}
    assert "eigenvector" in told["feature vector"]
    assert "significance" in told["saliency"]
    assert "cross-attention" in told["criss-cross attention"]
    assert "deep" in told["depthwise convolution"]
    assert "正则化" in told["batch normalisation"]
    assert "change places" in told["row, column"]


def test_the_glossary_and_the_registry_name_alike() -> None:
    """A mechanism that is in both has the registry's word first."""
    words = {term: parts[0] for term, parts in glossary().items()}
    pairs = {"Squeeze-and-Excitation": "se", "selective kernel": "sk", "criss-cross attention": "ccnet"}
    for term, name in (pairs | {"additive attention": "additive"}).items():
        assert f'<span lang="zh-Hans">{entries()[name].chinese["simplified"]}' in words[term]
        assert ("zh-Hant" not in words[term]) or "\\*" in words[term] or entries()[name].chinese.get("traditional")
