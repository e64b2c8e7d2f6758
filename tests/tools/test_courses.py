"""The plan of a course: every chapter once, none before what it needs; and the picture of what builds on what."""

import re
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

import pytest

from attention.registry import chapters, entries
from tools.chapters import ROOT, read
from tools.teaching import assignments
from tools.writing import courses, figures, reading

TEXT = (ROOT / courses.PAGE).read_text(encoding="utf-8")


def too_early(weeks: tuple[courses.Week, ...]) -> list[str]:
    """Name what stands in the plan before something that it needs."""
    found, known = [], set()
    for number, week in enumerate(weeks, start=1):
        known |= {*week.chapters}
        needed = {name: set(entries()[name].prerequisites) for name in (*week.chapters, *week.blocks)}
        if week.out:
            needed[week.out] = set(courses.NEEDS[week.out])
        found += [f"week {number}: {name}" for name, before in needed.items() if not before <= known | {*week.blocks}]
        known |= {*week.blocks}
    return found


def test_no_week_needs_a_later_one() -> None:
    assert too_early(courses.WEEKS) == []


def test_a_plan_in_another_order_is_noticed() -> None:
    first, gates, *rest = courses.WEEKS
    assert "week 2: eca" in too_early((first, rest[0], gates, *rest[1:]))
    assert too_early((replace(first, out="eca"), gates, *rest)) == ["week 1: eca"]


def test_every_chapter_and_every_assignment_has_its_week() -> None:
    read = [name for week in courses.WEEKS for name in week.chapters]
    assert sorted(read) == sorted(entry.name for entry in chapters() if entry.ready)
    out, due = ([getattr(week, which) for week in courses.WEEKS] for which in ("out", "due"))
    assert sorted(filter(None, out)) == sorted(filter(None, due)) == sorted(assignments.names())
    assert set(courses.NEEDS) == set(assignments.names())
    for name in assignments.names():
        assert out.index(name) < due.index(name), "there is time for it"
    blocks = [name for week in courses.WEEKS for name in week.blocks]
    assert all(entries()[name].status == "block" for name in blocks)
    assert len(set(blocks)) == len(blocks)


def test_the_plan_has_the_time_and_the_exercises_of_each_chapter() -> None:
    for entry in chapters():
        path = ROOT / f"{entry.document}.ipynb"
        if entry.ready:
            count = path.read_text(encoding="utf-8").count("{exercise} ")
            assert (
                f"[{entry.short}](../{entry.document}.ipynb): {reading.minutes(read(path))} minutes, {count} ex" in TEXT
            )


def test_the_assignment_on_eca_is_due_before_its_chapter() -> None:
    """It asks for what the chapter gives away: both stand in one week, and the page says which is first."""
    (week,) = (week for week in courses.WEEKS if week.due == "eca")
    assert "eca" in week.chapters
    assert "so they hand it in before they\nread the chapter on ECA" in TEXT


def test_the_shorter_course_needs_nothing_that_it_leaves_out() -> None:
    told, name = re.search(r"take weeks ([\d, and]+), with the assignment `(\w+)`", TEXT).groups()
    kept = [courses.WEEKS[int(number) - 1] for number in re.findall(r"\d", told)]
    assert too_early(tuple(replace(week, out="", blocks=()) for week in kept)) == []
    assert {*courses.NEEDS[name]} <= {chapter for week in kept for chapter in week.chapters}


def test_no_mechanism_needs_itself() -> None:
    graph = {name: entry.prerequisites for name, entry in entries().items()}
    assert {before for needed in graph.values() for before in needed} <= set(graph)
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)


def test_a_circle_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = entries() | {"se": replace(entries()["se"], prerequisites=("eca",))}
    monkeypatch.setattr(figures, "chapters", lambda: [entry for entry in changed.values() if not entry.chapter])
    with pytest.raises(CycleError):
        figures.levels()


def test_the_picture_has_a_line_for_all_that_is_needed() -> None:
    """Following lines from the left, one comes past all that a mechanism needs, and past nothing else."""
    named, lines = figures.levels()
    level = {name: i for i, names in enumerate(named) for name in names}
    assert all(level[end] == level[start] + 1 for start, end in lines)
    before: dict[str, set[str]] = {name: set() for name in level}
    for name in sorted(level, key=level.__getitem__):
        for start, end in lines:
            if end == name:
                before[name] |= {start, *before[start]} - {place for place in level if ">" in place}
    for entry in chapters():
        assert {*entry.prerequisites} <= before[entry.name] == figures._all_before(entry.name), entry.name


def test_the_pictures_alt_text_names_every_mechanism() -> None:
    (alt,) = re.findall(r":name: order-of-reading\n:alt: (.*)", TEXT)
    for entry in chapters():
        assert entry.short in alt, entry.name
