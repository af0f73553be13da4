"""Every mixer that the contract tests run on; a new kind must add at least one case."""

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
}


def build_case(name: str) -> Mixer:
    kind, options = CASES[name]
    return build_mixer(kind, channels=CHANNELS, context_length=CONTEXT_LENGTH, **options)
