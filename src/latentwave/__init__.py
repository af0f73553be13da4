"""Signal processing inside language models."""

from importlib.metadata import version

from latentwave.analysis import assert_causal
from latentwave.hub import attach, detach, from_pretrained
from latentwave.mixers import (
    Mixer,
    MixerConfig,
    MixerState,
    build_mixer,
    list_mixers,
    register_mixer,
)

__version__ = version("latentwave")

__all__ = [
    "Mixer",
    "MixerConfig",
    "MixerState",
    "__version__",
    "assert_causal",
    "attach",
    "build_mixer",
    "detach",
    "from_pretrained",
    "list_mixers",
    "register_mixer",
]
