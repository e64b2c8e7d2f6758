"""The quick checks, one after the other: what ``make lint``, the first lane of ``make test`` and pre-commit run."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
#: import-linter's command: what it reads are the contracts in pyproject.toml.
IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"


def checks(root: Path) -> dict[str, list[str]]:
    """Return every check's command by name.

    :param root: the top of the repository.
    """
    workflows = sorted(str(path.relative_to(root)) for path in (root / ".github" / "workflows").glob("*.yml"))
    schema = [PYTHON, "-m", "check_jsonschema", "--builtin-schema"]
    return {
        "style": [PYTHON, "-m", "ruff", "check", "."],
        "format": [PYTHON, "-m", "ruff", "format", "--check", "."],
        "who imports whom": [PYTHON, "-c", IMPORTS],
        "cards, set-up cells, tables, addresses": [PYTHON, "-m", "tools.writing.sync", "--check"],
        "workflows": [*schema, "vendor.github-workflows", *workflows],
        "workflows have time limits": [*schema, "custom.github-workflows-require-timeout", *workflows],
        "citation file": [*schema, "vendor.citation-file-format", "CITATION.cff"],
    }


def main() -> int:
    """Run all checks, also after one has failed; the last line counts them."""
    failed = 0
    commands = checks(ROOT)
    for name, command in commands.items():
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        print(f"{'failed' if done.returncode else 'passed'}  {name}", flush=True)
        if done.returncode:
            failed += 1
            print(done.stdout + done.stderr, flush=True)
    print(f"{len(commands) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
