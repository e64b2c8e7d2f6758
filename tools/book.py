"""Build the book into ``_build/html``, strictly: every warning is an error.

Sphinx rebuilds the pages whose own source changed. It does not see a change in our extension, in the package that
the API page describes, or in what the tables are made from; nor does it warn again about a page that it has read
in a build that failed. In those cases everything is built afresh. Two builds of one folder take turns: each would
take the other's half-written pages for its own.
"""

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there is nothing to wait with
    fcntl = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
#: What Python is given to run Jupyter Book.
JUPYTER_BOOK = ("-c", "import sys; from jupyter_book.cli.main import main; sys.argv[0] = 'jupyter-book'; main()")
#: What every page may depend on. A directory stands for all files below it.
SHARED = (
    "_config.yml",
    "_toc.yml",
    "settings.toml",
    "requirements.txt",
    "requirements-book.in",
    "attention",
    "book",
    "tools/book.py",
    "tools/chapters.py",
)
#: Of these, the files whose changes Sphinx sees by itself.
SEEN = {".md", ".ipynb"}


def fingerprint(root: Path, shared: tuple[str, ...] = SHARED) -> str:
    """Hash the names and contents of all that the pages share.

    :param root: the top of the repository.
    :param shared: files and directories, relative to it.
    """
    digest = hashlib.sha256()
    for name in shared:
        top = root / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            hidden = "__pycache__" in path.parts or path.suffix in SEEN
            if path.is_file() and not hidden:
                digest.update(path.relative_to(root).as_posix().encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(_pages(root).encode())
    return digest.hexdigest()


def _pages(root: Path) -> str:
    """Name all pages: one that came or went changes the contents of the others."""
    found = [*root.glob("notebooks/**/*.ipynb"), *root.glob("book/**/*.md")]
    return "\0".join(
        sorted(path.relative_to(root).as_posix() for path in found if ".ipynb_checkpoints" not in path.parts)
    )


def forget(build: Path) -> None:
    """Remove what an earlier build left, so that the next one begins afresh."""
    for name in ("html", ".doctrees", ".jupyter_cache", "jupyter_execute"):
        shutil.rmtree(build / name, ignore_errors=True)


@contextmanager
def alone(build: Path) -> Iterator[None]:
    """Wait until no other process builds into a folder, and keep others waiting.

    :param build: the folder. It is free again when the process ends, however that happens.
    """
    build.mkdir(exist_ok=True)
    with (build / "book.lock").open("w") as lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"Another build writes into {build}: this one waits until it has ended.", flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Build when no other build does, say how long it took, and where the book is."""
    with alone(BUILD):
        return _build()


def _build() -> int:
    began = time.monotonic()
    mark = BUILD / "book.sha256"
    wanted = fingerprint(ROOT)
    if not mark.exists() or mark.read_text() != wanted:
        forget(BUILD)
    mark.unlink(missing_ok=True)  # comes back when the build has succeeded
    command = [sys.executable, *JUPYTER_BOOK, "build", ".", "-W", "-n", "--keep-going"]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    seconds = time.monotonic() - began
    if status:
        print(f"\nThe book has warnings or errors, listed above ({seconds:.0f} s).", file=sys.stderr)
        return 1
    mark.write_text(wanted)
    print(f"\nThe book is ready ({seconds:.0f} s). Open {(BUILD / 'html' / 'index.html').as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
