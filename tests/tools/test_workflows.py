"""The hosted workflows: what they name exists, their shell is shell, and they may do no more than they must."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.chapters import ROOT

FOLDER = ROOT / ".github" / "workflows"
NAMES = ("publish", "release", "test", "weekly")
#: The jobs that may write, and what.
WRITERS = {
    ("publish", "publish"): {"contents": "write"},
    ("release", "release"): {"contents": "write"},
    ("weekly", "colab"): {"contents": "read", "issues": "write"},
    ("weekly", "links"): {"contents": "read", "issues": "write"},
    ("weekly", "inductor"): {"contents": "read", "issues": "write"},
}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())
each = pytest.mark.parametrize("name", NAMES)


def workflow(name: str) -> dict[Any, Any]:
    return yaml.safe_load((FOLDER / f"{name}.yml").read_text(encoding="utf-8"))


def jobs(name: str) -> dict[str, dict[str, Any]]:
    return workflow(name)["jobs"]


def steps(name: str) -> Iterator[dict[str, Any]]:
    for job in jobs(name).values():
        yield from job.get("steps", [])


def scripts(name: str) -> list[str]:
    """Return the shell of every step, its continued lines joined."""
    return [step["run"].replace("\\\n", " ") for step in steps(name) if "run" in step]


def triggers(name: str) -> Any:
    return workflow(name)[True]  # YAML 1.1 reads the key `on` as true


def test_these_are_all() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == [f"{name}.yml" for name in NAMES]
    assert [workflow(name)["name"] for name in NAMES] == list(NAMES)


@each
def test_may_do_no_more_than_it_must(name: str) -> None:
    assert workflow(name)["permissions"] == {"contents": "read"}
    for job, about in jobs(name).items():
        assert about.get("permissions", {}) == WRITERS.get((name, job), {}), job
    for step in steps(name):
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/none@v1")), (
            "GitHub's own, by major version"
        )
        if "checkout" in step.get("uses", ""):
            assert step["with"] == {"persist-credentials": False}


@each
def test_secrets_are_seen_by_the_step_that_needs_them(name: str) -> None:
    text = (FOLDER / f"{name}.yml").read_text(encoding="utf-8")
    given = [value for step in steps(name) for value in step.get("env", {}).values() if "github.token" in value]
    assert text.count("github.token") == len(given)
    assert "secrets." not in text
    for step in steps(name):
        has = any("github.token" in value for value in step.get("env", {}).values())
        assert has == bool(re.search(r"\bgh |report_issue|tools\.publish", step.get("run", ""))), step


@each
def test_its_shell_is_shell(name: str) -> None:
    for script in scripts(name):
        assert "${{" not in script, "what GitHub fills in comes as a variable: it may hold anything"
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    for step in steps(name):  # a pipe hides that its first part failed, but for shells that are told otherwise
        assert ("2>&1 | tee" in step.get("run", "")) == (step.get("shell") == "bash"), step


def commands(name: str) -> list[list[str]]:
    """Return the commands of a workflow, as words, up to the first pipe."""
    lines = [line.strip() for script in scripts(name) for line in script.splitlines() if line.strip()]
    return [line.partition(" | ")[0].replace("2>&1", "").replace('"', "").split() for line in lines]


@each
def test_what_it_names_exists(name: str) -> None:
    for words in commands(name):
        if words[0] == "make":
            assert words[1] in TARGETS, words
            for option in words[2:]:
                assert f"$({option.partition('=')[0]})" in MAKEFILE, option
        if words[0].startswith("."):
            assert words[0].startswith(".venv/") or (ROOT / words[0]).is_file(), words
        if words[1:2] == ["-m"] and words[2].startswith("tools."):
            done = subprocess.run(
                [sys.executable, "-m", words[2], "--help"], cwd=ROOT, capture_output=True, text=True, check=True
            )
            unknown = [word for word in words if word.startswith("--") and word not in done.stdout]
            assert not unknown, words
    for job in jobs(name).values():
        assert (ROOT / job.get("uses", ".ci/run")).is_file()
    for step in steps(name):
        assert (ROOT / step.get("with", {}).get("cache-dependency-path", "README.md")).is_file()


def test_every_python_is_tested() -> None:
    assert jobs("test")["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert set(triggers("test")) == {"pull_request", "workflow_call", "workflow_dispatch"}
    assert [".ci/run"] in commands("test")


@pytest.mark.parametrize("name", ["publish", "release"])
def test_only_what_passed_is_given_away(name: str) -> None:
    assert jobs(name)["test"] == {"uses": "./.github/workflows/test.yml"}
    assert jobs(name)[name]["needs"] == "test"
    assert "if" not in jobs(name)[name], "which could let a failure through"
    checked, given = [
        next(i for i, words in enumerate(commands(name)) if word in words)
        for word in ("release-check", {"publish": "tools.publishing.publish", "release": "gh"}[name])
    ]
    assert checked < given
    assert "PUBLIC=1" in commands(name)[checked], "placeholders are refused"


def test_when_they_run() -> None:
    assert triggers("publish") == {"push": {"branches": ["main"]}, "workflow_dispatch": None}
    assert triggers("release") == {"push": {"tags": ["v*"]}}
    assert jobs("publish")["publish"]["concurrency"] == {"group": "publish", "cancel-in-progress": False}
    (schedule,) = triggers("weekly")["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", schedule["cron"]), "once a week"
    assert "workflow_dispatch" in triggers("weekly")


def test_a_release_is_of_its_tag() -> None:
    check = next(words for words in commands("release") if "release-check" in words)
    assert "TAG=$GITHUB_REF_NAME" in check
    make = next(words for words in commands("release") if words[0] == "gh")
    assert make[:4] == ["gh", "release", "create", "$GITHUB_REF_NAME"]
    assert {"_build/dist/*.whl", "_build/dist/*.tar.gz", "_build/dist/NOTES.md", "--verify-tag"} <= set(make)


def test_each_weekly_job_opens_an_issue_of_its_own_and_closes_it() -> None:
    titles = [job["env"]["TITLE"] for job in jobs("weekly").values()]
    assert len(set(titles)) == len(titles) == 3
    for job in jobs("weekly").values():
        reports = {step["if"]: step["run"] for step in job["steps"] if "report_issue" in step.get("run", "")}
        assert set(reports) == {"failure()", "success()"}
        assert all('"$TITLE"' in script for script in reports.values())
        assert "--resolved" in reports["success()"]
        assert "--resolved" not in reports["failure()"]
        log = re.search(r"\| tee (\w+\.log)", " ".join(step.get("run", "") for step in job["steps"]))[1]
        assert log in reports["failure()"]


def test_the_weekly_run_takes_the_list_that_colab_publishes() -> None:
    script = " ".join(scripts("weekly"))
    assert "https://raw.githubusercontent.com/googlecolab/backend-info/main/pip-freeze.txt" in script
    assert ["make", "colab-test", "PACKAGES=pip-freeze.txt"] in commands("weekly")


def test_the_weekly_run_compiles_with_inductor() -> None:
    """The tests are skipped where the variable is missing that they ask for."""
    job = jobs("weekly")["inductor"]
    (words,) = (words for words in commands("weekly") if "pytest" in words)
    tests = ROOT / words[-1]
    assert [name for name in job["env"] if f'os.environ.get("{name}")' in tests.read_text(encoding="utf-8")] == [
        "INDUCTOR"
    ]


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *ROOT.glob("book/*.md")], ids=lambda path: path.stem)
def test_commands_that_a_page_names_exist(path: Path) -> None:
    named = re.findall(r"(?:`|^\$ )make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= TARGETS


def test_commands_of_a_release_pass_their_arguments_on() -> None:
    alone = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}

    def printed(*words: str) -> str:
        command = ["make", "-n", "--no-print-directory", *words]
        return subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=True).stdout

    assert 'tools.publishing.release --tag "v1.2.3" --public' in printed("release-check", "TAG=v1.2.3", "PUBLIC=1")
    assert "--" not in printed("release-check").splitlines()[-1]
    assert "tools.publishing.version 1.2.3" in printed("version", "VERSION=1.2.3")
    assert printed("publish", "REMOTE=there").splitlines()[-1].startswith('REMOTE="there"')
