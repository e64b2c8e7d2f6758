"""Check all of a release that can be checked on one's own machine, and build its files into ``_build/dist``.

``make release-check`` builds the site and the assignments first. What is checked is the working tree; a release is
made from a commit, so uncommitted changes are pointed out. Placeholders among the public addresses are pointed out as
well, and are a failure with ``--public``, as in the workflow that publishes.
"""

import argparse
import email
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from packaging.version import InvalidVersion, Version

from tools.chapters import ROOT, settings, wheel_name
from tools.publishing.site import LIMIT, build, placeholders, problems, size

#: Bytes. Colab fetches the wheel at the start of every chapter.
WHEEL_LIMIT = 8_000_000
DISTRIBUTION = "attention_block_by_block"
_LICENCES = ("LICENSE", "LICENSE-TEXT")
_WHEEL = re.compile(rf"{DISTRIBUTION}-([\w.+!]+?)-py3-none-any\.whl")
#: What wheel and sdist hold besides the package's own files.
_ABOUT = {"METADATA", "WHEEL", "RECORD", "top_level.txt", *[f"licenses/{name}" for name in _LICENCES]}
_SOURCES = {"pyproject.toml", "MANIFEST.in", "README.md", *_LICENCES}
_GENERATED = re.compile(r"PKG-INFO|setup\.cfg|[\w.]+\.egg-info/.+")
#: Imports every module of the package from where it was installed; the arguments are that place and the version.
_IMPORT = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import attention
assert attention.__file__.startswith(sys.argv[1]), attention.__file__
assert attention.__version__ == sys.argv[2], attention.__version__
modules = [m.name for m in pkgutil.walk_packages(attention.__path__, "attention.") if not m.name.endswith("__main__")]
for name in modules:
    importlib.import_module(name)
from attention.lab import record
for name in sys.argv[3:]:
    record.load(name)
print(len(modules) + 1, "modules,", len(sys.argv[3:]), "records")
"""


@dataclass
class Outcome:
    """What came of one check.

    :param faults: what is wrong; the check has failed where there are any.
    :param warnings: what must be seen to before a release, but may be so here.
    :param note: one line for the table, where all is well.
    """

    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    note: str = ""


# --- the version --------------------------------------------------------------------------------------------------


def version(root: Path) -> str:
    """Read the one place that holds the version: ``attention/__init__.py``.

    :raises ValueError: where it has no such line.
    """
    found = re.search(r'^__version__ = "(.+)"$', (root / "attention" / "__init__.py").read_text(), re.MULTILINE)
    if not found:
        raise ValueError('attention/__init__.py has no line __version__ = "…"')
    return found[1]


def notes(root: Path, of: str) -> str:
    """Return what ``CHANGELOG.md`` says of a version; empty where it says nothing."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(of)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def tracked(root: Path) -> list[Path]:
    """List the files of the working tree, those that git has been told of and those that it has not, but no ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return [root / name for name in sorted(set(done.stdout.split("\0")) - {""}) if (root / name).is_file()]


def check_version(root: Path, built: Path, tag: str = "") -> Outcome:
    """Check that every place that states the version states the same, written as packages write it.

    :param root: the top of the repository.
    :param built: the folder of what is built: generated notebooks in it are searched too.
    :param tag: the release's tag, if there is one.
    """
    now, faults = version(root), []
    try:
        if str(Version(now)) != now:
            faults.append(f"{now} would be written {Version(now)}, and the wheel would have another name")
    except InvalidVersion:
        faults.append(f"{now} is not a version")
    cited = re.search(r'^version: "(.+)"$', (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    if not cited or cited[1] != now:
        faults.append(f"CITATION.cff states {cited[1] if cited else 'none'}, not {now}")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if "version" in project:
        faults.append(f"pyproject.toml states {project['version']} itself")
    if not notes(root, now):
        faults.append(f"CHANGELOG.md has no section ## {now}")
    if tag and tag != f"v{now}":
        faults.append(f"the tag is {tag}, not v{now}")
    found = list(_wheels_named(root, built))
    faults += [f"{where} names the wheel of {other}" for where, other in found if other != now]
    made = {path.name: _made_with(path) - {now} for path in tracked(root) if path.suffix == ".ipynb"}
    warnings = [
        f"{name} shows what {', '.join(sorted(old))} put out: make execute" for name, old in made.items() if old
    ]
    return Outcome(faults, warnings, note=f"{now}, in {len(found)} notebooks and uploads, and elsewhere")


def _wheels_named(root: Path, built: Path) -> Iterator[tuple[str, str]]:
    """Yield every notebook that names a wheel of ours and every upload that holds one, with the wheel's version."""
    own = [path for path in tracked(root) if path.suffix == ".ipynb"]
    for path in [*own, *sorted(built.glob("colab/**/*.ipynb")), *sorted(built.glob("assignments/*/*"))]:
        if path.suffix == ".zip":
            text = "\n".join(zipfile.ZipFile(path).namelist())
        else:
            text = path.read_text(encoding="utf-8")
        for other in sorted(set(_WHEEL.findall(text))):
            yield path.relative_to(root).as_posix(), other


def _made_with(notebook: Path) -> set[str]:
    """Return the versions that a notebook's outputs say they were made with."""
    return set(re.findall(r'^\s*"attention (\d\S*) · torch ', notebook.read_text(encoding="utf-8"), re.MULTILINE))


# --- wheel and sdist ----------------------------------------------------------------------------------------------


def export(root: Path, into: Path) -> None:
    """Copy the files of the working tree, and nothing that was built or is ignored."""
    for path in tracked(root):
        target = into / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())


def contents(path: Path) -> dict[str, bytes]:
    """Return the files of a wheel, or of an sdist without its top folder, by name."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist() if not name.endswith("/")}
    with tarfile.open(path) as sdist:
        files = [member for member in sdist.getmembers() if member.isfile()]
        return {member.name.partition("/")[2]: sdist.extractfile(member).read() for member in files}


def package_files(root: Path) -> dict[str, bytes]:
    """Return what the package consists of, by its name in the wheel."""
    names = {path: path.relative_to(root) for path in tracked(root)}
    return {name.as_posix(): path.read_bytes() for path, name in names.items() if name.parts[0] == "attention"}


def differences(name: str, is_so: dict[str, bytes], should_be: dict[str, bytes]) -> list[str]:
    """Name the files that one set lacks, has too many, or has with another content."""
    faults = [f"{name} lacks {file}" for file in sorted(should_be.keys() - is_so.keys())]
    faults += [f"{name} holds {file}, which does not belong there" for file in sorted(is_so.keys() - should_be.keys())]
    common = sorted(is_so.keys() & should_be.keys())
    return faults + [f"{name}: {file} has another content" for file in common if is_so[file] != should_be[file]]


def check_wheel(wheel: Path, root: Path) -> Outcome:
    """Check that a wheel holds the whole package and nothing else, and says the right things of itself."""
    now, held = version(root), contents(wheel)
    about = f"{DISTRIBUTION}-{now}.dist-info/"
    faults = [] if wheel.name == wheel_name(now) else [f"{wheel.name} should be called {wheel_name(now)}"]
    own = {name: content for name, content in held.items() if not name.startswith(about)}
    faults += differences("the wheel", own, package_files(root))
    said = {name.removeprefix(about) for name in held.keys() - own.keys()}
    faults += [f"the wheel lacks {about}{name}" for name in sorted(_ABOUT - said)]
    faults += [f"the wheel holds {about}{name}, which does not belong there" for name in sorted(said - _ABOUT)]
    if "METADATA" in said:
        faults += _metadata(held[f"{about}METADATA"], now, "METADATA")
    if wheel.stat().st_size > WHEEL_LIMIT:
        faults.append(f"{wheel.stat().st_size / 1e6:.1f} MB are more than the {WHEEL_LIMIT / 1e6:.0f} MB allowed")
    return Outcome(faults, note=f"{len(held)} files, {wheel.stat().st_size / 1e6:.1f} MB")


def check_sdist(sdist: Path, root: Path) -> Outcome:
    """Check that an sdist holds what a wheel is built from and nothing else."""
    now, held = version(root), contents(sdist)
    faults = [] if sdist.name == f"{DISTRIBUTION}-{now}.tar.gz" else [f"{sdist.name} is not of version {now}"]
    names = (path.relative_to(root) for path in tracked(root))
    wanted = {
        name.as_posix(): (root / name).read_bytes()
        for name in names
        if name.as_posix() in _SOURCES or name.parts[0] == "attention"
    }
    own = {name: content for name, content in held.items() if not _GENERATED.fullmatch(name)}
    faults += differences("the sdist", own, wanted)
    if "PKG-INFO" in held:
        faults += _metadata(held["PKG-INFO"], now, "PKG-INFO")
    else:
        faults.append("the sdist lacks PKG-INFO")
    return Outcome(faults, note=f"{len(held)} files, {sdist.stat().st_size / 1e6:.1f} MB")


def _metadata(content: bytes, now: str, name: str) -> list[str]:
    said = email.message_from_bytes(content)
    wanted = {"Name": DISTRIBUTION.replace("_", "-"), "Version": now, "License-Expression": "MIT AND CC-BY-4.0"}
    faults = [f"{name}: {key} is {said[key]}, not {value}" for key, value in wanted.items() if said[key] != value]
    if any(re.search("==|<", line.partition(";")[0]) for line in said.get_all("Requires-Dist", [])):  # not of markers
        faults.append(f"{name} asks for more than lower bounds")
    return faults


def check_same(wheel: Path, sdist: Path) -> Outcome:
    """Check that the wheel that is built from the sdist, in an empty folder, is the one that the tree gives."""
    with tempfile.TemporaryDirectory() as folder:
        top, out = Path(folder, "source"), Path(folder, "out")
        for name, content in contents(sdist).items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(content)
        build(top, out, "wheel")
        found = next(out.glob("*.whl"))
        faults = [] if found.name == wheel.name else [f"the sdist gives {found.name}"]
        faults += differences("the wheel from the sdist", contents(found), contents(wheel))
    return Outcome(faults, note="the same files, byte for byte")


def check_install(wheel: Path, root: Path) -> Outcome:
    """Install the wheel as a chapter does, into an empty folder, and import every module from there."""
    from attention.lab.record import called

    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run([*pip, "--no-index", "--target", folder, str(wheel)], capture_output=True, text=True)
        if done.returncode:
            return Outcome([f"it does not install: {done.stderr.strip()[-500:]}"])
        held = map(PurePosixPath, contents(wheel))
        records = [called(Path(name)) for name in held if name.match("attention/experiments/*/record*.json")]
        command = [sys.executable, "-P", "-c", _IMPORT, folder, version(root), *records]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        return Outcome([f"it does not import: {done.stderr.strip()[-500:]}"])
    return Outcome(note=done.stdout.strip())


# --- the rest -----------------------------------------------------------------------------------------------------


def check_lint(root: Path) -> Outcome:
    """Run the quick checks: style, and all that is stated in several places in step."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.testing.lint"], cwd=root, capture_output=True, text=True, check=False
    )
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()]
    faults = [line for line in lines if line.startswith("failed")] or lines
    return Outcome([f"{fault}; make lint says more" for fault in faults] if done.returncode else [], note=lines[-1])


def check_site(site: Path, wheel: Path, root: Path) -> Outcome:
    """Check that the built site is complete, and that its wheel is this one."""
    if not (site / "index.html").exists():
        return Outcome(["there is none: make site"])
    where = settings(root)
    faults, published = problems(site, where), site / wheel.name
    if published.exists():
        faults += differences("the site's wheel", contents(published), contents(wheel))
    count = len(list((site / "colab").rglob("*.ipynb")))
    return Outcome(faults, note=f"{size(site) / 1e6:.1f} of {LIMIT / 1e6:.0f} MB, {count} notebooks for Colab")


def check_addresses(root: Path, public: bool) -> Outcome:
    """Check that no public address stands in for one to come; only a warning where nothing is published."""
    found = placeholders(settings(root))
    lines = [f"{line} is a placeholder; to change it: make address SITE=… REPOSITORY=…" for line in found]
    return Outcome(lines if public else [], [] if public else lines, note=settings(root).site)


def check_committed(root: Path) -> Outcome:
    """Point out what no commit holds: it would not be in a release."""
    done = subprocess.run(["git", "status", "--short"], cwd=root, capture_output=True, text=True, check=True)
    changed = done.stdout.splitlines()
    warnings = [f"{len(changed)} files are not as committed; what is checked is the working tree"] if changed else []
    return Outcome(warnings=warnings, note="all is committed")


def checks(root: Path, dist: Path, tag: str, public: bool) -> dict[str, Callable[[], Outcome]]:
    """Return all checks by name, in order. Those of wheel and sdist expect both in ``dist``."""
    site, wheel = root / "_build" / "html", dist / wheel_name(version(root))
    sdist = dist / f"{DISTRIBUTION}-{version(root)}.tar.gz"
    return {
        "committed": lambda: check_committed(root),
        "addresses": lambda: check_addresses(root, public),
        "one version": lambda: check_version(root, root / "_build", tag),
        "quick checks": lambda: check_lint(root),
        "wheel": lambda: check_wheel(wheel, root),
        "sdist": lambda: check_sdist(sdist, root),
        "wheel from sdist": lambda: check_same(wheel, sdist),
        "installed": lambda: check_install(wheel, root),
        "site": lambda: check_site(site, wheel, root),
    }


def table(outcomes: dict[str, Outcome]) -> str:
    """Set what came of the checks as a table, the last line a sum."""
    lines = []
    for name, outcome in outcomes.items():
        word = "failed" if outcome.faults else "warning" if outcome.warnings else "passed"
        first, *others = outcome.faults or outcome.warnings or [outcome.note]
        lines.append(f"{word:<8} {name:<17} {first}")
        lines += [f"{'':<26} {line}" for line in others]
    failed = sum(bool(outcome.faults) for outcome in outcomes.values())
    warned = sum(bool(outcome.warnings and not outcome.faults) for outcome in outcomes.values())
    return "\n".join([*lines, f"{len(outcomes) - failed} passed, {warned} of them with a warning, {failed} failed"])


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Build what a release consists of, and check everything."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tag", default="", help="the release's tag, such as v0.1.0")
    parser.add_argument("--public", action="store_true", help="placeholders among the addresses are a failure")
    given = parser.parse_args(arguments)
    dist = root / "_build" / "dist"
    dist.mkdir(parents=True, exist_ok=True)
    for old in dist.iterdir():
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        export(root, Path(folder))
        build(Path(folder), dist, "sdist")
    with tempfile.TemporaryDirectory() as folder:  # another copy: the first holds what the sdist left behind
        export(root, Path(folder))
        build(Path(folder), dist, "wheel")
    (dist / "NOTES.md").write_text(notes(root, version(root)) + "\n", encoding="utf-8")
    outcomes = {}
    for name, check in checks(root, dist, given.tag, given.public).items():
        try:
            outcomes[name] = check()
        except (OSError, RuntimeError, ValueError, subprocess.CalledProcessError) as problem:
            outcomes[name] = Outcome([str(problem)])
    print(table(outcomes))
    return 1 if any(outcome.faults for outcome in outcomes.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
