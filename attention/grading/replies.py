"""What comes back from the process that runs a submission; nothing in it is trusted."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from attention.grading import wire

__all__ = ["Place", "Reply", "Tensor", "read_reply"]


@dataclass(frozen=True)
class Tensor:
    """A tensor or array that a submission returned: plain numbers, and what they were called there.

    :param numbers: the values; bfloat16 comes as float32.
    :param dtype: the name of its dtype in its library: ``float32``, ``bfloat16``.
    :param library: ``torch`` or ``numpy``.
    :param requires_grad: whether it was part of a graph.
    """

    numbers: np.ndarray = field(repr=False)
    dtype: str
    library: str
    requires_grad: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.numbers.shape


@dataclass(frozen=True)
class Place:
    """A line of a submission.

    :param cell: the number of the code cell.
    :param line: its number in that cell.
    :param text: the line itself.
    :param inside: the function that it belongs to, ``"ECA.forward"``; empty where it belongs to none.
    """

    cell: int
    line: int
    text: str
    inside: str = ""

    def __str__(self) -> str:
        return f"code cell {self.cell}, line {self.line}: {self.text}"


@dataclass(frozen=True)
class Reply:
    """What came of one request.

    :param kind: ``value``; ``raised``; ``missing``: there is no such name, or not of that kind; ``died``; ``nothing``:
        it was not tried.
    :param value: numbers, texts, lists, tuples, dictionaries, ``Tensor`` and ``Opaque``.
    :param error: type of what was raised, or the reason of an ending that nothing replied to.
    :param kinds: the built-in types that this type is one of.
    :param message: what it said, or why there is no value.
    :param where: where it came from.
    :param arguments: arguments as they were after the call, where that was asked for.
    :param refused: what the fences refused meanwhile.
    :param seconds: how long it took.
    :param no_memory: whether the error came for want of memory.
    """

    kind: str
    value: Any = None
    error: str = ""
    kinds: tuple[str, ...] = ()
    message: str = ""
    where: Place | None = None
    arguments: Any = None
    refused: tuple[str, ...] = ()
    seconds: float = 0.0
    no_memory: bool = False

    @property
    def unanswered(self) -> bool:
        """Whether the error is a stub's ``raise NotImplementedError``; torch has errors of that name as well."""
        stub = self.where is not None and self.where.text.startswith("raise NotImplementedError")
        return "NotImplementedError" in self.kinds and (stub or not self.message)

    def lacking(self, name: str = "") -> str:
        """Name the function that is a stub still, where it is another one than was asked for.

        :param name: of what was asked for.
        """
        if not self.unanswered or self.where is None:
            return ""
        inside = self.where.inside.partition(".<locals>")[0]
        if inside.startswith("<") or inside.split(".")[0] in ("", name):
            return ""
        return f"`{inside.removesuffix('.__init__')}` (code cell {self.where.cell})"


def read_reply(message: Mapping[str, Any], body: bytes) -> Reply:
    """Read an answer; nothing in it is trusted.

    :raises wire.Nonsense: for what the process does not write of itself.
    """
    try:
        refused = tuple(str(line)[:300] for line in message.get("refused", ())[:10])
        seconds = float(message.get("seconds", 0))
        if message["kind"] == "value":
            value = wire.decode(message["value"], body, _tensor)
            return Reply("value", value, refused=refused, seconds=seconds)
        if message["kind"] == "missing":
            return Reply("missing", message=str(message["message"])[:600], refused=refused)
        if message["kind"] != "raised":
            raise wire.Nonsense("an unknown kind of answer")
        where = message["where"]
        return Reply(
            "raised",
            error=str(message["type"])[:60],
            kinds=tuple(str(kind) for kind in message["kinds"]),
            message=str(message["message"])[:600],
            where=None if where is None else _place(*where),
            refused=refused,
            seconds=seconds,
            no_memory=bool(message["no_memory"]),
        )
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise wire.Nonsense("an answer that cannot be read") from error


def _place(cell: str, line: int, text: str, inside: str) -> Place:
    named = re.fullmatch(r"cell (\d{1,4})", str(cell))
    function = str(inside) if re.fullmatch(r"[\w.<>]{1,100}", str(inside)) else ""
    return Place(int(named[1]) if named else 0, int(line), str(text)[:100], function)


def _tensor(numbers: np.ndarray, described: Mapping[str, Any]) -> Tensor:
    dtype, library = described["dtype"], described["library"]
    if library not in ("torch", "numpy") or not re.fullmatch(r"[a-z][a-z0-9_]{2,20}", dtype):
        raise ValueError
    return Tensor(numbers, dtype, library, bool(described["grad"]))
