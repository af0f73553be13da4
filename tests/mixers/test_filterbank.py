import pytest
import torch

from latentwave.functional import naive_filterbank, windowed_fourier_bank
from latentwave.mixers import AdaptiveFilterbankMixer, FilterbankMixer


def trained(mixer):
    with torch.no_grad():
        for parameter in mixer.parameters():
            if not parameter.any():
                parameter.normal_()
    return mixer.double()


@pytest.mark.parametrize(
    ("kind", "causal"),
    [(FilterbankMixer, True), (FilterbankMixer, False), (AdaptiveFilterbankMixer, True)],
)
def test_starts_as_the_identity_and_learns(kind, causal):
    mixer = kind(8, 64, causal=causal)
    x = torch.randn(2, 40, 8)
    assert torch.equal(mixer(x), x)
    before = {name: p.clone() for name, p in mixer.named_parameters()}
    target = x.roll(1, dims=1)
    optimizer = torch.optim.SGD(mixer.parameters(), lr=0.003)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = (mixer(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]
    for name, parameter in mixer.named_parameters():
        assert (parameter - before[name]).abs().max() > 1e-5, f"{name} is stuck"


def test_parameters_and_counts():
    mixer = FilterbankMixer(128, 512)
    assert {name: tuple(p.shape) for name, p in mixer.named_parameters()} == {
        "analysis": (144, 32),
        "weights": (144,),
    }
    assert mixer.receptive_field == 32
    assert mixer.num_parameters == 144 * 33
    # per value: 144 · 32 multiplications and additions, 144 ReLUs, 144 of both again, 1 addition
    assert mixer.flops(10) == 10 * 128 * (2 * 144 * 32 + 3 * 144)
    multi = FilterbankMixer(128, 512, num_filters=145, kernel_sizes=[4, 8, 16, 32, 64])
    assert multi.flops(1) == 128 * (2 * 29 * (4 + 8 + 16 + 32 + 64) + 3 * 145)


def test_is_the_naive_form_with_a_residual():
    x = torch.randn(2, 70, 5, dtype=torch.float64)
    for options in ({"kernel_size": 9}, {"kernel_sizes": [4, 16]}):
        for causal in (True, False):
            mixer = trained(FilterbankMixer(5, 64, num_filters=6, causal=causal, **options))
            expected = x + naive_filterbank(
                x,
                mixer.analysis,
                mixer.weights,
                kernel_sizes=mixer.kernel_sizes,
                causal=causal,
            )
            torch.testing.assert_close(mixer(x), expected)


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


def test_attention_is_the_full_softmax_with_a_window_and_a_penalty():
    layer = AdaptiveFilterbankMixer(6, 64, mask_width=8, mask_window=5).double().layers[0]
    u = torch.randn(1, 23, 8, dtype=torch.float64)
    y = layer._attend(u, torch.ones(1, 23, 1, dtype=torch.float64), None, None)
    q, k, v = (t.view(23, 2, 4).transpose(0, 1) for t in (u @ layer.qkv.T)[0].chunk(3, dim=-1))
    distance = torch.arange(23)[:, None] - torch.arange(23)
    logits = q @ k.mT / 2 - torch.tensor([2.0**-4, 2.0**-8])[:, None, None] * distance
    logits[:, (distance < 0) | (distance >= 5)] = float("-inf")
    expected = (logits.softmax(-1) @ v).transpose(0, 1).reshape(1, 23, 8)
    torch.testing.assert_close(y, expected)


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


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (FilterbankMixer, {"kernel_size": 65}, r"context length 64, got \[65\]"),
        (FilterbankMixer, {"kernel_sizes": [4, 128]}, r"context length 64, got \[4, 128\]"),
        (FilterbankMixer, {"kernel_size": 0}, r">= 1.*got \[0\]"),
        (FilterbankMixer, {"kernel_sizes": []}, r"one or more sizes >= 1, got \[\]"),
        (FilterbankMixer, {"kernel_sizes": [4, 8, 16, 32, 64]}, r"the 5 kernel sizes.*got 144"),
        (FilterbankMixer, {"num_filters": 0}, r"got 0"),
        (
            FilterbankMixer,
            {"kernel_size": 8, "kernel_sizes": [8]},
            r"either kernel_size or kernel_sizes",
        ),
        (FilterbankMixer, {"init": "zeros"}, r"got 'zeros'"),
        (AdaptiveFilterbankMixer, {"kernel_size": 65}, r"context length 64, got \[65\]"),
        (
            AdaptiveFilterbankMixer,
            {"mask_heads": 3},
            r"mask_heads must divide mask_width=32, got 3",
        ),
        (
            AdaptiveFilterbankMixer,
            {"mask_layers": 0},
            r"mask_layers must be between 1 and 64, got 0",
        ),
        (AdaptiveFilterbankMixer, {"mask_window": 65}, r"context length 64, got 65"),
        (AdaptiveFilterbankMixer, {"mask_window": 0}, r"got 0"),
    ],
)
def test_refusals_name_the_value(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(8, 64, **options)


@pytest.mark.parametrize("kind", [FilterbankMixer, AdaptiveFilterbankMixer])
def test_a_state_keeps_to_its_kind_of_call(kind):
    mixer = kind(8, 64)
    x, ids = torch.zeros(1, 2, 8), torch.zeros(1, 2, dtype=torch.int64)
    with_ids, without = mixer.new_state(), mixer.new_state()
    mixer(x, state=with_ids, segment_ids=ids)
    mixer(x, state=without)
    with pytest.raises(ValueError, match="pass them at every call"):
        mixer(x, state=with_ids)
    with pytest.raises(ValueError, match="start a new one"):
        mixer(x, state=without, segment_ids=ids)
