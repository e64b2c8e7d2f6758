"""One issue for each trouble: opened, added to, closed; with a stand-in for ``gh`` that remembers."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.publishing import report_issue

TITLE = "A chapter breaks"
#: Takes exactly the words that GitHub's own tool takes for these commands, and refuses others.
GH = """#!{python}
import json, sys, argparse, pathlib
store = pathlib.Path({store!r})
state = json.loads(store.read_text())
what, words = " ".join(sys.argv[1:3]), sys.argv[3:]
state["calls"].append(what)
take = argparse.ArgumentParser()
def options(*names):
    for name in names:
        take.add_argument(name)
    return take.parse_args(words)
def text(given):
    return sys.stdin.read() if given.body_file == "-" else pathlib.Path(given.body_file).read_text()
if what == "issue list":
    given = options("--state", "--label", "--limit", "--json")
    keys = given.json.split(",")
    issues = [i for i in state["issues"] if i["state"] == given.state and given.label in i["labels"]]
    print(json.dumps([{{key: issue[key] for key in keys}} for issue in issues]))
elif what == "label create":
    take.add_argument("name")
    take.add_argument("--force", action="store_true")
    state["labels"].append(options("--description", "--color").name)
elif what == "issue create":
    given = options("--title", "--label", "--body-file")
    if given.label not in state["labels"]:
        sys.exit("could not add label: not found")
    number = len(state["issues"]) + 1
    state["issues"].append({{"number": number, "title": given.title, "labels": [given.label], "state": "open",
        "texts": [text(given)]}})
    print("https://github.example/issues/%d" % number)
elif what == "issue comment":
    take.add_argument("number", type=int)
    given = options("--body-file")
    state["issues"][given.number - 1]["texts"].append(text(given))
    print("https://github.example/issues/%d#comment" % given.number)
elif what == "issue close":
    take.add_argument("number", type=int)
    given = options("--comment")
    state["issues"][given.number - 1]["state"] = "closed"
    state["issues"][given.number - 1]["texts"].append(given.comment)
else:
    sys.exit("unknown command " + what)
store.write_text(json.dumps(state))
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-in first on the path; what it remembers is in this file."""
    path, tool = tmp_path / "state.json", tmp_path / "bin" / "gh"
    path.write_text(json.dumps({"issues": [], "labels": [], "calls": []}))
    tool.parent.mkdir()
    tool.write_text(GH.format(python=sys.executable, store=str(path)))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    return path


def issues(store: Path) -> list[dict[str, Any]]:
    return json.loads(store.read_text())["issues"]


def test_one_issue_a_trouble(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, versions = tmp_path / "colab.log", tmp_path / "versions.txt"
    log.write_text("se: cell 7: \x1b[31mValueError\x1b[0m\n")
    versions.write_text("torch==2.11\n")
    words = [TITLE, str(log), str(versions), "--about", "It failed.", "--run", "https://runs.example/1"]
    assert report_issue.main(words) == 0
    (issue,) = issues(store)
    assert (issue["title"], issue["labels"], issue["state"]) == (TITLE, ["weekly"], "open")
    assert issue["texts"] == [
        "It failed.\n\nThe run: https://runs.example/1\n\n**colab.log**\n\n```text\nse: cell 7: ValueError\n```\n\n"
        "**versions.txt**\n\n```text\ntorch==2.11\n```\n"
    ]
    assert report_issue.main([f"{TITLE}, another one"]) == 0, "a title that begins alike"
    assert report_issue.main([TITLE, "--about", "Still."]) == 0
    assert [len(issue["texts"]) for issue in issues(store)] == [2, 1]
    assert "issues/1#comment" in capsys.readouterr().out


def test_a_closed_issue_is_not_opened_again(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_issue.main([f"{TITLE}, another one"])
    assert report_issue.main([TITLE, "--resolved"]) == 0
    assert "no issue is open" in capsys.readouterr().out
    report_issue.main([TITLE])
    assert report_issue.main([TITLE, "--resolved", "--run", "https://runs.example/2"]) == 0
    assert issues(store)[1]["state"] == "closed"
    assert issues(store)[1]["texts"][-1] == "All is well again. https://runs.example/2"
    report_issue.main([TITLE])
    assert [issue["state"] for issue in issues(store)] == ["open", "closed", "open"]


def test_the_end_of_a_long_log_is_quoted(tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    log.write_text("".join(f"line {number}\n" for number in range(20_000)))
    text = report_issue.quoted(log)
    assert text.startswith("```text\n[…]\nline ")
    assert text.endswith("line 19999\n```")
    assert len(text) <= report_issue.LONGEST + 50
    assert len(report_issue.body("a", "b", [log] * 4)) < 65_536, "more than an issue takes"


def test_a_log_may_hold_anything(tmp_path: Path) -> None:
    log = tmp_path / "odd.log"
    log.write_bytes(b"```\nwhat \xff\n````\n")
    text = report_issue.quoted(log)
    assert text.startswith("`````text\n")
    assert text.endswith("\n`````")
    assert "did not get so far" in report_issue.quoted(tmp_path / "none.log")


def test_trouble_with_the_tool_is_told(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (store.parent / "bin" / "gh").write_text("#!/bin/sh\necho not logged in >&2\nexit 4\n")
    assert report_issue.main([TITLE]) == 1
    assert "gh issue list failed: not logged in" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(store.parent))
    assert report_issue.main([TITLE]) == 1
    assert "gh is not installed" in capsys.readouterr().err
