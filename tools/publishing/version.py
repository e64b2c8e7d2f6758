"""Give the package another version: in the one place that holds it, and in every file that repeats it."""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from packaging.version import InvalidVersion, Version

from tools.chapters import ROOT
from tools.publishing.release import notes, version


def checked(new: str, old: str) -> str:
    """Return a version that may follow another.

    :raises ValueError: for one that is not written as packages write theirs, or is not later.
    """
    try:
        if str(Version(new)) != new:
            raise ValueError(f"VERSION={new!r} would be written {str(Version(new))!r}")
    except InvalidVersion:
        raise ValueError(f"VERSION={new!r} is not a version; write one such as 0.2.0") from None
    if Version(new) <= Version(old):
        raise ValueError(f"VERSION={new!r} is not later than {old}")
    return new


def change(root: Path, new: str) -> None:
    """Write the new version where it is stated, and head the changelog's next section with it."""
    package, log = root / "attention" / "__init__.py", root / "CHANGELOG.md"
    text = package.read_text(encoding="utf-8")
    package.write_text(re.sub(r'^__version__ = ".+"$', f'__version__ = "{new}"', text, flags=re.MULTILINE), "utf-8")
    text = log.read_text(encoding="utf-8")
    log.write_text(re.sub(r"^## Next$", f"## {new}", text, count=1, flags=re.MULTILINE), encoding="utf-8")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Show the version, or change it and bring everything in step with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", nargs="?", default="", help="the new one; without it, the present one is shown")
    new, old = parser.parse_args(arguments).version, version(root)
    if not new:
        print(f"VERSION={old}\nTo change: make version VERSION=…")
        return 0
    try:
        change(root, checked(new, old))
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2
    print(f"{old} is now {new}", flush=True)
    # In a process of its own, and from there: this one has imported the package as it was.
    status = subprocess.run([sys.executable, "-m", "tools.writing.sync", "--quick"], cwd=root, check=False).returncode
    if not notes(root, new):
        print(f"CHANGELOG.md has no section ## {new} yet: write there what changed")
    print("The chapters still show what the old version put out: make execute")
    return status


if __name__ == "__main__":
    sys.exit(main())
