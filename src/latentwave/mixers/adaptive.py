"""The filterbank whose weights a small Transformer predicts for every token."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from latentwave.functional.averages import accumulation_dtype
from latentwave.mixers.constants import Constant, linear, reset_linear
from latentwave.mixers.filterbank import DEFAULT_WINDOW, Bank, Init
from latentwave.mixers.registry import register_mixer
from latentwave.mixers.state import MixerState

_MAX_LAYERS = 64  # of the mask's Transformer, which should be small next to the model


@register_mixer("adaptive_filterbank")
class AdaptiveFilterbankMixer(Bank):
    """A filterbank whose weights are predicted for every token by a small Transformer.

        y_i(t) = x_i(t) + Σ_m a_m(t) · ReLU( Σ_{τ=0}^{K−1} h_m(τ) · x_i(t−τ) )
        a(t) = Transformer(x(≤ t)) ∈ ℝ^M

    a is a time-frequency mask as in source separation, so the filter varies along the context.
    The Transformer reads the normalised embeddings with windowed attention and a distance penalty:
    it knows neither absolute positions nor an unbounded past. Its last projection starts at 0, so
    the mixer starts as the identity.

    Reference: masks as in Conv-TasNet (Luo and Mesgarani, 2019); distance penalties as in ALiBi
    (Press et al., 2022).

    Attributes:
        analysis: (M, K), see `Bank`.
        embed_weight, embed_bias: (W, D) and (W,), the input projection of the Transformer.
        layers: its `MaskLayer`s.
        mask_weight, mask_bias: (M, W) and (M,), the projection to the mask; 0 at the start.

    Args:
        channels, context_length, num_filters, kernel_size, kernel_sizes, init: see
            `FilterbankMixer`.
        causal: see `FilterbankMixer`; if False, attention looks as far ahead as back.
        mask_width: W, the Transformer's width, at most 8 D or 1024.
        mask_layers: its layers, at most 64.
        mask_heads: its attention heads; must divide the width.
        mask_window: tokens that a layer attends to, the current one included, at most L; default
            32, or L if that is shorter.

    Raises:
        ValueError: as for `FilterbankMixer`, and for invalid sizes of the Transformer.

    Causality: y(t) reads x(t − receptive_field + 1 … t); with causal=False, both sides.

    Example:
        >>> mixer = AdaptiveFilterbankMixer(8, 64, num_filters=6, mask_width=4, mask_heads=1)
        >>> mixer.tf_mask(torch.ones(2, 5, 8)).shape
        torch.Size([2, 5, 6])
    """

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        num_filters: int = 144,
        kernel_size: int | None = None,
        kernel_sizes: Sequence[int] | None = None,
        init: Init = "random",
        causal: bool = True,
        mask_width: int = 32,
        mask_layers: int = 1,
        mask_heads: int = 2,
        mask_window: int | None = None,
    ) -> None:
        super().__init__(
            channels,
            context_length,
            num_filters=num_filters,
            kernel_size=kernel_size,
            kernel_sizes=kernel_sizes,
            init=init,
            causal=causal,
        )
        self._check_width("mask_width", mask_width)
        if not 1 <= mask_layers <= _MAX_LAYERS:
            raise ValueError(f"mask_layers must be between 1 and {_MAX_LAYERS}, got {mask_layers}")
        if mask_heads < 1 or mask_width % mask_heads:
            raise ValueError(f"mask_heads must divide mask_width={mask_width}, got {mask_heads}")
        if mask_window is None:
            mask_window = min(DEFAULT_WINDOW, context_length)
        if not 1 <= mask_window <= context_length:
            raise ValueError(
                f"mask_window must be between 1 and the context length {context_length}, got "
                f"{mask_window}"
            )
        self.mask_width, self.mask_window = mask_width, mask_window
        self.embed_weight = nn.Parameter(torch.empty(mask_width, channels))
        self.embed_bias = nn.Parameter(torch.empty(mask_width))
        self.layers = nn.ModuleList(
            MaskLayer(mask_width, mask_heads, mask_window, causal, name=f"mask_kv_{i}")
            for i in range(mask_layers)
        )
        self.mask_weight = self._parameter("mask_weight", np.zeros((num_filters, mask_width)))
        self.mask_bias = self._parameter("mask_bias", np.zeros(num_filters))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the filters and the Transformer, whose mask is 0."""
        super().reset_parameters()
        reset_linear(self.embed_weight, self.embed_bias)
        for layer in self.layers:
            cast(MaskLayer, layer).reset_parameters()

    @property
    def receptive_field(self) -> int:
        """The longer of the filters and the stacked attention windows."""
        sides = 1 if self.causal else 2
        attended = 1 + sides * len(self.layers) * (self.mask_window - 1)
        return max(super().receptive_field, attended)

    def flops(self, num_tokens: int) -> int:
        """The bank, and the Transformer's projections (2 per weight) and attention."""
        attended = self.mask_window if self.causal else 2 * self.mask_window - 1
        per_layer = 24 * self.mask_width**2 + 4 * self.mask_width * attended
        ends = 2 * self.mask_width * (self.channels + self.num_filters)
        return super().flops(num_tokens) + (ends + len(self.layers) * per_layer) * num_tokens

    def tf_mask(
        self,
        x: Float[Tensor, "B T D"],
        *,
        segment_ids: Int[Tensor, "B T"] | None = None,
        padding_mask: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T M"]:
        """The sub-band weights a_m(t), for analysis.

        Args:
            x: (B, T, D), see `forward`.
            segment_ids: see `forward`.
            padding_mask: see `forward`.

        Returns:
            (B, T, M), one weight per token and filter, unbounded and of either sign.

        Raises:
            ValueError: as for `forward`, whose causality also holds.
        """
        x = self._checked(x, segment_ids, padding_mask)
        return self._tf_mask(x, None, self._runs(None, segment_ids), padding_mask)

    @property
    def history(self) -> int:
        """Past tokens that the filters or one attention window read."""
        return max(self.kernel_size, self.mask_window) - 1

    def _mix(
        self, x: Tensor, state: MixerState | None, runs: Tensor | None, padding_mask: Tensor | None
    ) -> Tensor:
        return self._filter(x, self._tf_mask(x, state, runs, padding_mask), state, runs)

    def _tf_mask(
        self, x: Tensor, state: MixerState | None, runs: Tensor | None, padding_mask: Tensor | None
    ) -> Tensor:
        B, T, _ = x.shape
        if B * T == 0:
            return x.new_zeros(B, T, self.num_filters)
        valid = x.new_ones(B, T, 1) if padding_mask is None else padding_mask.unsqueeze(-1)
        u = linear(_normalised(x), self.embed_weight, self.embed_bias)
        for layer in self.layers:
            u = layer(u, valid, runs, state)
        return linear(_normalised(u), self.mask_weight, self.mask_bias)


def _normalised(u: Tensor) -> Tensor:
    # No learned scale: the linear map that follows has its own.
    return F.rms_norm(u, u.shape[-1:], eps=1e-5)


class MaskLayer(nn.Module):
    """A pre-norm Transformer layer whose attention is bounded to a window.

    Head h of H lowers its logits by 2^{−8h/H} per token of distance. Blocks of one window of
    queries attend to the keys they can reach, so time and memory are linear in T. A state holds
    keys and values under `name`.

    Attributes:
        qkv, out: (3C, C) and (C, C), the input and output projections of attention.
        mlp_in, mlp_in_bias: (4C, C) and (4C,).
        mlp_out, mlp_out_bias: (C, 4C) and (C,).
    """

    def __init__(self, width: int, num_heads: int, window: int, causal: bool, *, name: str) -> None:
        super().__init__()
        self.num_heads, self.window, self.name = num_heads, window, name
        self.ahead = 0 if causal else window - 1
        # Plain matrices: adapters and quantisers that look for linear layers skip them.
        self.qkv = nn.Parameter(torch.empty(3 * width, width))
        self.out = nn.Parameter(torch.empty(width, width))
        self.mlp_in = nn.Parameter(torch.empty(4 * width, width))
        self.mlp_in_bias = nn.Parameter(torch.empty(4 * width))
        self.mlp_out = nn.Parameter(torch.empty(width, 4 * width))
        self.mlp_out_bias = nn.Parameter(torch.empty(width))
        self._slopes = Constant(2.0 ** (-8.0 * np.arange(1, num_heads + 1) / num_heads))

    def reset_parameters(self) -> None:
        """Random weights, as for linear layers."""
        for weight in (self.qkv, self.out):
            reset_linear(weight)
        reset_linear(self.mlp_in, self.mlp_in_bias)
        reset_linear(self.mlp_out, self.mlp_out_bias)

    def forward(
        self,
        u: Float[Tensor, "B T C"],
        valid: Shaped[Tensor, "B T 1"],
        runs: Int[Tensor, "B N"] | None,
        state: MixerState | None,
    ) -> Float[Tensor, "B T C"]:
        """Attend and transform; the last T of `runs` are the documents of u."""
        u = u + linear(self._attend(_normalised(u), valid, runs, state), self.out)
        hidden = F.gelu(linear(_normalised(u), self.mlp_in, self.mlp_in_bias))
        return u + linear(hidden, self.mlp_out, self.mlp_out_bias)

    def _attend(
        self, u: Tensor, valid: Tensor, runs: Tensor | None, state: MixerState | None
    ) -> Tensor:
        (B, T, C), past, H = u.shape, self.window - 1, self.num_heads
        q, k, v = linear(u, self.qkv).chunk(3, dim=-1)
        # The padding flag is cached and cropped with the keys.
        kv = torch.cat([k, v, valid.to(k.dtype)], dim=-1)
        if state is None:
            kv = F.pad(kv, (0, 0, past, 0))
        else:
            kv = state.extend(self.name, kv, history=past)

        # Compiled blocks have one length, so that every T but 1 shares their code.
        Q = self.window if torch.compiler.is_compiling() and T > 1 else min(self.window, T)
        blocks = -(-T // Q)
        missing = blocks * Q - T
        reach = past + Q + self.ahead
        # Gather rows by number, because whether an unfolded view can be reshaped depends on T.
        block = torch.arange(B * blocks, device=u.device)
        first = Q * block + (past + self.ahead) * (block // blocks)
        rows = first[:, None] + torch.arange(reach, device=u.device)
        kv = F.embedding(rows, F.pad(kv, (0, 0, 0, missing + self.ahead)).flatten(0, 1))
        q = F.pad(q, (0, 0, 0, missing)).flatten(0, 1).view(-1, Q, C)

        queries = past + torch.arange(Q, device=u.device)
        distance = queries[:, None] - torch.arange(reach, device=u.device)
        near = (distance < self.window) & (distance >= -self.ahead)
        allowed = near & (kv[:, None, :, -1] > 0)
        if runs is not None:
            runs = runs[:, max(runs.shape[1] - past - T, 0) :]
            runs = F.pad(runs, (past + T - runs.shape[1], missing + self.ahead), value=-1)
            documents = runs.flatten()[rows]
            allowed = allowed & (documents[:, None] == documents[:, past : past + Q, None])
        # Padded tokens attend to themselves, because a softmax over nothing is NaN.
        allowed = (allowed | (distance == 0)).unsqueeze(1)
        slopes = self._slopes.on(u.device, accumulation_dtype(q.dtype))[:, None, None]
        penalty = -slopes * distance.abs()
        bias = penalty.to(q.dtype).masked_fill(~allowed, float("-inf"))
        q, k, v = (
            # Attention kernels need aligned rows, and the keys in kv are not.
            t.reshape(*t.shape[:2], H, C // H).transpose(1, 2).contiguous()
            for t in (q, kv[..., :C], kv[..., C:-1])
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        y = mixed.transpose(1, 2).flatten(2).flatten(0, 1).view(B, -1, C)
        return y.index_select(1, torch.arange(T, device=u.device))
