"""Every mixer that the contract tests run on; a new kind must add at least one case."""

import pytest
import torch

from latentwave.mixers import Mixer, build_mixer
from latentwave.mixers.dynamic import FUSED_RANK

CHANNELS = 12
CONTEXT_LENGTH = 16

SMALL_MASK = {"num_filters": 6, "mask_width": 8, "mask_window": 5}
# The parts of a chain.
AVERAGE = {"kind": "moving_average", "options": {"boundary": "mean", "gated": True}}
BANK = {"kind": "filterbank", "options": {"num_filters": 3, "kernel_size": 4}}
SHIFT = {"kind": "token_shift", "options": {"fraction": 0.5}}
NESTED = {"kind": "chain", "options": {"mixers": [BANK, SHIFT]}}
ADAPTIVE = {
    "kind": "adaptive_filterbank",
    "options": {"num_filters": 3, "kernel_size": 2, "mask_width": 4, "mask_window": 4},
}

CASES: dict[str, tuple[str, dict[str, object]]] = {
    "wavelet": ("wavelet", {}),
    "wavelet-mean": ("wavelet", {"boundary": "mean"}),
    "wavelet-residual": ("wavelet", {"residual": True, "mixed": "first"}),
    "wavelet-single": ("wavelet", {"level": 3, "fraction": 1.0}),
    "wavelet-schedule": ("wavelet", {"schedule": [4, 1, 2, 2, 1, 3]}),
    "wavelet-schedule-mean": ("wavelet", {"schedule": [4, 1, 2, 2, 1, 3], "boundary": "mean"}),
    "wavelet-db2": ("wavelet", {"wavelet": "db2"}),
    "wavelet-sym4": ("wavelet", {"wavelet": "sym4", "residual": True}),
    "wavelet-coif1": ("wavelet", {"wavelet": "coif1", "schedule": [1, 2, 1, 2, 1, 1]}),
    "learnable": ("learnable_wavelet", {}),
    "learnable-db2": ("learnable_wavelet", {"wavelet": "db2", "residual": True, "max_taps": 10}),
    "learnable-angles": ("learnable_wavelet", {"orthogonal": True}),
    "learnable-angles-sym3": (
        "learnable_wavelet",
        {"orthogonal": True, "wavelet": "sym3", "schedule": [2, 1, 2, 1, 1, 2], "mixed": "first"},
    ),
    "best": ("best", {}),
    "best-audio": ("best-audio", {}),
    "ema": ("ema", {}),
    "ema-all": ("ema", {"fraction": 1.0}),
    "ema-learnable": ("ema", {"learnable": True, "residual": True, "fraction": 1.0}),
    "moving-average": ("moving_average", {"window": 8, "boundary": "mean"}),
    "short-conv": ("short_conv", {}),
    "short-conv-plain": ("short_conv", {"residual": False, "kernel_size": 6, "fraction": 0.25}),
    "token-shift": ("token_shift", {"fraction": 0.5}),
    "dynamic": ("dynamic_conv", {"rank": FUSED_RANK}),
    "dynamic-unfused": ("dynamic_conv", {"rank": FUSED_RANK + 1}),
    "dynamic-haar": ("dynamic_conv", {"kernel_size": 5, "init": "haar", "gated": True}),
    "dynamic-gate": ("dynamic_conv", {"kernel_size": 1}),
    "wavelet-bank": ("wavelet_bank", {"num_groups": 2}),
    "wavelet-bank-learned": ("wavelet_bank", {"num_levels": 2, "learned": True}),
    "wavelet-bank-short": ("wavelet_bank", {"num_levels": 1, "num_groups": 4}),
    "pyramid": ("pyramid", {}),
    "pyramid-part": ("pyramid", {"num_levels": 2, "fraction": 0.5, "mixed": "first"}),
    "kv-shift": ("kv_shift", {"heads": "qkvk"}),
    "kv-shift-values": ("kv_shift", {"heads": "vv"}),
    "key-offset": ("key_offset", {"heads": "kv"}),
    "key-offset-interleaved": ("key_offset", {"heads": "qk", "interleaved": True}),
    "filterbank": ("filterbank", {"num_filters": 10, "kernel_size": 8}),
    "filterbank-longest": ("filterbank", {"num_filters": 3, "kernel_size": 16}),
    "filterbank-one-tap": ("filterbank", {"num_filters": 3, "kernel_size": 1}),
    "filterbank-multi": ("filterbank", {"num_filters": 6, "kernel_sizes": [4, 2, 8]}),
    "filterbank-fourier": (
        "filterbank",
        {"num_filters": 8, "kernel_sizes": [4, 16], "init": "fourier"},
    ),
    "adaptive": ("adaptive_filterbank", SMALL_MASK | {"kernel_size": 8}),
    "chain": ("chain", {}),
    "chain-nested": ("chain", {"mixers": [AVERAGE, NESTED, ADAPTIVE]}),
    "wavelet-gated": ("wavelet", {"gated": True}),
    "short-conv-gated": ("short_conv", {"gated": True, "mixed": "first", "fraction": 0.5}),
    "filterbank-gated": ("filterbank", {"num_filters": 3, "kernel_size": 4, "gated": True}),
    "adaptive-deep": (
        "adaptive_filterbank",
        SMALL_MASK | {"kernel_sizes": [2, 4], "mask_layers": 2, "mask_heads": 1, "mask_window": 6},
    ),
}


EVERY_CASE = pytest.mark.parametrize("case", CASES)


def signal(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, CHANNELS, dtype=dtype)


def double(case: str) -> Mixer:
    return build_case(case).double()


def streamed(mixer, x, sizes, **masks):
    """The output of a stream in chunks of some sizes (or of one size) with one state."""
    state = mixer.new_state()
    chunks = zip(*(signal.split(sizes, dim=1) for signal in (x, *masks.values())), strict=True)
    parts = [
        mixer(part, state=state, **dict(zip(masks, own, strict=True))) for part, *own in chunks
    ]
    return torch.cat(parts, dim=1)


def build_case(name: str) -> Mixer:
    return randomize(start(name))


def start(name: str, **more: object) -> Mixer:
    """A mixer with its initial values."""
    kind, options = CASES[name]
    sizes = {"channels": CHANNELS, "context_length": CONTEXT_LENGTH}
    return build_mixer(kind, **sizes, **options, **more)


def randomize(mixer: Mixer) -> Mixer:
    """Move away from the initial values: an identity would pass tests that should fail."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in mixer.parameters():
            # Predicted weights multiply the token: stacks of such mixers must not blow up.
            scale = 0.1 if parameter.any() else 0.5 / parameter.shape[-1] ** 0.5
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return mixer
