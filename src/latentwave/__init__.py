"""Signal processing inside language models.

Names are imported on first use: `import latentwave` is free, and building a mixer does not load
transformers' models.
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentwave.hub import (
        assert_causal,
        attach,
        detach,
        documents,
        from_pretrained,
        load_mixers,
        mixer_parameters,
        parameter_groups,
        prepare_export,
        register,
        save_mixers,
        streaming,
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

__all__ = [
    "Mixer",
    "MixerConfig",
    "MixerState",
    "__version__",
    "assert_causal",
    "attach",
    "build_mixer",
    "detach",
    "documents",
    "from_pretrained",
    "list_mixers",
    "load_mixers",
    "mixer_parameters",
    "parameter_groups",
    "prepare_export",
    "register",
    "register_mixer",
    "save_mixers",
    "streaming",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        for floor in ("mixers", "hub"):
            module = importlib.import_module(f"{__name__}.{floor}")
            if hasattr(module, name):
                return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
