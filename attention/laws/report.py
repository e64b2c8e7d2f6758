"""All laws on one block, and a report of what holds."""

import textwrap
import unittest
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attention.laws.law import LAWS, Law
from attention.laws.material import repeatable, resized

__all__ = ["Called", "Finding", "Report", "check"]


#: A printed report has lines of so many characters.
WIDE = 78


class Called(nn.Module):
    """A module that is called in another way than ``block(x)``, as one that is.

    >>> Called(nn.MultiheadAttention(8, 2, batch_first=True), lambda block, x: block(x, x, x)[0])

    :param block: the module.
    :param call: ``call(block, *inputs) -> output``, one tensor; a function with a name can be pickled, a lambda not.
    """

    def __init__(self, block: nn.Module, call: Callable[..., Tensor]) -> None:
        super().__init__()
        self.block, self.call = block, call

    def forward(self, x: Tensor) -> Tensor:
        """Call the module.

        :param x: its input.
        """
        return self.call(self.block, x)


@dataclass(frozen=True)
class Finding:
    """What one law found.

    :param law: the law.
    :param verdict: ``"holds"``, ``"broken"`` or ``"skipped"``.
    :param said: the sentence of a broken law, or why one was skipped.
    """

    law: Law
    verdict: str
    said: str = ""


@dataclass(frozen=True)
class Report:
    """What all laws found. Print it, or let a notebook show it.

    :param about: which block was looked at.
    :param findings: one for each law.
    """

    about: str
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> dict[str, str]:
        """The laws that the block breaks, each with its sentence."""
        return {each.law.name: each.said for each in self.findings if each.verdict == "broken"}

    def raise_broken(self) -> None:
        """Raise where a law is broken.

        :raises AssertionError: with every sentence.
        """
        if self.broken:
            raise AssertionError("\n".join([self.about, *(f"{name}: {said}" for name, said in self.broken.items())]))

    def __str__(self) -> str:
        wide = max(len(each.law.name) for each in self.findings)
        lines = [self.about]
        for each in self.findings:
            told = each.law.title if each.verdict == "holds" else each.said
            lines += textwrap.wrap(
                f"{each.verdict:<8} {each.law.name:<{wide}}  {told}",
                WIDE,
                subsequent_indent=" " * (wide + 11),
                break_long_words=False,
                break_on_hyphens=False,
            )
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        def cell(text: str) -> str:
            return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")

        lines = [cell(self.about), "", "| law | verdict | |", "|---|---|---|"]
        for each in self.findings:
            told = each.law.title if each.verdict == "holds" else each.said
            verdict = f"**{each.verdict}**" if each.verdict == "broken" else each.verdict
            lines.append(f"| {cell(each.law.name)} | {verdict} | {cell(told)} |")
        return "\n".join(lines)


def check(
    block: nn.Module,
    *inputs: Tensor,
    only: Collection[str] = (),
    without: Mapping[str, str] | None = None,
    draws: int = 0,
    random: bool = True,
    **options: Mapping[str, Any],
) -> Report:
    """Hold a block to all laws.

    >>> report = attention.laws.check(MyBlock(64), torch.randn(4, 64, 7, 9))
    >>> print(report)
    >>> report.raise_broken()

    :param block: any module that maps tensors to a tensor, the batch first; it stays as it is. One that is called in
        another way is wrapped in :class:`Called`.
    :param inputs: what it is run on; several small samples of unequal height and width show most.
    :param only: names of laws; by default all of :data:`LAWS`.
    :param without: laws that the block need not obey: name -> reason.
    :param draws: on how many other batches and sizes of maps the cheap laws are tried too; the smallest that fails is
        named. It needs ``hypothesis``, which the extra ``laws`` of this package brings, and a block that takes maps of
        any size.
    :param random: give the block random parameters: a branch that starts at zero hides what is wrong in it.
    :param options: what single laws take beside, by their names: ``shape={"expected": (4, 32, 7, 9)}``.
    :returns: what each law found.
    :raises ValueError: for the name of a law that does not exist.
    """
    without = without or {}
    if unknown := {*only, *without, *options} - set(LAWS):
        raise ValueError(f"{', '.join(sorted(unknown))}: no such law; there are {', '.join(LAWS)}")
    findings = []
    for name, law in LAWS.items():
        if only and name not in only:
            continue
        if name in without:
            findings.append(Finding(law, "skipped", without[name]))
            continue
        findings.append(_find(law, block, inputs, random, draws, dict(options.get(name, {}))))
    shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
    return Report(f"{type(block).__name__}, on {shapes}", tuple(findings))


def _find(
    law: Law, block: nn.Module, inputs: tuple[Tensor, ...], random: bool, draws: int, options: dict[str, Any]
) -> Finding:
    try:
        law(block, *inputs, random=random, **options)
        if draws and law.cheap:
            _many(law, block, inputs, random, draws, options)
    except unittest.SkipTest as reason:
        return Finding(law, "skipped", str(reason))
    except AssertionError as error:
        return Finding(law, "broken", str(error).removeprefix(f"{law.name} ({law.title}): "))
    return Finding(law, "holds")


def _many(
    law: Law, block: nn.Module, inputs: tuple[Tensor, ...], random: bool, draws: int, options: dict[str, Any]
) -> None:
    """Try a law on other sizes, and name the smallest on which it fails."""
    from hypothesis import given
    from hypothesis import strategies as st

    sizes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**16))

    @repeatable(draws)
    @given(drawn=sizes)
    def run(drawn: tuple[int, int, int, int]) -> None:
        batch, height, width, seed = drawn
        each = resized(inputs, batch, height, width, seed)
        try:
            law(block, *each, random=random, **options)
        except AssertionError as error:
            shapes = ", ".join(str(tuple(x.shape)) for x in each)
            raise AssertionError(f"{error}\n  with inputs {shapes}") from None

    with torch.random.fork_rng(devices=[]):
        run()
