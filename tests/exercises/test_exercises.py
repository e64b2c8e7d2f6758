"""The exercises of all chapters: right answers pass, wrong ones are told what is wrong, and nothing breaks a check."""

import ast
import random
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from attention.lab.checks import Exercise, check, find, judge
from tests.exercises import zoo
from tests.notebooks.test_solutions import SOLUTION
from tools.chapters import ROOT, chapters, read
from tools.publishing.colab import Book

#: Of torch, for kinds of tensors that are new or old, and of Python, for a coroutine that nobody waits for.
pytestmark = pytest.mark.filterwarnings("ignore:.*(Sparse CSR|quantize|nested tensors|never awaited|discards)")
#: Exercises whose answer is changed in place: their functions return nothing.
IN_PLACE = {"se.5", "sk.5"}


@cache
def answers(chapter: str) -> ModuleType:
    """Return the right and wrong answers to a chapter's exercises."""
    return import_module(f"tests.exercises.answers.{chapter}")


def exercises() -> list[Exercise]:
    """List the exercises of all chapters that can be checked."""
    return [each for name in chapters() for each in import_module(f"attention.exercises.{name}").EXERCISES]


def right() -> list[Any]:
    """List the right answers."""
    found = [pair for name in chapters() for pair in answers(name).RIGHT.items()]
    return [pytest.param(exercise, each, id=exercise) for exercise, given in found for each in given]


def wrong() -> list[Any]:
    """List the wrong answers, each with the parts of the message that it must get."""
    found = []
    for exercise, answer, told in (each for name in chapters() for each in answers(name).WRONG):
        parts = (told,) if isinstance(told, str) else told
        found.append(pytest.param(exercise, answer, parts, id=f"{exercise}: {parts[-1][:40]}"))
    return found


def unwrapped(message: str) -> str:
    """Join the lines of a message."""
    return " ".join(message.split())


def takes_function(exercise: Exercise) -> bool:
    """Say whether an exercise asks for a function."""
    return callable(first_right(exercise.id))


def first_right(exercise: str) -> Any:
    """Return the first right answer to an exercise."""
    return answers(exercise.partition(".")[0]).RIGHT[exercise][0]


@pytest.fixture(scope="module")
def book() -> Book:
    return Book(ROOT)


@pytest.mark.parametrize("name", chapters())
def test_each_exercise_of_a_chapter_has_a_check_and_answers(name: str) -> None:
    """An exercise without a check, a check without four wrong answers or without its equation does not get past."""
    source = "\n\n".join(cell.source for cell in read(chapters()[name]).cells)
    labels = re.findall(r"\{exercise\}[^\n]*\n:label: ([\w-]+)", source)
    ids = [f"{name}.{i}" for i in range(1, len(labels) + 1)]
    assert labels == [each.replace(".", "-") for each in ids]
    assert re.findall(r"^check\(\"([\w.]+)\", \w+\)$", source, re.MULTILINE) == ids
    assert [each.id for each in import_module(f"attention.exercises.{name}").EXERCISES] == ids
    table = answers(name)
    assert list(table.RIGHT) == list(table.EQUATIONS) == ids
    for exercise in ids:
        told = {told for each, _, told in table.WRONG if each == exercise}
        assert len(told) >= 4, f"{exercise}: {len(told)} wrong answers with messages of their own"


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.id)
def test_an_exercise_names_its_equations_by_the_numbers_of_the_book(exercise: Exercise, book: Book) -> None:
    chapter = exercise.id.partition(".")[0]
    document = str(chapters()[chapter].relative_to(ROOT).with_suffix(""))
    numbers = [book.pages[document].equations[label] for label in answers(chapter).EQUATIONS[exercise.id]]
    assert re.findall(r"equation \((\d+\.\d+)\)", exercise.equation) == numbers


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.id)
def test_an_exercise_is_called_as_its_chapter_calls_it(exercise: Exercise) -> None:
    path = chapters()[exercise.id.partition(".")[0]]
    source = "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    titles = re.findall(r"\{exercise\} ([^\n]*)\n:label: " + exercise.id.replace(".", "-") + "\n", source)
    assert titles == [exercise.title]


@pytest.mark.parametrize(("exercise", "answer"), right())
def test_right_answers_pass(exercise: str, answer: Any, capsys: pytest.CaptureFixture) -> None:
    result = check(exercise, answer, strict=True)
    assert result.passed
    assert result.answered
    assert capsys.readouterr().out == result.message + "\n"
    assert unwrapped(result.message) == f"✓ {exercise} · {find(exercise).title} Verified: {find(exercise).verified}"


def printed() -> list[Any]:
    """List the solutions that a chapter prints as numbers or names, not as code."""
    found = [pair for name in chapters() for pair in answers(name).PRINTED.items()]
    return [pytest.param(*pair, id=pair[0]) for pair in found]


def values(part: str) -> list[float]:
    r"""Read the numbers behind the last ``=`` of a formula: ``(\tfrac34, \tfrac12)``."""
    found = re.findall(r"\\tfrac(\d)(\d)|(\d+\.\d+|\d+)", part.rpartition("=")[2])
    return [int(a) / int(b) if a else float(plain) for a, b, plain in found]


@pytest.mark.parametrize(("exercise", "parts"), printed())
def test_numbers_of_a_printed_solution_pass(exercise: str, parts: tuple[str, ...]) -> None:
    path = chapters()[exercise.partition(".")[0]]
    source = "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    solution = dict(SOLUTION.findall(source))[exercise.replace(".", "-")]
    assert all(part in solution for part in parts)
    names = re.findall(r'"([\w.]+)"', parts[0])
    answer = set(names) or [number for part in parts for number in values(part)]
    assert judge(find(exercise), answer), answer


@pytest.mark.parametrize(("exercise", "answer", "parts"), wrong())
def test_wrong_answers_are_told_what_is_wrong(exercise: str, answer: Any, parts: tuple[str, ...]) -> None:
    result = judge(find(exercise), answer)
    said = unwrapped(result.message)
    assert result.answered
    assert not result.passed
    for part in parts:
        assert part in said, said
    found = re.fullmatch(r"✗ (.*) Belongs to: (.*) Hint: (.*)", said)
    assert found, said
    heading = f"{exercise} · {find(exercise).title} "
    assert found[1].startswith(heading)
    assert found[2] == unwrapped(find(exercise).equation)
    assert len(found[3].split()) >= 4
    told = found[1].removeprefix(heading)
    assert "xpected" in told or "You have" in told or "your function raised" in told, told
    assert re.search(r"received|You have|returned|your function raised|it changed", told), told
    assert max(map(len, result.message.splitlines())) <= 92


def hints(chapter: str) -> list[str]:
    """List the sentences in a chapter's questions: hints, and messages without a value in them."""
    tree = ast.parse(Path(import_module(f"attention.exercises.{chapter}").__file__).read_text(encoding="utf-8"))
    kinds = (ast.Module, ast.FunctionDef, ast.ClassDef)
    skipped = [node.body[0] for node in ast.walk(tree) if isinstance(node, kinds) and ast.get_docstring(node)]
    skipped += [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Exercise"]
    skipped += [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    inside = {id(node) for each in skipped for node in ast.walk(each)}
    words = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in inside]
    return [each for each in words if isinstance(each, str) and re.search(r"\w \w.*[.?]$", each)]


@pytest.mark.parametrize("name", chapters())
def test_each_hint_is_given_to_some_wrong_answer(name: str) -> None:
    said = "\n".join(unwrapped(judge(find(exercise), answer).message) for exercise, answer, _ in answers(name).WRONG)
    found = hints(name)
    assert len(found) > 20
    assert [hint for hint in found if hint not in said] == []


def later(*_: Any) -> None:
    raise NotImplementedError


def still_later(*_: Any) -> None:
    raise NotImplementedError("one call of reduce")


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.id)
def test_no_answer_is_not_a_wrong_answer(exercise: Exercise, capsys: pytest.CaptureFixture) -> None:
    empty = [None, ...]
    empty += [later, still_later] if takes_function(exercise) else []
    if isinstance(first_right(exercise.id), dict):
        empty += [first_right(exercise.id) | {"claim": ...}, dict.fromkeys(first_right(exercise.id))]
    for answer in empty:
        result = check(exercise.id, answer)
        assert not result
        assert not result.answered
        said = unwrapped(capsys.readouterr().out)
        assert said == f"… {exercise.id} · {exercise.title} No answer yet: run this again when there is one."


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.id)
def test_an_empty_answer_is_told_what_was_expected(exercise: Exercise) -> None:
    empty = [{}, [], (), "", torch.zeros(0)]
    empty += [] if exercise.id in IN_PLACE or not takes_function(exercise) else [lambda *_: None, lambda *_: ...]
    for answer in empty:
        result = judge(exercise, answer)
        assert result.answered
        assert not result.passed
        assert "xpected" in result.message


def kind(result: Any) -> bool:
    """Say whether a result is one that a reader can read, and not the last resort of the checks."""
    said = unwrapped(result.message)
    lines = result.message.splitlines()
    return "Expected another kind of answer" not in said and " at 0x" not in said and max(map(len, lines)) <= 120


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.id)
def test_no_answer_however_odd_breaks_a_check(exercise: Exercise) -> None:
    odd = [(name, make()) for name, make in zoo.VALUES.items()] + list(zoo.functions())
    for name, answer in odd:
        result = judge(exercise, answer)
        assert not result.passed, name
        assert kind(result), (name, result.message)


def spoiled() -> list[Any]:
    """List the exercises whose answers are tensors, or functions of tensors, with each way of spoiling them."""
    others = IN_PLACE | {
        "se.4",
        "eca.3",
        "fca.3",
        "fca.4",
        "fca.5",
        "gsop.5",
        "sk.2",
        "sk.4",
        "stn.5",
        "non_local.4",
        "non_local.5",
    }
    chosen = [e for e in exercises() if e.id not in others and not isinstance(first_right(e.id), dict | set)]
    return [pytest.param(e, how, id=f"{e.id}-{how}") for e in chosen for how in zoo.SPOILED]


@pytest.mark.parametrize(("exercise", "how"), spoiled())
def test_a_right_answer_of_another_kind_is_told_what_to_return(exercise: Exercise, how: str) -> None:
    right, spoil = first_right(exercise.id), zoo.SPOILED[how]
    if callable(right):
        result = judge(exercise, lambda *arguments: zoo.spoil(right(*arguments), spoil))
    else:
        result = judge(exercise, zoo.spoil(torch.as_tensor(right, dtype=torch.float32), spoil))
        if how in ("half", "a list", "an array"):  # written by hand, numbers may come in each of these
            assert result.passed, result.message
            return
    assert not result.passed
    assert kind(result), result.message
    if how in ("sparse", "meta", "quantised", "nested"):
        assert "Expected an ordinary tensor for" in result.message


class Work(TorchDispatchMode):
    """Count the operations on tensors, and the numbers that they give."""

    operations = numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **kwargs or {})
        self.operations += 1
        for each in result if isinstance(result, tuple | list) else (result,):
            self.numbers += each.numel() if isinstance(each, torch.Tensor) else 0
        return result


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.id)
def test_a_check_does_little(exercise: Exercise) -> None:
    """A reader waits for it, and an assignment is graded on half a core: it must not run a large network, say."""
    with Work() as work:
        judge(exercise, first_right(exercise.id))
    assert work.operations < 10_000
    assert work.numbers < 200_000_000


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.id)
def test_a_check_leaves_no_trace(exercise: Exercise) -> None:
    torch.manual_seed(1234)  # not the seed that questions run from

    def state() -> list[Any]:
        return [
            torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state()), torch.is_grad_enabled(),  # noqa: NPY002
            torch.get_default_dtype(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(),
        ]  # fmt: skip

    before = state()
    for answer in (first_right(exercise.id), 3, lambda *_: 3):
        judge(exercise, answer)
        assert state() == before


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.id)
def test_the_callers_mode_does_not_matter(exercise: Exercise, mode: type) -> None:
    with mode():
        assert judge(exercise, first_right(exercise.id))
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.id)
def test_the_callers_dtype_does_not_matter(exercise: Exercise) -> None:
    try:
        torch.set_default_dtype(torch.float64)
        result = judge(exercise, first_right(exercise.id))
    finally:
        torch.set_default_dtype(torch.float32)
    assert result, result.message


def test_checks_say_the_same_each_time() -> None:
    for parameter in wrong():
        exercise, answer, _ = parameter.values
        torch.manual_seed(1)
        first = judge(find(exercise), answer).message
        torch.manual_seed(2)
        second = judge(find(exercise), answer).message
        assert first == second
        assert " at 0x" not in first


def test_messages_do_not_give_hand_computed_answers_away() -> None:
    for exercise in exercises():
        given = first_right(exercise.id)
        if not isinstance(given, list):
            continue
        off = [value + 0.03 for value in given]
        said = unwrapped(judge(exercise, off).message).partition("Belongs to")[0]
        numbers = re.findall(r"(?<![\w.])\d+\.\d+", said)
        assert not {float(number) for number in numbers} & {float(f"{value:.4g}") for value in given}, said


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_answers_may_live_on_a_gpu() -> None:
    from tests.exercises.answers import se

    assert judge(find("se.1"), torch.tensor([0.75, 0.5], device="cuda"))
    assert judge(find("se.2"), lambda x: se.squeeze(x.cuda()))
    assert judge(find("se.3"), lambda block: se.as_convolutions(block).cuda())
