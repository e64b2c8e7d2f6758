"""Run a chapter's recorded comparison and write its JSON: ``python tools/record.py se``."""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a machine that only records need not install the package

from attention.lab import record  # noqa: E402
from attention.lab.session import budget  # noqa: E402


def find(name: str, root: Path = ROOT) -> Path:
    """Return the script of a chapter.

    :raises SystemExit: where there is none, naming those there are.
    """
    scripts = {path.name.removesuffix(".record.py"): path for path in root.glob("notebooks/*/*.record.py")}
    if name not in scripts:
        raise SystemExit(f"{name!r} has no recording; there are: {', '.join(sorted(scripts)) or 'none'}")
    return scripts[name]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="", help="the chapter")
    parser.add_argument("--budget", choices=("smoke", "cpu", "gpu"), help="default: gpu where there is one, else cpu")
    parser.add_argument("--target", type=Path, help="default: <name>.record.json beside the chapter")
    parser.add_argument("--commit", help="of the code, for a copy without its history; default: what git says")
    asked = parser.parse_args(words)
    path = find(asked.name)
    target = asked.target or path.with_suffix(".json")
    chosen = budget(asked.budget)
    if not chosen.judges and not asked.target:
        raise SystemExit(f"a run of budget {chosen.name!r} is no record; to see that it runs, give it a --target")
    module = record.script(path)
    files = [*module.CODE, path.relative_to(ROOT).as_posix()]
    print(f"recording {asked.name}, budget {chosen.name}", flush=True)
    began = time.perf_counter()
    experiment = module.run(chosen)
    seconds = time.perf_counter() - began
    record.write(target, experiment, files, chosen=chosen, seconds=seconds, commit=asked.commit, root=ROOT)
    print(f"{record.origin(record.load(target))}\nwritten: {target}")


if __name__ == "__main__":
    main()
