"""Both tables are measured, written and shown, together or one alone."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import bench, forms, measuring, others

QUICK = ["dot_product", "se", "--smoke", "--threads", "1", "--target"]


def test_the_whole_of_it_at_the_smallest_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "new" / "bench.json"
    threads = torch.get_num_threads()
    written = bench.main([*QUICK, str(target)])
    assert torch.get_num_threads() == threads
    stored = json.loads(target.read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(written))
    assert stored["forms"]["literal"] == ["se"]
    assert {row["name"].partition(",")[0] for row in stored["forms"]["rows"]} == {"dot_product"}
    assert all(row["time"] > 0 and row["memory"] > 0 for row in stored["forms"]["rows"])
    assert {row["name"].partition(",")[0] for row in stored["others"]["rows"]} <= {"dot_product", "se"}
    assert any(row["against"] == "torch MultiheadAttention" for row in stored["others"]["rows"])
    for table in stored.values():
        assert {"processor", "threads", "torch", "python", "dtype", "date"} == set(table["environment"])
        assert table["environment"]["threads"] == 1
    shown = capsys.readouterr().out
    bench.main(["--show", str(target)])
    assert shown.endswith(capsys.readouterr().out)


def test_one_table_is_measured_anew_and_the_other_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "bench.json"
    target.write_text(json.dumps({"others": {"kept": 1}}), encoding="utf-8")
    monkeypatch.setattr(bench, "report", str)
    monkeypatch.setattr(others, "measure", lambda *_: {"rows": "new"})
    monkeypatch.setattr(forms, "measure", lambda *_: {"rows": "new"})
    stored = bench.main([*QUICK, str(target), "--table", "forms"])
    assert list(stored) == ["forms", "others"]
    assert stored["others"] == {"kept": 1}
    stored = bench.main([*QUICK, str(target)])
    assert stored["others"]["rows"] == "new"


KEPT = bench.ROOT / "benchmarks" / "results.json"


@pytest.mark.skipif(not KEPT.exists(), reason="no run has been kept yet")
def test_the_kept_run_is_one_at_full_size() -> None:
    """Kept is what `make bench TARGET=benchmarks/results.json` measured, of cases that there still are."""
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    assert bench.report(kept)
    for table in kept.values():
        assert {tuple(row["shape"]) for row in table["rows"]} == set(measuring.SHAPES)
        assert table["environment"]["threads"] == measuring.THREADS
    first = kept["forms"]
    assert {row["name"] for row in first["rows"]} | set(first["literal"]) <= {case.name for case in forms.cases()}
    titles = {block.title for block in others.BLOCKS}
    assert {row["name"] for row in kept.get("others", {"rows": []})["rows"]} <= titles
