"""Cards, set-up cells, tables and addresses are written from their sources, and a stale one is noticed."""

import ast
import re
from pathlib import Path

import pytest

import attention
from attention.formulas import evaluate
from attention.registry import chapters, entry
from tools.chapters import CARD, ROOT, notebook_path, read, settings, tags, text
from tools.writing import sync


def test_writes_everything_and_then_has_nothing_to_do(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sync.main(["--check"], house) == 1  # the cards of the laid-out chapters are empty
    assert sync.main([], house) == 0
    before = {path: path.read_bytes() for path in house.rglob("*") if path.is_file()}
    assert sync.main(["--check"], house) == 0
    assert sync.main([], house) == 0
    assert {path: path.read_bytes() for path in house.rglob("*") if path.is_file()} == before
    assert capsys.readouterr().out.endswith("all is in step\n")


def test_quick_leaves_out_what_is_made_by_running_blocks(house: Path) -> None:
    """And nothing that it leaves out states a version or an address, which may change without it."""
    assert sync.main(["--quick"], house) == 0
    assert sync.main(["--check", "--quick"], house) == 0
    made = [path for path, _ in sync.runs(house)]
    assert not any(path.exists() for path in made if path.is_relative_to(house / "book" / "blocks"))
    assert sync.main(["--check"], house) == 1
    where = settings(house)
    held = re.compile("|".join(map(re.escape, (where.site, where.repository, where.slug, attention.__version__))))
    kept = [ROOT / path.relative_to(house) for path in made]
    assert all(path.exists() for path in kept)
    assert [path for path in kept if held.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("name", ["README.md", "pyproject.toml", "CITATION.cff", "notebooks/channel/se.ipynb"])
def test_notices_what_is_stale(house: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    sync.main(["--quick"], house)
    path = house / name
    stale = re.sub(re.escape(settings(house).site), "https://elsewhere.example", path.read_text())
    assert stale != path.read_text()
    path.write_text(stale)
    assert sync.main(["--check", "--quick"], house) == 1
    assert f"{name} is not current" in capsys.readouterr().out
    assert sync.main(["--quick"], house) == 0
    assert sync.main(["--check", "--quick"], house) == 0


def _break_card(house: Path) -> None:
    path = notebook_path(entry("se"), house)
    path.write_text(path.read_text().replace(CARD[1], ""))


def _break_setup(house: Path) -> None:
    path = notebook_path(entry("se"), house)
    made = read(path)
    made.cells = [cell for cell in made.cells if "setup" not in tags(cell)]
    path.write_text(text(made))


def _break_notebook(house: Path) -> None:
    notebook_path(entry("se"), house).write_text("{")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_break_card, "needs one <!-- card: begin -->"),
        (_break_setup, "needs one code cell that is tagged 'setup'"),
        (lambda house: notebook_path(entry("se"), house).unlink(), "is missing, though mechanisms.toml calls [se]"),
        (lambda house: (house / "_toc.yml").write_text("root: x"), "_toc.yml lacks notebooks/channel/se"),
        (_break_notebook, "se.ipynb: "),
        (lambda house: (house / "CITATION.cff").write_text("url: x\nurl: y\n"), "2 lines match"),
    ],
)
def test_says_what_it_cannot_write(house: Path, harm, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    sync.main(["--quick"], house)
    harm(house)
    assert sync.main(["--quick"], house) == 1
    assert message in capsys.readouterr().out


def cells(card: str) -> dict[str, str]:
    """Return the rows of a card by their labels."""
    return dict(re.findall(r"^\| \*\*(.*?)\*\* \| (.*) \|$", card, re.MULTILINE))


def test_card_states_the_block(house: Path) -> None:
    """The figures on SE's card are those of the block at the size that it names."""
    card = sync.card(entry("se"), settings(house), 45)
    block = attention.SqueezeExcitation(sync.SIZE["channels"])
    count = sum(p.numel() for p in block.parameters())
    rows = cells(card)
    assert rows["Cost"].startswith(f"{count:,} parameters and {count:,} multiply–adds for an input of 256 × 56 × 56")
    assert rows["Map"] == r"$B \times C \times 1 \times 1$"
    assert rows["Weighs"] == "channel; statistic: mean over height and width"
    assert rows["Chinese"] == f'<span lang="zh-Hans">{entry("se").chinese["simplified"]}</span>'
    assert rows["Time"].startswith("45 minutes to read, without the exercises; ")
    assert rows["In code"] == "`attention.SqueezeExcitation`"
    assert "Jie Hu and 4 others" in rows["Paper"]
    assert "https://arxiv.org/abs/1709.01507" in rows["Paper"]
    assert "http" not in card.replace("https://arxiv.org/", "").replace("https://colab.research.google.com/", "")
    lines = [line for line in card.splitlines() if line.startswith("|")]
    assert all(line.count(" | ") == 1 for line in lines if not line.startswith("|:"))


def test_formulas_are_one_click_away_on_chapters_alone(house: Path) -> None:
    """A page of a block has them in a section of its own."""
    shown, _, folded = sync.card(entry("se"), settings(house), 45).partition("<details")
    assert "$$" not in shown
    assert folded.count("$$\n\\frac{2 C^{2}}{r}\n$$") == 2
    assert "<summary>Cost, as formulas</summary>\n\n" in folded, "a blank line, and Markdown is read again"
    assert folded.endswith("\n\n</details>")
    assert "<details" not in sync.card(entry("ccnet"), settings(house))


def test_a_card_names_both_scripts_and_says_which_names_are_ours(house: Path) -> None:
    both = cells(sync.card(entry("cbam"), settings(house), 45))["Chinese"]
    assert re.fullmatch(r'<span lang="zh-Hans">\w+</span>, in Taiwan <span lang="zh-Hant">\w+</span>', both)
    own = cells(sync.card(entry("resnest"), settings(house)))["Chinese"]
    assert own.endswith("</span> (our translation: none is established)")


def test_costs_are_counted_where_a_formula_alone_gives_none(house: Path) -> None:
    """ECA computes its kernel size from the channels: five for 256. A query reads from features of another shape."""
    assert sync.concrete("eca").startswith(f"5 parameters and {5 * 256:,} multiply–adds for an input of 256 × 56 × 56")
    example = entry("additive").example["options"]
    numbers = {"height": 14, "width": 12, **example}
    counts = [evaluate("additive", which, **numbers) for which in ("parameters", "macs")]
    assert sync.concrete("additive").startswith("{:,} parameters and {:,} multiply–adds".format(*counts))
    assert sync.concrete("stn") == "", "it costs what its localisation network does"


def test_a_card_states_what_reading_between_pixels_takes(house: Path) -> None:
    """It is no matrix product, so the multiply–adds leave it out; a block that reads pixels has no such line."""
    told = {name: sync.card(entry(name), settings(house), 45) for name in ("stn", "se")}
    assert "to read between pixels:\n\n$$\n4 C H W\n$$" in told["stn"]
    assert "between pixels" not in told["se"]


def test_setup_cell_differs_by_the_chapters_name_alone(house: Path) -> None:
    made = {found.name: sync.setup_cell(found, settings(house)) for found in chapters()}
    assert len({cell.replace(f'"{name}"', '"…"') for name, cell in made.items()}) == 1
    cell = made["se"]
    assert f"-{attention.__version__}-py3-none-any.whl" in cell
    assert "--no-deps" in cell
    ast.parse(re.sub(r"^(\s*)%.*$", r"\1pass", cell, flags=re.MULTILINE))


def test_every_chapter_has_a_row_in_the_readme(house: Path) -> None:
    rows = sync.table(settings(house)).splitlines()[2:]
    assert len(rows) == len(chapters())
    for row, found in zip(rows, chapters(), strict=True):
        assert found.title in row
        assert ("planned" in row) is not found.built
        link = f"[block]({settings(house).page(f'book/blocks/{found.name}')})"
        assert (link in row) is (found.status == "block")
