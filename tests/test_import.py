"""What an import of the library loads, and that it changes nothing elsewhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import latentwave as lw

FORBIDDEN = {
    "IPython",
    "accelerate",
    "datasets",
    "jsonargparse",
    "latentwave.bench",
    "lm_eval",
    "matplotlib",
    "pandas",
    "pooch",
    "psutil",
    "pyarrow",
    "ray",
    "rich",
    "scipy",
    "sklearn",
    "soundfile",
    "tensorboard",
    "transformers.trainer",
    "yaml",
}

LOADED = """
import json, sys
{before}
known = set(sys.modules)
{after}
print(json.dumps(sorted(set(sys.modules) - known)))
"""


def _run(code):
    source = str(Path(lw.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": source},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    ).stdout


def _loaded(before, after):
    return json.loads(_run(LOADED.format(before=before, after=after)).splitlines()[-1])


def _forbidden(modules):
    return [
        each for each in modules if any(each == f or each.startswith(f"{f}.") for f in FORBIDDEN)
    ]


def test_the_import_after_transformers_is_nearly_free():
    modules = _loaded("import transformers", "import latentwave")
    assert "latentwave" in modules
    assert len(modules) < 30
    assert not _forbidden(modules)


def test_all_of_the_library_beside_a_model_of_transformers_is_light():
    modules = _loaded(
        "from transformers import GPT2LMHeadModel",
        "import latentwave as lw\nfor name in lw.__all__: getattr(lw, name)",
    )
    assert "latentwave.hub.attach" in modules
    assert len(modules) < 100
    assert not _forbidden(modules)


def test_a_mixer_alone_needs_no_model_of_transformers():
    modules = _loaded(
        "import torch",
        "import latentwave as lw\nlw.build_mixer('ema', channels=4, context_length=8)",
    )
    assert not any(each.startswith("transformers") for each in modules)


ATTRIBUTES = """
import sys
import transformers
import transformers.modeling_utils, transformers.cache_utils, transformers.generation.utils
import transformers.models.gpt2.modeling_gpt2, transformers.models.llama.modeling_llama
import transformers.models.auto.modeling_auto, torch.nn.modules.module

def attributes():
    classes = [
        value for name, module in list(sys.modules.items())
        if name.split(".")[0] in ("transformers", "torch") and hasattr(module, "__dict__")
        and not (name.startswith("torch.") and not name.startswith("torch.nn"))
        for value in list(vars(module).values()) if isinstance(value, type)
    ]
    return {
        (each.__module__, each.__qualname__, name): (value, id(value))
        for each in classes for name, value in vars(each).items()
        if name not in ("__abstractmethods__", "_abc_impl", "__annotations__")
    }

before = attributes()
import latentwave as lw
for name in lw.__all__:
    getattr(lw, name)
"""


def test_the_import_changes_no_class_of_transformers_or_torch():
    compare = """
after = attributes()
print([key for key, (_, known) in before.items() if after[key][1] != known])
"""
    assert _run(ATTRIBUTES + compare).split() == ["[]"]


def test_names_are_those_of_the_library():
    assert set(lw.__all__) <= set(dir(lw))
    assert lw.build_mixer is lw.build_mixer
    with pytest.raises(AttributeError, match="no attribute 'wavelets'"):
        _ = lw.wavelets
