"""Assignment 3: a sound study gets all points whatever comes out, and each fault loses exactly its own."""

import inspect
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from attention import registry
from attention.grading import Limits, Opaque, Wrong
from attention.lab import tasks
from attention.lab.comparison import Interval
from attention.lab.tasks import LOSSES
from tests.assignments.answers.exchange import but
from tests.assignments.answers.study import (
    ANALYSIS,
    BASE,
    BATCHES,
    DATA,
    FIGURE,
    HOSTILE,
    NETWORKS,
    OTHERS,
    PLAN,
    PROBE,
)
from tests.assignments.conftest import Submit, lost, patient, submitting
from tests.assignments.warm import Warm
from tools.chapters import ROOT
from tools.teaching import assignments

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the grader has no fences")


@pytest.fixture(scope="module")
def study() -> assignments.Source:
    return assignments.load("study")


@pytest.fixture(scope="module")
def hand_in(study: assignments.Source, warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Submit:
    return submitting(patient(study), tmp_path_factory.mktemp("studies"), warm)


@pytest.fixture(scope="module")
def hand_in_afresh(study: assignments.Source, tmp_path_factory: pytest.TempPathFactory) -> Submit:
    """Grade by a fresh process, as a student's study is: for what is said of memory."""
    return submitting(patient(study), tmp_path_factory.mktemp("fresh"))


@pytest.fixture(autouse=True)
def closed_figures():
    """Close what a cell has drawn: pyplot keeps it."""
    yield
    plt.close("all")


@pytest.mark.parametrize("batch", BATCHES.values(), ids=[" · ".join(batch) for batch in BATCHES.values()])
def test_a_fault_loses_exactly_its_points(hand_in: Submit, batch: Mapping) -> None:
    assert len({cell for cell, _, _, _ in batch.values()}) == len(batch)
    expected = {number: points for _, _, parts, _ in batch.values() for number, points in parts.items()}
    graded = hand_in(BASE | {cell: source for cell, source, _, _ in batch.values()})
    assert lost(graded) == expected
    for _, _, _, line in batch.values():
        assert line in graded.text()
    assert graded.trouble == []
    assert graded.notes == []


def test_there_are_enough_faults() -> None:
    assert sum(map(len, BATCHES.values())) >= 10


@pytest.mark.parametrize(("answers", "verdict"), OTHERS.values(), ids=OTHERS)
def test_a_sound_study_gets_all_points(hand_in: Submit, answers: Mapping, verdict: str) -> None:
    asked = dedent(f"\nassert verdict == {verdict!r}, (verdict, interval)")
    own = BASE | {cell: dedent(source) for cell, source in answers.items()}
    graded = hand_in(own | {"q7-report": own["q7-report"] + asked})
    assert lost(graded) == {}
    assert graded.score == 71
    assert graded.notes == []


def executed(source: assignments.Source, cells: Mapping[str, str]) -> dict:
    """Execute a source's cells up to the results, with others in some places."""
    names: dict = {"__name__": "notebook"}
    for cell in source.notebook.cells[: 1 + [each.id for each in source.notebook.cells].index("q3-results")]:
        if cell.cell_type == "code" and "no-grading" not in cell.metadata.get("tags", []):
            exec(compile(cells.get(cell.id, cell.source), cell.id, "exec"), names)
    return names


@pytest.fixture(scope="module")
def trained(study: assignments.Source) -> dict:
    """The names of a notebook with the short study, executed up to the results."""
    return executed(study, BASE)


@pytest.fixture
def space(trained: dict) -> Iterator[dict]:
    """The same names; what a test does to them, and to the lists and dictionaries in them, is undone."""
    kept = dict(trained)
    data = {name: value for name, value in kept.items() if isinstance(value, dict | list) and name[:2] != "__"}
    trained.update(deepcopy(data))
    yield trained
    trained.clear()
    trained.update(kept)


def test_a_long_study_may_be_pasted(hand_in: Submit, trained: dict) -> None:
    results = trained["results"]
    pasted = f"results = json.loads('''{json.dumps(results)}''')"
    graded = hand_in(BASE | {"q3-long": "while True:\n    pass", "q3-results": pasted})
    assert lost(graded) == {}
    assert graded.notes == []


#: What makes the solution's trainings short.
SHORT = (
    ('"steps": 150', '"steps": 12'),
    ("[0, 1, 2, 3, 4, 5, 6, 7]", "[0, 1, 2, 3, 4]"),
    ("steps=100", "steps=2"),
    ("whole.test", "(whole.test[0][:300], whole.test[1][:300])"),
)


def test_the_public_checks_look_at_the_form(study: assignments.Source, capsys: pytest.CaptureFixture) -> None:
    for made, sign in ((assignments.student(study), "…"), (assignments.instructor(study), "✓")):
        names: dict = {"__name__": "notebook"}
        checks = 0
        for cell in made.cells:
            if cell.cell_type != "code":
                continue
            source = cell.source.replace("%pip", "pass  #")
            for old, new in SHORT:
                source = source.replace(old, new)
            capsys.readouterr()
            exec(compile(source, cell.id, "exec"), names)
            heads = [line for line in capsys.readouterr().out.splitlines() if "public check" in line]
            assert cell.id.endswith("-check") == bool(heads)
            assert all(line.startswith(sign) for line in heads), heads
            checks += len(heads)
        assert checks == 8


@pytest.mark.parametrize(
    ("check", "cell", "line"),
    [
        ("q1-check", but(PLAN, "[0, 1, 2, 3, 4]", "[0, 1, 2]"), "Expected five different seeds, not 3."),
        ("q1-check", but(PLAN, '"margin": 0.05', '"margin": 0'), "Expected a margin above 0, received 0."),
        ("q1-check", but(PLAN, '"margin": 0.05', '"margin": 2'), "It is in units of the score: 0.02 is two points."),
        ("q1-check", but(PLAN, '"margin": 0.05', '"margin": 0.2'), "Expected a margin of at most 0.125 on this task."),
        (
            "q1-check",
            but(PLAN, '"margin": 0.05', '"margin": "5%"'),
            "Expected a number for 'margin', received str '5%'.",
        ),
        ("q1-check", but(PLAN, '"steps": 30,', ""), "The plan does not say steps."),
        ("q1-check", but(PLAN, '"steps": 30', '"steps": "30"'), "Expected a whole number of steps, received str '30'."),
        ("q1-check", but(PLAN, "[0, 1, 2, 3, 4]", "6"), "Expected a list of seeds, received int 6."),
        ("q1-check", but(PLAN, "an interval that lies below five points", "if not"), "for 'refuted_by', not 2."),
        ("q1-check", but(PLAN, "[0, 1, 2, 3, 4]", "range(6)"), "✓ 1 · public check of the plan"),
        ("q1-check", DATA.replace("return", "x ="), "it returned None."),
        ("q1-check", but(PLAN, '"gate patterns"', '"patterns"'), "The task has 'gate patterns', the plan 'patterns'"),
        ("q2-check", but(NETWORKS, "Blind(8, reduction=2", "Blind(8, reduction=4"), "They have 76 and 42 parameters."),
        ("q2-check", 'plan["block"] = "SE"', "The plan names 'SE'; with_attention() has SqueezeExcitation."),
        ("q2-check", NETWORKS.replace("(8,", "(7,"), "raised ValueError: channels=7 is not divisible"),
        ("q2-check", "def control():\n    return nn.Linear(3, 8)", "mat1 and mat2 shapes cannot be multiplied"),
        ("q3-check", "results = []", "Expected a row for each run; there is none."),
        (
            "q3-check",
            "results = [dict(arm='a', seed=0, score=torch.ones(()))]",
            "Hint: float(score) makes a plain number",
        ),
        ("q4-check", "def run(arm, seed):\n    pass", "with 'attention' and 0, it returned None."),
        ("q4-check", "def run(arm, seed):\n    return training", "a number for what run returns, received module."),
        ("q4-check", "results = []", "Expected a row for each run; there is none."),
        ("q5-check", "interval = found", "Of an Interval i, write (i.mean, i.low, i.high)."),
        ("q5-check", "effect = None", "Expected a number for the effect, received None."),
        ("q6-check", "probe_scores = [(0.5, 0.6)] * 3", "Expected a dictionary of pairs, received list [(0.5,"),
        ("q6-check", "probe_scores = {0: 0.5, 1: 0.6, 2: 0.7}", "Expected two scores for 0, received float 0.5."),
        ("q6-check", "probe_plan['asks'] = 'Does it?'", "Expected eight different words for 'asks', not 2."),
        ("q7-check", "report, fig = 'word ' * 200, (fig, ax)", "Expected fig as a figure, received tuple"),
        ("q3-check", "results = [(0.5, 0)]", "Expected arm, seed and score, received tuple (0.5, 0)."),
        ("q4-check", "results = [dict(arm='control', seed=0, score=0.9)]", "Reported 0.9000, and now 0."),
        ("q5-check", "interval, effect, verdict = (0, 1, 2), 1.0, 'supported'", "Expected low ≤ mean ≤ high"),
        ("q6-check", "probe_scores = {}", "Expected three seeds, not 0."),
        ("q7-check", "report, fig = 'short', ...", "… 7 · public check"),
        ("q7-check", "report, fig = 'short', style.figure()[0]", "Expected about 250 words, received 1."),
    ],
)
def test_a_public_check_says_what_is_missing(study, space, capsys, check: str, cell: str, line: str) -> None:
    cells = {each.id: each.source for each in study.notebook.cells}
    before = {"q4-check": cells["q3-check"], "q5-check": ANALYSIS, "q6-check": PROBE.replace("steps=30", "steps=1")}
    exec(before.get(check, FIGURE.replace("[b.tolist(), a.tolist()]", "[0, 1]")), space)
    exec(cell, space)
    capsys.readouterr()
    exec(cells[check], space)
    assert line in " ".join(capsys.readouterr().out.split())


def test_the_table_of_tasks_is_that_of_the_package(study: assignments.Source) -> None:
    (text,) = (cell.source for cell in study.notebook.cells if cell.id == "q1")
    rows = re.findall(r"^\| `([\w.]+)` \| .+ \| (\S.*) \|$", text, re.M)
    told = {name: score for name, score in rows if score in LOSSES.values()}
    there = {}
    for chapter in [entry.name for entry in registry.chapters() if entry.ready]:
        module = import_module(f"attention.experiments.{chapter}.tasks")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and inspect.signature(function).return_annotation is tasks.Task:
                there[f"{chapter}.tasks.{name}"] = function(train=16, test=16).measure
    shared = {"fashion_mnist": tasks.fashion_mnist(20, 20), "gate_patterns": tasks.gate_patterns(train=16, test=16)}
    assert told == {f"tasks.{name}": task.measure for name, task in shared.items()} | there


def test_the_notebook_announces_the_limits(study: assignments.Source, names: dict) -> None:
    text = " ".join(" ".join(cell.source.split()) for cell in assignments.student(study).cells)
    limits = study.assignment.limits
    assert f"there are {limits.memory:g} MB for your study" in text
    assert "three minutes for all cells" in text
    assert (limits.cells, limits.call) == (180, 60)
    assert f"more than {2 * names['TOLERANCE']:g} costs all points" in text
    for key, least in names["TEXTS"].items():
        counted = {8: "eight", 6: "six", 4: "four"}.get(least)
        assert counted is None or re.search(rf"`{key}` \|[^|]*\b{counted} different words", text)
    assert names["MOST_MARGIN"] == 0.25
    assert "At most a quarter of what lies between guessing" in text


def test_the_stub_gets_nothing(hand_in: Submit, study: assignments.Source) -> None:
    made = assignments.student(study)
    graded = hand_in({cell.id: cell.source for cell in made.cells})
    assert graded.score == 0
    assert {mark.state for mark in graded.marks} == {"open", "person"}
    assert [mark.number for mark in graded.marks if mark.state == "person"] == ["7.3"]
    assert " calls " not in graded.text()
    assert graded.notes == []


def scores_of_the_solution() -> list[float]:
    run = executed(assignments.load("study"), {"q3-results": "results = []"})["run"]
    return [run("attention", 0), run("control", 1)]


def test_processors_agree_to_within_what_is_allowed(names: dict) -> None:
    """The same trainings, with and without the processor's wide vector instructions."""
    code = f"from {__name__} import scores_of_the_solution; print(scores_of_the_solution())"
    narrow = {**os.environ, "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=narrow, capture_output=True, text=True, check=True
    )
    off = np.subtract(json.loads(done.stdout), scores_of_the_solution())
    assert 4 * np.abs(off).max() <= names["TOLERANCE"]


def test_the_solution_gets_all_points(hand_in_afresh: Submit) -> None:
    graded = hand_in_afresh({})
    assert (graded.score, graded.points, graded.notes, graded.trouble) == (71, 71, [], [])
    # Gradescope's smallest container has 768 MB, and gets torch for the CPU; the grader itself takes 60.
    assert graded.memory[1] < 550 or torch.version.cuda


def test_all_the_memory_that_a_study_may_take_fits_beside_the_grader(hand_in_afresh: Submit) -> None:
    hog = "hog = []\nwhile True:\n    hog.append(bytearray(4_000_000))\n"
    graded = hand_in_afresh(BASE | {"q3-long": hog, "q7-figure": FIGURE + hog})
    assert graded.memory[1] > 600
    assert graded.memory[1] < 1.048576 * 768 - 64 or torch.version.cuda  # beside the grader, in the smallest container
    assert "it needed more than 300 MB of memory" in graded.text()
    assert lost(graded).keys() <= {"7.1", "7.2"}


# Submissions that mean no good.


@pytest.mark.parametrize(("answers", "expected", "lines"), HOSTILE.values(), ids=HOSTILE)
def test_what_means_no_good_is_contained(
    study: assignments.Source, warm: Warm, tmp_path: Path, answers: Mapping, expected: Mapping, lines: list[str]
) -> None:
    limits = Limits(cell=20, cells=40, call=2, total=90)
    strict = replace(study, assignment=replace(study.assignment, limits=limits))
    graded = submitting(strict, tmp_path, warm)(BASE | answers)
    assert lost(graded) == expected
    assert [line for line in lines if line not in graded.text()] == []
    assert graded.trouble == []


# The grading file's own arithmetic.


@pytest.fixture(scope="module")
def names(study: assignments.Source) -> dict:
    found: dict = {"__name__": "grading_file"}
    exec(compile(study.grading.read_text(encoding="utf-8"), "grading", "exec"), found)
    return found


def test_the_interval_is_that_of_the_package(names: dict) -> None:
    generator = np.random.default_rng(0)
    for n in (2, 5, 8, 30):
        a, b = generator.normal(size=(2, n))
        right = Interval.paired(a.tolist(), b.tolist())
        np.testing.assert_allclose(names["ends"](a - b), (right.mean, right.low, right.high), rtol=1e-9)


GIVEN: dict = {}
exec(PLAN, GIVEN)
GIVEN = GIVEN["plan"]
FULL = {"plan": GIVEN, "about": {"task": "gate patterns", "measure": "accuracy per label", "chance": 0.5}}
ROWS = [{"arm": arm, "seed": seed, "score": 0.5 + seed / 50} for arm in ("attention", "control") for seed in range(5)]
BLOCK = {"kinds": ["SqueezeExcitation", "Gate", "Attention"], "called": True, "slope": 1.0, "moves": 0.3}
FOUND = {"input": [6, 1, 14, 14], "output": [6, 10], "finite": True, "count": 99, "reached": 99, "blocks": [BLOCK]}
BOTH = {
    "plan": GIVEN,
    "attention": FOUND,
    "control": FOUND | {"blocks": []},
    "alike": False,
    "starts": [[True, False]] * 2,
}


def changed(value: Mapping, *keys: str, to: object) -> Mapping:
    """Return a dictionary with another value at the end of a path."""
    first, *rest = keys
    return {**value, first: changed(value[first], *rest, to=to) if rest else to}


def with_row(place: int, **other: object) -> list:
    rows = [GIVEN, [dict(row) for row in ROWS]]
    rows[1][place] |= other
    return rows


@pytest.mark.parametrize(
    ("judge", "right", "wrong", "line"),
    [
        ("complete", GIVEN, "a plan", "Expected `plan` to be a dictionary, received 'a plan'."),
        ("complete", GIVEN, changed(GIVEN, "steps", to=...), "The plan does not say: steps."),
        ("complete", GIVEN, changed(GIVEN, "steps", to=0), "Expected a number of steps, received 0."),
        ("complete", GIVEN, changed(GIVEN, "claim", to="It helps."), "at least 8 different words for plan['claim']"),
        ("can_fail", FULL, changed(FULL, "plan", "margin", to=True), "number for plan['margin'], received True."),
        ("can_fail", FULL, changed(FULL, "plan", "margin", to=-0.1), "Expected plan['margin'] to be positive"),
        ("can_fail", FULL, changed(FULL, "plan", "margin", to=0.13), "between guessing and perfection, 0.125."),
        ("can_fail", FULL, changed(FULL, "plan", "margin", to=2), "than a quarter of what lies between guessing"),
        ("can_fail", FULL, changed(FULL, "plan", "margin", to=1e-4), "less than one test image in a thousand"),
        ("enough_seeds", GIVEN, changed(GIVEN, "seeds", to=[1, 2, 3, 4, 4]), "names a seed twice"),
        ("enough_seeds", GIVEN, changed(GIVEN, "seeds", to=[1, 2, 3, 4, 0.5]), "to be a list of whole numbers"),
        ("enough_seeds", GIVEN, changed(GIVEN, "seeds", to=5), "to be a list of whole numbers, received 5."),
        ("shapes", BOTH, changed(BOTH, "control", "output", to=[6, 9]), "and control() shape [6, 9]"),
        ("shapes", BOTH, changed(BOTH, "attention", "finite", to=False), "are inf or nan"),
        ("takes_part", BOTH, changed(BOTH, "attention", "blocks", to=[]), "with_attention() has no attention block"),
        ("takes_part", BOTH, changed(BOTH, "plan", "block", to="NonLocal"), "The plan names 'NonLocal'; the blocks of"),
        ("seeded", BOTH, changed(BOTH, "starts", to=[[True, False], [False, False]]), "control() starts with other"),
        ("well_formed", [GIVEN, ROWS], [GIVEN, {}], "Expected `results` to be a list of rows, received {}."),
        ("well_formed", [GIVEN, ROWS], [GIVEN, []], "`results` is empty."),
        ("well_formed", [GIVEN, ROWS], [GIVEN, [(0, 0.5)]], "Expected each row to be a dictionary"),
        ("well_formed", [GIVEN, ROWS], [GIVEN, Opaque("Comparison")], "received Comparison."),
        ("well_formed", [GIVEN, ROWS], with_row(0, score=math.nan), "A row is not complete"),
        ("well_formed", [GIVEN, ROWS], with_row(0, score=76.3), "between 0 and 1; one of yours is 76.3."),
        ("well_formed", with_row(0, score=0.0), with_row(0, score=-0.1), "between 0 and 1; one of yours is -0.1."),
        ("all_there", [GIVEN, ROWS], [GIVEN, [*ROWS, ROWS[0]]], "more than one score for seed 0."),
        ("nothing_else", [GIVEN, ROWS], with_row(0, arm="SE"), "The plan knows no arm 'SE'."),
        ("differ", with_row(0, score=0.9), [GIVEN, ROWS], "All 5 differences attention − control are the same, 0."),
        ("differ", with_row(0, score=0.9), [GIVEN, ROWS[:5]], "There are not two seeds for which both arms"),
        ("probe_numbers", {0: (0.5, 0.6), 1: (0.4, 0.6), 2: (0.5, 0.7)}, {0: 0.5, 1: 0.4, 2: 0.5}, "two scores"),
        ("drawn", [["arm", "score", 3]], [], "`fig` has no axes."),
        ("drawn", [["arm", "score", 3]], [["arm", "score", 0]], "Nothing is drawn in `fig`."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(names: dict, judge: str, right: object, wrong: object, line: str) -> None:
    names[judge](right)
    with pytest.raises(Wrong, match=re.escape(line)):
        names[judge](wrong)


def test_r2_may_be_negative(names: dict) -> None:
    rows = with_row(0, score=-0.4)[1]
    names["well_formed"]([GIVEN | {"measure": "R²"}, rows])
    with pytest.raises(Wrong, match="between −∞ and 1"):
        names["well_formed"]([GIVEN | {"measure": "R²"}, with_row(0, score=1.2)[1]])


@pytest.mark.parametrize(
    ("direction", "low", "high", "verdict"),
    [
        ("higher", 0.03, 0.05, "supported"),
        ("higher", 0.01, 0.05, "undecided"),
        ("higher", -0.09, 0.01, "refuted"),
        ("lower", -0.05, -0.03, "supported"),
        ("lower", -0.05, 0.05, "undecided"),
        ("lower", 0.03, 0.05, "refuted"),
        ("lower", -0.01, 0.01, "refuted"),
        ("same", -0.01, 0.01, "supported"),
        ("same", 0.01, 0.03, "undecided"),
        ("same", -0.03, 0.03, "undecided"),
        ("same", 0.03, 0.05, "refuted"),
        ("same", -0.05, -0.03, "refuted"),
    ],
)
def test_one_verdict_follows(names: dict, direction: str, low: float, high: float, verdict: str) -> None:
    assert names["verdicts"](direction, 0.02, low, high) == {verdict}


def test_an_end_on_the_margin_decides_either_way(names: dict) -> None:
    assert names["verdicts"]("higher", 0.02, 0.02, 0.05) == {"supported", "undecided"}


def test_which_runs_come_again_depends_on_the_results(names: dict) -> None:
    rows = [(arm, seed, 0.5 + seed / 100) for arm in ("attention", "control") for seed in range(6)]
    known, fresh = names["choice"](rows)
    assert names["choice"](rows[::-1]) == (known, fresh)
    assert len({*known} & {*range(6)}) == len({*fresh} - {*range(6)}) == 2
    others = {tuple(names["choice"]([*rows, ("wider", 0, i / 9)])[0]) for i in range(9)}
    assert len(others) > 2


def test_all_of_the_analysis_may_be_in_points_or_in_shares(names: dict) -> None:
    interval, words = (0.0123, -0.004, 0.0286), "word " * 120
    tell = names["tells_the_interval"]
    for told in ("+1.23 points (−0.40 to 2.86)", "0.0123, from -0.0040 to 0.0286", "1,2 (-0,4 bis 2,9)"):
        tell([words + told, interval, []])
    with pytest.raises(Wrong, match=r"does not give the lower end, -0\.004\."):
        tell([f"{words} 1.23 (0.5 to 2.86)", interval, []])
