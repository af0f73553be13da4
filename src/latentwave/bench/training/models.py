"""Backbones by recipe, with or without mixers."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
    set_seed,
)

from latentwave.bench.training.backbone import BackboneConfig
from latentwave.bench.training.contestant import ContestantConfig
from latentwave.errors import UserError
from latentwave.hub import attach


def build_model(
    backbone: BackboneConfig, contestant: ContestantConfig, *, vocab_size: int, seed: int
) -> PreTrainedModel:
    """Build a contestant with random weights.

    The backbone's weights depend on the seed alone, not on the contestant: mixers are built
    after it.

    Args:
        backbone: the decoder.
        contestant: what is attached to it.
        vocab_size: tokens of the corpus.
        seed: of the initial weights.

    Returns:
        The model, in training mode, without a cache.

    Raises:
        UserError: if the backbone is no decoder, or the mixer refuses it or an option's value.
    """
    if backbone.architecture not in _LANGUAGE_MODELS:
        raise UserError(
            f"backbone.architecture {backbone.architecture!r} reads later tokens and cannot "
            f"predict them: a language model needs one of {', '.join(_LANGUAGE_MODELS)}"
        )
    set_seed(seed)
    model = _language_model(backbone, vocab_size)
    if backbone.scaled_residual_init and not isinstance(model, GPT2LMHeadModel):
        _scale_residual_outputs(model, backbone.num_layers)
    return attach_contestant(model, backbone, contestant)


def _language_model(backbone: BackboneConfig, vocab_size: int) -> PreTrainedModel:
    if backbone.architecture == "gpt2" and backbone.positions == "rotary":
        return GPTNeoXForCausalLM(_gpt2_with_rotary_positions(backbone, vocab_size))
    if backbone.qk_norm:
        return Qwen3ForCausalLM(_llama_with_qk_norm(backbone, vocab_size))
    if backbone.architecture == "llama" and backbone.positions == "none":
        return SmolLM3ForCausalLM(_llama_without_positions(backbone, vocab_size))
    config, language_model = _LANGUAGE_MODELS[backbone.architecture]
    model: PreTrainedModel = language_model(config(backbone, vocab_size))
    if isinstance(model, GPT2LMHeadModel) and backbone.positions == "none":
        # GPT-2 adds position embeddings: zeros that stay zeros are none.
        embeddings: torch.Tensor = model.transformer.wpe.weight
        with torch.no_grad():
            embeddings.zero_()
        embeddings.requires_grad_(False)
    return model


def _scale_residual_outputs(model: PreTrainedModel, num_layers: int) -> None:
    """What GPT-2's initialisation does, for decoders whose own does not.

    Reference: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(_RESIDUAL_OUTPUTS):
                parameter.div_((2 * num_layers) ** 0.5)


def attach_contestant(
    model: PreTrainedModel, backbone: BackboneConfig, contestant: ContestantConfig
) -> PreTrainedModel:
    """Attach a contestant's mixers to a backbone, in place.

    Returns:
        The model, in training mode.

    Raises:
        UserError: if the mixer refuses the backbone or an option's value.
    """
    if contestant.mixer is not None:
        try:
            attach(
                model,
                contestant.mixer,
                placement=contestant.placement,  # type: ignore[arg-type]
                points=contestant.points,
                context_length=backbone.context_length,
            )
        except ValueError as error:
            raise UserError(f"mixer {contestant.kind!r}: {error}") from error
    model.train()
    return model


def gpt2_config(backbone: BackboneConfig, vocab_size: int, **others: Any) -> GPT2Config:
    """GPT-2 of a recipe's sizes; `others` are further fields of its configuration."""
    return GPT2Config(
        vocab_size=vocab_size,
        n_positions=backbone.context_length,
        n_embd=backbone.hidden_size,
        n_layer=backbone.num_layers,
        n_head=backbone.num_heads,
        n_inner=backbone.intermediate_size,
        resid_pdrop=backbone.dropout,
        embd_pdrop=backbone.dropout,
        attn_pdrop=backbone.dropout,
        activation_function=_GELU,
        initializer_range=backbone.initializer_range,
        tie_word_embeddings=backbone.tie_embeddings,
        **_COMMON | others,
    )


def llama_config(backbone: BackboneConfig, vocab_size: int, **others: Any) -> LlamaConfig:
    """Llama of a recipe's sizes; `others` are further fields of its configuration."""
    return LlamaConfig(
        vocab_size=vocab_size,
        max_position_embeddings=backbone.context_length,
        hidden_size=backbone.hidden_size,
        num_hidden_layers=backbone.num_layers,
        num_attention_heads=backbone.num_heads,
        intermediate_size=backbone.intermediate_size,
        initializer_range=backbone.initializer_range,
        tie_word_embeddings=backbone.tie_embeddings,
        **_COMMON | others,
    )


def _gpt2_with_rotary_positions(backbone: BackboneConfig, vocab_size: int) -> GPTNeoXConfig:
    """GPT-NeoX with sequential residuals is GPT-2 but for its positions and untied biases."""
    return GPTNeoXConfig(
        vocab_size=vocab_size,
        max_position_embeddings=backbone.context_length,
        hidden_size=backbone.hidden_size,
        num_hidden_layers=backbone.num_layers,
        num_attention_heads=backbone.num_heads,
        intermediate_size=backbone.intermediate_size,
        use_parallel_residual=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1},
        hidden_dropout=backbone.dropout,
        attention_dropout=backbone.dropout,
        hidden_act=_GELU,
        initializer_range=backbone.initializer_range,
        tie_word_embeddings=backbone.tie_embeddings,
        **_COMMON,
    )


def _llama_without_positions(backbone: BackboneConfig, vocab_size: int) -> SmolLM3Config:
    """SmolLM3 is Llama whose layers may do without rotary positions; here all do."""
    return SmolLM3Config(
        vocab_size=vocab_size,
        max_position_embeddings=backbone.context_length,
        hidden_size=backbone.hidden_size,
        num_hidden_layers=backbone.num_layers,
        num_attention_heads=backbone.num_heads,
        num_key_value_heads=backbone.num_heads,
        intermediate_size=backbone.intermediate_size,
        no_rope_layers=[0] * backbone.num_layers,
        initializer_range=backbone.initializer_range,
        tie_word_embeddings=backbone.tie_embeddings,
        **_COMMON,
    )


def _llama_with_qk_norm(backbone: BackboneConfig, vocab_size: int) -> Qwen3Config:
    """Qwen 3 is Llama with normalised queries and keys."""
    return Qwen3Config(
        vocab_size=vocab_size,
        max_position_embeddings=backbone.context_length,
        hidden_size=backbone.hidden_size,
        num_hidden_layers=backbone.num_layers,
        num_attention_heads=backbone.num_heads,
        num_key_value_heads=backbone.num_heads,
        head_dim=backbone.hidden_size // backbone.num_heads,
        intermediate_size=backbone.intermediate_size,
        initializer_range=backbone.initializer_range,
        tie_word_embeddings=backbone.tie_embeddings,
        **_COMMON,
    )


# GPT-2's GELU as one fused kernel; transformers' "gelu_new" is the same function in eight.
_GELU = "gelu_pytorch_tanh"
# Names of the projections whose output is added to the residual stream.
_RESIDUAL_OUTPUTS = (
    "o_proj.weight",
    "down_proj.weight",
    "attention.dense.weight",
    "dense_4h_to_h.weight",
)
# Character streams have no begin, end or padding token.
_COMMON: dict[str, Any] = {
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
    "use_cache": False,
}
_LANGUAGE_MODELS: dict[str, Any] = {
    "gpt2": (gpt2_config, GPT2LMHeadModel),
    "llama": (llama_config, LlamaForCausalLM),
}
