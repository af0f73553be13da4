import numpy as np
import pytest
import torch

from latentwave.bench.data import DocumentBorders
from latentwave.bench.inspection import kernels_of, named_mixers
from latentwave.bench.inspection.activity import (
    Passage,
    embedding_path,
    record_passages,
    token_maps,
)
from latentwave.bench.training import ContestantConfig, build_model
from latentwave.mixers import build_mixer
from tests.tiny import tiny_backbone

CHANNELS, CONTEXT, T = 16, 32, 20
BACKBONE = tiny_backbone(num_layers=3)


@torch.no_grad()
def randomised(mixer):
    for parameter in mixer.parameters():
        parameter.normal_(std=0.5)
    return mixer


@torch.no_grad()
def through(mixer):
    """The kernels of a mixer and a passage through it."""
    x = torch.randn(1, T, CHANNELS)
    return kernels_of("m", mixer), Passage(before=x[0].numpy(), after=mixer(x)[0].numpy())


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("kind", ["filterbank", "adaptive_filterbank"])
def test_sub_bands_add_up_to_what_the_bank_adds(kind, gated):
    sizes = {"channels": CHANNELS, "context_length": CONTEXT, "gated": gated}
    mixer = randomised(build_mixer(kind, num_filters=6, kernel_sizes=[4, 8], **sizes))
    # As after training: taps beyond a filter's own scale are never read.
    mixer.analysis.data[:3, 4:] = 0
    kernels, passage = through(mixer)
    *masks, activity = token_maps(mixer, kernels, passage)
    assert activity.signed
    added = (passage.after - passage.before).mean(axis=1)
    np.testing.assert_allclose(activity.values.sum(axis=0), added, rtol=1e-4, atol=1e-5)
    assert len(masks) == (kind == "adaptive_filterbank")
    for mask in masks:
        wanted = mixer.tf_mask(torch.from_numpy(passage.before)[None])[0].detach().numpy()
        for row, index in zip(mask.values, kernels.indices, strict=True):
            np.testing.assert_allclose(row, wanted[:, index], atol=1e-5)


@pytest.mark.parametrize("kind", ["dynamic_conv", "wavelet_bank"])
def test_taps_that_follow_the_token_are_shown_by_lag(kind):
    mixer = build_mixer(kind, channels=CHANNELS, context_length=CONTEXT)
    mixer.add_fade_gate()
    kernels, passage = through(randomised(mixer))
    with torch.no_grad():
        gate = mixer.fade_gate.numpy()
        fixed, per_token = (
            mixer.double().token_taps(torch.from_numpy(each)[None].double())
            for each in (np.zeros((1, CHANNELS)), passage.before)
        )
    if isinstance(per_token, list):
        per_token = torch.stack(per_token, dim=2)
    share = CHANNELS // fixed.shape[-1]
    fixed, per_token = (
        gate * np.repeat(each[0].numpy(), share, axis=-1) for each in (fixed, per_token)
    )
    # The kernels are those of a token of zeros, and the residual.
    alone = np.eye(1, mixer.kernel_size) + fixed[0].T
    np.testing.assert_allclose(kernels.taps[kernels.row_of], alone, atol=1e-5)
    taps, added = token_maps(mixer, kernels, passage)
    assert {taps.rows, added.rows} == {"lag"}
    assert [each.signed for each in (taps, added)] == [False, False]
    lags = range(mixer.kernel_size)
    past = [np.pad(passage.before, ((lag, 0), (0, 0)))[:T] for lag in lags]
    products = per_token * np.stack(past, axis=1)
    for found, wanted in ((taps, per_token), (added, products)):
        size = np.sqrt((wanted**2).mean(axis=-1)).T
        np.testing.assert_allclose(found.values, size, rtol=1e-4)
    total = passage.before + products.sum(axis=1)
    np.testing.assert_allclose(total, passage.after, rtol=1e-3, atol=1e-4)


def test_channels_that_share_a_kernel_are_one_row():
    mixer = build_mixer("wavelet", channels=CHANNELS, context_length=CONTEXT)
    kernels, passage = through(randomised(mixer))
    (found,) = token_maps(mixer, kernels, passage)
    assert not found.signed
    for row, window in zip(found.values, 1 / kernels.haar[:, 0], strict=True):
        channels = [8 + j for j, level in enumerate(mixer.levels) if 2**level == round(window)]
        wanted = np.sqrt((passage.after[:, channels] ** 2).mean(axis=1))
        np.testing.assert_allclose(row, wanted, rtol=1e-5)


def test_passages_are_what_the_mixers_saw():
    contestant = ContestantConfig(kind="wavelet")
    model = build_model(BACKBONE, contestant, vocab_size=7, seed=0)
    tokens = np.arange(T) % 7
    mixers = named_mixers(model)
    passages = record_passages(model, mixers, tokens)
    assert list(passages) == list(mixers)
    assert model.training
    model.eval()
    hidden = model(torch.from_numpy(tokens)[None], output_hidden_states=True).hidden_states
    for i, (name, passage) in enumerate(passages.items(), start=1):
        np.testing.assert_allclose(passage.after, hidden[i][0].detach(), atol=1e-5)
        mixed = mixers[name](torch.from_numpy(passage.before)[None])
        np.testing.assert_allclose(passage.after, mixed[0].detach(), atol=1e-5)
    assert all(not mixer._forward_hooks for mixer in mixers.values())


@pytest.mark.parametrize("kind", ["wavelet", "filterbank", "adaptive_filterbank", "dynamic_conv"])
def test_documents_that_are_apart_do_not_see_each_other(kind):
    options = {"num_filters": 4, "kernel_size": 4} if kind.endswith("filterbank") else {}
    contestant = ContestantConfig(kind=kind, options=options)
    model = build_model(BACKBONE, contestant, vocab_size=7, seed=0)
    mixers = named_mixers(model)
    for mixer in mixers.values():
        randomised(mixer)  # otherwise banks start as the identity
    tokens = np.arange(T) % 7
    other = np.concatenate([(tokens[:9] + 1) % 7, tokens[9:]])
    borders = DocumentBorders(np.array([0, 9]), first_token=0)
    for name, mixer in mixers.items():
        seen = [record_passages(model, mixers, each, borders)[name] for each in (tokens, other)]
        assert np.abs(seen[0].after[:9] - seen[1].after[:9]).max() > 0.01
        np.testing.assert_array_equal(seen[0].after[9:], seen[1].after[9:])
        found = [token_maps(mixer, kernels_of(name, mixer), each) for each in seen]
        for one, another in zip(*found, strict=True):
            np.testing.assert_array_equal(one.values[:, 9:], another.values[:, 9:])


def test_the_plane_is_that_of_the_largest_variance():
    rng = np.random.default_rng(0)
    plane = np.linalg.qr(rng.normal(size=(6, 2)))[0].T
    points = rng.normal(size=(40, 2)) * [5, 2]
    both = (points @ plane + 3 + 1e-3 * rng.normal(size=(40, 6))).astype(np.float32)
    path = embedding_path(Passage(before=both[:20], after=both[20:]))
    assert path.explained.sum() == pytest.approx(1, abs=1e-4)
    assert path.explained[0] > path.explained[1]
    # Distances do not depend on how the plane is turned.
    found, wanted = (
        np.linalg.norm(each - each.mean(axis=0), axis=1)
        for each in (np.concatenate([path.before, path.after]), points)
    )
    np.testing.assert_allclose(found, wanted, atol=0.02)


def test_one_token_and_one_channel_have_a_path():
    point = np.ones((1, 1), dtype=np.float32)
    path = embedding_path(Passage(before=point, after=3 * point))
    np.testing.assert_allclose(path.before, [[-1, 0]])
    np.testing.assert_allclose(path.after, [[1, 0]])
