import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from latentwave.bench.comparison import Estimate, compare, loss_by_position, token_losses
from latentwave.bench.comparison.positions import position_edges
from latentwave.bench.data import DocumentBorders, GridWindows, prepare
from latentwave.bench.training import (
    BackboneConfig,
    ContestantConfig,
    build_model,
    evaluate_loss,
    load_run,
)
from latentwave.errors import UserError
from tests.bench.comparison.conftest import QUIET
from tests.tiny import tiny_backbone, write_text

VOCABULARY, CONTEXT = 11, 24


@pytest.fixture(scope="module")
def model():
    backbone, wavelet = tiny_backbone(context_length=CONTEXT), ContestantConfig(kind="wavelet")
    return build_model(backbone, wavelet, vocab_size=VOCABULARY, seed=0)


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(0).integers(0, VOCABULARY, 1000).astype(np.uint8)


def test_losses_are_those_of_their_tokens_and_their_mean_is_the_loss(model, tokens):
    windows = GridWindows(tokens, CONTEXT, 13)
    by_position = loss_by_position(model, windows, batch_size=4)
    assert by_position.shape == (CONTEXT - 1,)
    assert by_position.mean() == pytest.approx(evaluate_loss(model, windows, 5), rel=1e-5)
    losses = token_losses(model, windows, 2)
    assert model.training
    ids = windows[2]["input_ids"][None]
    with torch.no_grad():
        expected = model.eval()(ids, use_cache=False).logits[0].log_softmax(-1)
    model.train()
    for t in range(CONTEXT - 1):
        assert losses[2, t] == pytest.approx(-expected[t, ids[0, t + 1]].item(), rel=1e-5)


def test_masked_labels_are_left_out(model, tokens):
    borders = DocumentBorders(np.arange(0, 1000, 7), first_token=0)
    windows = GridWindows(tokens, CONTEXT, 9, borders)
    losses = token_losses(model, windows, 4)
    starts = np.stack([windows[i]["position_ids"].numpy() == 0 for i in range(9)])
    assert np.array_equal(np.isnan(losses), starts[:, 1:])
    assert np.nanmean(losses) == pytest.approx(evaluate_loss(model, windows, 4), rel=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 511, 1000])
def test_bins_hold_every_position_once_and_grow(count):
    edges = position_edges(count)
    widths = np.diff(edges)
    assert (edges[0], edges[-1], widths.min() > 0) == (0, count, True)
    assert (np.diff(widths[:-1]) >= 0).all()


@pytest.fixture
def longer(experiment):
    """The experiment on a backbone that can read beyond what it was trained on."""
    recipe, store = experiment
    rotary = dataclasses.replace(recipe.backbone, architecture="llama")
    recipe = dataclasses.replace(recipe, backbone=rotary, longer_contexts=[128], seeds=[0])
    return recipe, store


def test_finished_runs_are_measured_in_longer_contexts(longer, tmp_path):
    recipe, store = longer
    wild = {"wild": ContestantConfig(learning_rate=1e9)}
    recipe = dataclasses.replace(recipe, contestants=recipe.contestants | wild)
    results = compare(recipe, store, tmp_path / "out", console=QUIET)
    contestants = dict(results.contestants)
    diverged = contestants.pop("wild")
    assert diverged.contexts[0].loss == [Estimate(mean=None)] * 3
    for name, contestant in contestants.items():
        (measured,) = contestant.contexts
        assert measured.context == 128
        assert measured.edges == [0, 31, 63, 127]
        bins = [estimate.mean for estimate in measured.loss]
        model, _ = load_run(tmp_path / "out" / f"{name}-seed0")
        whole = evaluate_loss(model, GridWindows(store.split("validation"), 128))
        weighted = sum(b * n for b, n in zip(bins, (31, 32, 64), strict=True)) / 127
        assert weighted == pytest.approx(whole, rel=1e-4)
        # The first bin looks no further back than training did.
        assert bins[0] == pytest.approx(contestant.final_loss.mean, rel=0.1)


def test_documents_that_training_kept_apart_stay_apart_in_longer_contexts(longer, tmp_path):
    recipe, _ = longer
    (tmp_path / "text").mkdir()
    for index in range(500):
        write_text(tmp_path / "text" / f"{index}.txt", num_words=5, seed=index)
    corpus = dataclasses.replace(recipe.corpus, path=str(tmp_path / "text"))
    training = dataclasses.replace(recipe.training, separate_documents=True)
    recipe = dataclasses.replace(recipe, corpus=corpus, training=training)
    store = prepare(corpus, tmp_path / "store")
    results = compare(recipe, store, tmp_path / "out", console=QUIET)
    model, _ = load_run(tmp_path / "out" / "none-seed0")
    windows = GridWindows(store.split("validation"), 128, 1024, store.borders("validation"))
    wanted = np.nanmean(loss_by_position(model, windows)[:31])
    first, *_ = results.contestants["none"].contexts[0].loss
    assert first.mean == pytest.approx(wanted, rel=1e-6)


def test_impossible_contexts_are_refused_before_training(longer, tmp_path, monkeypatch):
    recipe, store = longer
    few = store.split("validation").size

    def refused(message, **changes):
        with pytest.raises(UserError, match=message):
            compare(dataclasses.replace(recipe, **changes), store, tmp_path / "out")

    learned = BackboneConfig(context_length=32)
    refused("'none': its learned positions end at 32", backbone=learned)
    refused(r"\[32\] must exceed backbone.context_length=32", longer_contexts=[32])
    refused(rf"\[{few + 1}\] exceed the {few:,} tokens of the valid", longer_contexts=[few + 1])
    objective = SimpleNamespace(task="classification")
    monkeypatch.setattr(
        "latentwave.bench.comparison.positions.open_objective", lambda *_: objective
    )
    refused(r"\[128\] are measured on language models only")
    assert not list(tmp_path.iterdir())
