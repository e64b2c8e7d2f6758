"""Pin, in requirements.txt, every package that requirements.in reaches, at the version that is installed here.

Pinned is what Linux without a GPU needs. A package that only another system asks for is left to pip, and so is what a
CUDA build of torch brings along: torch itself asks for exact versions of that.
"""

import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = {"platform_system": "Linux", "sys_platform": "linux", "os_name": "posix"}
#: How the names of the packages begin that come with a CUDA build of torch.
CUDA = ("cuda-", "nvidia-", "triton")
HEAD = """\
# The exact environment that builds and tests the book, for Python 3.11 to 3.13: `make lock` writes it from
# requirements.in. The package itself asks for lower bounds only, in pyproject.toml.
"""


def direct(path: Path) -> list[Requirement]:
    """Read the requirements of a file, and of the files that it includes."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r "):
            found += direct(path.parent / line[3:].strip())
        elif line:
            found.append(Requirement(line))
    return found


def closure(requirements: list[Requirement]) -> dict[str, str]:
    """Follow requirements through what is installed.

    :returns: version by name, local parts of versions (``+cpu``) left out.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    stack = [(r, extra) for r in requirements for extra in ("", *r.extras)]
    while stack:
        requirement, extra = stack.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        installed = distribution(name)
        found[installed.name] = Version(installed.version).public
        for text in installed.requires or ():
            child = Requirement(text)
            if canonicalize_name(child.name).startswith(CUDA):
                continue
            if child.marker is None or child.marker.evaluate(SYSTEM | {"extra": extra}):
                stack += [(child, e) for e in ("", *child.extras)]
    return found


def main() -> int:
    """Write requirements.txt."""
    pins = closure(direct(ROOT / "requirements.in"))
    lines = [f"{name}=={version}" for name, version in sorted(pins.items(), key=lambda pin: canonicalize_name(pin[0]))]
    (ROOT / "requirements.txt").write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"requirements.txt: {len(lines)} packages pinned")
    return 0


if __name__ == "__main__":
    sys.exit(main())
