"""Backbones by recipe, with or without mixers: decoders, and models with a head for classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
    set_seed,
)

from latentwave.bench.training.backbone import POSITIONS, BackboneConfig
from latentwave.bench.training.contestant import ContestantConfig
from latentwave.bench.training.wave_encoder import (
    WaveEncoderConfig,
    WaveEncoderForAudioClassification,
    encoder_defaults,
)
from latentwave.errors import UserError
from latentwave.hub import attach

SINGLE_LABEL, MULTI_LABEL = "single_label_classification", "multi_label_classification"
# GPT-2's GELU as one fused kernel; transformers' "gelu_new" is the same function in eight.
_GELU = "gelu_pytorch_tanh"
# Names of the projections whose output is added to the residual stream.
_RESIDUAL_OUTPUTS = (
    "o_proj.weight",
    "down_proj.weight",
    "attention.dense.weight",
    "dense_4h_to_h.weight",
)


def build_model(
    backbone: BackboneConfig, contestant: ContestantConfig, *, vocab_size: int, seed: int
) -> PreTrainedModel:
    """Build a contestant with random weights.

    The backbone's weights depend on the seed alone, not on the contestant: mixers are built
    after it.

    Raises:
        UserError: if the backbone is no decoder, or the mixer refuses it or an option's value.
    """
    if not POSITIONS[backbone.architecture]:
        raise UserError(
            f"backbone.architecture {backbone.architecture!r} reads later tokens and cannot "
            f"predict them: a language model needs one of "
            f"{', '.join(name for name, own in POSITIONS.items() if own)}"
        )
    set_seed(seed)
    return _finish(_language_model(backbone, vocab_size), backbone, contestant)


def build_classifier(
    backbone: BackboneConfig,
    contestant: ContestantConfig,
    *,
    class_names: Sequence[str],
    multi_label: bool,
    vocab_size: int,
    sample_rate: int | None = None,
    seed: int,
) -> PreTrainedModel:
    """Build a contestant with random weights and a head for these classes.

    Decoders classify by their last token; encoders by the mean over tokens. The token after the
    vocabulary stands for padding. Raw samples, which have a `sample_rate` in Hz and a `vocab_size`
    of 0, go through the strided convolutions of `WaveEncoderForAudioClassification` first.

    Raises:
        UserError: if backbone and corpus do not fit, or the mixer refuses the backbone.
    """
    architecture = backbone.architecture
    if backbone.positions is not None:
        raise UserError(
            "backbone.positions is a choice of language models; classifiers have their "
            f"architecture's own, so it must be null, got {backbone.positions!r}"
        )
    if backbone.qk_norm:
        raise UserError(
            "backbone.qk_norm is a choice of language models: it must be false in classifiers"
        )
    if sample_rate is not None and architecture != "encoder":
        raise UserError(
            f'raw sound is classified by backbone.architecture "encoder", got {architecture!r}'
        )
    later = [each.kind for each in contestant.placed if each.options.get("causal") is False]
    if architecture != "encoder" and later:
        raise UserError(
            f"mixer {later[0]!r} with causal=False reads later tokens, the decoder "
            f'{architecture!r} does not: use backbone.architecture "encoder"'
        )
    head: dict[str, Any] = {
        "id2label": dict(enumerate(class_names)),
        "label2id": {name: index for index, name in enumerate(class_names)},
        "problem_type": MULTI_LABEL if multi_label else SINGLE_LABEL,
    }
    tokens = head | {"vocab_size": vocab_size + 1, "pad_token_id": vocab_size}
    set_seed(seed)
    model: PreTrainedModel
    if sample_rate is not None:
        model = WaveEncoderForAudioClassification(wave_config(backbone, sample_rate, **head))
    elif architecture == "encoder":
        encoder = ModernBertConfig(**_encoder_options(backbone), **tokens)
        model = ModernBertForSequenceClassification(encoder)
    elif architecture == "gpt2":
        model = GPT2ForSequenceClassification(_gpt2_config(backbone, **tokens))
    else:
        config = LlamaConfig(**_sizes(backbone, **tokens))
        model = LlamaForSequenceClassification(config)  # type: ignore[no-untyped-call]
    return _finish(model, backbone, contestant)


def wave_config(backbone: BackboneConfig, sample_rate: int, **head: Any) -> WaveEncoderConfig:
    """The encoder on raw sound that a recipe asks for; `head` describes the classes."""
    return WaveEncoderConfig(
        frontend_channels=backbone.frontend_channels,
        frontend_kernel_sizes=backbone.frontend_kernel_sizes,
        frontend_strides=backbone.frontend_strides,
        sample_rate=sample_rate,
        **_encoder_options(backbone),
        **head,
    )


def _finish(
    model: PreTrainedModel, backbone: BackboneConfig, contestant: ContestantConfig
) -> PreTrainedModel:
    """Scale residual outputs where that is asked for, and attach the contestant's mixers."""
    if backbone.scaled_residual_init:
        # What GPT-2's own initialisation does (Radford et al., 2019), to names that it lacks.
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith(_RESIDUAL_OUTPUTS):
                    parameter.div_((2 * backbone.num_layers) ** 0.5)
    if contestant.placed:
        try:
            attach(
                model,
                [(each.config, each.points) for each in contestant.placed],
                placement=contestant.placement,  # type: ignore[arg-type]
                context_length=backbone.context_length,
            )
        except ValueError as error:
            kinds = ", ".join(repr(each.kind) for each in contestant.placed)
            raise UserError(f"mixer {kinds}: {error}") from error
    model.train()
    return model


def _language_model(backbone: BackboneConfig, vocab_size: int) -> PreTrainedModel:
    sizes = _sizes(backbone, vocab_size=vocab_size)
    if backbone.architecture == "llama":
        heads, width = backbone.num_heads, backbone.hidden_size
        if backbone.qk_norm:  # Qwen 3 is Llama with normalised queries and keys
            return Qwen3ForCausalLM(
                Qwen3Config(num_key_value_heads=heads, head_dim=width // heads, **sizes)
            )
        if backbone.positions == "none":  # SmolLM3 is Llama that may do without rotary positions
            rotary = [0] * backbone.num_layers
            return SmolLM3ForCausalLM(
                SmolLM3Config(num_key_value_heads=heads, no_rope_layers=rotary, **sizes)
            )
        return LlamaForCausalLM(LlamaConfig(**sizes))
    if backbone.positions == "rotary":
        # GPT-NeoX with sequential residuals is GPT-2 but for its positions and untied biases.
        config = GPTNeoXConfig(
            use_parallel_residual=False,
            rope_parameters={
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 1,
            },
            hidden_dropout=backbone.dropout,
            attention_dropout=backbone.dropout,
            hidden_act=_GELU,
            **sizes,
        )
        return GPTNeoXForCausalLM(config)
    model = GPT2LMHeadModel(_gpt2_config(backbone, vocab_size=vocab_size))
    if backbone.positions == "none":
        # GPT-2 adds position embeddings: zeros that stay zeros are none.
        embeddings: torch.Tensor = model.transformer.wpe.weight
        embeddings.requires_grad_(False).zero_()
    return model


def _gpt2_config(backbone: BackboneConfig, **fields: Any) -> GPT2Config:
    sizes = _sizes(backbone, **fields)
    return GPT2Config(
        n_inner=sizes.pop("intermediate_size"),
        resid_pdrop=backbone.dropout,
        embd_pdrop=backbone.dropout,
        attn_pdrop=backbone.dropout,
        activation_function=_GELU,
        **sizes,
    )


def _sizes(backbone: BackboneConfig, **fields: Any) -> dict[str, Any]:
    """A decoder's configuration, and further fields."""
    own = {
        "initializer_range": backbone.initializer_range,
        "tie_word_embeddings": backbone.tie_embeddings,
        "use_cache": False,
        # Character streams have no begin, end or padding token.
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    return _widths(backbone) | own | fields


def _widths(backbone: BackboneConfig) -> dict[str, Any]:
    """The sizes of any model, by the names that transformers' configurations share."""
    return {
        "max_position_embeddings": backbone.context_length,
        "hidden_size": backbone.hidden_size,
        "num_hidden_layers": backbone.num_layers,
        "num_attention_heads": backbone.num_heads,
        "intermediate_size": backbone.intermediate_size,
    }


def _encoder_options(backbone: BackboneConfig) -> dict[str, Any]:
    places = ("embedding", "mlp", "attention", "classifier")
    dropouts = {f"{place}_dropout": backbone.dropout for place in places}
    own = {"initializer_range": backbone.initializer_range} | dropouts
    return encoder_defaults(backbone.num_layers) | _widths(backbone) | own
