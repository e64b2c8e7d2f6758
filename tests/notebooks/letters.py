"""The letters of a chapter: each is one that the page on notation explains, for all chapters or for this one."""

import re
from collections.abc import Iterator

from attention.registry import entries
from tests.notebooks.chapter import Chapter, rule
from tools.chapters import CARD

__all__ = ["letters_of", "written"]

_ACCENT = re.compile(r"\\(tilde|hat|bar|mathbf|mathcal|boldsymbol)\s*\{?\s*(\\[a-zA-Z]+|[A-Za-z])\s*\}?")
#: What is set in letters and is none: colours, words, names of functions and of environments, the real numbers.
_WORDS = re.compile(
    r"\\(?:textcolor|text|operatorname|mathrm|begin|end)\s*\{[^{}]*\}|\\mathbb\s*\{?\s*[R1]\s*\}?|[_^]\{[a-z]{2,}\}"
)
#: What marks a paragraph, or a table, whose formulas are a paper's own.
_THEIRS = re.compile(r"paper writes|^\|.*\{cite", re.IGNORECASE | re.MULTILINE)
_GREEK = re.compile(
    r"\\((?:var)?(?:alpha|beta|gamma|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|phi|chi|psi"
    r"|omega)|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Phi|Psi|Omega|ell)(?![a-zA-Z])"
)
_COMMAND = re.compile(r"\\(?:[a-zA-Z]+|.)")
#: A weight matrix without an index: it stands before what it is multiplied with, or before its shape.
_BARE = re.compile(r"(?<![\w'}\\])W\s*(?:\\in\b|\\[,;]\s*[a-z]|[a-z](?![a-z]))")


def letters_of(tex: str) -> set[str]:
    r"""Return the letters of a formula without their indices and primes: ``{"x", r"\tilde x", r"\sigma"}``."""
    tex = _WORDS.sub(" ", tex)
    found = {rf"\{accent} {letter}" for accent, letter in _ACCENT.findall(tex)}
    tex = _ACCENT.sub(" ", tex)
    found |= {f"\\{name}" for name in _GREEK.findall(tex)}
    return found | set(re.findall(r"[A-Za-z]", _COMMAND.sub(" ", tex)))


def written(source: str) -> list[str]:
    """Return the formulas of a text; what stands in a paragraph on what a paper writes is not ours."""
    source = re.sub(r"```.*?```|`[^`\n]*`|<!--.*?-->", "", source, flags=re.DOTALL)
    found = re.findall(r"\$\$(.+?)\$\$", source, re.DOTALL)
    paragraphs = re.split(r"\n\s*\n", re.sub(r"\$\$.+?\$\$", "", source, flags=re.DOTALL))
    ours = (part for part in paragraphs if not _THEIRS.search(re.sub(r"\n(?!\|)", " ", part)))
    return found + [tex for part in ours for tex in re.findall(r"(?<![\\$])\$([^$]+?)\$", part)]


def _explained(page: str, short: str) -> set[str]:
    """Return the letters that all chapters share, and those that are this one's own."""
    shared, _, rest = page.partition("(notation-chapters)=")
    own, _, rest = rest.partition("(notation-papers)=")
    operations = rest.partition("\n## Operations\n")[2].partition("\n## ")[0]
    rows = [line for line in own.splitlines() if line.startswith(f"| {short} |")]
    return {letter for text in (shared, operations, *rows) for tex in written(text) for letter in letters_of(tex)}


@rule
def notation(chapter: Chapter) -> Iterator[str]:
    """Formulas have the letters of the page on notation, and a matrix has an index; exercises may have others."""
    entry = entries().get(chapter.name)
    page = (chapter.root / "book" / "notation.md").read_text(encoding="utf-8")
    known = _explained(page, entry.short if entry else "")
    exercises = chapter.section("Exercises")
    for place, source in chapter.prose:
        if CARD[0] in source or place in exercises:
            continue
        for tex in written(source):
            for letter in sorted(letters_of(tex) - known):
                yield f"cell {place}: the page on notation knows no {letter!r}: {' '.join(tex.split())}"
            if _BARE.search(re.sub(r"\\textcolor\{[^{}]*\}\{([^{}]*)\}", r"\1", tex)):
                yield f"cell {place}: W alone is a width, a matrix has an index: {' '.join(tex.split())}"
