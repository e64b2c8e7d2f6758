"""What pyproject.toml cannot say: the recorded comparisons lie beside their chapters, and travel in the package."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
#: Where ``attention.lab.record`` looks for records when there are no chapters.
RECORDS = Path("attention", "data", "records")


class BuildWithRecords(build_py):
    """Copy every ``notebooks/<family>/<name>.record.json`` into the package that is built.

    An editable installation has the chapters at hand, and needs no copy.
    """

    def run(self) -> None:
        """Build the package, then add the records."""
        super().run()
        for target, source in self._records().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def get_source_files(self) -> list[str]:
        """Name what an sdist must hold, so that a wheel can be built from it."""
        return [*super().get_source_files(), *_sources()]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Name the files that are built."""
        return [*super().get_outputs(include_bytecode), *self._records()]

    def get_output_mapping(self) -> dict[str, str]:
        """Say what each built file is made from."""
        return super().get_output_mapping() | self._records()

    def _records(self) -> dict[str, str]:
        """Return the source of each record by its target."""
        if self.editable_mode:
            return {}
        return {str(Path(self.build_lib) / RECORDS / Path(source).name): source for source in _sources()}


def _sources() -> list[str]:
    found = sorted((ROOT / "notebooks").glob("*/*.record.json"))
    return [path.relative_to(ROOT).as_posix() for path in found]


setup(cmdclass={"build_py": BuildWithRecords})
