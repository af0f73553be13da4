"""Tiny backbones whose weights are large enough for filters to matter.

They are in float64: such weights amplify rounding, which differs between processors.
"""

import pytest
import torch
import transformers

VOCABULARY, CONTEXT = 40, 64
WINDOW = 6  # of sliding attention: shorter than the sequences of the tests


def _sizes(num_layers, **more):
    return {
        "vocab_size": VOCABULARY,
        "max_position_embeddings": CONTEXT,
        "hidden_size": 16,
        "num_hidden_layers": num_layers,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "bos_token_id": 0,
        "eos_token_id": None,
        "pad_token_id": 1,
    } | more


def _backbone(name, **options):
    """A builder of `…ForCausalLM` and its configuration by their name in transformers."""

    def build(num_layers=3):
        text = getattr(transformers, f"{name}TextConfig", None)
        config = (text or getattr(transformers, f"{name}Config"))(**_sizes(num_layers, **options))
        return lively(getattr(transformers, f"{name}ForCausalLM")(config))

    return build


def gpt2(num_layers=3):
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_embd=16,
        n_layer=num_layers,
        n_head=2,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=1,
    )
    return lively(transformers.GPT2LMHeadModel(config))


def lively(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    # Grouped products of experts take no float64.
    return (model if getattr(model.config, "num_experts", None) else model.double()).eval()


llama = _backbone("Llama")
GROUPED = {"num_key_value_heads": 1, "head_dim": 8}
MIXED_ATTENTION = ["sliding_attention", "full_attention", "sliding_attention"]

# Tested with every mixer, in every way of generating.
BACKBONES = {"gpt2": gpt2, "llama": llama}
# Tested with a few mixers in the most telling ways.
MORE_BACKBONES = {
    "qwen3": _backbone("Qwen3", **GROUPED),
    "mistral": _backbone("Mistral", **GROUPED, sliding_window=WINDOW),
    "gemma3": _backbone("Gemma3", **GROUPED, sliding_window=WINDOW, layer_types=MIXED_ATTENTION),
    "phi3": _backbone("Phi3"),
    "gpt_neox": _backbone("GPTNeoX"),
    "olmo2": _backbone("Olmo2"),
    "smollm3": _backbone("SmolLM3", num_key_value_heads=1),
    # Backbones with convolutions or recurrences of their own keep these in the same cache.
    "lfm2": _backbone(
        "Lfm2", num_key_value_heads=1, layer_types=["conv", "full_attention", "conv"]
    ),
    "qwen3_next": _backbone(
        "Qwen3Next",
        **GROUPED,
        layer_types=["linear_attention", "full_attention", "linear_attention"],
        linear_num_value_heads=2,
        linear_num_key_heads=1,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        num_experts=2,
        num_experts_per_tok=1,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
    ),
}


def tokens(*shape):
    return torch.randint(2, VOCABULARY, shape)


def every_way(ways):
    """Parametrize backbones and arguments of `generate`: all on Llama, where keys are rotated.

    On the others greedy decoding in the usual run, the rest with the slow checks, and so is
    sampling, whose cache is that of greedy decoding.
    """
    return pytest.mark.parametrize(
        ("backbone", "how"),
        [
            pytest.param(
                name,
                how,
                id=f"{name}-{how}",
                marks=[pytest.mark.slow] if how and (name != "llama" or "top_k" in how) else [],
            )
            for name in BACKBONES
            for how in ways
        ],
    )
