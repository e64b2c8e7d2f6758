"""Two tables of ratios: each block's fast form against its literal form, and our blocks against other packages'.

Two sides of a comparison run in one process, in turn, on the same input, and what is reported are ratios: below 1 the
fast form, or ours, is the better one. Forward is measured in eval mode without gradients, forward and backward in
training mode. A block whose ``forward`` is the literal form is named and not measured in the first table.
"""

import argparse
import json
from pathlib import Path

from benchmarks import forms, others
from benchmarks.measuring import SECONDS, SHAPES, SMOKE, THREADS, environment, threads

__all__ = ["main", "report"]

ROOT = Path(__file__).resolve().parent.parent
TABLES = {"forms": forms, "others": others}


def report(result: dict) -> str:
    """Lay out a result as text: the tables that it has.

    :param result: what :func:`main` writes.
    """
    return "\n\n".join(table.report(result[name]) for name, table in TABLES.items() if name in result)


def main(words: list[str] | None = None) -> dict:
    """Measure, print the tables and write the JSON.

    :param words: the arguments; by default those of the command line.
    :returns: what was written.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="mechanisms; by default all")
    parser.add_argument("--table", choices=TABLES, help="measure this one; the other stays in the JSON as it was")
    parser.add_argument("--target", type=Path, default=ROOT / "_build" / "bench.json", help="where the JSON goes")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each comparison, about")
    parser.add_argument("--smoke", action="store_true", help="the smallest sizes, to see that everything runs")
    parser.add_argument("--show", type=Path, help="print the tables of an earlier run, and measure nothing")
    asked = parser.parse_args(words)
    if asked.show:
        result = json.loads(asked.show.read_text(encoding="utf-8"))
        print(report(result))
        return result
    shapes, seconds = (SMOKE, 0) if asked.smoke else (SHAPES, asked.seconds)
    result = {}
    if asked.table and asked.target.exists():
        result = json.loads(asked.target.read_text(encoding="utf-8"))
    with threads(asked.threads):
        for name, table in TABLES.items():
            if asked.table in (None, name):
                measured = table.measure(asked.names or None, shapes, seconds)
                result[name] = {"environment": environment(asked.threads)} | measured
    result = {name: result[name] for name in TABLES if name in result}
    asked.target.parent.mkdir(parents=True, exist_ok=True)
    asked.target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\n{report(json.loads(json.dumps(result)))}")
    return result


if __name__ == "__main__":
    main()
