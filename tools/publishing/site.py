"""Lay beside the built book what is published with it, the package's wheel and the Colab edition, and check the whole.

A site is complete where every link of it that stays on it leads somewhere: relative links, its own address wherever it
is written out, and the addresses at which Colab opens what is published here. :func:`problems` says what is not so.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

import attention
from tools.chapters import ROOT, Settings, read, settings, wheel_name, written

#: Bytes. A clone brings the published branch along: the theme and MathJax, the wheel, and about 1 MB a chapter.
LIMIT = 40_000_000
#: Attributes that lead somewhere.
LEADING = (("a", "href"), ("img", "src"), ("link", "href"), ("script", "src"), ("meta", "content"))


def build(source: Path, into: Path, kind: str) -> None:
    """Build an sdist or a wheel from a folder, with what is installed here.

    :param source: the folder; files may be left behind in it.
    :param into: what receives the file.
    :param kind: ``sdist`` or ``wheel``.
    :raises RuntimeError: where that fails.
    """
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(into), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{kind} could not be built:\n{(done.stdout + done.stderr)[-3000:]}")


def build_wheel(root: Path, into: Path) -> Path:
    """Build the package's wheel with what is installed here.

    :param root: the top of the repository.
    :param into: the folder that receives it.
    :returns: the wheel.
    :raises RuntimeError: where that fails, or the wheel has not the name under which chapters install it.
    """
    with tempfile.TemporaryDirectory() as folder:
        # From a copy, so that nothing of an earlier build gets in and none is left behind.
        copy = Path(folder) / "source"
        copy.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT"):
            shutil.copy(root / name, copy)
        shutil.copytree(root / "attention", copy / "attention", ignore=shutil.ignore_patterns("__pycache__"))
        build(copy, into, "wheel")
    wheel = into / wheel_name(attention.__version__)
    if not wheel.exists():
        raise RuntimeError(f"no {wheel.name} came out, but {[path.name for path in into.glob('*.whl')]}")
    return wheel


# --- addresses ----------------------------------------------------------------------------------------------------


def placeholders(where: Settings) -> list[str]:
    """Name the addresses that stand in for ones to come; to publish under them would lead every reader nowhere."""
    return [f"{name} = {getattr(where, name)}" for name in where.placeholders]


def own_domain(where: Settings) -> str:
    """Return the host that GitHub Pages must be told of, in the file ``CNAME``; empty for one of its own.

    A book below a path of another site is found by that site's file.
    """
    parts = urlsplit(where.site)
    host = parts.hostname or ""
    return "" if host.endswith(".github.io") or parts.path.strip("/") else host


# --- links --------------------------------------------------------------------------------------------------------


def pages(site: Path) -> list[Path]:
    """List all pages of a site."""
    return sorted(path for path in site.rglob("*.html") if not {"_static", "_sources"} & set(path.parts))


@cache
def soup(path: Path) -> BeautifulSoup:
    """Parse a page."""
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def broken_links(path: Path, site: Path, top: str = "/") -> list[str]:
    """Find links, images, styles and scripts of a page that lead to no file or no anchor of the site.

    :param path: the page.
    :param site: the site's folder.
    :param top: the site's path on its host, with a slash at both ends.
    """
    found = []
    for target in _targets(path):
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        file = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
        if parts.path.startswith("/"):
            file = (site / unquote(parts.path).removeprefix(top)).resolve()
        if problem := _broken(file, unquote(parts.fragment), site):
            found.append(f"{path.relative_to(site)}: {problem}: {target}")
    return found


def _targets(path: Path) -> Iterator[str]:
    for tag, key in LEADING:
        for element in soup(path).find_all(tag, attrs={key: True}):
            if tag != "meta" or "://" in element[key]:
                yield element[key]


def _broken(file: Path, anchor: str, site: Path) -> str | None:
    if file.is_dir():
        file /= "index.html"
    if not file.is_relative_to(site) or not file.is_file():
        return "leads to no file"
    if anchor and file.suffix == ".html" and anchor not in _anchors(file):
        return "leads to no anchor"
    return None


@cache
def _anchors(path: Path) -> set[str]:
    return {element["id"] for element in soup(path).find_all(attrs={"id": True})}


def addresses(path: Path) -> Iterator[str]:
    """Yield every address that is written out on a page or in a notebook."""
    if path.suffix == ".html":
        yield from (target for target in _targets(path) if "://" in target)
        return
    for cell in read(path).cells:
        for found in re.findall(r"https?://[^\s\"'<>`)\]}]+", cell.source):
            yield found.rstrip(".,;:")


def published(address: str, where: Settings) -> tuple[str, str] | None:
    """Say which file of the site an address leads to, and which anchor in it.

    :param address: any address.
    :param where: the book's addresses.
    :returns: the path in the site and the anchor; ``None`` for an address that leads elsewhere.
    """
    parts, site = urlsplit(address), urlsplit(where.site)
    top = site.path.rstrip("/") + "/"
    if parts.netloc == site.netloc and f"{parts.path}/".startswith(top):
        return unquote(parts.path).removeprefix(top), unquote(parts.fragment)
    colab = f"https://colab.research.google.com/github/{where.slug}/blob/{where.pages}/"
    return (unquote(address.removeprefix(colab)), "") if address.startswith(colab) else None


# --- the whole ----------------------------------------------------------------------------------------------------


def size(site: Path) -> int:
    """Return the bytes of all files of a site."""
    return sum(path.stat().st_size for path in site.rglob("*") if path.is_file())


def problems(site: Path, where: Settings) -> list[str]:
    """Find what a site lacks, what leads nowhere on it, and whether it is too large.

    :param site: its folder.
    :param where: the book's addresses.
    """
    site = site.resolve()
    top = urlsplit(where.site).path.rstrip("/") + "/"
    found = [problem for page in pages(site) for problem in broken_links(page, site, top)]
    for path in [*pages(site), *sorted((site / "colab").rglob("*.ipynb"))]:
        for address in dict.fromkeys(addresses(path)):
            target = published(address, where)
            if target and (problem := _broken((site / target[0]).resolve(), target[1], site)):
                found.append(f"{path.relative_to(site)}: {problem}: {address}")
    needed = ["index.html", "404.html", ".nojekyll", "_static/card.png", wheel_name(attention.__version__)]
    needed += [f"colab/{entry.family}/{entry.name}.ipynb" for entry in written()]
    needed += ["CNAME"] if own_domain(where) else []
    found += [f"{name} is missing" for name in needed if not (site / name).is_file()]
    found += [f"{path.name} is of another version" for path in site.glob("*.whl") if path.name not in needed]
    if size(site) > LIMIT:
        found.append(f"{size(site) / 1e6:.1f} MB are more than the {LIMIT / 1e6:.0f} MB that a site may have")
    return found


def lay(site: Path, colab: Path, wheel: Path, where: Settings) -> None:
    """Add to a built book what is published with it.

    :param site: the book.
    :param colab: the Colab edition, a folder.
    :param wheel: the package.
    :param where: the book's addresses.
    """
    for old in site.glob("*.whl"):
        old.unlink()
    shutil.copy(wheel, site)
    shutil.rmtree(site / "colab", ignore_errors=True)
    shutil.copytree(colab, site / "colab")
    (site / ".nojekyll").touch()  # GitHub Pages would else leave out folders that begin with an underscore
    (site / "CNAME").unlink(missing_ok=True)
    if domain := own_domain(where):
        (site / "CNAME").write_text(f"{domain}\n", encoding="utf-8")


def main() -> int:
    """Add to the built book what is published with it, and check it all."""
    site, colab, where = ROOT / "_build" / "html", ROOT / "_build" / "colab", settings()
    if not (site / "index.html").exists() or not colab.exists():
        print("there is no book yet, or no Colab edition: make site", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        lay(site, colab, build_wheel(ROOT, Path(folder)), where)
    if found := problems(site, where):
        print("\n".join(["the site is not complete:", *found]), file=sys.stderr)
        return 1
    print(f"the site is in _build/html: {size(site) / 1e6:.1f} MB, with the wheel and the Colab edition")
    return 0


if __name__ == "__main__":
    sys.exit(main())
