"""Backbones by recipe, with or without mixers."""

from __future__ import annotations

from typing import Any

from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    set_seed,
)

from latentwave.errors import UserError
from latentwave.hub import attach
from latentwave.training.recipe import BackboneConfig, ContestantConfig


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
        UserError: if the mixer refuses the backbone or an option's value.
    """
    set_seed(seed)
    model = _ARCHITECTURES[backbone.architecture](backbone, vocab_size)
    if contestant.mixer is not None:
        try:
            attach(
                model,
                contestant.mixer,
                placement=contestant.placement,  # type: ignore[arg-type]
                context_length=backbone.context_length,
            )
        except ValueError as error:
            raise UserError(f"mixer {contestant.kind!r}: {error}") from error
    model.train()
    return model


def _gpt2(backbone: BackboneConfig, vocab_size: int) -> PreTrainedModel:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocab_size,
            n_positions=backbone.context_length,
            n_embd=backbone.hidden_size,
            n_layer=backbone.num_layers,
            n_head=backbone.num_heads,
            n_inner=backbone.intermediate_size,
            resid_pdrop=backbone.dropout,
            embd_pdrop=backbone.dropout,
            attn_pdrop=backbone.dropout,
            **_COMMON,
        )
    )


def _llama(backbone: BackboneConfig, vocab_size: int) -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=vocab_size,
        max_position_embeddings=backbone.context_length,
        hidden_size=backbone.hidden_size,
        num_hidden_layers=backbone.num_layers,
        num_attention_heads=backbone.num_heads,
        intermediate_size=backbone.intermediate_size,
        tie_word_embeddings=True,
        **_COMMON,
    )
    return LlamaForCausalLM(config)


# Character streams have no begin, end or padding token.
_COMMON: dict[str, Any] = {
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
    "use_cache": False,
}
_ARCHITECTURES = {"gpt2": _gpt2, "llama": _llama}
