"""Every mixer's own `flops` against counted operations of a plain form of the same mixer.

A plain form writes the mixer's definition out in products that torch's `FlopCounterMode` sees
(convolutions, matrix products) and in element-wise arithmetic that it does not see: the additions
of dyadic sums, the recursion of averages, ReLU, residuals. Those are counted here, one operation
per number of the result. The plain form must give what the mixer gives.

The two agree to the operation, but for what is stated: the counter takes K multiplications and K
additions for a filter of K taps, of which K − 1 additions are enough; and `flops` leaves out the
softmax, norms, GELU and biases of the token-adaptive mask, and the making of kernels from angles
or gates once per call: little beside the products.
"""

import functools

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from latentwave.functional.families import orthogonal_lowpass
from latentwave.mixers import Mixer, list_mixers
from tests.mixers.cases import CASES, CHANNELS, build_case

T = 24


class Elementwise(TorchDispatchMode):
    """Arithmetic, one operation per number of the result."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.__name__.split(".")[0] in ("add", "sub", "mul", "div", "relu"):
            self.count += result.numel()
        return result


def counted(run):
    """The result, what torch's counter sees, and element-wise operations."""
    products, rest = FlopCounterMode(display=False), Elementwise()
    with torch.no_grad(), products, rest:
        result = run()
    return result, products.get_total_flops(), rest.count


def later(x, by):
    return F.pad(x, (0, 0, by, 0))[:, : x.shape[1]]


def filtered(x, taps, dilation=1):
    """Depthwise convolution, (B, T, C) by (C, K)."""
    C, K = taps.shape
    signal = F.pad(x.transpose(1, 2), (dilation * (K - 1), 0))
    y = F.conv1d(signal, taps.flip(-1).unsqueeze(1), groups=C, dilation=dilation)
    return y.transpose(1, 2)


def subbands(mixer, x):
    """(B, T, D, M): every filter of every scale on every channel, rectified."""
    signals = x.transpose(1, 2).reshape(-1, 1, x.shape[1])
    parts = []
    banks = mixer.analysis.chunk(len(mixer.kernel_sizes))
    for bank, K in zip(banks, mixer.kernel_sizes, strict=True):
        taps = bank[:, :K].flip(-1).unsqueeze(1)
        parts.append(F.conv1d(F.pad(signals, (K - 1, 0)), taps))
    z = torch.relu(torch.cat(parts, dim=1))
    return z.reshape(*x.shape[::2], -1, x.shape[1]).permute(0, 3, 1, 2)


def attended(layer, u):
    """Attention to the last `window` tokens, each token with its own keys."""
    w, H = layer.window, layer.num_heads
    (B, length, C) = u.shape
    q, k, v = F.linear(u, layer.qkv).chunk(3, dim=-1)
    k, v = (F.pad(t, (0, 0, w - 1, 0)).unfold(1, w, 1) for t in (k, v))  # (B, T, C, w)
    q = q.reshape(B * length * H, 1, C // H)
    k, v = (t.reshape(B * length * H, C // H, w) for t in (k, v))
    distance = torch.arange(w - 1, -1, -1)
    slopes = 2.0 ** (-8.0 * torch.arange(1, H + 1) / H)
    bias = -slopes[:, None] * distance
    bias = bias.repeat(B * length, 1).masked_fill(
        distance > torch.arange(length).repeat(B).repeat_interleave(H)[:, None], float("-inf")
    )
    logits = torch.bmm(q, k) / (C // H) ** 0.5 + bias[:, None]
    mixed = torch.bmm(logits.softmax(-1), v.transpose(1, 2))
    return F.linear(mixed.reshape(B, length, C), layer.out)


def tf_mask(mixer, x):
    u = F.linear(normalised(x), mixer.embed_weight, mixer.embed_bias)
    for layer in mixer.layers:
        u = u + attended(layer, normalised(u))
        hidden = F.gelu(F.linear(normalised(u), layer.mlp_in, layer.mlp_in_bias))
        u = u + F.linear(hidden, layer.mlp_out, layer.mlp_out_bias)
    return F.linear(normalised(u), mixer.mask_weight, mixer.mask_bias)


def dynamic_taps(mixer, x):
    """(B, T, K, D)."""
    if mixer.kind == "dynamic_conv":
        chosen = x @ mixer.down.T @ mixer.up.flatten(1)
        return chosen.view(*x.shape[:2], *mixer.kernels.shape) + mixer.kernels
    weights = x @ mixer.weights.T + mixer.bias
    taps = mixer.filters().T @ weights.view(*x.shape[:2], mixer.num_bands, mixer.num_groups)
    return taps.repeat_interleave(mixer.channels // mixer.num_groups, dim=-1)


def filtered_dynamically(x, taps):
    terms = [later(x, k) * taps[:, :, k] for k in range(taps.shape[2])]
    return functools.reduce(torch.add, terms)


def normalised(u):
    return F.rms_norm(u, u.shape[-1:], eps=1e-5)


def kernels_of(mixer):
    """What filters with it: taps or rates; None for what has its kernels as they are."""
    if mixer.kind == "ema":
        return mixer.rates()
    return mixer.taps() if hasattr(mixer, "taps") else None


def plain(mixer, x, made):
    """A mixer from its definition, with kernels that are made already."""
    kind = mixer.kind
    if kind in ("dynamic_conv", "wavelet_bank"):
        return x + filtered_dynamically(x, dynamic_taps(mixer, x))
    if kind == "filterbank":
        M = mixer.num_filters
        return x + (subbands(mixer, x).reshape(-1, M) @ mixer.weights[:, None]).reshape(x.shape)
    if kind == "adaptive_filterbank":
        return x + (subbands(mixer, x) @ tf_mask(mixer, x).unsqueeze(-1)).squeeze(-1)
    if kind == "chain":
        for part in mixer.mixers:
            x = plain(part, x, made)
        return x
    start, stop = mixer.mixed_range
    own = x[..., start:stop]
    kernels = made[mixer]
    if kind == "ema":
        values = [torch.zeros_like(own[:, 0])]
        rates = kernels.to(x.dtype)
        for t in range(x.shape[1]):
            values.append(values[-1] * (1 - rates) + own[:, t] * rates)
        result = torch.stack(values[1:], dim=1)
    elif kind == "pyramid":
        average, result = own, torch.zeros_like(own)
        for k, weight in enumerate(mixer.weights):
            average = (average + later(average, 2**k)) * 0.5
            result = result + average * weight
    elif kind in ("wavelet", "moving_average"):
        parts = []
        lowpass = torch.from_numpy(orthogonal_lowpass(mixer.wavelet)).to(x.dtype)
        for channel, level in enumerate(mixer.levels):
            y = own[..., channel : channel + 1]
            for k in range(level):
                if len(lowpass) == 2:
                    y = y + later(y, 2**k)
                else:
                    y = filtered(y, lowpass[None], dilation=2**k)
            if len(lowpass) == 2:
                width = torch.full((x.shape[1], 1), float(2**level))
                if mixer.boundary == "mean":
                    width = torch.arange(1, x.shape[1] + 1).clamp(max=2**level)[:, None]
                y = y / width
            parts.append(y)
        result = torch.cat(parts, dim=-1)
    else:
        result = filtered(own, kernels.to(x.dtype))
    if mixer.residual:
        result = own + result
    return torch.cat([x[..., :start], result, x[..., stop:]], dim=-1)


def spared_additions(mixer):
    """Per token: one addition of each filter that torch's counter takes too many."""
    if mixer.kind in ("wavelet", "moving_average"):
        return 0 if mixer.wavelet == "haar" else sum(mixer.levels)
    if mixer.kind in ("learnable_wavelet", "short_conv", "token_shift", "kv_shift", "key_offset"):
        return mixer.num_mixed
    if mixer.kind in ("filterbank", "adaptive_filterbank"):
        # `flops` takes it too, but for the weighted sum over sub-bands.
        return mixer.channels
    return sum(spared_additions(part) for part in getattr(mixer, "mixers", ()))


PLAIN = [name for name, (_, options) in CASES.items() if "gated" not in str(options)]


@pytest.mark.parametrize("name", PLAIN)
def test_flops_are_the_operations_of_a_plain_form(name):
    mixer = build_case(name).double()
    x = torch.randn(1, T, CHANNELS, dtype=torch.float64)
    with torch.no_grad():
        made = {part: kernels_of(part) for part in mixer.modules() if isinstance(part, Mixer)}
    result, products, rest = counted(lambda: plain(mixer, x, made))
    torch.testing.assert_close(result, mixer(x))
    if "adaptive" in name:
        # The mask's own element-wise work is not in `flops`; the bank's is: ReLU and residual.
        rest = T * CHANNELS * (mixer.num_filters + 1)
    assert mixer.flops(T) == products + rest - T * spared_additions(mixer)
    if name.startswith(("wavelet-mean", "moving-average", "ema")):
        assert products == 0  # nothing of it is seen by torch's counter


def test_the_gate_is_three_operations():
    mixer = build_case("wavelet-gated")
    x, y = torch.randn(2, 1, T, mixer.num_mixed)
    _, _, rest = counted(lambda: x + mixer.fade_gate * (y - x))
    assert mixer.fade_flops(T) == rest


def test_every_kind_is_among_them():
    assert {CASES[name][0] for name in PLAIN} == set(list_mixers())
