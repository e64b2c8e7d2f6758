"""Check the links that lead out of the book: every page's, the bibliography's, and those of all other Markdown.

Sphinx' own checker does it. A link is broken where its host says so or cannot be found. Where a host turns robots away,
or is slow, nobody knows: that is printed, and no failure. Needs the network.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import yaml

from tools.book import JUPYTER_BOOK

ROOT = Path(__file__).resolve().parents[2]
#: Most links of the book lead here: where it cannot be reached, there is no network.
PROBE = "https://arxiv.org"
#: What a host answers to a robot that it does not want, or not so often.
TURNED_AWAY = re.compile(r"^(401|403|418|429|999) |^unauthorized|rate.?limit", re.IGNORECASE)
#: Where Markdown of ours is, besides the book's pages.
OTHERS = ("*.md", "assignments/**/*.md", "attention/**/*.md", "benchmarks/**/*.md", "book/**/*.md")
#: How Sphinx reads the other Markdown: with the options of the book that are about links.
CONF = """
import sys
from pathlib import Path

sys.path.insert(0, {extension!r})
from attention_book.addresses import load, unchecked

extensions = ["myst_parser"]
root_doc = "README"
linkcheck_ignore = unchecked(load(Path({root!r})))
globals().update({chosen!r})
"""


@dataclass(frozen=True)
class Link:
    """What the checker says of a link.

    :param where: the file, and the line in it, or in its cell.
    :param address: where it leads.
    :param status: ``working``, ``redirected``, ``broken``, ``timeout``, ``ignored``.
    :param about: what the host answered.
    """

    where: str
    address: str
    status: str
    about: str

    @property
    def unsure(self) -> bool:
        """Whether the host did not let the checker see."""
        return self.status == "timeout" or (self.status == "broken" and bool(TURNED_AWAY.search(self.about)))


def online(address: str = PROBE) -> bool:
    """Say whether a host answers, whatever it answers."""
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=20).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def read(output: Path) -> list[Link]:
    """Read what Sphinx' checker has written.

    :param output: its file ``output.json``: one link a line.
    :raises FileNotFoundError: where it did not get so far.
    """
    entries = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    return [
        Link(f"{entry['filename']}:{entry['lineno']}", entry["uri"], entry["status"], entry["info"])
        for entry in entries
        if entry["uri"].startswith("http")
    ]


def run(command: list[str], root: Path, output: Path) -> list[Link]:
    """Run a checker and read what it found; its status is that of the links, and says nothing more.

    :raises RuntimeError: where it wrote nothing.
    """
    output.unlink(missing_ok=True)
    done = subprocess.run([sys.executable, *command], cwd=root, capture_output=True, text=True, check=False)
    if not output.exists():
        raise RuntimeError(f"the links were not checked:\n{(done.stdout + done.stderr)[-3000:]}")
    return read(output)


def of_the_book(root: Path, build: Path) -> list[Link]:
    """Check the pages of the book, as they are built.

    :param root: the top of the repository.
    :param build: what may be written to.
    """
    command = [*JUPYTER_BOOK, "build", ".", "--builder", "linkcheck", "--path-output", str(build)]
    return run(command, root, build / "_build" / "html" / "output.json")  # so does Jupyter Book call any builder's


def of_the_rest(root: Path) -> list[Link]:
    """Check all other Markdown: the README and what lies beside data, benchmarks and assignments."""
    listed = (root / "_toc.yml").read_text(encoding="utf-8")
    options = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8")).get("sphinx", {}).get("config", {})
    chosen = {key: value for key, value in options.items() if key.startswith("linkcheck_")}
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        for path in sorted({path for pattern in OTHERS for path in root.glob(pattern)}):
            name = path.relative_to(root)
            if name.with_suffix("").as_posix() not in listed:
                (top / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, top / name)
        (top / "conf.py").write_text(CONF.format(extension=str(ROOT / "book" / "_ext"), root=str(root), chosen=chosen))
        return run(["-m", "sphinx", "-q", "-b", "linkcheck", ".", "out"], top, top / "out" / "output.json")


def summary(links: list[Link]) -> str:
    """Say which links are broken, which could not be checked, and how many there are."""
    broken = [link for link in links if link.status == "broken" and not link.unsure]
    unsure = [link for link in links if link.unsure]
    lines = [f"broken   {link.where}  {link.address}\n         {link.about}" for link in broken]
    lines += [f"unsure   {link.where}  {link.address}\n         {link.about}" for link in unsure]
    seen = sum(link.status in ("working", "redirected") for link in links)
    return "\n".join(
        [*lines, f"{seen} links lead somewhere, {len(broken)} are broken, {len(unsure)} could not be seen"]
    )


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Check all links."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args(arguments)
    if not online(PROBE):
        print(f"no network: {PROBE} cannot be reached from here, and no link was checked", file=sys.stderr)
        return 2
    links = sorted({*of_the_book(root, root / "_build" / "links"), *of_the_rest(root)}, key=lambda link: link.where)
    print(summary(links))
    return 1 if any(link.status == "broken" and not link.unsure for link in links) else 0


if __name__ == "__main__":
    sys.exit(main())
