"""Change the book's public addresses everywhere: in ``settings.toml`` and in every file that repeats them."""

import argparse
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tools.chapters import ROOT, Settings, settings
from tools.writing.sync import main as sync

#: What is no file of the project: environments, history, what is built.
OUTSIDE = {".git", "_build", "build", "dist", "__pycache__", ".hypothesis", ".pytest_cache", ".ruff_cache"}


def files(root: Path) -> list[Path]:
    """List the text files of the project."""
    found = []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        outside = any(part in OUTSIDE or part.startswith(".venv") or part.endswith(".egg-info") for part in parts)
        if path.is_file() and not path.is_symlink() and not outside:
            found.append(path)
    return found


def change(root: Path, old: Settings, new: Settings) -> list[Path]:
    """Replace the old addresses by the new ones.

    :param root: the top of the repository.
    :param old: the addresses that the files hold.
    :param new: the addresses that they shall hold.
    :returns: the files that changed.
    """
    pairs = {old.site: new.site, old.repository: new.repository, f"/github/{old.slug}": f"/github/{new.slug}"}
    # Longest first; an address that goes on as another one ("…/book-2", "….org") is not ours.
    alternatives = "|".join(re.escape(address) for address in sorted(pairs, key=len, reverse=True))
    pattern = re.compile(rf"({alternatives})(?![\w-]|\.\w)")
    changed = []
    for path in files(root):
        if path.relative_to(root).parts[0] == "tests":  # addresses there are made up, and stay
            continue
        try:
            before = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        after = pattern.sub(lambda found: pairs[found[1]], before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path)
    return changed


def checked(name: str, value: str) -> str:
    """Return an address without its last slash.

    :raises ValueError: for anything but an ``https`` address, and a repository that is not on GitHub.
    """
    value = value.rstrip("/")
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.netloc or parts.query or parts.fragment or re.search(r"[\s\"'<>]", value):
        raise ValueError(f"{name}={value!r} is not an address; allowed: https://<host>/<path>")
    if name == "REPOSITORY" and not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", value):
        raise ValueError(f"{name}={value!r} is not a repository; allowed: https://github.com/<owner>/<name>")
    return value


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Change what is given, and bring everything in step with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", default="", help="where the book is published")
    parser.add_argument("--repository", default="", help="where its sources are")
    given = parser.parse_args(arguments)
    old = settings(root)
    if not given.site and not given.repository:
        print(f"SITE={old.site}\nREPOSITORY={old.repository}\nTo change: make address SITE=… REPOSITORY=…")
        return 0
    try:
        site = checked("SITE", given.site or old.site)
        repository = checked("REPOSITORY", given.repository or old.repository)
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2
    new = Settings(site, repository, old.branch, old.pages)
    for path in change(root, old, new):
        print(f"changed {path.relative_to(root).as_posix()}")
    return sync(["--quick"], root)


if __name__ == "__main__":
    sys.exit(main())
