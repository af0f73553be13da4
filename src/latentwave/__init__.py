"""Signal processing inside language models."""

from importlib.metadata import version

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
    "build_mixer",
    "list_mixers",
    "register_mixer",
]
