"""The configuration of a backbone, the Transformer that a recipe trains from scratch."""

import dataclasses
from typing import Literal

from latentwave.bench.data.checks import check_values, number
from latentwave.errors import UserError

Architecture = Literal["gpt2", "llama", "encoder"]
# Position encodings that a recipe can choose from, the architecture's own first.
POSITIONS: dict[Architecture, tuple[str, ...]] = {
    "gpt2": ("learned", "rotary", "none"),
    "llama": ("rotary", "none"),
    "encoder": (),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """A decoder, or an encoder for classification, trained from scratch.

    Attributes:
        architecture: "gpt2" (learned positions, LayerNorm, GELU), "llama" (rotary positions,
            RMSNorm, SwiGLU) or "encoder" (ModernBERT: bidirectional, rotary positions, GeGLU),
            which classifies tokens or raw sound.
        num_layers: decoder or encoder layers.
        hidden_size: D, embedding coordinates.
        num_heads: attention heads; they divide hidden_size.
        intermediate_size: width of the feed-forward layers.
        context_length: L, the most tokens that the model reads at once; frames of raw sound.
        dropout: probability of dropping an activation (not with llama).
        positions: position encoding: "learned" (gpt2), "rotary" or "none"; null for the
            architecture's own.
        initializer_range: standard deviation of initial matrices and embeddings.
        scaled_residual_init: start the output projections of attention and MLP smaller by
            1/sqrt(2 · num_layers), as GPT-2 and ModernBERT always do.
        tie_embeddings: share one matrix between input embeddings and output layer.
        qk_norm: normalise queries and keys of every head (language models with "llama" only; the
            result is Qwen 3's decoder layer).
        frontend_channels: filters of the first of the two convolutions on raw sound.
        frontend_kernel_sizes: taps of each convolution.
        frontend_strides: stride of each; their product is the samples per frame.
    """

    architecture: Architecture = "gpt2"
    num_layers: int = number(10, 1, most=10_000)
    hidden_size: int = number(128, 1, most=10**6)
    num_heads: int = number(8, 1, most=10**6)
    intermediate_size: int = number(512, 1, most=10**7)
    context_length: int = number(512, 2)
    dropout: float = number(0.0, 0, below=1)
    positions: Literal["learned", "rotary", "none"] | None = None
    initializer_range: float = number(0.02, above=0)
    scaled_residual_init: bool = False
    tie_embeddings: bool = True
    qk_norm: bool = False
    frontend_channels: int = number(64, 1, most=10**6)
    frontend_kernel_sizes: list[int] = dataclasses.field(default_factory=lambda: [64, 20])
    frontend_strides: list[int] = dataclasses.field(default_factory=lambda: [16, 10])

    def __post_init__(self) -> None:
        check_values(self, "backbone")
        for name in ("frontend_kernel_sizes", "frontend_strides"):
            values = getattr(self, name)
            if len(values) != 2 or min(values) < 1:
                raise UserError(f"backbone.{name} must be two numbers >= 1, got {values}")
        if self.hidden_size % self.num_heads:
            raise UserError(
                f"backbone.num_heads={self.num_heads} must divide backbone.hidden_size="
                f"{self.hidden_size}"
            )
        allowed = POSITIONS[self.architecture]
        if self.positions is not None and self.positions not in allowed:
            choices = ", ".join(allowed) or "no choice"
            raise UserError(
                f"backbone.positions of {self.architecture!r} must be null or one of: {choices}; "
                f"got {self.positions!r}"
            )
        positions: str = self.positions or (*allowed, "rotary")[0]
        width = self.hidden_size // self.num_heads
        if positions == "rotary" and width % 2:
            raise UserError(
                "rotary positions need heads of even width, but backbone.hidden_size="
                f"{self.hidden_size} ÷ backbone.num_heads={self.num_heads} is {width}"
            )
        if self.dropout and self.architecture == "llama":
            raise UserError(
                f'backbone.dropout must be 0 with "llama", which has none, got {self.dropout:g}'
            )
        if self.qk_norm and (self.architecture != "llama" or self.positions == "none"):
            raise UserError(
                'backbone.qk_norm needs the architecture "llama" with rotary positions, got '
                f"{self.architecture!r} with positions {self.positions!r}"
            )
