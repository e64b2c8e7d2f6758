"""Run chapters from top to bottom in a fresh kernel, and keep their outputs in the notebooks.

Outputs change only where they say something else: an image that looks the same keeps its old bytes, and text that
differs in addresses or times alone stays as it was. So a chapter that is run again adds nothing to the repository. The
time that a chapter took goes into ``mechanisms.toml``.
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
from PIL import Image, ImageChops, ImageStat

from tools.chapters import METADATA, ROOT, chapters, read, text

SANITIZE = ROOT / "tests" / "notebooks" / "sanitize.cfg"
#: What a run is given, here and where the outputs are checked. One thread: sums come out the same however many cores
#: there are, small networks are hardly slower for it, and two chapters can be checked side by side. Live pictures are
#: kept as data: the book brings their script.
ENVIRONMENT = {"ATTENTION_BUDGET": "cpu", "OMP_NUM_THREADS": "1", "ATTENTION_LIVE_WITHOUT_SCRIPT": "1"}
KEPT = ("tags", "mystnb")
LIMIT = 60
#: What rounding may change in a picture, unseen: units of an SVG, each 1.4 pixels; levels of a colour, of 255; those of
#: a pixel, which may get the next colour of a palette, and of all pixels on average.
PLACES, LEVELS, PIXEL, PIXELS = 0.03, 2, 8, 1.0
#: The types of a figure's form for phones, by their names in its metadata.
NARROW = {"svg": "svg+xml", "png": "png"}
#: What is compared by its value in an SVG: the pixels of a picture, colours, and numbers; not those of a name.
_NAME = re.compile(r"(?<=[\"#])[mph][0-9a-f]{10}(?=[\")])")
_VALUE = re.compile(r"data:image/[^\"]*|#[0-9a-f]{6}\b|(?<![\w#-])-?\d+(?:\.\d+)?(?![\w.])")


def sanitizers(path: Path = SANITIZE) -> list[tuple[re.Pattern[str], str]]:
    """Read the patterns that the strict comparison of outputs overlooks, but for drawings: these are compared here."""
    parser = configparser.RawConfigParser()
    parser.read(path, encoding="utf-8")
    names = (name for name in parser.sections() if name != "drawings")
    return [(re.compile(parser[name]["regex"]), parser[name]["replace"]) for name in names]


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
    before, after = _pictures(old), _pictures(new)
    return (
        _words(old, patterns) == _words(new, patterns)
        and before.keys() == after.keys()
        and all(_same_image(kind, before[place, kind], after[place, kind]) for place, kind in before)
    )


def _words(output, patterns) -> str:
    """Write down all that an output says, but for its pictures."""
    data = {key: value for key, value in output.get("data", {}).items() if not key.startswith("image/")}
    about = {
        key: {name: value for name, value in each.items() if name != "narrow"} if key.startswith("image/") else each
        for key, each in output.get("metadata", {}).items()
    }
    words = repr({"data": data, "about": about, **{key: output.get(key) for key in ("output_type", "name", "text")}})
    for pattern, replacement in patterns:
        words = pattern.sub(replacement, words)
    return words


def _pictures(output) -> dict[tuple[str, str], str]:
    """Find the pictures of an output by place and type: the picture itself, and its form for phones."""
    found = {("wide", key): value for key, value in output.get("data", {}).items() if key.startswith("image/")}
    for key, about in output.get("metadata", {}).items():
        narrow = about.get("narrow", {}) if key.startswith("image/") else {}
        found |= {("narrow", f"image/{NARROW[kind]}"): narrow[kind] for kind in NARROW if kind in narrow}
        found |= {("width", "text/plain"): str(narrow["width"])} if narrow else {}
    return found


def _same_image(kind: str, old: str, new: str) -> bool:
    """Say whether two pictures look the same: they differ at most by what rounding does."""
    if old == new:
        return True
    if kind == "image/svg+xml":
        return _same_drawing(old, new)
    return kind == "image/png" and _same_pixels(old, new)


def _same_drawing(old: str, new: str) -> bool:
    """Compare two SVGs: the same but for places, by less than anybody sees, for colours, and for pixels."""
    old, new = (_NAME.sub("name", text) for text in (old, new))  # made of the numbers of what they name
    if _VALUE.sub("", old) != _VALUE.sub("", new):
        return False
    return all(_same_value(*each) for each in zip(_VALUE.findall(old), _VALUE.findall(new), strict=True))


def _same_value(old: str, new: str) -> bool:
    if old == new:
        return True
    if old.startswith("data:") or new.startswith("data:"):
        (one, before), (other, after) = (each.split(",") for each in (old, new))
        return one == other and _same_pixels(before, after)
    if old.startswith("#") or new.startswith("#"):
        return len(old) == len(new) == 7 and all(
            abs(int(old[i : i + 2], 16) - int(new[i : i + 2], 16)) <= LEVELS for i in (1, 3, 5)
        )
    return abs(float(old) - float(new)) <= PLACES + 1e-9


def _same_pixels(old: str, new: str) -> bool:
    """Compare two pictures of pixels."""
    before, after = (Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA") for data in (old, new))
    if before.size != after.size:
        return False
    difference = ImageStat.Stat(ImageChops.difference(before, after))
    return max(high for _, high in difference.extrema) <= PIXEL and max(difference.mean) <= PIXELS


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
    # In a process of its own: this one has read the running times as they were. They stand on these chapters' cards.
    command = [sys.executable, "-m", "tools.writing.sync", *chosen]
    return subprocess.run(command, cwd=ROOT, check=False).returncode or status


if __name__ == "__main__":
    sys.exit(main())
