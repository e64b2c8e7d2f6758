"""Run chapters from top to bottom in a fresh kernel, and keep their outputs in the notebooks.

Outputs change only where they say something else: an image with the same pixels keeps its old bytes, and text that
differs in addresses or times alone stays as it was. The time that a chapter took goes into ``mechanisms.toml``.
"""

import argparse
import base64
import configparser
import io
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from PIL import Image, ImageChops

from tools.chapters import METADATA, ROOT, chapters, read, text

SANITIZE = ROOT / "tests" / "notebooks" / "sanitize.cfg"
#: What a run is given, here and where the outputs are checked. One thread: sums come out the same however many cores
#: there are, small networks are hardly slower for it, and two chapters can be checked side by side. Live pictures are
#: kept as data: the book brings their script.
ENVIRONMENT = {"ATTENTION_BUDGET": "cpu", "OMP_NUM_THREADS": "1", "ATTENTION_LIVE_WITHOUT_SCRIPT": "1"}
KEPT = ("tags", "mystnb")
LIMIT = 60


def sanitizers(path: Path = SANITIZE) -> list[tuple[re.Pattern[str], str]]:
    """Read the patterns that the strict comparison of outputs overlooks."""
    parser = configparser.RawConfigParser()
    parser.read(path, encoding="utf-8")
    return [(re.compile(parser[name]["regex"]), parser[name]["replace"]) for name in parser.sections()]


def clean(notebook: nbformat.NotebookNode) -> None:
    """Remove what a front end or a run leaves behind: widgets, timings, scroll positions."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in KEPT if cell.metadata.get(key)})


def keep(old: list, new: list, patterns: list[tuple[re.Pattern[str], str]]) -> list:
    """Choose the outputs of a cell: the old ones as far as the new ones say the same.

    :param old: the outputs that the notebook had.
    :param new: the outputs of the run.
    :param patterns: what a comparison of text overlooks.
    :returns: as many outputs as ``new`` has.
    """
    if len(old) != len(new):
        return new
    return [was if _same(was, now, patterns) else now for was, now in zip(old, new, strict=True)]


def _same(old, new, patterns) -> bool:
    def plain(output) -> dict:
        bundle = {key: value for key, value in output.get("data", {}).items() if not key.startswith("image/")}
        said = {"data": bundle, **{key: output.get(key) for key in ("output_type", "name", "text", "metadata")}}
        words = repr(said)
        for pattern, replacement in patterns:
            words = pattern.sub(replacement, words)
        return {"words": words, "images": sorted(key for key in output.get("data", {}) if key.startswith("image/"))}

    if plain(old) != plain(new):
        return False
    return all(_same_image(key, old["data"][key], new["data"][key]) for key in plain(new)["images"])


def _same_image(kind: str, old: str, new: str) -> bool:
    if old == new or kind != "image/png":
        return old == new
    before, after = (Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA") for data in (old, new))
    return before.size == after.size and ImageChops.difference(before, after).getbbox(alpha_only=False) is None


def run(path: Path) -> float:
    """Execute a notebook in place, from its own folder.

    :param path: the notebook.
    :returns: the seconds that it took, the start of the kernel included.
    :raises CellExecutionError: where a cell fails; the file is then left as it was.
    """
    notebook = read(path)
    before = [cell.get("outputs", []) for cell in notebook.cells]
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        coalesce_streams=True,
    )
    total = sum(cell.cell_type == "code" for cell in notebook.cells)
    began = time.monotonic()

    def progress(cell: nbformat.NotebookNode, cell_index: int) -> None:
        done = sum(c.cell_type == "code" for c in notebook.cells[:cell_index])
        if sys.stdout.isatty():
            print(f"\r  cell {done + 1} of {total}, {time.monotonic() - began:.0f} s ", end="", flush=True)

    client.on_cell_start = progress
    client.execute()
    seconds = time.monotonic() - began
    patterns = sanitizers()
    for cell, old in zip(notebook.cells, before, strict=True):
        if cell.cell_type == "code":
            cell.outputs = keep(old, cell.outputs, patterns)
    clean(notebook)
    path.write_text(text(notebook), encoding="utf-8")
    return seconds


def state_seconds(toml: str, name: str, seconds: float) -> str:
    """Put a chapter's running time, rounded up to 5 s, into the text of ``mechanisms.toml``.

    A time within a quarter, or 5 s, of the one that stands there changes nothing: machines differ.

    :raises ValueError: where the chapter's entry has no line ``seconds = …``.
    """
    found = re.search(rf"^\[{re.escape(name)}\]\n(?:(?!\[).*\n)*?seconds = (\d+)$", toml, re.MULTILINE)
    if not found:
        raise ValueError(f"mechanisms.toml: [{name}] has no line 'seconds = …'")
    stated = int(found[1])
    if stated and abs(seconds - stated) <= max(5, stated / 4):
        return toml
    return f"{toml[: found.start(1)]}{max(5, 5 * math.ceil(seconds / 5))}{toml[found.end(1) :]}"


def _explain(problem: Exception) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", str(problem))


def main(arguments: list[str] | None = None) -> int:
    """Run one chapter, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="?", default="", help="one chapter; all without it")
    given = parser.parse_args(arguments)
    try:
        chosen = chapters(ROOT, given.name)
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    status = 0
    for name, path in chosen.items():
        print(f"{name}: running {path.relative_to(ROOT).as_posix()}", flush=True)
        before = path.read_bytes()
        try:
            seconds = run(path)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as problem:
            print(f"\n{name}: a cell failed; the notebook is left as it was\n\n{_explain(problem)}", file=sys.stderr)
            status = 1
            continue
        same = "nothing changed" if path.read_bytes() == before else "outputs changed"
        print(f"\r{name}: {seconds:.0f} s, {same}", flush=True)
        if seconds > LIMIT:
            print(f"{name}: more than the {LIMIT} s that a chapter may take", file=sys.stderr)
            status = 1
        toml = ROOT / "attention" / "mechanisms.toml"
        stated = toml.read_text(encoding="utf-8")
        toml.write_text(state_seconds(stated, name, seconds), encoding="utf-8")
    # In a process of its own: this one has read the running times as they were.
    return subprocess.run([sys.executable, "-m", "tools.writing.sync"], cwd=ROOT, check=False).returncode or status


if __name__ == "__main__":
    sys.exit(main())
