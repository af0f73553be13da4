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
from latentwave.bench.training.models import attach_contestant, gpt2_config, llama_config
from latentwave.bench.training.wave_encoder import (
    WaveEncoderConfig,
    WaveEncoderForAudioClassification,
)
from latentwave.errors import UserError

ENCODER = "encoder"


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
    if (vocab_size == 0) != (sample_rate is not None):
        raise ValueError(f"vocab_size={vocab_size} does not fit sample_rate={sample_rate}")
    if backbone.positions is not None:
        raise UserError(
            "backbone.positions is a choice of language models; classifiers have their "
            f"architecture's own, so it must be null, got {backbone.positions!r}"
        )
    if sample_rate is not None and backbone.architecture != ENCODER:
        raise UserError(
            f'raw sound is classified by backbone.architecture "{ENCODER}", got '
            f"{backbone.architecture!r}"
        )
    if backbone.architecture != ENCODER and contestant.options.get("causal") is False:
        raise UserError(
            f"mixer {contestant.kind!r} with causal=False reads later tokens, the decoder "
            f'{backbone.architecture!r} does not: use backbone.architecture "{ENCODER}"'
        )
    head: dict[str, Any] = {
        "id2label": dict(enumerate(class_names)),
        "label2id": {name: index for index, name in enumerate(class_names)},
        "problem_type": "multi_label_classification" if multi_label else _SINGLE,
    }
    set_seed(seed)
    model: PreTrainedModel
    if sample_rate is not None:
        model = WaveEncoderForAudioClassification(_wave_config(backbone, sample_rate, head))
    elif backbone.architecture == ENCODER:
        model = ModernBertForSequenceClassification(_encoder_config(backbone, vocab_size, head))
    else:
        config, classifier = _DECODERS[backbone.architecture]
        model = classifier(config(backbone, vocab_size + 1, pad_token_id=vocab_size, **head))
    return attach_contestant(model, backbone, contestant)


def wave_config(backbone: BackboneConfig, sample_rate: int) -> WaveEncoderConfig:
    """The sizes of the encoder on raw sound that a recipe asks for."""
    return _wave_config(backbone, sample_rate, {})


def _wave_config(
    backbone: BackboneConfig, sample_rate: int, head: dict[str, Any]
) -> WaveEncoderConfig:
    return WaveEncoderConfig(
        frontend_channels=backbone.frontend_channels,
        frontend_kernel_sizes=backbone.frontend_kernel_sizes,
        frontend_strides=backbone.frontend_strides,
        hidden_size=backbone.hidden_size,
        num_hidden_layers=backbone.num_layers,
        num_attention_heads=backbone.num_heads,
        intermediate_size=backbone.intermediate_size,
        max_position_embeddings=backbone.context_length,
        dropout=backbone.dropout,
        sample_rate=sample_rate,
        **head,
    )


def _encoder_config(
    backbone: BackboneConfig, vocab_size: int, head: dict[str, Any]
) -> ModernBertConfig:
    return ModernBertConfig(
        vocab_size=vocab_size + 1,
        pad_token_id=vocab_size,
        bos_token_id=None,
        eos_token_id=None,
        cls_token_id=None,
        sep_token_id=None,
        hidden_size=backbone.hidden_size,
        num_hidden_layers=backbone.num_layers,
        num_attention_heads=backbone.num_heads,
        intermediate_size=backbone.intermediate_size,
        max_position_embeddings=backbone.context_length,
        layer_types=["full_attention"] * backbone.num_layers,
        embedding_dropout=backbone.dropout,
        mlp_dropout=backbone.dropout,
        attention_dropout=backbone.dropout,
        classifier_dropout=backbone.dropout,
        classifier_pooling="mean",
        **head,
    )


_SINGLE = "single_label_classification"
_DECODERS: dict[str, Any] = {
    "gpt2": (gpt2_config, GPT2ForSequenceClassification),
    "llama": (llama_config, LlamaForSequenceClassification),
}
