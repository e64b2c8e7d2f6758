"""Style sheets made one, without the rules that no page uses.

The theme's own sheet styles everything that a theme may show. A rule is kept if some page, or some script, names every
class and id of one of its selectors. What a selector only excludes or offers as one of several (``:not``, ``:is``,
``:where``, ``:has``) does not count, and neither do attributes and elements: rather a rule too many than one too few.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Words", "lean", "prune", "rules"]

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_SPACE = re.compile(r"\s+")
_NAME = re.compile(r"[.#]((?:\\.|[\w-])+)")
_FUNCTION = re.compile(r":(?:not|is|where|has|-webkit-any)\((?:[^()]|\([^()]*\))*\)|\[[^\]]*\]")
_STRING = r"""\"(?:\\.|[^"\\])*\"|'(?:\\.|[^'\\])*'"""
_READ = re.compile(r"var\(\s*(--[\w-]+)")
_PROPERTY = re.compile(rf"(?<=[{{;])(--[\w-]+):(?:{_STRING}|[^;{{}}\"'])*(?:;|(?=\}}))")
_EMPTY = re.compile(r"(?<=[}\n])[^{}@;]+\{\}")
#: Rules that hold rules, which are pruned in turn.
_NESTED = ("@media", "@supports", "@layer", "@container")
_PIECE = re.compile(r"""(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|url\([^)"']*\))|(?P<mark>[{};])""", re.DOTALL)


@dataclass(frozen=True)
class Words:
    """Names that pages and scripts know.

    :param names: all of them.
    :param beginnings: what scripts complete, such as ``bs-tooltip-``.
    """

    names: frozenset[str]
    beginnings: tuple[str, ...] = ()

    def __contains__(self, name: object) -> bool:
        return name in self.names or (isinstance(name, str) and name.startswith(self.beginnings))


def rules(sheet: str) -> Iterator[tuple[str, str | None]]:
    """Take a style sheet apart.

    :param sheet: its source.
    :returns: for each rule its head (selectors, or an at-rule's words) and the text between its braces; None for a
        rule without braces, such as ``@import``.
    :raises ValueError: if braces do not match.
    """
    sheet = _COMMENT.sub(" ", sheet)
    start = body = depth = 0
    for piece in _PIECE.finditer(sheet):
        mark = piece["mark"]
        if mark == "{":
            depth += 1
            if depth == 1:
                body = piece.end()
        elif mark == "}":
            depth -= 1
            if depth < 0:
                break
            if depth == 0:
                yield _SPACE.sub(" ", sheet[start : body - 1]).strip(), sheet[body : piece.start()].strip()
                start = piece.end()
        elif mark == ";" and depth == 0:
            yield _SPACE.sub(" ", sheet[start : piece.start()]).strip(), None
            start = piece.end()
    if depth or sheet[start:].strip():
        raise ValueError(f"a style sheet ends in the middle of a rule: {sheet[start:][:60]!r}")


def prune(sheet: str, words: Words, *, wanted: Callable[[str, str], bool] = lambda head, body: True) -> str:
    """Leave out what no page uses, and the space that nobody reads.

    :param sheet: the source of a style sheet.
    :param words: the names that pages and scripts know.
    :param wanted: says of an at-rule that holds no rules, by its head and its body, whether it stays.
    :returns: what is left.
    :raises ValueError: if braces do not match.
    """
    kept = []
    for head, body in rules(sheet):
        if body is None:
            kept.append(f"{head};")
        elif head.startswith(_NESTED):
            inner = prune(body, words, wanted=wanted)
            kept += [f"{head}{{{inner}}}"] if inner else []
        elif head.startswith("@"):
            kept += [f"{head}{{{_tight(body)}}}"] if wanted(head, body) else []
        else:
            selectors = [one for one in _split(head) if all(name in words for name in _names(one))]
            kept += [f"{','.join(selectors)}{{{_tight(body)}}}"] if selectors and body else []
    return "".join(kept)


def lean(sheet: str, known: set[str]) -> str:
    """Leave out the custom properties that nothing reads.

    :param sheet: a pruned style sheet.
    :param known: custom properties that pages and scripts name, with their two dashes.
    :returns: what is left.
    """
    read = known | set(_READ.findall(sheet))
    left = _PROPERTY.sub(lambda found: found[0] if found[1] in read else "", sheet)
    # What only a property read that is gone may go too.
    return lean(left, known) if left != sheet else _EMPTY.sub("", left)


def _names(selector: str) -> list[str]:
    plain, before = selector, ""
    while plain != before:  # lists within lists
        plain, before = _FUNCTION.sub("", plain), plain
    return [re.sub(r"\\(.)", r"\1", name) for name in _NAME.findall(plain)]


def _split(selectors: str) -> list[str]:
    """Split at the commas that no bracket holds."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(selectors):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append(selectors[start:place].strip())
            start = place + 1
    return [*parts, selectors[start:].strip()]


def _tight(body: str) -> str:
    """Leave out the space between declarations; strings stay as they are."""
    texts = re.split(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""", body)
    texts[::2] = [re.sub(r"\s*([;{}])\s*", r"\1", _SPACE.sub(" ", text)) for text in texts[::2]]
    return re.sub(r"(^|[;{])([\w-]+): ", r"\1\2:", "".join(texts)).strip().rstrip(";")
