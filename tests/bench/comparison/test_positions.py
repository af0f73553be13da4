import numpy as np
import pytest
import torch

from latentwave.bench.comparison import loss_by_position
from latentwave.bench.comparison.positions import position_edges, token_losses
from latentwave.bench.data import DocumentBorders, GridWindows
from latentwave.bench.training import BackboneConfig, ContestantConfig, build_model, evaluate_loss

VOCABULARY, CONTEXT = 11, 24


@pytest.fixture(scope="module")
def model():
    backbone = BackboneConfig(
        num_layers=2, hidden_size=16, num_heads=2, intermediate_size=32, context_length=CONTEXT
    )
    wavelet = ContestantConfig(kind="wavelet")
    return build_model(backbone, wavelet, vocab_size=VOCABULARY, seed=0)


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(0).integers(0, VOCABULARY, 1000).astype(np.uint8)


def test_the_mean_over_positions_is_the_loss(model, tokens):
    windows = GridWindows(tokens, CONTEXT, 13)
    losses = loss_by_position(model, windows, batch_size=4)
    assert losses.shape == (CONTEXT - 1,)
    assert losses.mean() == pytest.approx(evaluate_loss(model, windows, 5), rel=1e-5)
    assert model.training


def test_every_loss_is_that_of_its_own_token(model, tokens):
    windows = GridWindows(tokens, CONTEXT, 3)
    losses = token_losses(model, windows, 2)
    model.eval()
    ids = windows[2]["input_ids"][None]
    with torch.no_grad():
        wanted = model(ids, use_cache=False).logits[0].log_softmax(-1)
    model.train()
    for t in range(CONTEXT - 1):
        assert losses[2, t] == pytest.approx(-wanted[t, ids[0, t + 1]].item(), rel=1e-5)


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
