"""Put the built site on the branch that is published, as its only commit.

The branch is replaced each time, so that a clone never brings old sites along. One thing stays of what was there: the
wheels of earlier versions. So a notebook that a reader keeps in Colab, or that a course has handed out, still installs
its own. The site's folder is left as it is.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.chapters import ROOT, Settings, settings
from tools.publishing.site import placeholders

_AUTHOR = ("github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com")


class Refused(Exception):
    """Nothing is published, and why."""


class Git:
    """Git, with a repository and an index of its own, on a site's folder.

    :param repository: where the repository is made.
    :param site: the folder whose files are committed.
    """

    def __init__(self, repository: Path, site: Path) -> None:
        self.site = site
        name, address = _AUTHOR
        about = {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", address))
        }
        # Whatever git is set to elsewhere, such as to ignore some files, or to convert the ends of lines, is not for
        # a site. Nor shall it ask anyone for a password.
        still = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        self.environment = inherited | about | still | {"GIT_DIR": str(repository), "GIT_WORK_TREE": str(site)}

    def __call__(self, *words: str, given: str = "") -> str:
        """Run a command and return what it prints.

        :raises Refused: where it fails. The command is not quoted: its words may hold a password.
        """
        done = subprocess.run(
            ["git", *words],
            cwd=self.site,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Refused(f"git {words[0]} failed: {done.stderr.strip()}")
        return done.stdout


def check(site: Path, where: Settings, repository: str) -> None:
    """Refuse what would mislead readers.

    :param site: the built site.
    :param where: the book's addresses.
    :param repository: ``owner/name`` of the repository that receives the site; empty if unknown.
    :raises Refused: for addresses that are placeholders or another repository's, and for a site that is not there.
    """
    if found := placeholders(where):
        lines = "\n  ".join(found)
        raise Refused(f"placeholders in settings.toml:\n  {lines}\nmake address SITE=… REPOSITORY=… changes them")
    if repository and repository.lower() != where.slug.lower():
        raise Refused(f"settings.toml names {where.slug}, but this is {repository}: its readers would be led there")
    if not (site / "index.html").exists() or not (site / ".nojekyll").exists():
        raise Refused("there is no site: make site")


def publish(site: Path, remote: str, branch: str, message: str) -> list[str]:
    """Replace a branch by one commit that holds the site and the wheels of earlier versions.

    :param site: the built site.
    :param remote: the address of the repository.
    :param branch: the branch.
    :param message: of the commit.
    :returns: the wheels that were kept.
    :raises Refused: where git fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        git = Git(Path(folder) / "repository", site.resolve())
        git("init", "--quiet", "--initial-branch", branch)
        git("add", "--all", "--force")
        kept = []
        if git("ls-remote", "--heads", remote, branch):
            git("fetch", "--quiet", "--depth", "1", remote, branch)
            own = set(git("ls-files", "-z").split("\0"))
            for line in git("ls-tree", "-z", "FETCH_HEAD").split("\0"):
                about, _, name = line.partition("\t")
                if name.endswith(".whl") and name not in own:
                    git("update-index", "--add", "--cacheinfo", f"100644,{about.split()[2]},{name}")
                    kept.append(name)
        # Not with `git commit`, which would look at every file again, and miss those that are in the index alone.
        commit = git("commit-tree", git("write-tree").strip(), given=f"{message}\n").strip()
        git("push", "--quiet", "--force", remote, f"{commit}:refs/heads/{branch}")
    return kept


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Publish ``_build/html``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--remote", default=os.environ.get("REMOTE", ""), help="address of the repository; or REMOTE")
    parser.add_argument("--repository", default="", help="owner/name of that repository, to compare with the settings")
    parser.add_argument("--commit", default="", help="what the site was built from, for the message")
    given = parser.parse_args(arguments)
    where, site = settings(root), root / "_build" / "html"
    try:
        if not given.remote:
            raise Refused("where to? give --remote, or set REMOTE")
        check(site, where, given.repository)
        message = f"The book at {given.commit}" if given.commit else "The book"
        kept = publish(site, given.remote, where.pages, message)
    except Refused as problem:
        # Older versions of git quote the remote with its password.
        print(f"not published: {re.sub(r'//[^/@ ]+@', '//…@', str(problem))}", file=sys.stderr)
        return 1
    print(f"{where.pages} holds the site, in one commit; kept of earlier versions: {', '.join(kept) or 'nothing'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
