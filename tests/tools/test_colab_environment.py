"""An environment from a list of pip's: the list's versions, all that is needed, and nothing else."""

import subprocess
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tools.environments import colab_environment
from tools.environments.colab_environment import listed, site_packages

FROZEN = """\
# Do not modify this file
-e git+https://host.example/thing.git@abc#egg=thing
einops==0.8.2
Pillow==11.3.0
wadler_lindig==0.1.8
torch==2.11.0+cu128
torchaudio @ https://host.example/whl/cu118/torchaudio-2.1.0%2Bcu118-cp310-cp310-linux_x86_64.whl#sha256=a81b55
google-colab @ file:///colabtools/dist/google_colab-1.0.0.tar.gz
jupyter_kernel_gateway @ git+https://host.example/kernel_gateway@b134e9945df25c2dcb98ade9129399be10788671
qudida==0.0.4.post1
"""


def test_a_list_is_read_as_pip_writes_it() -> None:
    assert listed(FROZEN) == {
        "einops": "0.8.2",
        "pillow": "11.3.0",
        "wadler-lindig": "0.1.8",
        "torch": "2.11.0",
        "torchaudio": "2.1.0",
        "google-colab": "1.0.0",
        "qudida": "0.0.4.post1",
    }


def test_what_is_needed_and_what_the_setup_cell_brings() -> None:
    assert {"torch", "numpy", "einops", "ipykernel", "jaxtyping"} <= set(colab_environment.needed())
    assert colab_environment.brought() == ["jaxtyping", "wadler-lindig", "torchinfo"]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a list; wheels of packages that need each other are all that pip can find."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    needs = {
        ("alpha", "1.0"): ["beta>=2", "gamma", "omega; sys_platform == 'nowhere'", "omega; extra == 'more'"],
        ("alpha", "2.0"): [],
        ("beta", "1.0"): ["delta<2"],
        ("beta", "2.0"): [],
        ("gamma", "3.0"): ["alpha"],  # in a circle
        ("delta", "1.0"): ["cuda-made[part]==5"],
        ("delta", "2.0"): [],
        ("cuda_made", "4"): [],
        ("cuda_made", "5"): ["cuda-part ; extra == 'part'"],
        ("cuda_part", "1"): [],
        ("omega", "1.0"): [],
        ("small", "1.0"): [],
        ("small", "2.0"): [],
    }
    for (name, version), lines in needs.items():
        info = f"{name}-{version}.dist-info"
        extras = "".join(f"Provides-Extra: {extra}\n" for extra in ("more", "part"))
        with zipfile.ZipFile(wheels / f"{name}-{version}-py3-none-any.whl", "w") as file:
            asked = "".join(f"Requires-Dist: {line}\n" for line in lines)
            head = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
            file.writestr(f"{info}/METADATA", head + extras + asked)
            file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            file.writestr(f"{info}/RECORD", "")
    (tmp_path / "list.txt").write_text("Alpha==1.0+cu128\nbeta==1.0\ncuda-made==4\nunused==1.0\nomega==1.0\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(colab_environment, "needed", lambda: ["alpha", "lacking"])
    monkeypatch.setattr(colab_environment, "brought", lambda: ["small"])
    return tmp_path


def _versions(folder: Path) -> dict[str, str]:
    found = {one.name: one.version for one in distributions(path=[str(site_packages(folder))])}
    return {name: version for name, version in found.items() if name not in ("pip", "setuptools", "wheel")}


def test_versions_are_the_lists_even_where_they_contradict_each_other(
    house: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And what torch's builds for CUDA ask for is theirs, whatever the list says."""
    folder = house / "made"
    assert colab_environment.make(house / "list.txt", None, "", folder)
    assert _versions(folder) == {
        "alpha": "1.0",
        "beta": "1.0",
        "gamma": "3.0",
        "delta": "1.0",
        "cuda-made": "5",
        "cuda-part": "1",
    }
    assert "not in the list, so not installed: lacking\n" in capfd.readouterr().out
    assert [path.name for path in (folder / "wheels").iterdir()] == ["small-2.0-py3-none-any.whl"]


@pytest.fixture
def without_pip(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Make environments that are empty folders; returns what pip was told."""
    told: list[tuple[str, ...]] = []
    monkeypatch.setattr(colab_environment, "_empty", lambda folder: folder.mkdir())
    monkeypatch.setattr(colab_environment, "_pip", lambda folder, *words: told.append(words))
    monkeypatch.setattr(colab_environment, "asked_for", lambda installed: {})
    return told


def test_it_is_made_once_and_anew_for_another_list(house: Path, without_pip: list[tuple[str, ...]]) -> None:
    packages, folder, pins = house / "list.txt", house / "made", house / "pins.txt"
    assert colab_environment.make(packages, None, "", folder)
    assert not colab_environment.make(packages, None, "", folder)
    (folder / "left").touch()
    packages.write_text(packages.read_text() + "# a comment changes nothing\n")
    assert not colab_environment.make(packages, None, "", folder)
    packages.write_text(packages.read_text() + "kappa==1\n")
    assert colab_environment.make(packages, None, "", folder)
    assert not (folder / "left").exists()
    assert (folder / "packages.txt").read_text() == packages.read_text()
    assert "--constraint" not in without_pip[-1]
    pins.write_text("small==1.0\n")
    assert colab_environment.make(packages, pins, "", folder)
    assert without_pip[-1][-3:] == ("--constraint", str(pins), "small")
    pins.write_text("small==2.0\n")
    assert colab_environment.make(packages, pins, "", folder)
    assert colab_environment.make(packages, pins, "https://index.example", folder)


def test_what_was_interrupted_is_not_ready(
    house: Path, without_pip: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(colab_environment, "FOLDER", house / "made")
    with monkeypatch.context() as patch:
        patch.setattr(colab_environment, "install", fails)
        assert _main(house / "list.txt") == 1
    assert not (house / "made" / ".ready").exists()
    assert _main(house / "list.txt") == 0
    assert (house / "made" / ".ready").exists()


@pytest.mark.parametrize("text", ["", "<!doctype html>\n<p>Not found</p>\n", "unrelated==1.0\n"])
def test_what_is_no_list_is_refused(
    house: Path, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(colab_environment, "FOLDER", house / "made")
    (house / "list.txt").write_text(text)
    assert _main(house / "list.txt") == 1
    assert "names no package that a chapter needs" in capsys.readouterr().err
    assert _main(house / "nowhere.txt") == 1


def _main(packages: Path) -> int:
    return colab_environment.main(["--packages", str(packages)])


def test_torch_comes_from_its_own_index(
    house: Path, without_pip: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(colab_environment, "needed", lambda: ["numpy", "torch"])
    versions = listed("torch==2.11.0+cu128\nnumpy==2.1.0\n")
    colab_environment.install(house, versions, "https://index.example")
    colab_environment.install(house, versions, "")
    assert without_pip == [
        ("install", "--no-deps", "--index-url", "https://index.example", "torch==2.11.0"),
        ("install", "--no-deps", "numpy==2.1.0"),
        ("install", "--no-deps", "numpy==2.1.0", "torch==2.11.0"),
    ]
