"""Builds the model of a contestant: a language model or a classifier, with its mixers."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    AutoModelForAudioClassification,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    ModernBertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3Config,
    SmolLM3Config,
    set_seed,
)

from latentwave.bench.training.backbone import POSITIONS, BackboneConfig
from latentwave.bench.training.contestant import ContestantConfig
from latentwave.bench.training.wave_encoder import WaveEncoderConfig, encoder_defaults
from latentwave.errors import UserError
from latentwave.hub import attach

SINGLE_LABEL, MULTI_LABEL = "single_label_classification", "multi_label_classification"
# GPT-2's GELU as one fused kernel; transformers' "gelu_new" is the same function in eight.
_GELU = "gelu_pytorch_tanh"
# The projections whose output is added to the residual stream, as Llama and GPT-NeoX name them.
_RESIDUAL_OUTPUTS = (
    "o_proj.weight",
    "down_proj.weight",
    "attention.dense.weight",
    "dense_4h_to_h.weight",
)


def build_model(
    backbone: BackboneConfig, contestant: ContestantConfig, *, vocab_size: int, seed: int
) -> PreTrainedModel:
    """Build a contestant's language model with random weights.

    Mixers are built after the backbone, so its weights depend on the seed alone.

    Raises:
        UserError: if the backbone is an encoder, or the mixer refuses it or an option's value.
    """
    if not POSITIONS[backbone.architecture]:
        raise UserError(
            f"backbone.architecture {backbone.architecture!r} reads later tokens and cannot "
            f"predict them: a language model needs one of "
            f"{', '.join(name for name, positions in POSITIONS.items() if positions)}"
        )
    auto: Any = AutoModelForCausalLM
    set_seed(seed)
    model = auto.from_config(_decoder_config(backbone, vocab_size=vocab_size))
    if backbone.architecture == "gpt2" and backbone.positions == "none":
        # GPT-2 always adds position embeddings: frozen zeros have no effect.
        model.transformer.wpe.weight.requires_grad_(False).zero_()
    return _with_mixers(model, backbone, contestant)


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
    """Build a contestant's classifier with random weights.

    Decoders classify by their last token, encoders by the mean over tokens. Padding is the token
    after the vocabulary. Raw sound, which has a `sample_rate` in Hz and a `vocab_size` of 0, goes
    through `WaveEncoderForAudioClassification`.

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
    noncausal = [each.kind for each in contestant.placed if each.options.get("causal") is False]
    if architecture != "encoder" and noncausal:
        raise UserError(
            f"mixer {noncausal[0]!r} with causal=False reads later tokens, the decoder "
            f'{architecture!r} does not: use backbone.architecture "encoder"'
        )
    head: dict[str, Any] = {
        "id2label": dict(enumerate(class_names)),
        "label2id": {name: index for index, name in enumerate(class_names)},
        "problem_type": MULTI_LABEL if multi_label else SINGLE_LABEL,
    }
    tokens = head | {"vocab_size": vocab_size + 1, "pad_token_id": vocab_size}
    auto: Any = AutoModelForSequenceClassification
    config: PreTrainedConfig
    if sample_rate is not None:
        auto, config = AutoModelForAudioClassification, wave_config(backbone, sample_rate, **head)
    elif architecture == "encoder":
        config = ModernBertConfig(**_encoder_options(backbone), **tokens)
    else:
        config = _decoder_config(backbone, **tokens)
    set_seed(seed)
    return _with_mixers(auto.from_config(config), backbone, contestant)


def wave_config(backbone: BackboneConfig, sample_rate: int, **head: Any) -> WaveEncoderConfig:
    """A recipe's encoder of raw sound; `head` describes the classes."""
    return WaveEncoderConfig(
        frontend_channels=backbone.frontend_channels,
        frontend_kernel_sizes=backbone.frontend_kernel_sizes,
        frontend_strides=backbone.frontend_strides,
        sample_rate=sample_rate,
        **_encoder_options(backbone),
        **head,
    )


def _with_mixers(
    model: PreTrainedModel, backbone: BackboneConfig, contestant: ContestantConfig
) -> PreTrainedModel:
    """Scale the residual outputs if the recipe says so, and attach the contestant's mixers."""
    if backbone.scaled_residual_init:
        # GPT-2 and ModernBERT do this themselves (Radford et al., 2019).
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


def _decoder_config(backbone: BackboneConfig, **fields: Any) -> PreTrainedConfig:
    sizes = _sizes(backbone) | {
        "tie_word_embeddings": backbone.tie_embeddings,
        "use_cache": False,
        # Character streams have no begin, end or padding token.
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    sizes |= fields
    if backbone.architecture == "llama":
        heads, width = backbone.num_heads, backbone.hidden_size
        if backbone.qk_norm:  # Qwen 3 is Llama with normalised queries and keys
            return Qwen3Config(num_key_value_heads=heads, head_dim=width // heads, **sizes)
        if backbone.positions == "none":  # SmolLM3 is Llama that can do without rotary positions
            no_rope = [0] * backbone.num_layers
            return SmolLM3Config(num_key_value_heads=heads, no_rope_layers=no_rope, **sizes)
        return LlamaConfig(**sizes)
    if backbone.positions == "rotary":
        # GPT-NeoX with sequential residuals is GPT-2 but for its positions and untied biases.
        rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1}
        return GPTNeoXConfig(
            use_parallel_residual=False,
            rope_parameters=rope,
            hidden_dropout=backbone.dropout,
            attention_dropout=backbone.dropout,
            hidden_act=_GELU,
            **sizes,
        )
    return GPT2Config(
        n_inner=sizes.pop("intermediate_size"),
        resid_pdrop=backbone.dropout,
        embd_pdrop=backbone.dropout,
        attn_pdrop=backbone.dropout,
        activation_function=_GELU,
        **sizes,
    )


def _encoder_options(backbone: BackboneConfig) -> dict[str, Any]:
    places = ("embedding", "mlp", "attention", "classifier")
    dropouts = {f"{place}_dropout": backbone.dropout for place in places}
    return encoder_defaults(backbone.num_layers) | _sizes(backbone) | dropouts


def _sizes(backbone: BackboneConfig) -> dict[str, Any]:
    """The fields that all of transformers' configurations share."""
    return {
        "max_position_embeddings": backbone.context_length,
        "hidden_size": backbone.hidden_size,
        "num_hidden_layers": backbone.num_layers,
        "num_attention_heads": backbone.num_heads,
        "intermediate_size": backbone.intermediate_size,
        "initializer_range": backbone.initializer_range,
    }
