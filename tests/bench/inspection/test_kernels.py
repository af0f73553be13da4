import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from latentwave.bench.inspection import kernels_of, named_mixers
from latentwave.bench.report.inspection_charts import _taps
from latentwave.bench.training import ContestantConfig, build_model
from latentwave.bench.training.snapshots import mixer_parameters
from latentwave.errors import UserError
from latentwave.functional import cascade_taps
from latentwave.mixers import Mixer, build_mixer, list_mixers
from tests.bench.report.made_up import drawn
from tests.tiny import tiny_backbone

CHANNELS, CONTEXT = 16, 32


def build(kind, **options):
    return build_mixer(kind, channels=CHANNELS, context_length=CONTEXT, **options)


@pytest.mark.parametrize("kind", list_mixers())
def test_every_kind_has_kernels_in_order_of_frequency(kind):
    mixer = build(kind)
    kernels = kernels_of("layers.3.latentwave_mixer", mixer)
    assert kernels.kind == mixer.kind
    assert kernels.label == "after layer 4"
    assert (np.diff(kernels.centre) >= 0).all()
    assert kernels.taps.shape == kernels.haar.shape
    assert np.allclose(kernels.haar.sum(axis=1), 1)
    assert kernels.counts.sum() == len(kernels.row_of)
    assert kernels.history.shape == (0, *kernels.taps.shape)


def test_fixed_wavelets_show_each_level_once():
    kernels = kernels_of("m", build("wavelet", wavelet="db2"))
    assert len(kernels.taps) == 3  # levels 1 to 3 fit into 32 tokens
    for row, level in zip(kernels.taps, (3, 2, 1), strict=True):
        wanted = cascade_taps("db2", level)
        np.testing.assert_allclose(row[: len(wanted)], wanted, atol=1e-6)
        assert not row[len(wanted) :].any()
    assert kernels.counts.sum() == CHANNELS // 2
    assert [round(1 / row[0]) for row in kernels.haar] == [8, 4, 2]
    levels = build("wavelet", wavelet="db2").levels
    assert [3 - row for row in kernels.row_of] == levels


def test_rows_of_a_filterbank_are_its_filters():
    mixer = build("filterbank", num_filters=6, kernel_sizes=[4, 8, 16], init="fourier")
    with torch.no_grad():
        mixer.weights.copy_(torch.arange(6.0))
    kernels = kernels_of("m", mixer)
    assert sorted(kernels.indices) == list(range(6))
    assert kernels.weights.tolist() == kernels.indices.tolist()
    for row, index in zip(kernels.taps, kernels.indices, strict=True):
        np.testing.assert_array_equal(row, mixer.analysis[index].detach().double())
    windows = [round(1 / row[0]) for row in kernels.haar]
    assert windows == [[4, 8, 16][index // 2] for index in kernels.indices]
    # The longest filters are the lowest ones.
    assert windows == sorted(windows, reverse=True)


@pytest.mark.parametrize("causal", [True, False])
def test_taps_that_read_the_future_are_not_shown_as_lags(causal):
    kernels = kernels_of("m", build("filterbank", kernel_sizes=[4, 8], causal=causal))
    assert drawn(_taps(kernels)).get_xlabel() == (
        "lag [tokens]" if causal else "tap, around each token"
    )


def test_the_residual_and_the_gate_belong_to_what_a_channel_goes_through():
    mixer = build("short_conv")
    with torch.no_grad():
        mixer.kernels[:, 1] = 0.5
    assert kernels_of("m", mixer).taps.tolist() == [[1.0, 0.5, 0.0, 0.0]]
    gated = build("wavelet", level=1, gated=True)
    assert kernels_of("m", gated).taps.tolist() == [[1.0, 0.0]]


class Delay(Mixer):
    """A mixer of an unknown kind."""

    kind = "delay"
    receptive_field = 3

    def _mix(self, x, state, segment_ids, padding_mask):
        return torch.roll(x, 2, dims=1)

    def flops(self, num_tokens):
        return 0


def test_an_unknown_kind_answers_with_its_impulse_response():
    kernels = kernels_of("m", Delay(4, 8))
    assert kernels.taps.tolist() == [[0.0, 0.0, 1.0]]
    assert kernels.counts.tolist() == [4]


def test_mixers_of_mixers_are_shown_by_their_parts():
    class Chain(Delay):
        kind = "chain"

        def __init__(self):
            super().__init__(CHANNELS, CONTEXT)
            self.mixers = nn.ModuleList([build("ema"), build("wavelet")])

    holder = nn.ModuleDict({"chain": Chain(), "other": build("ema")})
    assert list(named_mixers(holder)) == ["chain.mixers.0", "chain.mixers.1", "other"]


def trained_by_hand(folder):
    """A model and three snapshots, whose kernels are 1, 1.1 and 1.2 times the initial ones."""
    contestant = ContestantConfig(kind="learnable_wavelet")
    model = build_model(tiny_backbone(), contestant, vocab_size=5, seed=0)
    (folder / "mixers").mkdir()
    start = {name: p.detach().clone() for name, p in mixer_parameters(model).items()}
    for step in (0, 5, 10):
        factor = 1 + step / 50
        tensors = {name: tensor * factor for name, tensor in start.items()}
        save_file(tensors, folder / "mixers" / f"step-{step}.safetensors")
    model.load_state_dict(tensors, strict=False)
    return model


def test_history_comes_from_the_snapshots(tmp_path):
    model = trained_by_hand(tmp_path)
    ((name, mixer),) = named_mixers(model).items()
    kernels = kernels_of(name, mixer, tmp_path)
    assert kernels.steps.tolist() == [0, 5, 10]
    np.testing.assert_allclose(kernels.history[-1], kernels.taps)
    np.testing.assert_allclose(kernels.history[1], kernels.taps * 1.1 / 1.2, rtol=1e-6)
    change = kernels.change()
    np.testing.assert_allclose(
        change, np.broadcast_to([[0], [0.1], [0.2]], change.shape), rtol=1e-5
    )
    assert np.ptp(kernels.centre_history(), axis=0).max() < 1e-9  # gain does not move a centre


def test_snapshots_of_another_model_are_refused(tmp_path):
    model = trained_by_hand(tmp_path)
    (mixer,) = named_mixers(model).values()
    with pytest.raises(UserError, match=r"step-0.safetensors is of another model"):
        kernels_of("other", mixer, tmp_path)
