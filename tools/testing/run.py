"""Run every lane of tests, whatever the others did, and say what failed and where the time went.

``python -m tools.testing.run`` runs all lanes, as many side by side as there are cores; ``python -m tools.testing.run
units book`` runs the ones named; ``--chapter cbam`` runs what concerns one chapter, in every lane.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from tools.chapters import written
from tools.testing.lanes import ROOT, Lane, cores, lanes
from tools.testing.table import Result, by_chapter, read, stated, summary

REPORTS = ROOT / "_build" / "tests"


def run(name: str, lane: Lane) -> tuple[Result, str]:
    """Run one lane.

    :returns: what came of it, and what it printed.
    """
    report = REPORTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    command = [*lane.command, f"--junitxml={report}"] if lane.pytest else list(lane.command)
    began = time.monotonic()
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | lane.environment
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        except OSError as problem:
            output.write(f"{command[0]}: {problem.strerror}\n".encode())
            status, cpu = 1, 0.0
        else:
            _, code, usage = os.wait4(process.pid, 0)
            status = process.returncode = os.waitstatus_to_exitcode(code)
            cpu = usage.ru_utime + usage.ru_stime
        output.seek(0)
        printed = output.read().decode(errors="replace")
    seconds = time.monotonic() - began
    if lane.pytest:
        passed, failed, skipped, spent = read(report)
    else:
        (passed, failed, skipped), spent = stated(printed[-2000:], status), {}
    if status and not failed:  # pytest itself ended badly: nothing collected, an internal error, an interrupt
        failed = 1
    return Result(passed, failed, skipped, seconds, status, cpu, spent), printed


def side_by_side(chosen: Mapping[str, Lane], at_once: int) -> dict[str, Result]:
    """Run lanes, several at once; what a lane printed is shown when it is over.

    :param chosen: the lanes, in the order in which they start. A lane waits for those that it names, if they run too.
    :param at_once: how many run at a time.
    :returns: the results, in the order of the lanes.
    """
    waiting, running, results = dict(chosen), {}, {}
    with ThreadPoolExecutor(at_once) as pool:
        while waiting or running:
            free = [
                name
                for name, lane in waiting.items()
                if not any(before in waiting or before in running.values() for before in lane.after)
            ]
            for name in free[: at_once - len(running)]:
                print(f"── {name} begins: {waiting[name].about}", flush=True)
                running[pool.submit(run, name, waiting.pop(name))] = name
            done: set[Future] = wait(running, return_when=FIRST_COMPLETED).done
            for future in done:
                name = running.pop(future)
                results[name], printed = future.result()
                state = "passed" if results[name].ok else "failed"
                print(f"\n── {name} {state} after {results[name].seconds:.0f} s\n{printed}", flush=True)
    return {name: results[name] for name in chosen}


def main(words: list[str] | None = None) -> int:
    """Run lanes and print the summary.

    :param words: by default those of the command line.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lanes", nargs="*", help="names of lanes; none means all")
    parser.add_argument("--chapter", default="", help="only what concerns this chapter")
    asked = parser.parse_args(words)
    if asked.chapter not in ("", *(entry.name for entry in written())):
        names = ", ".join(entry.name for entry in written())
        print(f"NAME={asked.chapter!r} is not a written chapter; written: {names}", file=sys.stderr)
        return 2
    available = cores()
    at_once = min(2, available)
    known = lanes(asked.chapter, workers=max(1, available // 2))
    unknown = [name for name in asked.lanes if name not in known]
    if unknown:
        print(f"no lane is called {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    REPORTS.mkdir(parents=True, exist_ok=True)
    chosen = {name: lane for name, lane in known.items() if not asked.lanes or name in asked.lanes}
    began = time.monotonic()
    results = side_by_side(chosen, at_once)
    whole = not asked.lanes and not asked.chapter
    growing = {name for name, lane in known.items() if lane.grows and lane.pytest}
    print(by_chapter(results, growing, whole=whole))
    print(summary(results, {name: lane.about for name, lane in known.items()}, time.monotonic() - began), flush=True)
    return 0 if all(result.ok for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
