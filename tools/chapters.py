"""What the tools share: where chapters are, how they are read and written, and the book's addresses."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import nbformat

from attention import registry
from attention.registry import Entry

ROOT = Path(__file__).resolve().parent.parent
#: The sections of a chapter after its head, in order.
SECTIONS = (
    "The question",
    "Derivation",
    "Step by step",
    "Shapes",
    "Cost",
    "Experiment",
    "What it looks at",
    "In the wild",
    "Exercises",
    "Summary and references",
)
CARD = ("<!-- card: begin -->", "<!-- card: end -->")
#: The tags of the set-up cell, of which the book shows nothing, and of the cell with the live picture.
SETUP_TAGS = ("setup", "remove-cell", "nbval-ignore-output")
LIVE_TAGS = ("live", "nbval-ignore-output", "remove-input")
#: The tag of a cell that is folded: a closed panel in the book, a form in Colab.
FOLDED = "hide-input"
#: A chapter's only metadata: which kernel runs it, in which language it is.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True)
class Settings:
    """The addresses of ``settings.toml``."""

    site: str
    repository: str
    branch: str
    pages: str

    @property
    def slug(self) -> str:
        """The repository's owner and name."""
        return self.repository.removeprefix("https://github.com/")

    @property
    def placeholders(self) -> list[str]:
        """Which of the addresses stand in for ones to come: ``site``, ``repository``, both or none."""
        found = ["site"] if (urlsplit(self.site).hostname or "").endswith(".example") else []
        return found + (["repository"] if self.slug.startswith("your_name/") else [])

    def wheel(self, version: str) -> str:
        """Return the address of the package's wheel, which is published beside the book."""
        return f"{self.site}/{wheel_name(version)}"

    def colab(self, entry: Entry) -> str:
        """Return the address at which a chapter's Colab edition opens."""
        where = f"{self.slug}/blob/{self.pages}/colab/{entry.family}/{entry.name}.ipynb"
        return f"https://colab.research.google.com/github/{where}"

    def page(self, document: str) -> str:
        """Return the address of a page of the book: ``page("notebooks/channel/se")``."""
        return f"{self.site}/{document}.html"


def settings(root: Path = ROOT) -> Settings:
    """Read the addresses.

    :raises ValueError: where one is missing or unknown.
    """
    found = tomllib.loads((root / "settings.toml").read_text(encoding="utf-8"))
    if set(found) != set(Settings.__dataclass_fields__):
        raise ValueError(f"settings.toml holds {sorted(found)}; it should hold {sorted(Settings.__dataclass_fields__)}")
    return Settings(**found)


def wheel_name(version: str) -> str:
    """Return the file name of the package's wheel."""
    return f"attention_block_by_block-{version}-py3-none-any.whl"


def notebook_path(entry: Entry, root: Path = ROOT) -> Path:
    """Return where a mechanism's chapter is, or will be."""
    return root / f"{entry.document}.ipynb"


def written() -> list[Entry]:
    """Return the mechanisms whose chapter is written, in the order of the book."""
    return [entry for entry in registry.chapters() if entry.ready]


def chapters(root: Path = ROOT, chosen: str = "") -> dict[str, Path]:
    """Return the notebooks of all written chapters by name, in the order of the book.

    :param root: the top of the repository.
    :param chosen: only this one.
    :raises ValueError: for a name that is not a written mechanism.
    """
    found = {entry.name: notebook_path(entry, root) for entry in written()}
    if not chosen:
        return found
    if chosen not in found:
        raise ValueError(f"NAME={chosen!r} is not a written chapter; written: {', '.join(found)}")
    return {chosen: found[chosen]}


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook."""
    return nbformat.read(path, as_version=4)


def text(notebook: nbformat.NotebookNode) -> str:
    """Return a notebook as it is written to its file."""
    return nbformat.writes(notebook, version=4) + "\n"


def tags(cell: nbformat.NotebookNode) -> list[str]:
    """Return a cell's tags."""
    return cell.metadata.get("tags", [])


def title(cell: nbformat.NotebookNode) -> str:
    """Return the title of a folded cell, which the book's panel and Colab's form show; empty where it has none."""
    return cell.metadata.get("mystnb", {}).get("code_prompt_show", "")


def live_cell(name: str) -> str:
    """Write the cell that shows a mechanism's live picture."""
    return f'from attention import pictures\nfrom attention.lab import live\n\nlive.show(pictures.make("{name}"))'
