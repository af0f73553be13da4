"""A Transformer encoder on raw sound."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    ModernBertConfig,
    ModernBertModel,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput


class WaveEncoderConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """Sizes of a `WaveEncoderForAudioClassification`.

    Args:
        frontend_channels: filters of the first convolution.
        frontend_kernel_sizes: taps of the two convolutions, in samples and in outputs of the
            first.
        frontend_strides: their strides; their product is the samples per frame.
        hidden_size: D, embedding coordinates.
        num_hidden_layers: encoder layers.
        num_attention_heads: attention heads.
        intermediate_size: width of the feed-forward layers.
        max_position_embeddings: frames that are read at once.
        dropout: probability of dropping an activation.
        sample_rate: in Hz, of the sound it is trained on.
        **kwargs: of every configuration, such as num_labels and problem_type.
    """

    model_type = "wave-encoder"

    def __init__(
        self,
        *,
        frontend_channels: int = 64,
        frontend_kernel_sizes: tuple[int, int] | list[int] = (64, 20),
        frontend_strides: tuple[int, int] | list[int] = (16, 10),
        hidden_size: int = 128,
        num_hidden_layers: int = 4,
        num_attention_heads: int = 4,
        intermediate_size: int = 512,
        max_position_embeddings: int = 1000,
        dropout: float = 0.0,
        sample_rate: int = 16_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.frontend_channels = frontend_channels
        self.frontend_kernel_sizes = list(frontend_kernel_sizes)
        self.frontend_strides = list(frontend_strides)
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.max_position_embeddings = max_position_embeddings
        self.dropout = dropout
        self.sample_rate = sample_rate

    @property
    def samples_per_frame(self) -> int:
        """The product of the strides."""
        return math.prod(self.frontend_strides)

    @property
    def first_frame_samples(self) -> int:
        """Samples that one frame reads."""
        first, second = self.frontend_kernel_sizes
        return first + (second - 1) * self.frontend_strides[0]

    def max_samples(self) -> int:
        """Samples that `max_position_embeddings` frames read."""
        frames: int = self.max_position_embeddings
        return self.first_frame_samples + (frames - 1) * self.samples_per_frame


class WaveFrontend(nn.Module):
    """Two strided convolutions, a learned filterbank and its summary, from samples to frames.

        frames = W₂ ∗ GELU(W₁ ∗ x / rms(x))

    No convolution pads, so a frame reads samples of the sound alone: as many frames count as fit
    into a sound's own samples, at least one, however far the batch pads it.

    Reference: learned front ends of audio models (Sainath et al., 2015).

    Args:
        config: the sizes.
    """

    def __init__(self, config: WaveEncoderConfig) -> None:
        super().__init__()
        first, second = config.frontend_kernel_sizes
        self._least = config.first_frame_samples
        self._stride = config.samples_per_frame
        self.analysis = nn.Conv1d(
            1, config.frontend_channels, first, stride=config.frontend_strides[0]
        )
        self.summary = nn.Conv1d(
            config.frontend_channels, config.hidden_size, second, stride=config.frontend_strides[1]
        )

    def forward(
        self, x: Float[Tensor, "B N"], mask: Bool[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B T D"], Bool[Tensor, "B T"]]:
        """Frames of a batch and which of them are real.

        Args:
            x: (B, N), samples, padded on the right.
            mask: (B, N), True for real samples.

        Returns:
            (B, T, D) and (B, T).
        """
        x = x.masked_fill(~mask, 0.0)
        lengths = mask.sum(dim=1)
        power = x.square().sum(dim=1) / lengths.clamp(min=1)
        x = x / (power.sqrt() + 1e-4).unsqueeze(1)
        x = F.pad(x, (0, max(self._least - x.shape[1], 0)))
        frames = self.summary(F.gelu(self.analysis(x.unsqueeze(1)))).transpose(1, 2)
        counts = ((lengths - self._least).clamp(min=0) // self._stride + 1).unsqueeze(1)
        return frames, torch.arange(frames.shape[1], device=x.device) < counts


class WaveEncoderForAudioClassification(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Tags for sounds: a learned front end, a bidirectional encoder, the mean over frames.

    The encoder is transformers' ModernBERT with full attention in every layer and rotary
    positions; `latentwave.attach` puts mixers between its layers, which may be non-causal.

    Args:
        config: the sizes, num_labels, and problem_type "single_label_classification" (softmax)
            or "multi_label_classification" (a sigmoid per class).
    """

    config_class = WaveEncoderConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: WaveEncoderConfig) -> None:
        super().__init__(config)
        self.frontend = WaveFrontend(config)
        self.encoder = ModernBertModel(_encoder_config(config))
        # Frames stand where token embeddings would.
        self.encoder.embeddings.tok_embeddings.requires_grad_(False)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, len(config.id2label or ()))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_values: Float[Tensor, "B N"],
        attention_mask: Int[Tensor, "B N"] | Bool[Tensor, "B N"] | None = None,
        labels: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Classify sounds.

        Args:
            input_values: (B, N), samples in [−1, 1], padded on the right.
            attention_mask: (B, N), 1 for real samples; None: all are.
            labels: (B,) classes, or (B, classes) of 0 and 1.

        Returns:
            Logits (B, classes) and, with labels, their mean loss.

        Causality: none.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_values, dtype=torch.bool)
        frames, mask = self.frontend(input_values, attention_mask.bool())
        hidden = self.encoder(inputs_embeds=frames, attention_mask=mask)[0]
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
        logits = self.classifier(self.dropout(mean))
        loss = None
        if labels is not None:
            if self.config.problem_type == "multi_label_classification":
                loss = F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
            else:
                loss = F.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # The encoder's own parts are initialised by its own class.
        if isinstance(module, nn.Conv1d | nn.Linear):
            fan_in = module.weight[0].numel()
            module.weight.normal_(std=1 / math.sqrt(fan_in))
            if module.bias is not None:
                module.bias.zero_()


def _encoder_config(config: WaveEncoderConfig) -> ModernBertConfig:
    encoder = ModernBertConfig(
        vocab_size=1,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
        cls_token_id=None,
        sep_token_id=None,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        intermediate_size=config.intermediate_size,
        max_position_embeddings=config.max_position_embeddings,
        layer_types=["full_attention"] * config.num_hidden_layers,
        embedding_dropout=config.dropout,
        mlp_dropout=config.dropout,
        attention_dropout=config.dropout,
    )
    encoder._attn_implementation = config._attn_implementation
    return encoder


AutoConfig.register(WaveEncoderConfig.model_type, WaveEncoderConfig)
AutoModelForAudioClassification.register(WaveEncoderConfig, WaveEncoderForAudioClassification)
