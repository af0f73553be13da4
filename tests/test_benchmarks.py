"""The benchmarks run, at small sizes; their times are nobody's business here."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measure import MIXERS, Benchmarks

ROOT = Path(__file__).parents[1]
STEPS = [
    f"{kind}, {how}" for how in ("eager", "compiled") for kind in ("best", "wavelet", "short_conv")
]
# The rows with a target, and the target.
TARGETS = {
    "filterbank": {
        f"{weights}: {what}": target
        for weights in ("fixed weights", "adaptive mask")
        for what, target in {"time": 4, "memory": 20, "four products": 0.6}.items()
    },
    "learnable": {"512 taps: time": 3},
    "decoding": {f"{name}: a late token": 1.2 for name in MIXERS},
    "growth": {f"{name}: {what}": 1.5 for name in MIXERS for what in ("time", "memory")},
    "data": {"waiting for a batch": 0.02},
    "generate": {"best": 0.9, "wavelet": 0.9},
    "training_step": dict.fromkeys(STEPS, 1.03),
}
SLOW = ["decoding", "growth", "data", "generate", "training_step"]


def run(folder, output, *arguments):
    command = [sys.executable, str(folder / "run.py"), "--output", str(output), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    return done, Benchmarks.read(output)


def test_every_benchmark_is_known_here():
    scripts = {path.stem.removeprefix("bench_") for path in ROOT.glob("benchmarks/bench_*.py")}
    assert scripts - {"gpu"} == set(TARGETS)


@pytest.mark.parametrize(
    "names",
    [["filterbank", "learnable"], pytest.param(SLOW, marks=pytest.mark.slow)],
    ids="-".join,
)
def test_every_target_has_its_row(tmp_path, names):
    done, found = run(ROOT / "benchmarks", tmp_path / "rows.json", "--quick", *names)
    assert done.returncode == 0, done.stderr
    assert found.failed == []
    assert found.quick
    for key in ("versions", "cpu", "threads", "commit"):
        assert found.environment[key]
    targets = {}
    for row in found.rows:
        assert row.ours > 0
        assert row.reference > 0
        assert row.ratio > 0
        assert row.what in done.stdout
        if row.met is not None:
            targets[row.what] = row.at_most if row.at_least is None else row.at_least
    assert targets == {what: limit for name in names for what, limit in TARGETS[name].items()}
    again = tmp_path / "again.json"
    found.write(again)
    assert again.read_text() == (tmp_path / "rows.json").read_text()


def test_where_the_file_cannot_be_is_said_before_anything_runs(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--output"]
    for place in (tmp_path, tmp_path / "none" / "rows.json"):
        done = subprocess.run([*command, str(place)], capture_output=True, text=True)
        assert done.returncode == 2
        assert f"a file in an existing folder, got {place}" in done.stderr


def test_one_that_fails_takes_no_rows_along(tmp_path):
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
    done, found = run(tmp_path, tmp_path / "rows.json")
    assert done.returncode == 1
    assert "the fast form is off by 1.0e-01 of the reference" in done.stderr
    assert done.stdout.endswith("3 rows, 0 targets missed, bad FAILED\n")
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
    # The ceilings come first, so they have no floor themselves.
    assert all(row["floor_milliseconds"] > 0 for row in timed if row["group"] != "ceiling")
