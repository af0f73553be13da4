"""Classifiers on the command line."""

import json

import pytest
import yaml

from latentwave.bench.data import CorpusConfig
from tests.bench.cli.conftest import refused, run
from tests.bench.training.test_classification import recipe_of, write_moods


@pytest.fixture(scope="module")
def recipe(home):
    path = str(write_moods(home / "reviews"))
    corpus = CorpusConfig(name="movie-reviews", path=path, validation=0.2, test=0.2)
    file = home / "moods.yaml"
    file.write_text(yaml.safe_dump(recipe_of(corpus, task="classification").to_dict()))
    return file


def test_compare_evaluate_and_no_generation(recipe, tmp_path, capsys):
    assert run("compare", recipe, "--output", tmp_path / "cmp") == 0
    shown = capsys.readouterr().out
    assert "accuracy" in shown
    assert "nats per document" in shown
    results = json.loads((tmp_path / "cmp" / "results.json").read_text())
    accuracy = results["contestants"]["mixed"]["metrics"]["accuracy"]["mean"]

    folder = tmp_path / "cmp" / "mixed-seed0"
    assert run("evaluate", folder, "--split", "test") == 0
    shown = capsys.readouterr().out
    assert f"accuracy {accuracy:.4f}, over 16 documents" in shown

    told = refused(capsys, "generate", folder)
    assert "is a classifier: it evaluates, it does not generate" in told
    # A store of other tokens is refused before it is read.
    told = refused(capsys, "evaluate", folder, "--corpus", "python-docs")
    assert "it was trained on another corpus" in told


def test_a_run_has_metrics_and_kernels(recipe, tmp_path, capsys):
    folder = tmp_path / "run"
    assert run("train", recipe, "--contestant", "mixed", "--output", folder) == 0
    shown = capsys.readouterr().out
    assert "nats per document (test: loss" in shown
    assert "accuracy" in shown
    assert run("inspect", folder) == 0
    assert "is a classifier: only its kernels" in " ".join(capsys.readouterr().out.split())
    assert (folder / "inspect" / "kernels.png").is_file()
    assert not (folder / "inspect" / "positions.png").exists()
    told = refused(capsys, "inspect", folder, "--against", folder)
    assert "is a classifier: inspect it alone" in told
