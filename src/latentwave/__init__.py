"""Signal processing inside language models."""

from importlib.metadata import version

from latentwave.hub import (
    assert_causal,
    attach,
    detach,
    from_pretrained,
    mixer_parameters,
    parameter_groups,
    register_with_transformers,
)
from latentwave.mixers import (
    Mixer,
    MixerConfig,
    MixerState,
    build_mixer,
    list_mixers,
    register_mixer,
)

__version__ = version("latentwave")

# So that `AutoModelForCausalLM.from_pretrained` and its kin restore mixers.
register_with_transformers()

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
    "mixer_parameters",
    "parameter_groups",
    "register_mixer",
]
