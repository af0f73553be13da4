"""The benchmarks run at small sizes, whatever their times."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measure import Benchmarks

ROOT = Path(__file__).parents[1]
FAST = ["filterbank", "learnable"]
SLOW = ["compiled", "decoding", "growth", "data", "generate", "training_step"]


def targets(benchmarks):
    """The targets of all rows that have one."""
    return {
        (row.group, row.what): row.at_most if row.at_least is None else row.at_least
        for row in benchmarks.rows
        if row.met is not None
    }


@pytest.fixture
def run(monkeypatch, capfd):
    """Run a folder's run.py in this process; it starts one per benchmark."""

    def start(folder, output, *arguments):
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setattr(sys, "argv", ["run.py", "--output", str(output), *arguments])
        with pytest.raises(SystemExit) as done:
            runpy.run_path(str(folder / "run.py"), run_name="__main__")
        return done.value.code, *capfd.readouterr()

    return start


def test_every_benchmark_is_known_here():
    scripts = {path.stem.removeprefix("bench_") for path in ROOT.glob("benchmarks/bench_*.py")}
    assert scripts - {"gpu"} == {*FAST, *SLOW}


@pytest.mark.parametrize("names", [FAST, pytest.param(SLOW, marks=pytest.mark.slow)], ids="-".join)
def test_every_target_has_its_row(run, tmp_path, names):
    code, printed, error = run(ROOT / "benchmarks", tmp_path / "rows.json", "--quick", *names)
    assert code == 0, error
    found = Benchmarks.read(tmp_path / "rows.json")
    assert found.failed == []
    assert found.quick
    for key in ("versions", "cpu", "threads", "commit"):
        assert found.environment[key]
    for row in found.rows:
        assert min(row.ours, row.reference, row.ratio) > 0
        assert row.what in printed
    groups = {row.group for row in found.rows}
    committed = targets(Benchmarks.read(ROOT / "results" / "benchmarks.json"))
    assert len(groups) == len(names)
    assert targets(found) == {key: limit for key, limit in committed.items() if key[0] in groups}
    again = tmp_path / "again.json"
    found.write(again)
    assert again.read_text() == (tmp_path / "rows.json").read_text()


def test_an_impossible_output_is_refused_before_anything_runs(run, tmp_path):
    for place in (tmp_path, tmp_path / "none" / "rows.json"):
        code, _, error = run(ROOT / "benchmarks", place)
        assert code == 2
        assert f"a file in an existing folder, got {place}" in error


def test_a_benchmark_that_fails_loses_no_rows(run, tmp_path):
    for name in ("run.py", "measure.py"):
        shutil.copy(ROOT / "benchmarks" / name, tmp_path)
    bench = """
import torch
from measure import compare, main, relative_error

def rows(quick):
    print("said by a library")
    for name, off in (("first", 0.0), ("second", {off})):
        error = relative_error([torch.ones(2) + off], [torch.ones(2)])
        yield compare("made up", "2", name, "ms", [1.0, 2.0, 3.0], [4.0, 2.0, 9.0], "faster",
                      against="slow", at_least=3, error=error)

main(rows)
"""
    (tmp_path / "bench_bad.py").write_text(bench.format(off=0.1))
    (tmp_path / "bench_good.py").write_text(bench.format(off=0.0))
    code, printed, error = run(tmp_path, tmp_path / "rows.json")
    assert code == 1
    assert "the fast form is off by 1.0e-01 of the reference" in error
    assert printed.endswith("3 rows, 0 targets missed, bad FAILED\n")
    found = Benchmarks.read(tmp_path / "rows.json")
    assert found.failed == ["bad"]
    assert [row.what for row in found.rows] == ["first", "first", "second"]
    assert [(row.ours, row.reference, row.ratio) for row in found.rows] == [(2.0, 4.0, 3.0)] * 3
    assert json.loads((tmp_path / "rows.json").read_text())["rows"][0]["met"] is True


@pytest.mark.parametrize(
    "phases",
    [["filterbanks"], pytest.param(["training", "mixers"], marks=pytest.mark.slow)],
    ids="-".join,
)
def test_the_gpu_benchmark_runs_at_tiny_size_on_a_cpu(tmp_path, phases):
    output = tmp_path / "rows.jsonl"
    command = [sys.executable, "benchmarks/bench_gpu.py", str(output), "--tiny"]
    subprocess.run([*command, "--phases", *phases], cwd=ROOT, check=True)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert not [row for row in rows if "error" in row]
    timed = [row for row in rows if "milliseconds" in row]
    assert len(timed) > 10
    # The limits of the hardware are measured first, so they have no floor themselves.
    assert all(row["floor_milliseconds"] > 0 for row in timed if row["group"] != "ceiling")
