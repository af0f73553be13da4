"""The ladders under results/ and recipes/ are what the code reads and writes."""

import tarfile

import pytest

from latentwave.bench import report
from latentwave.bench.ladder import load_ladder, read_ladder
from latentwave.bench.training import read_result
from latentwave.bench.training.files import read_sealed
from tests.processes import ROOT

RECIPES = sorted((ROOT / "recipes").glob("ladder-*.yaml"))
TABLES = sorted((ROOT / "results").glob("*/ladder.txt"))
ARCHIVES = sorted((ROOT / "results").glob("*/runs.tar.gz"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_can_be_read(path):
    assert load_ladder(path).cells()


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.parent.name)
def test_tables_say_what_the_results_give(path, tmp_path):
    results = read_ladder(path.parent)
    assert results.multipliers
    results.write(tmp_path)
    assert read_ladder(tmp_path) == results
    report.write_ladder(results, tmp_path)
    assert (tmp_path / path.name).read_text() == path.read_text()


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.parent.name)
def test_runs_can_be_resumed(path, tmp_path):
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    runs = sorted(tmp_path.rglob("run.json"))
    assert runs
    for run in runs:
        assert read_sealed(run, "pack it again")["seed"] >= 0
        assert read_result(run.parent).tokens > 0
