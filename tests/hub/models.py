"""Tiny backbones whose weights are large enough for filters to matter.

They are in float64: such weights amplify rounding, which differs between processors.
"""

import itertools

import pytest
import torch
import transformers
from transformers import DynamicCache

import latentwave as lw
from latentwave.hub import all_mixers
from latentwave.hub.cache import cache_argument
from latentwave.mixers.registry import POINTS
from tests.mixers.cases import CASES, randomize

CACHE = cache_argument(transformers.LlamaModel)
VOCABULARY, CONTEXT = 40, 64
WINDOW = 6  # of sliding attention: shorter than the sequences of the tests


def sizes(num_layers, **more):
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


def tiny_backbone_of(name, **options):
    """A builder of `…ForCausalLM` and its configuration by their name in transformers."""

    def build(num_layers=3):
        text = getattr(transformers, f"{name}TextConfig", None)
        config = (text or getattr(transformers, f"{name}Config"))(**sizes(num_layers, **options))
        head = "LMHeadModel" if name in ("GPT2", "CTRL", "OpenAIGPT") else "ForCausalLM"
        return lively(getattr(transformers, f"{name}{head}")(config))

    return build


def lively(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    # Grouped products of experts take no float64.
    return (model if getattr(model.config, "num_experts", None) else model.double()).eval()


gpt2 = tiny_backbone_of("GPT2", intermediate_size=None)
llama = tiny_backbone_of("Llama")
GROUPED = {"num_key_value_heads": 1, "head_dim": 8}
MIXED_ATTENTION = ["sliding_attention", "full_attention", "sliding_attention"]

# Tested with every mixer, in every way of generating.
BACKBONES = {"gpt2": gpt2, "llama": llama}
# Tested with a few mixers.
MORE_BACKBONES = {
    "qwen3": tiny_backbone_of("Qwen3", **GROUPED),
    "mistral": tiny_backbone_of("Mistral", **GROUPED, sliding_window=WINDOW),
    "gemma3": tiny_backbone_of(
        "Gemma3", **GROUPED, sliding_window=WINDOW, layer_types=MIXED_ATTENTION
    ),
    "phi3": tiny_backbone_of("Phi3"),
    "gpt_neox": tiny_backbone_of("GPTNeoX"),
    "olmo2": tiny_backbone_of("Olmo2"),
    "smollm3": tiny_backbone_of("SmolLM3", num_key_value_heads=1),
    # The backbone's own convolutions or recurrences share the cache.
    "lfm2": tiny_backbone_of(
        "Lfm2", num_key_value_heads=1, layer_types=["conv", "full_attention", "conv"]
    ),
    "qwen3_next": tiny_backbone_of(
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


GEMMA = GROUPED | {
    "vocab_size_per_layer_input": VOCABULARY,
    "hidden_size_per_layer_input": 8,
    "num_kv_shared_layers": 0,
    "layer_types": ["sliding_attention", "full_attention", "full_attention"],
}
# Tested where they differ.
UNUSUAL_BACKBONES = {
    # The embedding is narrower than the layers, as in OPT-350m.
    "opt": tiny_backbone_of("OPT", word_embed_proj_dim=8, ffn_dim=32),
    # It is scaled in place.
    "ctrl": tiny_backbone_of("CTRL", dff=32),
    # Each layer also has its own embedding.
    "gemma4": tiny_backbone_of("Gemma4", **GEMMA, global_head_dim=8),
    # The signal between layers has four dimensions.
    "gemma3n": tiny_backbone_of(
        "Gemma3n", **GEMMA, laurel_rank=4, altup_num_inputs=2, activation_sparsity_pattern=[0.0] * 3
    ),
    # Some layers have queries, keys and values, but a recurrence instead of attention.
    "olmo_hybrid": tiny_backbone_of(
        "OlmoHybrid",
        layer_types=["linear_attention", "full_attention", "linear_attention"],
        linear_num_key_heads=1,
        linear_num_value_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
    ),
    "minimax": tiny_backbone_of("MiniMax", num_key_value_heads=2, head_dim=8, num_local_experts=2),
    # It passes its past in a separate argument.
    "rwkv": tiny_backbone_of("Rwkv", attention_hidden_size=16),
}

# Their heads do not pass extra arguments on to the decoder.
DEAF_BACKBONES = {
    "gptj": tiny_backbone_of("GPTJ", intermediate_size=None, rotary_dim=4),
    "falcon": tiny_backbone_of("Falcon"),
    "bloom": tiny_backbone_of("Bloom"),
    "mpt": tiny_backbone_of("Mpt"),
    "codegen": tiny_backbone_of("CodeGen", num_attention_heads=4, rotary_dim=4),
    "openai_gpt": tiny_backbone_of("OpenAIGPT"),
}

POINTS_INSIDE = POINTS[:-1]
EVERY_BACKBONE = pytest.mark.parametrize("backbone", BACKBONES)
# Each point by itself, and all at once.
EVERY_POINT = pytest.mark.parametrize(
    "points",
    [*POINTS_INSIDE, list(POINTS)],
    ids=lambda points: points if isinstance(points, str) else "all",
)
SIZES = {
    "filterbank": {"num_filters": 6, "kernel_size": 8},
    "adaptive_filterbank": {"num_filters": 6, "kernel_size": 8, "mask_width": 8, "mask_window": 5},
}
# The cases that fit into the width of the backbones.
FITTING = {
    name: case
    for name, case in CASES.items()
    if not {"schedule", "num_groups", "heads"} & set(case[1])
}
KINDS = {kind: (kind, SIZES.get(kind, {})) for kind in lw.list_mixers()}
HEAD_KINDS = ("kv_shift", "key_offset")
KINDS_FOR_EVERY_POINT = [kind for kind in KINDS if kind not in HEAD_KINDS]
GREEDY = {"max_new_tokens": 12, "do_sample": False}


def tokens(*shape):
    return torch.randint(2, VOCABULARY, shape)


def trainable(model):
    """The model in training mode, without randomness."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.loss_type = "ForCausalLM"  # transformers warns without it, which breaks graphs
    return model.train()


def train(model, ids, *, steps=6, lr=1e-2):
    """The loss of each step."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.0)
    model.train()
    losses = []
    for _ in range(steps):
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    model.eval()
    return losses


def padded(ids, padding=5):
    """Inputs whose second row begins with padding."""
    mask = torch.ones_like(ids)
    mask[1, :padding] = 0
    return {"input_ids": ids, "attention_mask": mask}


def randomized(model):
    """The model, its mixers away from their initial values."""
    for each in all_mixers(model):
        randomize(each.mixer)
    return model


def points_for(kind, *points):
    """The points, or the only one where a mixer of heads can stand."""
    return ["qkv"] if kind in HEAD_KINDS else list(points)


def weights_of_mixers(model):
    """Everything that mixers save, mixer by mixer."""
    return [each.mixer.state_dict() for each in all_mixers(model)]


def mixed(model, kind, points=None, *, placement=None, context_length=16, **options):
    """The model with mixers that are away from their initial values."""
    options = options or SIZES.get(kind, {})
    where = {"points": points, "placement": placement, "context_length": context_length}
    return randomized(lw.attach(model, kind, **where, **options))


def cached(cache):
    """The argument that continues from a cache, as transformers calls it."""
    return {CACHE: cache}


def cache_of(output):
    """The cache that a model returns."""
    return output.get(CACHE)


def chunked(model, ids, cuts=(0, 9, 16, 17, 20)):
    cache = DynamicCache(config=model.config)
    parts = [
        model(ids[:, start:stop], **cached(cache)).logits
        for start, stop in itertools.pairwise(cuts)
    ]
    return torch.cat(parts, dim=1)
