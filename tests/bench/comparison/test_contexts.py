import dataclasses
from types import SimpleNamespace

import pytest
from rich.console import Console

from latentwave.bench.comparison import Estimate, compare
from latentwave.bench.data import GridWindows, prepare
from latentwave.bench.training import BackboneConfig, ContestantConfig, evaluate_loss, load_run
from latentwave.errors import UserError
from tests.tiny import tiny_recipe, write_text

ROTARY = BackboneConfig(
    architecture="llama",
    num_layers=2,
    hidden_size=16,
    num_heads=2,
    intermediate_size=32,
    context_length=32,
)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    base = tmp_path_factory.mktemp("contexts")
    recipe = tiny_recipe(write_text(base / "words.txt"), backbone=ROTARY, longer_contexts=[128])
    return recipe, prepare(recipe.corpus, base / "store")


def test_finished_runs_are_read_at_longer_contexts(experiment, tmp_path):
    recipe, store = experiment
    wild = {"wild": ContestantConfig(learning_rate=1e9)}
    recipe = dataclasses.replace(recipe, contestants=recipe.contestants | wild)
    results = compare(recipe, store, tmp_path / "out", console=Console(quiet=True))
    contestants = dict(results.contestants)
    diverged = contestants.pop("wild")
    nothing = Estimate(mean=None)
    assert diverged.final_loss == diverged.gain == diverged.speedup.steps == nothing
    assert diverged.contexts[0].loss == [nothing] * 3
    for name, contestant in contestants.items():
        (measured,) = contestant.contexts
        assert measured.context == 128
        assert measured.edges == [0, 31, 63, 127]
        bins = [estimate.mean for estimate in measured.loss]
        model, _ = load_run(tmp_path / "out" / f"{name}-seed0")
        whole = evaluate_loss(model, GridWindows(store.split("validation"), 128))
        weighted = sum(b * n for b, n in zip(bins, (31, 32, 64), strict=True)) / 127
        assert weighted == pytest.approx(whole, rel=1e-4)
        # The first bin reads no further back than training did.
        assert bins[0] == pytest.approx(contestant.final_loss.mean, rel=0.1)


def test_what_cannot_be_read_is_refused_before_training(experiment, tmp_path, monkeypatch):
    recipe, store = experiment
    learned = dataclasses.replace(recipe, backbone=tiny_recipe("x").backbone)
    with pytest.raises(UserError, match="'none': its learned positions end at 32"):
        compare(learned, store, tmp_path / "a")
    short = dataclasses.replace(recipe, longer_contexts=[32])
    with pytest.raises(UserError, match=r"\[32\] must exceed backbone.context_length=32"):
        compare(short, store, tmp_path / "b")
    few = store.split("validation").size
    beyond = dataclasses.replace(recipe, longer_contexts=[few + 1])
    with pytest.raises(UserError, match=rf"\[{few + 1}\] exceed the {few:,} tokens of the valid"):
        compare(beyond, store, tmp_path / "c")
    objective = SimpleNamespace(task="classification")
    monkeypatch.setattr(
        "latentwave.bench.comparison.positions.open_objective", lambda *_: objective
    )
    with pytest.raises(UserError, match=r"\[128\] are measured on language models only"):
        compare(recipe, store, tmp_path / "d")
    assert not list(tmp_path.iterdir())
