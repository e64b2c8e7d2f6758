"""The judges."""

import math

import numpy as np
import pytest

from attention.grading import (
    Assignment,
    Call,
    Check,
    Close,
    Equal,
    Number,
    Opaque,
    Part,
    Question,
    Raises,
    Reply,
    Shape,
    Words,
    Wrong,
)
from tests.grading.parts import RIGHT, judged, tensor


def test_close() -> None:
    judge = Close(RIGHT, "the map", mistakes=[(2 * RIGHT, "Twice."), (RIGHT[0], "One row.")], shape_share=0.25)
    for value in (
        tensor(RIGHT),
        tensor(RIGHT + 5e-5),
        tensor(RIGHT, "bfloat16", as_="float32"),
        tensor(RIGHT, "float64"),
    ):
        assert judged(judge, value) == ""
    for value in (None, ...):
        assert judged(judge, value) == "unanswered"
    for value in (RIGHT.tolist(), tensor(RIGHT, library="numpy"), 3, "text", Opaque("generator"), {"a": 1}, True):
        assert judged(judge, value).startswith("Expected a torch tensor for the map, received ")
    assert "Expected shape (2, 2) for the map, received (2,). | One row. |" in judged(judge, tensor(RIGHT[0]))
    assert "Expected shape (2, 2) for the map, received (). |" in judged(judge, tensor(1.0))
    assert "Expected a floating-point dtype for the map, received int64." in judged(judge, tensor(RIGHT, "int64"))
    assert judged(judge, tensor(2 * RIGHT)) == (
        "4 of 4 numbers in the map are wrong; the largest difference is 4 at [1, 1]: expected -4, received -8. | "
        "Twice. | The shape of the map is right, its values are not. | 0.25"
    )
    for lost in (np.nan, np.inf):
        assert judged(judge, tensor(np.where(RIGHT > 2, lost, RIGHT))).startswith(
            "1 of 4 numbers in the map are inf or nan."
        )
    assert judged(Close(RIGHT, dtype="float32"), tensor(RIGHT, "float64")).startswith("Expected float32 for the result")
    assert judged(Close(RIGHT, library=""), RIGHT.tolist()) == ""
    assert judged(Close([np.nan, np.inf]), tensor([np.nan, np.inf])) == ""
    assert judged(Close([np.nan, np.inf]), tensor([np.nan, -np.inf])) != ""
    assert judged(Close([0, 1]), tensor([0, 1], "int64")) == ""
    assert judged(Close(np.zeros((0, 3))), tensor(np.zeros((0, 3)))) == ""
    assert judged(Close(RIGHT, of=("a", 1)), {"a": [0, tensor(RIGHT)]}) == ""
    for value in ({"a": []}, {"a": 3}, {}, [], Opaque("x"), tensor(RIGHT)):
        assert judged(Close(RIGHT, of=("a", 1)), value).startswith("The answer has no part")


def test_a_symbol_keeps_its_case() -> None:
    assert "| k is not right. |" in judged(Number(3, "k"), 5)
    assert "| The cost is not right. |" in judged(Equal(3, "the cost"), 5)


def test_number() -> None:
    judge = Number(512, "the cost", mistakes=[(1024, "Twice.")])
    for value in (512, 512.0, tensor(512, "int64"), tensor(512.0)):
        assert judged(judge, value) == ""
    for value in (True, "512", [512], tensor([512.0]), tensor(True, "bool"), Opaque("Odd"), tensor(512, "complex64")):
        assert judged(judge, value).startswith("Expected a number for the cost, received ")
    assert judged(judge, 1024).startswith(
        "Expected 512 for the cost, received 1,024. | Twice. | The cost is not right."
    )
    for value in (512.0001, math.nan, math.inf, 10**400, -(10**400), tensor(np.nan)):
        assert judged(judge, value).startswith("Expected 512 for the cost, received ")
    assert judged(Number(512, "the cost", reveal=False), 3).startswith("3 is not right for the cost. |")
    assert judged(Number(0.5, tolerance=0.01), 0.504) == ""


def test_equal_shape_words_check() -> None:
    assert judged(Equal([1, "a", {"b": True}]), (1, "a", {"b": True})) == ""
    for value in ([1, "a"], 3, [1, "a", {"b": 1}], [True, "a", {"b": True}], [1, "a", {"c": True}], "1a", Opaque("x")):
        assert judged(Equal([1, "a", {"b": True}]), value) != ""
    assert judged(Equal(True), tensor(True, "bool")) == ""
    assert judged(Equal(True), 1) != ""
    assert judged(Equal(3), tensor(3, "int64")) == ""
    assert judged(Shape((2, 2)), tensor(RIGHT)) == ""
    assert "received (2,)" in judged(Shape((2, 2)), tensor(RIGHT[0]))
    assert "Expected a tensor" in judged(Shape((2, 2)), RIGHT.tolist())
    words = Words(3, {"sum|add": "the sum", "product": "the product"})
    assert judged(words, "the sum and the product") == ""
    assert judged(words, "one two").startswith("Expected at least 3 different words, received 2.")
    assert judged(words, "a sum a sum only").endswith("0.5")
    assert judged(words, 3).startswith("Expected a text")
    assert judged(words, None) == "unanswered"
    assert judged(Check(lambda value: None), 1) == ""


def test_raises() -> None:
    judge = Raises(("ValueError", "TypeError"), ("shape",))
    judge(Reply("raised", error="MyError", kinds=("ValueError", "Exception"), message="The SHAPE is wrong"))
    with pytest.raises(Wrong, match="does not name shape") as half:
        judge(Reply("raised", error="TypeError", kinds=("TypeError",), message="no"))
    assert half.value.share == 0.5
    with pytest.raises(Wrong, match="received KeyError"):
        judge(Reply("raised", error="KeyError", kinds=("KeyError",), message="shape"))
    with pytest.raises(Wrong, match="but None was returned"):
        judge(Reply("value", None))


def test_points_must_be_points() -> None:
    for points in (-1, math.nan, True):
        with pytest.raises(ValueError, match="points"):
            Assignment("a", (Question("1", "q", (Part("p", points, Call("f"), Shape(())),)),))


def test_a_dtype_that_could_be_the_reason_is_named() -> None:
    right = np.array([0.12345, 1.2345, 300.1])
    half = " The dtype of the map is float16, which keeps 3 digits and numbers up to 65,504."
    same = "Let the result have the dtype of the input."
    said = judged(Close(right, "the map", shape_share=0.25), tensor(right, "float16"))
    assert "numbers in the map are wrong; " in said
    assert f"{half} | {same} | The shape of the map is right, its values are not.{half} | 0.25" in said
    assert f"{half} |  |" in judged(Close(right, "the map", known_share=1), tensor(2 * right, "float16"))
    assert judged(Close(1e5 * right, "the map"), tensor(right * np.inf, "float16")).startswith(
        f"3 of 3 numbers in the map are inf or nan.{half} |"
    )
    coarse = tensor(1.01 * right, "bfloat16", as_="float32")
    assert f"bfloat16, which keeps 2 digits. | {same} |" in judged(Close(right, "the map"), coarse)
    assert "dtype" not in judged(Close(right, "the map"), tensor(right + 1))
    assert judged(Number(2049, "the cost"), tensor(2049, "float16")).startswith(
        f"Expected 2,049 for the cost, received 2048.{half.replace('map', 'cost')} | "
    )
    assert "The dtype of the cost is uint8. |" in judged(Number(300, "the cost"), tensor(44, "uint8"))


def test_arrays_are_called_what_their_library_calls_them() -> None:
    array = tensor(RIGHT, library="numpy")
    for judge, asked in ((Close(RIGHT, "the map"), "a torch tensor"), (Close(RIGHT, "the map", library="numpy"), "")):
        said = judged(judge, array)
        assert said.startswith(f"Expected {asked} for the map, received a numpy array of shape (2, 2)") == bool(asked)
    assert "received a numpy array." in judged(Close(RIGHT), array)  # without its numbers, for a hidden part
    assert judged(Close(RIGHT, library="numpy"), tensor(RIGHT)).startswith("Expected a numpy array for the result, ")
    for judge in (Number(3), Equal(3)):
        assert "received a numpy array of shape (2, 2) and dtype float32." in judged(judge, array)
