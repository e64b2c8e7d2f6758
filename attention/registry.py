"""The list of all mechanisms, read from ``mechanisms.toml``: look one up, or build its block by name.

This module needs no torch until a block is built, so that the tools which write cards and tables can read it.
"""

import re
import tomllib
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.resources import files
from inspect import signature
from typing import Any

__all__ = [
    "AXES",
    "FAMILIES",
    "KINDS",
    "STATUSES",
    "Entry",
    "called",
    "chapters",
    "create",
    "entries",
    "entry",
    "names",
]

#: The families, in the order of the book, and what each attends to.
FAMILIES: dict[str, str] = {
    "channel": "Channel attention",
    "spatial": "Spatial attention",
    "hybrid": "Channel and spatial attention",
    "self_attention": "Self-attention",
    "branch": "Branch attention",
    "encoder_decoder": "Encoder–decoder attention",
}

#: What a mechanism may weigh, and the question that its maps answer.
AXES: dict[str, str] = {
    "channel": "which feature?",
    "space": "which place?",
    "channel and space": "which feature, and where?",
    "pair": "from here, where?",
    "branch": "which branch?",
    "sequence": "where, at each step?",
}

#: What an entry is, and whether ``create(name, channels)`` builds it.
KINDS: dict[str, bool] = {
    "gate": True,  # one input, same shape out: x · map
    "block": True,  # one input, same shape out, computed otherwise
    "branch": True,  # replaces a convolution: has convolutions of its own
    "fusion": True,  # several inputs of one shape, merged
    "sampler": False,  # looks elsewhere: the output is sampled from the input
    "reader": False,  # a query reads from a set of features: inputs of different shapes
    "network": False,  # a network of its own
}

#: What there is of a mechanism: its chapter, its block alone, or neither.
STATUSES = ("ready", "block", "planned")


@dataclass(frozen=True)
class Entry:
    """One mechanism: what ``mechanisms.toml`` says of it.

    :param name: its name in every room of the house: module, notebook, test.
    :param chinese: its name in Chinese: ``simplified``; ``traditional``, where one is established; ``coined`` where the
        name is the book's own.
    :param official: the public code that counts as official: its ``source``, the ``options`` with which our block is
        the same function, and ``names``: what its parameters are called there -> what they are called here
        (:mod:`attention.official`); ``copy`` says that it is not by the authors, ``about`` what had to be repaired for
        it to run.
    :param example: what its page draws: the number of ``channels``, where 64 are too few; for a mechanism that is not
        built from channels alone the ``options`` of a small block, and the shapes of its ``inputs``.
    :param letters: what the letters are that only this block's maps and steps have: ``{"d": "C/r"}``, in TeX.
    :param start: one sentence: what a fresh block does.
    :param use: Python that puts the block where its paper has it.
    :param when: one sentence: what speaks for it; stated where the evidence is in the book, with the next two.
    :param when_not: one sentence or two: what speaks against it.
    :param instead: mechanisms to take then.
    :param status: ``"ready"``: its chapter is written; ``"block"``: its block is, and has a page; or ``"planned"``.
    :param seconds: time to run it on two CPU cores, as `make execute` measured it.
    :param chapter: the mechanism in whose chapter this one is introduced; empty where it has a chapter of its own.
    :param cost: formulas as strings: ``parameters``, ``macs`` (multiply–adds of convolutions, linear layers and
        matrix products for one image), and ``symbols``: which constructor option or other quantity each letter is;
        for a block that reads between pixels also ``reads``, the multiply–adds of that, which ``macs`` leaves out.
    """

    name: str
    title: str
    short: str
    family: str
    class_name: str
    kind: str
    status: str
    idea: str
    axis: str
    statistic: str
    maps: tuple[str, ...]
    where: str
    authors: str
    paper: str
    year: int
    venue: str
    arxiv: str
    cite: str
    chinese: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    official: dict[str, Any] = field(default_factory=dict)
    seconds: int = 0
    prerequisites: tuple[str, ...] = ()
    chapter: str = ""
    example: dict[str, Any] = field(default_factory=dict)
    letters: dict[str, str] = field(default_factory=dict)
    start: str = ""
    use: str = ""
    when: str = ""
    when_not: str = ""
    instead: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether its chapter is written."""
        return self.status == "ready"

    @property
    def built(self) -> bool:
        """Whether its block exists."""
        return self.status != "planned"

    @property
    def module(self) -> str:
        """The dotted name of the module that holds the block."""
        return f"attention.{self.family}.{self.name}"

    @property
    def document(self) -> str:
        """The chapter's path in the repository and in the book, without a suffix."""
        return f"notebooks/{self.family}/{self.name}"

    @property
    def page(self) -> str:
        """Where a reader finds it, without a suffix: its chapter, or until that is written the page of its block."""
        return f"book/blocks/{self.name}" if self.status == "block" else self.document

    def load(self) -> type:
        """Import and return the block's class."""
        return getattr(import_module(self.module), self.class_name)


@cache
def entries() -> dict[str, Entry]:
    """Return all mechanisms by name, written and planned, in the order of the book."""
    table = tomllib.loads(files("attention").joinpath("mechanisms.toml").read_text(encoding="utf-8"))
    found = {}
    for name, raw in table.items():
        rest = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items() if k != "class"}
        if raw["status"] not in STATUSES:
            raise ValueError(f"mechanisms.toml: [{name}] status={raw['status']!r} is not one of {', '.join(STATUSES)}")
        found[name] = Entry(name=name, class_name=raw["class"], **rest)
    return found


def chapters() -> list[Entry]:
    """Return the mechanisms that have a chapter of their own, written and planned, in the order of the book."""
    return [e for e in entries().values() if not e.chapter]


def names(family: str | None = None, kind: str | None = None) -> list[str]:
    """List the mechanisms whose blocks are written, in the order of the book.

    :param family: only this family's, one of :data:`FAMILIES`.
    :param kind: only those of this kind, one of :data:`KINDS`: ``"gate"``, ``"fusion"``.
    :raises ValueError: for an unknown family or kind.
    """
    if family is not None and family not in FAMILIES:
        raise ValueError(f"family={family!r} is not one of {', '.join(FAMILIES)}")
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind={kind!r} is not one of {', '.join(KINDS)}")
    return [e.name for e in entries().values() if e.built and family in (None, e.family) and kind in (None, e.kind)]


def entry(name: str) -> Entry:
    """Return one mechanism's entry.

    :raises ValueError: for an unknown name, with the nearest known one.
    """
    if isinstance(name, str) and name in entries():
        return entries()[name]
    near = get_close_matches(str(name).lower(), entries(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(entries())}"
    raise ValueError(f"name={name!r} is not a mechanism; {hint}")


def called(name: str) -> str:
    """Say which class somebody may mean: by a mechanism's abbreviation, its title, or a name much like its class's.

    :param name: what was asked for: ``"CBAM"``, ``"ECALayer"``, ``"SqueezeExcite"``.
    :returns: half a sentence, empty where nothing is near.
    """
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    words = {
        re.sub(r"[^a-z0-9]", "", word.lower()): found
        for found in entries().values()
        for word in (found.class_name, found.title, found.name, found.short)
    }
    shorter = re.sub(r"(layer|block|module|attention|attn|net|network)$", "", plain)
    near = [*(each for each in (plain, shorter) if each in words), *get_close_matches(plain, words, n=1, cutoff=0.75)]
    if not near:
        return ""
    found = words[near[0]]
    if not found.built:
        return f"{found.title} is planned, not written yet"
    return f"{found.title} is the class attention.{found.class_name}"


def create(name: str, channels: int, **options: Any) -> Any:
    """Build a block by name.

    :param name: a mechanism that :func:`names` lists.
    :param channels: number of channels of the input.
    :param options: the block's own options, as its constructor names them.
    :returns: the block, an :class:`attention.contract.Attention`.
    :raises ValueError: for a name that is unknown, not written yet, or not built from a number of channels.
    :raises TypeError: for an option that the block does not have.
    """
    found = entry(name)
    if not found.built:
        raise ValueError(f"name={name!r} ({found.title}) is planned, not written yet; written: {', '.join(names())}")
    if not KINDS[found.kind]:
        raise ValueError(f"name={name!r} is a {found.kind}, not built from channels alone; use {found.module}")
    build = found.load()
    allowed = list(signature(build).parameters)[1:]
    for option in options:
        if option not in allowed:
            near = get_close_matches(option, allowed, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{option!r} is not an option of {name!r}; allowed: {', '.join(allowed)}{hint}")
    return build(channels, **options)
