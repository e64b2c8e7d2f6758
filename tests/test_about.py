"""What the package says of a mechanism, in Python and on the command line."""

import inspect
import subprocess
import sys

import pytest
import torch

import attention
from attention import __main__ as command
from attention import registry
from attention.about import describe, listed, parts

CREATED = [name for name in registry.names() if registry.KINDS[registry.entry(name).kind]]


def main(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = command.main(list(words))
    return status, *capsys.readouterr()


@pytest.mark.parametrize("name", registry.names())
def test_every_block_is_described(name: str) -> None:
    entry, said = registry.entry(name), attention.describe(name, channels=128, size=(7, 9))
    text = str(said)
    assert text.startswith(f"{entry.title} ({entry.short}), {entry.year}")
    assert all(len(line) <= 100 for line in text.splitlines())
    for word in (f"arXiv {entry.arxiv}", "weighs", "maps", "options"):
        assert word in " ".join(text.split())
    assert "$" not in text
    parameters = list(inspect.signature(entry.load().__init__).parameters)[1:]
    assert [option.partition("=")[0] for option in said.options] == parameters
    assert all(said.options.values()), "each option is explained in the docstring"
    markdown = said._repr_markdown_()
    assert f"| in code | {said.rows['in code'][0]} |" in markdown
    assert all(line.startswith("| ") and line.endswith(" |") for line in markdown.splitlines()[4:])


@pytest.mark.parametrize("name", CREATED)
def test_the_stated_cost_is_that_of_the_block(name: str) -> None:
    said, block = describe(name, channels=128, size=7), attention.create(name, 128)
    assert said.parameters == sum(p.numel() for p in block.parameters())
    assert set(said.maps) == set(block.maps)
    assert f"{said.parameters:,} parameters" in str(said)


def test_options_count() -> None:
    assert describe("se", 64, 8, reduction=2).parameters == 2 * 64 * 32
    with pytest.raises(TypeError, match="did you mean 'reduction'"):
        describe("se", 64, reduktion=2)
    with pytest.raises(ValueError, match="is planned, not written yet"):
        describe("captioner")
    with pytest.raises(ValueError, match="did you mean 'cbam'"):
        describe("cbm")


def test_names_by_family_and_kind() -> None:
    assert attention.names("channel")[0] == "se"
    assert set(attention.names(kind="gate")) == {n for n in registry.names() if registry.entry(n).kind == "gate"}
    assert attention.names("channel", "branch") == []
    with pytest.raises(ValueError, match="kind='gates' is not one of gate, block"):
        attention.names(kind="gates")


def test_a_docstring_is_divided() -> None:
    said = parts(inspect.getdoc(attention.ConvolutionalBlockAttention))
    assert said.about.startswith("Convolutional Block Attention Module (CBAM)")
    assert "$$" in said.about
    assert list(said.options)[:2] == ["channels", "reduction"]
    assert said.options["reduction"] == (
        "the ratio $r$ by which the bottleneck is narrower than the input; it divides ``channels``."
    )
    assert set(said.errors) == {"TypeError", "ValueError"}
    assert said.source.startswith("Sanghyun Woo")
    assert said.differs.startswith("Differs from the official code: that is")


def test_the_list_names_every_mechanism(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = main(capsys)
    assert status == 0
    assert out == listed() + "\n"
    for entry in registry.entries().values():
        (line,) = [line for line in out.splitlines() if line.startswith(f"  {entry.name} ")]
        assert str(entry.year) in line
    assert out.count("(planned)") == sum(not entry.built for entry in registry.entries().values())


def test_one_is_described_with_its_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = main(capsys, "cbam", "--channels", "32", "--size", "5", "6", "--option", "reduction=4")
    assert status == 0
    assert str(describe("cbam", 32, (5, 6), reduction=4)) in out
    assert "sigmoid (channel)" in out or "(channel)" in out
    assert "1×32×5×6" in out
    assert "linear 32 → 8" in out
    status, out, _ = main(capsys, "cbam", "--option", "order=parallel")
    assert (status, "1×64×56×56" in out) == (0, True)


def test_the_source_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(capsys, "eca", "--source") == (0, attention.source("eca"), "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cbm"], "did you mean 'cbam'"),
        (["cbam", "--option", "order"], "write NAME=VALUE"),
        (["cbam", "--option", "ordre=parallel"], "did you mean 'order'"),
        (["captioner"], "is planned, not written yet"),
        (["cbam", "--channels", "30"], "channels=30 is not divisible by reduction=16"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = main(capsys, *words)
    assert (status, out) == (2, "")
    assert message in err


def test_sizes_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["cbam", "--size", "0"], ["cbam", "--size", "1", "2", "3"], ["cbam", "--channels", "0"]):
        with pytest.raises(SystemExit):
            command.main(words)
        assert "whole numbers from 1" in capsys.readouterr().err


def test_it_is_a_command() -> None:
    command_line = [sys.executable, "-W", "ignore", "-m", "attention", "se", "--channels", "16", "--size", "4"]
    done = subprocess.run(command_line, capture_output=True, text=True, check=True)
    assert "Squeeze-and-Excitation (SE), 2018" in done.stdout
    assert "1×16×4×4" in done.stdout


def test_the_random_numbers_stay() -> None:
    before = torch.get_rng_state()
    describe("cbam")
    assert torch.get_rng_state().equal(before)
