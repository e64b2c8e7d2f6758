"""Links that lead out of the book are followed; here, to a server on this machine."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tools.publishing import links
from tools.publishing.links import Link

SETTINGS = """
site = "https://book.example.org"
repository = "https://github.com/your_name/book"
branch = "main"
pages = "pages"
"""
CONFIG = """
title: A book
only_build_toc_files: true
execute: {execute_notebooks: "off"}
sphinx:
  local_extensions: {attention_book: EXTENSION}
  config:
    extensions: [myst_nb, sphinx_external_toc, attention_book]
    linkcheck_retries: 1
    linkcheck_timeout: 5
"""


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = {"/good": 200, "/moved": 302, "/robots": 403}.get(self.path, 404)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/good")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_broken_links_are_found_everywhere(
    tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = "[a](https://book.example.org/x) [b](https://github.com/your_name/book)"
    files = {
        "settings.toml": SETTINGS,
        "_config.yml": CONFIG.replace("EXTENSION", str(links.ROOT / "book" / "_ext")),
        "_toc.yml": "format: jb-book\nroot: book/intro\n",
        "book/intro.md": f"# A book\n\n[a]({host}/good) [b]({host}/moved) [c]({host}/gone) {own}\n",
        "README.md": f"# Read\n\n[a]({host}/good) [b]({host}/robots) {own} [c](book/intro.md)\n",
        "benchmarks/README.md": f"# Times\n\n[a]({host}/away)\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(links, "PROBE", f"{host}/gone")
    assert links.main([], tmp_path) == 1
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line.startswith(("broken", "unsure"))] == [
        f"broken benchmarks/README.md:3 {host}/away",
        f"broken book/intro.md:3 {host}/gone",
        f"unsure README.md:3 {host}/robots",
    ]
    assert lines[-1] == "3 links lead somewhere, 2 are broken, 1 could not be seen"
    for name, bad in (("book/intro.md", "gone"), ("benchmarks/README.md", "away")):
        (tmp_path / name).write_text(files[name].replace(bad, "good"))
    assert links.main([], tmp_path) == 0


def test_without_a_network_nothing_is_said_of_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(links, "PROBE", "http://127.0.0.1:9")  # where nothing listens
    assert links.main([], tmp_path) == 2
    assert "no network: http://127.0.0.1:9 cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "about", "unsure"),
    [
        ("broken", "403 Client Error: Forbidden for url: https://a.example", True),
        ("broken", "429 Client Error: Too Many Requests", True),
        ("broken", "404 Client Error: Not Found for url: https://a.example/403 ", False),
        ("broken", "HTTPSConnectionPool(host='a.example', port=443): Name or service not known", False),
        ("timeout", "read timed out", True),
        ("working", "", False),
    ],
)
def test_what_is_broken_and_what_nobody_knows(status: str, about: str, unsure: bool) -> None:
    assert Link("a.md:1", "https://a.example", status, about).unsure is unsure


def test_a_checker_that_breaks_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the links were not checked"):
        links.run(["-c", "raise SystemExit('broken')"], tmp_path, tmp_path / "output.json")
