"""Sizes that no machine could hold are refused by their numbers, before anything is built."""

import pytest

from latentwave.mixers import build_mixer

HUGE = 10**30
TOO_LARGE = [
    (kind, {option: value})
    for kind, options in {
        "wavelet": ["level", "num_levels"],
        "learnable_wavelet": ["level", "num_levels", "max_taps"],
        "moving_average": ["level", "window"],
        "pyramid": ["num_levels"],
        "wavelet_bank": ["num_levels", "num_groups"],
        "filterbank": ["num_filters", "kernel_size"],
        "adaptive_filterbank": ["num_filters", "mask_width", "mask_layers", "mask_heads"],
        "dynamic_conv": ["rank", "kernel_size"],
        "short_conv": ["kernel_size"],
        "ema": ["shortest", "longest"],
    }.items()
    for option in options
    for value in (10**9 + 1, 10**12, HUGE, 10**4000)
]
TOO_LARGE += [
    ("wavelet", {"schedule": [1, HUGE]}),
    ("filterbank", {"kernel_sizes": [4, HUGE]}),
    ("adaptive_filterbank", {"mask_window": HUGE}),
    ("chain", {"mixers": [{"kind": "short_conv"}] * 65}),
    ("chain", {"mixers": [{"kind": "chain", "options": {"mixers": [{"kind": "ema"}] * 64}}]}),
]


@pytest.mark.parametrize(("kind", "options"), TOO_LARGE, ids=lambda value: str(value)[:40])
@pytest.mark.timeout(10)
def test_options(kind, options):
    with pytest.raises(ValueError, match="must|at most"):
        build_mixer(kind, channels=8, context_length=64, **options)


@pytest.mark.parametrize("size", ["channels", "context_length"])
@pytest.mark.timeout(10)
def test_the_size_of_the_model(size):
    with pytest.raises(ValueError, match=f"{size} must be an integer from 1 to 16777216"):
        build_mixer("wavelet", **({"channels": 8, "context_length": 64} | {size: HUGE}))


def test_wide_models_may_have_wide_mixers():
    mixer = build_mixer(
        "adaptive_filterbank",
        channels=256,
        context_length=64,
        num_filters=2048,
        mask_width=2048,
        kernel_size=2,
    )
    assert mixer.num_filters == 2048
