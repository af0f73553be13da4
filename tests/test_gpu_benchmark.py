"""The GPU benchmark, small and on the CPU: it is known to run before a GPU is at hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "phases",
    [["filterbanks"], pytest.param(["training", "mixers"], marks=pytest.mark.slow)],
    ids="-".join,
)
def test_it_runs_at_tiny_size(tmp_path, phases):
    output = tmp_path / "rows.jsonl"
    command = [sys.executable, "benchmarks/bench_gpu.py", str(output), "--tiny"]
    subprocess.run([*command, "--phases", *phases], cwd=ROOT, check=True)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert not [row for row in rows if "error" in row]
    timed = [row for row in rows if "milliseconds" in row]
    assert len(timed) > 10
    # The ceilings come first, so they have no floor themselves.
    assert all(row["floor_milliseconds"] > 0 for row in timed if row["group"] != "ceiling")
