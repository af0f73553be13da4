"""Every mixer that the contract tests run on; a new kind must add at least one case."""

import torch

from latentwave.mixers import Mixer, build_mixer

CHANNELS = 12
CONTEXT_LENGTH = 16

CASES: dict[str, tuple[str, dict[str, object]]] = {
    "wavelet": ("wavelet", {}),
    "wavelet-mean": ("wavelet", {"boundary": "mean"}),
    "wavelet-residual": ("wavelet", {"residual": True, "mixed": "first"}),
    "wavelet-single": ("wavelet", {"level": 3, "fraction": 1.0}),
    "wavelet-schedule": ("wavelet", {"schedule": [4, 1, 2, 2, 1, 3]}),
    "wavelet-schedule-mean": ("wavelet", {"schedule": [4, 1, 2, 2, 1, 3], "boundary": "mean"}),
    "filterbank": ("filterbank", {"num_filters": 10, "kernel_size": 8}),
    "filterbank-longest": ("filterbank", {"num_filters": 3, "kernel_size": 16}),
    "filterbank-one-tap": ("filterbank", {"num_filters": 3, "kernel_size": 1}),
    "filterbank-multi": ("filterbank", {"num_filters": 6, "kernel_sizes": [4, 2, 8]}),
    "filterbank-fourier": (
        "filterbank",
        {"num_filters": 8, "kernel_sizes": [4, 16], "init": "fourier"},
    ),
    "adaptive": (
        "adaptive_filterbank",
        {"num_filters": 6, "kernel_size": 8, "mask_width": 8, "mask_window": 5},
    ),
    "adaptive-deep": (
        "adaptive_filterbank",
        {
            "num_filters": 6,
            "kernel_sizes": [2, 4],
            "mask_width": 8,
            "mask_layers": 2,
            "mask_heads": 1,
            "mask_window": 6,
        },
    ),
}


def build_case(name: str) -> Mixer:
    kind, options = CASES[name]
    mixer = build_mixer(kind, channels=CHANNELS, context_length=CONTEXT_LENGTH, **options)
    # A mixer that starts as the identity would pass tests that it should fail.
    for parameter in mixer.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    return mixer
