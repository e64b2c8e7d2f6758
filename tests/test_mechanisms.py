"""The entries of mechanisms.toml: complete, in order, with sources that exist and formulas that can be evaluated."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sympy
from pybtex.database import Entry as Reference
from pybtex.database import Person, parse_file

from attention.contract import Map
from attention.formulas import evaluate
from attention.registry import AXES, FAMILIES, KINDS, Entry, chapters, create, entries

ROOT = Path(__file__).resolve().parent.parent
REFERENCES = parse_file(str(ROOT / "book" / "references.bib")).entries
ALL = list(entries().values())
TEXTS = ("title", "short", "class_name", "idea", "statistic", "where", "authors", "paper", "venue", "arxiv", "cite")
LAST_YEAR = 2026
#: Functions that a formula may call; every other name is a symbol.
FUNCTIONS = {"Max": sympy.Max, "Min": sympy.Min, "floor": sympy.floor, "ceiling": sympy.ceiling}

each = pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)


def parsed(entry: Entry, which: str) -> sympy.Expr:
    letters = {letter: sympy.Symbol(letter, positive=True) for letter in entry.cost["symbols"]}
    return sympy.sympify(entry.cost[which], locals=letters | FUNCTIONS)


def value(entry: Entry, which: str, **numbers: int) -> sympy.Expr:
    """Evaluate a formula with symbols named as the entry names them: ``channels=256``."""
    letters = {letter: numbers[name] for letter, name in entry.cost["symbols"].items() if name in numbers}
    return parsed(entry, which).subs({sympy.Symbol(k, positive=True): v for k, v in letters.items()})


def full_name(person: Person) -> str:
    """Return a name as readers write it: ``Aidan N. Gomez``."""
    parts = (person.rich_first_names, person.rich_middle_names, person.rich_prelast_names, person.rich_last_names)
    return " ".join(str(name) for part in parts for name in part)


def surname(source: Reference) -> str:
    """Return the first author's surname as keys begin with it."""
    return str(source.persons["author"][0].rich_last_names[-1]).lower()


def test_the_book_has_twenty_six_chapters() -> None:
    assert len(chapters()) == 26
    assert [entry.name for entry in ALL if entry.chapter] == ["dot_product"]


def test_families_stand_in_the_order_of_the_book() -> None:
    order = [list(FAMILIES).index(entry.family) for entry in ALL]
    assert order == sorted(order)
    assert set(order) == set(range(len(FAMILIES)))


def test_names_are_unique() -> None:
    for which in ("title", "short", "class_name", "arxiv", "cite"):
        values = [getattr(entry, which) for entry in ALL]
        assert len(set(values)) == len(values), which
    assert len({entry.chinese["simplified"] for entry in ALL}) == len(ALL)


@each
def test_an_entry_is_complete(entry: Entry) -> None:
    for which in TEXTS:
        text = getattr(entry, which)
        assert isinstance(text, str), which
        assert text == text.strip() != "", which
    assert re.fullmatch(r"[a-z][a-z_]*", entry.name)
    assert re.fullmatch(r"([A-Z][a-z]+)+", entry.class_name)
    assert entry.kind in KINDS
    assert entry.axis in AXES
    assert entry.maps
    assert set(entry.cost) - {"reads"} == {"symbols", "parameters", "macs"}


@each
def test_the_idea_is_one_sentence(entry: Entry) -> None:
    assert entry.idea[0].isupper()
    assert entry.idea.endswith(".")
    assert "." not in entry.idea[:-1]
    assert len(entry.idea) <= 160
    assert len(entry.short) <= 11, "the map has no room for more"


@each
def test_which_block_when_is_told_whole_or_not_at_all(entry: Entry) -> None:
    parts = (entry.when, entry.when_not, entry.instead)
    assert len({bool(part) for part in parts}) == 1
    assert entry.when or not entry.ready or entry.chapter, "a chapter has the evidence"
    for text in filter(None, (entry.when, entry.when_not)):
        assert text[0].isupper()
        assert text.endswith(".")
        assert len(text) <= 200
    assert set(entry.instead) <= set(entries()) - {entry.name}


@each
def test_times_are_stated_for_written_chapters_and_for_no_other(entry: Entry) -> None:
    assert (entry.seconds > 0) == (entry.ready and not entry.chapter)


@each
def test_the_chinese_name_is_in_the_characters_that_it_is_said_to_be_in(entry: Entry) -> None:
    """The encodings of the mainland and of Taiwan each hold their own characters, and lack most of the other's."""
    assert set(entry.chinese) <= {"simplified", "traditional", "coined"}
    for which, encoding in (("simplified", "gb2312"), ("traditional", "big5")):
        name = entry.chinese.get(which, "" if which == "traditional" else None)
        assert name.encode(encoding).decode(encoding) == name
        assert re.fullmatch(r"[\u4e00-\u9fff]*", name)
    assert entry.chinese["simplified"]
    assert entry.chinese.get("coined", True) is True


@each
def test_prerequisites_are_chapters_of_the_book_and_not_the_entry_itself(entry: Entry) -> None:
    for name in entry.prerequisites:
        assert name in entries()
        assert name != entry.name
        assert not entries()[name].chapter
    assert not entry.chapter or not entries()[entry.chapter].chapter


def test_prerequisites_lead_nowhere_in_circles() -> None:
    done: set[str] = set()
    for _ in ALL:
        done |= {entry.name for entry in ALL if set(entry.prerequisites) <= done}
    assert done == set(entries())


@each
def test_the_source_is_in_the_bibliography(entry: Entry) -> None:
    source = REFERENCES[entry.cite]
    assert entry.cite.startswith(surname(source))
    assert str(entry.year) in entry.cite
    assert source.fields["year"] == str(entry.year)
    assert source.fields["eprint"] == entry.arxiv
    assert str(entry.year) in entry.venue


@each
def test_authors_are_those_of_a_version_in_the_bibliography(entry: Entry) -> None:
    versions = [source for source in REFERENCES.values() if source.fields.get("eprint") == entry.arxiv]
    assert entry.authors in [", ".join(map(full_name, source.persons["author"])) for source in versions]


@each
def test_the_arxiv_number_is_one(entry: Entry) -> None:
    found = re.fullmatch(r"(\d\d)(\d\d)\.(\d{4,5})", entry.arxiv)
    assert found
    year, month = 2000 + int(found[1]), int(found[2])
    assert 1 <= month <= 12
    assert len(found[3]) == (4 if year < 2015 else 5)
    assert year <= entry.year <= year + 2 <= LAST_YEAR + 2, "a paper appears within two years of its arXiv version"


@pytest.mark.parametrize("key", REFERENCES)
def test_every_reference_is_complete(key: str) -> None:
    source = REFERENCES[key]
    place = {"article": "journal", "inproceedings": "booktitle", "misc": "eprint"}[source.type]
    for field in ("title", "year", place):
        assert source.fields[field].strip()
    assert any(source.fields.get(each) for each in ("eprint", "url", "doi"))  # a paper says where it is
    assert source.persons["author"]
    assert re.fullmatch(rf"{surname(source)}{source.fields['year']}[a-z]+", key)


@each
def test_maps_are_declared_as_the_contract_reads_them(entry: Entry) -> None:
    for dims in entry.maps:
        assert Map(dims, "real").axes[0] == ("b",)


@each
@pytest.mark.parametrize("which", ["parameters", "macs", "reads"])
def test_formulas_use_declared_symbols(entry: Entry, which: str) -> None:
    if which in entry.cost:
        assert {str(symbol) for symbol in parsed(entry, which).free_symbols} <= set(entry.cost["symbols"])


@each
def test_every_symbol_is_used_and_named(entry: Entry) -> None:
    symbols = entry.cost["symbols"]
    used = {str(s) for which in entry.cost.keys() - {"symbols"} for s in parsed(entry, which).free_symbols}
    assert used == set(symbols)
    assert all(name.isidentifier() for name in symbols.values())
    assert len(set(symbols.values())) == len(symbols)
    sizes = {"C": "channels", "H": "height", "W": "width"}
    assert all(symbols.get(letter, name) == name for letter, name in sizes.items())


@each
def test_costs_are_whole_numbers_that_do_not_shrink_with_the_input(entry: Entry) -> None:
    options = dict.fromkeys(entry.cost["symbols"].values(), 1)
    typical = {"reduction": 4, "groups": 4, "reduced": 32, "window": 7, "kernel_size": 3, "floor": 8, "stride": 1}
    numbers = options | {name: size for name, size in typical.items() if name in options}
    for which in ("parameters", "macs"):
        counts = []
        for channels, side in ((64, 14), (128, 14), (128, 28)):
            count = value(entry, which, **numbers | {"channels": channels, "height": side, "width": side})
            assert count.is_integer
            assert count >= 0
            counts.append(count)
        assert counts == sorted(counts)


#: Parameters of the public code with 256 channels, as they were counted on that code: the block, options beside those
#: of its official settings, and the count.
COUNTED = [
    ("se", {}, 8_192),
    ("se", {"bias": True}, 8_464),
    ("eca", {"kernel_size": 5}, 5),
    ("gsop", {}, 230_784),
    ("fca", {}, 8_192),
    ("sge", {}, 128),
    ("scse", {}, 66_177),
    ("bam", {}, 17_361),
    ("cbam", {}, 8_564),
    ("coordinate", {}, 6_680),
    ("shuffle", {}, 12),
    ("gam", {}, 1_639_680),
    ("polarized", {}, 131_328),
    ("cpca", {}, 127_040),
    ("ema", {}, 672),
    ("ema", {"groups": 8}, 10_368),
    ("scsa", {}, 4_096),
    ("non_local", {}, 132_224),
    ("danet", {}, 82_242),
    ("ccnet", {}, 82_241),
    ("resnest", {}, 690_048),
    ("aff", {}, 67_456),
    ("aff", {"iterative": True, "doubled": False}, 134_912),
]


@pytest.mark.parametrize(("name", "options", "count"), COUNTED)
def test_blocks_have_as_many_parameters_as_the_public_code(name: str, options: dict[str, Any], count: int) -> None:
    entry = entries()[name]
    block = create(name, 256, **entry.official["options"] | options)
    assert sum(p.numel() for p in block.parameters()) == count
    asked = entry.official["options"] | options
    given = {option: asked[option] for option in entry.cost["symbols"].values() if option in asked}
    assert evaluate(name, "parameters", channels=256, **given) == count


def test_a_formula_with_an_undeclared_symbol_is_found() -> None:
    entry = SimpleNamespace(cost={"symbols": {"C": "channels"}, "parameters": "C*r"})
    assert {str(symbol) for symbol in parsed(entry, "parameters").free_symbols} == {"C", "r"}
