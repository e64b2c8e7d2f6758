"""The book's addresses: read from ``settings.toml``, the one place that holds them.

Until they are set, placeholders stand there. Then nothing on a page leads to them: links become text, badges and
buttons are left out, and the foot of each page says so in one line.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

from tools.chapters import Settings

__all__ = ["colab", "load", "placeholders", "setup", "unchecked"]

#: What the foot of each page says while an address is a placeholder.
NOTE = "This copy of the book has no public address yet: nothing in it opens in Colab or leads to its sources."

_NEEDED = ("site", "repository", "branch", "pages")


def load(root: Path) -> dict[str, str]:
    """Read the addresses.

    :param root: the folder that holds ``settings.toml``.
    :returns: ``site`` (where the book is published), ``repository`` (its address on GitHub), ``branch`` (of the
        sources) and ``pages`` (of the published pages).
    :raises ConfigError: where one of the four is missing, or the repository is not a GitHub address.
    """
    path = root / "settings.toml"
    if not path.is_file():
        raise ConfigError(f"{path.name} is missing: it holds the book's addresses ({', '.join(_NEEDED)})")
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    missing = [key for key in _NEEDED if not isinstance(found.get(key), str) or not found[key]]
    if missing:
        raise ConfigError(f"{path.name}: {', '.join(missing)} missing; needed: {', '.join(_NEEDED)}")
    if not found["repository"].startswith("https://github.com/"):
        raise ConfigError(f"{path.name}: repository={found['repository']!r} is not on https://github.com/")
    return {key: found[key].rstrip("/") for key in _NEEDED}


def placeholders(settings: dict[str, str]) -> list[str]:
    """Return which of the addresses stand in for ones to come: ``site``, ``repository``, both or none.

    :param settings: the addresses, as :func:`load` returns them.
    """
    return Settings(**settings).placeholders


def colab(settings: dict[str, str], page: str) -> str | None:
    """Return the address of a chapter's Colab edition.

    :param settings: the addresses, as :func:`load` returns them.
    :param page: the page's name in the book: ``notebooks/<family>/<name>``.
    :returns: the address, or ``None`` for a page that is not a chapter.
    """
    folder, *rest = page.split("/")
    if folder != "notebooks" or len(rest) != 2:
        return None
    return f"{_opened(settings)}/colab/{'/'.join(rest)}.ipynb"


def _opened(settings: dict[str, str]) -> str:
    """Return the address below which Colab opens what is published."""
    owner_and_name = settings["repository"].removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{owner_and_name}/blob/{settings['pages']}"


def unchecked(settings: dict[str, str]) -> list[str]:
    """Return patterns of the addresses that ``make links`` leaves out.

    Those of the book itself, which ``make site`` checks without the network; and a repository that is none yet.

    :param settings: the addresses, as :func:`load` returns them.
    """
    own = [settings["site"], _opened(settings)]
    own += [settings["repository"]] if "repository" in placeholders(settings) else []
    return [re.escape(start) for start in own]


def _apply(app: Sphinx, config: Config) -> None:
    settings = load(Path(app.confdir))
    config.addresses = settings
    config.html_baseurl = settings["site"] + "/"
    config.linkcheck_ignore += unchecked(settings)
    options: dict[str, Any] = config.html_theme_options
    options |= {"repository_url": settings["repository"], "repository_branch": settings["branch"]}
    lacking = placeholders(settings)
    if lacking:
        options["extra_footer"] = f'{options.get("extra_footer", "")}<p class="no-address">{NOTE}</p>'
    if "repository" in lacking:
        options |= dict.fromkeys(("use_edit_page_button", "use_issues_button", "use_repository_button"), False)


def _disarm(app: Sphinx, doctree: nodes.document) -> None:
    """Take away the links that lead to a placeholder: a badge goes, words stay."""
    settings = app.config.addresses
    lacking = placeholders(settings)
    starts = tuple([settings[name] for name in lacking] + ([_opened(settings)] if lacking else []))
    for link in list(doctree.findall(nodes.reference)):
        if not starts or not link.get("refuri", "").startswith(starts):
            continue
        if not any(link.findall(nodes.image)):
            link.replace_self(link.children)
        elif len(link.parent) == 1:
            link.parent.parent.remove(link.parent)  # the badge's paragraph
        else:
            link.parent.remove(link)


def setup(app: Sphinx) -> None:
    """Fill Sphinx's and the theme's options from the settings, before anything reads them."""
    app.add_config_value("addresses", {}, "env", [dict])
    app.connect("config-inited", _apply, priority=1)
    app.connect("doctree-read", _disarm)
