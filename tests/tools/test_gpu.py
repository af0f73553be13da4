"""The script for a GPU, rehearsed on the CPU."""

import argparse
import importlib.metadata
import json
import lzma
import re
import tarfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.tiny import write_text
from tools import gpu


@pytest.mark.slow
def test_every_phase_runs_at_tiny_size(tmp_path, capsys):
    packed = tmp_path / "words.txt.xz"
    packed.write_bytes(lzma.compress(write_text(tmp_path / "words.txt").read_bytes()))
    arguments = ["--tiny", "--jobs", "1", "--minutes", "4", "--corpus", str(packed)]
    assert gpu.main([*arguments, "--output", str(tmp_path / "out")]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert list(summary) == list(gpu.PHASES)
    assert summary["bench"]["rows"] > 3
    assert summary["paper"] | {"seconds": 0} == {"exit_code": 0, "runs": 2, "seconds": 0}
    for ladder in ("ladder", "large"):
        assert summary[ladder] | {"seconds": 0} == {"exit_code": 0, "branches": 8, "seconds": 0}
    with tarfile.open(tmp_path / "out" / "gpu.tar.gz") as archive:
        names = archive.getnames()
    assert {"ladder/ladder.json", "large/ladder.json", "paper/results.json"} <= set(names)
    assert not any("checkpoints" in name for name in names)
    assert "gpu.tar.gz" in capsys.readouterr().out


def test_phases_share_the_lease(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(gpu.time, "monotonic", lambda: clock[0])
    lease = gpu.Lease(argparse.Namespace(output=tmp_path, minutes=9.0, total_minutes=29.0))
    left = []
    for clock[0] in (0.0, 15 * 60.0, 25 * 60.0, 40 * 60.0):
        left.append(lease.minutes)
    assert left == [9, 9, 4, 0]


def test_a_phase_without_time_leaves_what_was_there(tmp_path, capsys):
    (tmp_path / "ladder.log").write_text("before")
    options = ["--phases", "ladder", "--total_minutes", "0", "--output", str(tmp_path)]
    assert gpu.main(options) == 0
    assert "ladder: left out, the 0 minutes are over" in capsys.readouterr().out
    assert (tmp_path / "ladder.log").read_text() == "before"


def test_the_wheels_are_all_that_the_command_line_needs_besides():
    there = _needed("torch", "transformers", "scipy", "matplotlib", "pytest")
    optional = _needed("tensorboard")  # which only runs that log to it need
    wheels = (Path(gpu.__file__).with_name("gpu-wheels.txt")).read_text().splitlines()
    carried = {_normal(line.partition("==")[0]) for line in wheels if not line.startswith("#")}
    assert _needed("latentwave[bench]") - there - optional - {"latentwave"} <= carried


def _needed(*packages):
    """The names of packages and of everything that they require here."""
    seen, waiting = set(), [Requirement(package) for package in packages]
    while waiting:
        package = waiting.pop()
        entry = (_normal(package.name), frozenset(package.extras))
        if entry in seen:
            continue
        seen.add(entry)
        for line in importlib.metadata.requires(package.name) or ():
            required = Requirement(line)
            extras = package.extras or {""}
            if not required.marker or any(required.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(required)
    return {name for name, _ in seen}


def _normal(name):
    return re.sub("[-_.]+", "-", name.lower())
