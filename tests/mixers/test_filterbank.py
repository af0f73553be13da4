import pytest
import torch
from torch.nn.functional import gelu

from latentwave.functional import naive_filterbank, windowed_fourier_bank
from latentwave.mixers import AdaptiveFilterbankMixer, FilterbankMixer


def trained(mixer):
    with torch.no_grad():
        for parameter in mixer.parameters():
            if not parameter.any():
                parameter.normal_()
    return mixer.double()


def test_is_the_naive_form_with_a_residual():
    x = torch.randn(2, 70, 5, dtype=torch.float64)
    for options in ({"kernel_size": 9}, {"kernel_sizes": [4, 16]}):
        for causal in (True, False):
            mixer = trained(FilterbankMixer(5, 64, num_filters=6, causal=causal, **options))
            expected = x + naive_filterbank(
                x, mixer.analysis, mixer.weights, kernel_sizes=mixer.kernel_sizes, causal=causal
            )
            torch.testing.assert_close(mixer(x), expected)


@pytest.mark.parametrize("kind", [FilterbankMixer, AdaptiveFilterbankMixer])
def test_default_windows_fit_into_short_contexts(kind):
    assert kind(4, 16).receptive_field == 16
    assert kind(4, 512).receptive_field == 32


def test_a_fixed_mask_makes_the_adaptive_bank_the_plain_one():
    x = torch.randn(2, 70, 6, dtype=torch.float64)
    adaptive = AdaptiveFilterbankMixer(6, 64, num_filters=6, kernel_size=9).double()
    plain = trained(FilterbankMixer(6, 64, num_filters=6, kernel_size=9))
    with torch.no_grad():
        plain.analysis.copy_(adaptive.analysis)
        adaptive.mask_bias.copy_(plain.weights)
    torch.testing.assert_close(adaptive(x), plain(x))


def test_the_tf_mask_is_what_the_mixer_applies():
    x = torch.randn(2, 30, 6, dtype=torch.float64)
    ids = torch.arange(30).div(11, rounding_mode="floor").expand(2, 30)
    padding = torch.arange(30) >= torch.tensor([[0], [4]])
    mixer = trained(AdaptiveFilterbankMixer(6, 64, num_filters=6, kernel_size=1, mask_window=5))
    tf_mask = mixer.tf_mask(x, segment_ids=ids, padding_mask=padding)
    kept = x * padding.unsqueeze(-1)
    expected = kept + naive_filterbank(kept, mixer.analysis, tf_mask)
    torch.testing.assert_close(mixer(x, segment_ids=ids, padding_mask=padding), expected)
    assert tf_mask.std(dim=1).min() > 0


@pytest.mark.unchecked
def test_the_tf_mask_refuses_what_the_mixer_refuses():
    mixer, x = AdaptiveFilterbankMixer(6, 64, num_filters=6), torch.zeros(1, 4, 6)
    for wrong, ids in ((x[..., :5], None), (x, torch.zeros(1, 3, dtype=torch.int64))):
        with pytest.raises(ValueError, match="must have shape .* got"):
            mixer.tf_mask(wrong, segment_ids=ids)


def test_the_mask_is_a_transformer_with_a_window_and_a_penalty():
    mixer = trained(AdaptiveFilterbankMixer(6, 64, num_filters=6, mask_width=8, mask_window=5))
    (layer,) = mixer.layers

    def normalised(u):
        return u / (u.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    x = torch.randn(1, 23, 6, dtype=torch.float64)
    u = normalised(x) @ mixer.embed_weight.T + mixer.embed_bias
    projections = (normalised(u) @ layer.qkv.T)[0].chunk(3, dim=-1)
    q, k, v = (t.view(23, 2, 4).transpose(0, 1) for t in projections)
    distance = torch.arange(23)[:, None] - torch.arange(23)
    logits = q @ k.mT / 2 - torch.tensor([2.0**-4, 2.0**-8])[:, None, None] * distance
    logits[:, (distance < 0) | (distance >= 5)] = float("-inf")
    u = u + (logits.softmax(-1) @ v).transpose(0, 1).reshape(1, 23, 8) @ layer.out.T
    hidden = gelu(normalised(u) @ layer.mlp_in.T + layer.mlp_in_bias)
    u = u + hidden @ layer.mlp_out.T + layer.mlp_out_bias
    expected = normalised(u) @ mixer.mask_weight.T + mixer.mask_bias
    torch.testing.assert_close(mixer.tf_mask(x), expected)


@pytest.mark.parametrize("kind", [FilterbankMixer, AdaptiveFilterbankMixer])
def test_noncausal_form_reads_both_sides(kind):
    options = {"mask_window": 3} if kind is AdaptiveFilterbankMixer else {}
    mixer = trained(kind(4, 64, num_filters=6, kernel_size=8, causal=False, **options))
    assert not mixer.causal
    x = torch.randn(1, 40, 4, dtype=torch.float64)
    y = mixer(x)
    for offset, read in ((-5, False), (-4, True), (3, True), (4, False)):
        changed = x.clone()
        changed[:, 20 + offset] += 1.0
        assert torch.equal(mixer(changed)[:, 20], y[:, 20]) != read

    ids = torch.arange(40).div(13, rounding_mode="floor")[None]
    parts = [mixer(document) for document in x.split([13, 13, 13, 1], dim=1)]
    torch.testing.assert_close(mixer(x, segment_ids=ids), torch.cat(parts, dim=1))

    with pytest.raises(ValueError, match=f"{mixer.kind} with causal=False .* state"):
        mixer(x, state=mixer.new_state())


def test_fourier_initialisation_gives_each_scale_its_octaves():
    mixer = FilterbankMixer(4, 64, num_filters=8, kernel_sizes=[16, 4], init="fourier")
    expected = torch.zeros(8, 16)
    expected[:4] = windowed_fourier_bank(4, 16, 1 / 16, 1 / 4)
    expected[4:, :4] = windowed_fourier_bank(4, 4, 1 / 4, 1 / 2)
    torch.testing.assert_close(mixer.analysis.data, expected)


@pytest.mark.parametrize("init", ["random", "fourier"])
def test_filters_start_with_unit_energy_and_nothing_beyond_their_scale(init):
    torch.manual_seed(0)
    mixer = FilterbankMixer(4, 64, num_filters=500, kernel_sizes=[4, 64], init=init)
    energy = mixer.analysis.data.square().sum(1)
    torch.testing.assert_close(energy[:250].mean(), torch.tensor(1.0), rtol=0.1, atol=0)
    torch.testing.assert_close(energy[250:].mean(), torch.tensor(1.0), rtol=0.1, atol=0)
    assert not mixer.analysis[:250, 4:].any()
