"""Open an issue on something that a scheduled run found, or add to the one that is open; close it when all is well.

There is one issue a title. Needs ``gh``, logged in (in a workflow, ``GH_TOKEN``), and nothing of ours.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

LABEL = "weekly"
#: Characters of each file that are quoted: its end. GitHub takes 65536 in all.
LONGEST = 12_000


def gh(*words: str, given: str | None = None) -> str:
    """Run ``gh`` and return what it prints.

    :raises RuntimeError: where it fails, or is not there.
    """
    try:
        done = subprocess.run(["gh", *words], input=given, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RuntimeError("gh is not installed: https://cli.github.com") from None
    if done.returncode:
        raise RuntimeError(f"gh {' '.join(words[:2])} failed: {done.stderr.strip()}")
    return done.stdout


def open_issue(title: str) -> int | None:
    """Return the number of the open issue of exactly this title."""
    found = json.loads(
        gh("issue", "list", "--state", "open", "--label", LABEL, "--limit", "100", "--json", "number,title")
    )
    return min((issue["number"] for issue in found if issue["title"] == title), default=None)


def quoted(path: Path) -> str:
    """Return the end of a file as a block of code, whatever it holds."""
    if not path.exists():
        return f"There is no `{path.name}`: the run did not get so far."
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", path.read_text(encoding="utf-8", errors="replace")).rstrip()
    if len(text) > LONGEST:
        text = "[…]\n" + text[-LONGEST:].partition("\n")[2]
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def body(about: str, run: str, files: list[Path]) -> str:
    """Write what the issue says.

    :param about: one or two sentences: what is wrong.
    :param run: the address of the run; empty if unknown.
    :param files: logs, whose ends are quoted.
    """
    parts = [about, f"The run: {run}" if run else "", *[f"**{path.name}**\n\n{quoted(path)}" for path in files]]
    return "\n\n".join(part for part in parts if part) + "\n"


def report(title: str, text: str) -> str:
    """Open an issue, or comment on the one that is open, and return its address."""
    number = open_issue(title)
    if number is not None:
        return gh("issue", "comment", str(number), "--body-file", "-", given=text).strip()
    gh("label", "create", LABEL, "--force", "--description", "Found by a scheduled run", "--color", "D55E00")
    return gh("issue", "create", "--title", title, "--label", LABEL, "--body-file", "-", given=text).strip()


def resolve(title: str, run: str) -> str:
    """Close the issue, if one is open; say so."""
    number = open_issue(title)
    if number is None:
        return "all is well, and no issue is open"
    gh("issue", "close", str(number), "--comment", " ".join(["All is well again.", run]).strip())
    return f"closed issue {number}"


def main(arguments: list[str] | None = None) -> int:
    """Report, or resolve."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("title", help="of the issue; always the same for the same trouble")
    parser.add_argument("files", nargs="*", type=Path, help="logs, whose ends are quoted")
    parser.add_argument("--about", default="", help="what is wrong, in a sentence")
    parser.add_argument("--run", default="", help="the address of the run")
    parser.add_argument("--resolved", action="store_true", help="all is well: close the issue, if one is open")
    given = parser.parse_args(arguments)
    try:
        if given.resolved:
            print(resolve(given.title, given.run))
        else:
            print(report(given.title, body(given.about, given.run, given.files)))
    except RuntimeError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
