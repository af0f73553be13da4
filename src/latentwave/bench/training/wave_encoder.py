"""A Transformer encoder for raw sound: a learned front end, then ModernBERT."""

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
    ModernBertForSequenceClassification,
)
from transformers.modeling_outputs import SequenceClassifierOutput


class WaveEncoderConfig(ModernBertConfig):  # type: ignore[no-untyped-call]
    """The configuration of a `WaveEncoderForAudioClassification`: ModernBERT's and a front end's.

    Unlike in ModernBERT, every layer has full attention and the mean over frames is classified.

    Args:
        frontend_channels: filters of the first convolution.
        frontend_kernel_sizes: taps of the two convolutions, the second's on outputs of the first.
        frontend_strides: strides of the two; their product is the samples per frame.
        sample_rate: in Hz, of the training data.
        **options: of `ModernBertConfig`; context lengths count frames.
    """

    model_type = "wave-encoder"

    def __init__(
        self,
        *,
        frontend_channels: int = 64,
        frontend_kernel_sizes: tuple[int, int] | list[int] = (64, 20),
        frontend_strides: tuple[int, int] | list[int] = (16, 10),
        sample_rate: int = 16_000,
        **options: Any,
    ) -> None:
        layers = options.get("num_hidden_layers", ModernBertConfig.num_hidden_layers)
        tokens = {"vocab_size": 1, "pad_token_id": 0}
        super().__init__(**encoder_defaults(layers) | tokens | options)
        self.frontend_channels = frontend_channels
        self.frontend_kernel_sizes = list(frontend_kernel_sizes)
        self.frontend_strides = list(frontend_strides)
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
        later = (self.max_position_embeddings - 1) * self.samples_per_frame
        return self.first_frame_samples + later

    def num_frames(self, num_samples: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """Frames that fit into sounds of these lengths, at least one each."""
        beyond = (num_samples - self.first_frame_samples).clamp(min=0)
        return beyond // self.samples_per_frame + 1


def encoder_defaults(num_layers: int) -> dict[str, Any]:
    """ModernBERT's options for our classifiers: full attention, mean pooling, no special tokens."""
    return {
        "layer_types": ["full_attention"] * num_layers,
        "classifier_pooling": "mean",
        **dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")),
    }


class WaveFrontend(nn.Module):
    """Two strided convolutions from samples to frames, a learned filterbank and its summary.

        frames = W₂ ∗ GELU(W₁ ∗ x / rms(x))

    The convolutions do not pad, and only frames that fit into a sound's own samples count (at
    least one), however far the batch pads it.

    Reference: learned front ends of audio models (Sainath et al., 2015).
    """

    def __init__(self, config: WaveEncoderConfig) -> None:
        super().__init__()
        (first, second), strides = config.frontend_kernel_sizes, config.frontend_strides
        channels = config.frontend_channels
        self.config = config
        self.analysis = nn.Conv1d(1, channels, first, stride=strides[0])
        self.summary = nn.Conv1d(channels, config.hidden_size, second, stride=strides[1])

    def forward(
        self, x: Float[Tensor, "B N"], mask: Bool[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B T D"], Bool[Tensor, "B T"]]:
        """Frames of a batch and the mask of those that count."""
        x = x.masked_fill(~mask, 0.0)
        lengths = mask.sum(dim=1, keepdim=True)
        power = x.square().sum(dim=1, keepdim=True) / lengths.clamp(min=1)
        x = x / (power.sqrt() + 1e-4)
        x = F.pad(x, (0, max(self.config.first_frame_samples - x.shape[1], 0)))
        frames = self.summary(F.gelu(self.analysis(x.unsqueeze(1)))).transpose(1, 2)
        index = torch.arange(frames.shape[1], device=x.device)
        return frames, index < self.config.num_frames(lengths)


class WaveEncoderForAudioClassification(ModernBertForSequenceClassification):  # type: ignore[no-untyped-call]
    """Classifies sounds: a learned front end, a bidirectional encoder, the mean over frames.

    `latentwave.attach` also takes non-causal mixers.

    Args:
        config: the sizes, num_labels, and problem_type "single_label_classification" (softmax)
            or "multi_label_classification" (a sigmoid per class).
    """

    config_class = WaveEncoderConfig
    main_input_name = "input_values"

    def __init__(self, config: WaveEncoderConfig) -> None:
        super().__init__(config)
        self.head = nn.Identity()  # type: ignore[assignment]
        self.frontend = WaveFrontend(config)
        # Frames stand where token embeddings would.
        self.model.embeddings.tok_embeddings.requires_grad_(False)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_values: Float[Tensor, "B N"],
        attention_mask: Int[Tensor, "B N"] | Bool[Tensor, "B N"] | None = None,
        labels: Tensor | None = None,
        **options: Any,
    ) -> SequenceClassifierOutput:
        """Classify sounds.

        Args:
            input_values: (B, N), samples in [−1, 1], padded on the right.
            attention_mask: (B, N), 1 for real samples; None: all are.
            labels: (B,) classes, or (B, classes) of 0 and 1.
            **options: of every transformers model.

        Returns:
            Logits (B, classes) and, with labels, their mean loss.

        Causality: none.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_values, dtype=torch.bool)
        frames, mask = self.frontend(input_values, attention_mask.bool())
        output: SequenceClassifierOutput = super().forward(
            inputs_embeds=frames, attention_mask=mask, labels=labels, **options
        )
        return output

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        # transformers' own initialisation skips the classifiers of classes outside transformers,
        # see `_initialize_weights`.
        if isinstance(module, nn.Conv1d) or module is self.classifier:
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.weight[0].numel()))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


AutoConfig.register(WaveEncoderConfig.model_type, WaveEncoderConfig)
AutoModelForAudioClassification.register(WaveEncoderConfig, WaveEncoderForAudioClassification)
