"""Classifiers from the command line."""

import json

import pytest
import yaml

from latentwave.bench.cli.main import main
from tests.bench.training.test_classification import recipe_of, write_moods


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTWAVE_HOME", str(tmp_path / "home"))
    from latentwave.bench.data import CorpusConfig

    path = str(write_moods(tmp_path / "reviews"))
    corpus = CorpusConfig(name="movie-reviews", path=path, validation=0.2, test=0.2)
    file = tmp_path / "moods.yaml"
    values = recipe_of(corpus, task="classification").to_dict()
    file.write_text(yaml.safe_dump(values))
    return file


def test_compare_evaluate_and_no_generation(recipe, tmp_path, capsys):
    folder = tmp_path / "cmp"
    assert main(["compare", str(recipe), "--output", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "accuracy" in shown
    assert "nats per document" in shown
    results = json.loads((folder / "results.json").read_text())
    accuracy = results["contestants"]["mixed"]["metrics"]["accuracy"]["mean"]

    run = folder / "mixed-seed0"
    assert main(["evaluate", str(run), "--split", "test"]) == 0
    shown = capsys.readouterr().out
    assert f"accuracy {accuracy:.4f}, over 16 documents" in shown

    assert main(["generate", str(run)]) == 2
    assert "is a classifier: it evaluates, it does not generate" in capsys.readouterr().err
    # A store of other tokens is refused before it is read.
    assert main(["evaluate", str(run), "--corpus", "python-docs"]) == 2
    assert "it was trained on another corpus" in " ".join(capsys.readouterr().err.split())


def test_train_names_loss_and_metrics(recipe, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", str(recipe), "--contestant", "none", "--output", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "nats per document (test: loss" in shown
    assert "accuracy" in shown
