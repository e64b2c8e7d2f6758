"""Lay beside the built book what is published with it: the package's wheel and the Colab edition."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import attention
from tools.chapters import ROOT, wheel_name


def build_wheel(root: Path, into: Path) -> Path:
    """Build the package's wheel with what is installed here.

    :param root: the top of the repository.
    :param into: the folder that receives it.
    :returns: the wheel.
    :raises RuntimeError: where the wheel has not the name under which chapters install it.
    """
    with tempfile.TemporaryDirectory() as folder:
        # From a copy, so that nothing of an earlier build gets in and none is left behind.
        copy = Path(folder) / "source"
        copy.mkdir()
        for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "LICENSE-TEXT"):
            shutil.copy(root / name, copy)
        for name in ("attention", "notebooks"):  # of the notebooks' folder the package takes the records
            shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.ipynb"))
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(into), str(copy)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the wheel was not built:\n{done.stdout}{done.stderr}")
    wheel = into / wheel_name(attention.__version__)
    if not wheel.exists():
        raise RuntimeError(f"no {wheel.name} came out, but {[path.name for path in into.glob('*.whl')]}")
    return wheel


def main() -> int:
    """Add to the built book what is published with it."""
    html = ROOT / "_build" / "html"
    if not (html / "index.html").exists():
        print("there is no book yet: make book", file=sys.stderr)
        return 1
    for old in html.glob("*.whl"):
        old.unlink()
    wheel = build_wheel(ROOT, html)
    shutil.rmtree(html / "colab", ignore_errors=True)
    shutil.copytree(ROOT / "_build" / "colab", html / "colab")
    (html / ".nojekyll").touch()  # GitHub Pages would else leave out folders that begin with an underscore
    size = sum(path.stat().st_size for path in html.rglob("*") if path.is_file())
    print(f"the site is in _build/html: {size / 1e6:.0f} MB, with {wheel.name} and the Colab edition")
    return 0


if __name__ == "__main__":
    sys.exit(main())
