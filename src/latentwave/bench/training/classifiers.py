"""Backbones with a classification head, by recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import (
    GPT2ForSequenceClassification,
    LlamaForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedModel,
    set_seed,
)

from latentwave.bench.training.backbone import BackboneConfig
from latentwave.bench.training.contestant import ContestantConfig
from latentwave.bench.training.models import (
    attach_contestant,
    check_size,
    gpt2_config,
    llama_config,
)
from latentwave.bench.training.wave_encoder import (
    WaveEncoderConfig,
    WaveEncoderForAudioClassification,
    encoder_defaults,
)
from latentwave.errors import UserError

SINGLE_LABEL, MULTI_LABEL = "single_label_classification", "multi_label_classification"


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
    vocabulary stands for padding. Raw samples go through the strided convolutions of
    `WaveEncoderForAudioClassification` first.

    Args:
        backbone: decoder or encoder.
        contestant: what is attached to it.
        class_names: of the labels.
        multi_label: several labels per document.
        vocab_size: tokens of the corpus; 0 for raw samples.
        sample_rate: of raw samples, in Hz.
        seed: of the initial weights.

    Returns:
        The model, in training mode.

    Raises:
        UserError: if backbone and corpus do not fit, or the mixer refuses the backbone.
    """
    architecture = backbone.architecture
    if backbone.positions is not None:
        raise UserError(
            "backbone.positions is a choice of language models; classifiers have their "
            f"architecture's own, so it must be null, got {backbone.positions!r}"
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
    check_size(backbone, vocab_size)
    tokens = head | {"vocab_size": vocab_size + 1, "pad_token_id": vocab_size}
    set_seed(seed)
    model: PreTrainedModel
    if sample_rate is not None:
        model = WaveEncoderForAudioClassification(wave_config(backbone, sample_rate, **head))
    elif architecture == "encoder":
        encoder = ModernBertConfig(**_encoder_options(backbone), **tokens)
        model = ModernBertForSequenceClassification(encoder)
    elif architecture == "gpt2":
        model = GPT2ForSequenceClassification(gpt2_config(backbone, **tokens))
    else:
        config = llama_config(backbone, **tokens)
        model = LlamaForSequenceClassification(config)  # type: ignore[no-untyped-call]
    return attach_contestant(model, backbone, contestant)


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


def _encoder_options(backbone: BackboneConfig) -> dict[str, Any]:
    return encoder_defaults(backbone.num_layers) | {
        "hidden_size": backbone.hidden_size,
        "num_hidden_layers": backbone.num_layers,
        "num_attention_heads": backbone.num_heads,
        "intermediate_size": backbone.intermediate_size,
        "max_position_embeddings": backbone.context_length,
        "embedding_dropout": backbone.dropout,
        "mlp_dropout": backbone.dropout,
        "attention_dropout": backbone.dropout,
        "classifier_dropout": backbone.dropout,
    }
