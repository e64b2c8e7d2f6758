"""Colab, as far as a chapter can tell: a kernel on its packages, an empty folder, pip, and ``google.colab``."""

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from tools.environments.colab_environment import FOLDER, site_packages

__all__ = ["Colab", "Run", "contents"]

#: What a fresh Python there finds: packages with version and folder, where it looks, and whether our package is there.
LOOK = """
import importlib.util, json, sys
from importlib.metadata import distributions
found = {}
for one in distributions():
    found.setdefault(one.name, [one.version, str(one.locate_file(""))])
print(json.dumps([found, sys.path, importlib.util.find_spec("attention") is not None]))
"""


@dataclass
class Run:
    """What came of running a notebook.

    :param notebook: with its outputs, as far as it came.
    :param problem: which cell broke, and how; empty where all went well.
    :param before: version and folder of every package, before.
    :param after: the same, afterwards.
    :param path: where Python looked for modules, before.
    :param seconds: that it took.
    """

    notebook: nbformat.NotebookNode
    problem: str
    before: dict[str, list[str]]
    after: dict[str, list[str]]
    path: list[str]
    seconds: float

    @property
    def code(self) -> list[nbformat.NotebookNode]:
        """The cells of code."""
        return _code(self.notebook)

    def installed(self) -> set[str]:
        """Return what is there afterwards and was not there before, or was there otherwise."""
        return {name for name, where in self.after.items() if self.before.get(name) != where} | (
            self.before.keys() - self.after.keys()
        )


class Colab:
    """A machine like those that Colab lends: one environment, and for each notebook a fresh copy of it.

    The copy is an environment of its own that looks for packages in the other one too: what a notebook installs it
    gets alone.

    :param folder: where the copies lie, one a notebook.
    :param environment: what ``tools.environments.colab_environment`` made.
    :param limit: seconds that one cell may take.
    """

    def __init__(self, folder: Path, environment: Path = FOLDER, limit: int = 600) -> None:
        self.folder = folder
        self.environment = environment
        self.limit = limit

    def run(self, name: str, notebook: nbformat.NotebookNode, budget: str) -> Run:
        """Run a notebook alone, from an empty folder.

        :param name: what it is called where it breaks.
        :param notebook: it stays as it is.
        :param budget: ``smoke``, or ``cpu``, which is what a reader without a GPU gets who sets nothing.
        """
        notebook = nbformat.from_dict(notebook)
        here = self.folder / f"{name}-{budget}"
        python = self._copy(here)
        variables = self._variables(here, budget)
        before, path, ours = self._look(python, here, variables)
        assert not ours, f"{name}: the package is there before it is installed"
        began = time.monotonic()
        problem = _execute(name, notebook, here, variables, self.limit)
        seconds = time.monotonic() - began
        after, *_ = self._look(python, here, variables)
        return Run(notebook, problem, before, after, path, seconds)

    def _copy(self, here: Path) -> Path:
        """Make a copy of the environment, an empty folder, and what a kernel of Colab has besides."""
        for part in ("content", "home"):
            (here / part).mkdir(parents=True)
        copy = here / "python"
        base = self.environment / "bin" / "python"
        subprocess.run([base, "-m", "venv", "--without-pip", copy], check=True, env={"PATH": os.environ["PATH"]})
        packages = site_packages(copy)
        (packages / "colab.pth").write_text(f"{site_packages(self.environment)}\n")
        (packages / "google" / "colab").mkdir(parents=True)
        (packages / "google" / "colab" / "__init__.py").write_text('"""A stand-in."""\n')
        startup = here / "home" / ".ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "colab.py").write_text("import google.colab\n")
        kernel = {"argv": [str(copy / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]}
        (here / "kernels" / "python3").mkdir(parents=True)
        (here / "kernels" / "python3" / "kernel.json").write_text(
            json.dumps(kernel | {"display_name": "Python 3", "language": "python"})
        )
        return copy / "bin" / "python"

    def _variables(self, here: Path, budget: str) -> dict[str, str]:
        return {
            "PATH": f"{here / 'python' / 'bin'}:/usr/bin:/bin",
            "HOME": str(here / "home"),
            "LANG": "C.UTF-8",
            "MPLCONFIGDIR": str(self.environment / "matplotlib"),  # its list of fonts takes seconds to make
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
            **({} if budget == "cpu" else {"ATTENTION_BUDGET": budget}),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.environment / "wheels"),
        }

    def _look(self, python: Path, here: Path, variables: dict[str, str]) -> list:
        done = subprocess.run(
            [python, "-c", LOOK], env=variables, cwd=here / "content", capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)


def _code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _execute(name: str, notebook: nbformat.NotebookNode, here: Path, variables: dict[str, str], limit: int) -> str:
    """Run the cells; says which one broke, and how."""
    specs = KernelSpecManager(kernel_dirs=[str(here / "kernels")], ensure_native_kernel=False)
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)
    begun = []
    client = NotebookClient(
        notebook,
        km=kernel,
        timeout=limit,
        resources={"metadata": {"path": str(here / "content")}},
        on_cell_start=lambda cell, cell_index: begun.append(cell),
    )
    try:
        client.execute(env=variables)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as problem:
        broken = begun[-1]
        code = _code(notebook)
        number = next(place for place, cell in enumerate(code, 1) if cell is broken)
        what = (
            f"{problem.ename}: {problem.evalue}" if isinstance(problem, CellExecutionError) else type(problem).__name__
        )
        head = f"{name}: cell {number} of {len(code)} cells of code broke: {what}"
        return re.sub(r"\x1b\[[0-9;]*m", "", f"{head}\n\n{broken.source}\n\n{problem}")
    finally:
        if kernel.has_kernel:
            run_sync(kernel.shutdown_kernel)(now=True)
    return ""


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file in a folder, byte code aside.

    :param folder: an environment's packages.
    """
    found = {}
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            status = os.stat(os.path.join(path, name))
            found[os.path.relpath(os.path.join(path, name), folder)] = (status.st_size, status.st_mtime_ns)
    return found
