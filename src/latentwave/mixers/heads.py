"""Mixers that filter the heads of keys and values."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from latentwave.errors import UserError
from latentwave.functional.averages import accumulation_dtype
from latentwave.mixers.base import Projection
from latentwave.mixers.channels import FirMixer
from latentwave.mixers.constants import Constant
from latentwave.mixers.registry import register_mixer

_FUSED = ("c_attn", "qkv_proj", "Wqkv")
_REMEDY = 'pass heads, one letter, q, k or v, per head of all three, such as "qqkkvv"'
_SEPARATE = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "query": "q", "key": "k", "value": "v"}


def head_roles(projection: str, num_heads: int, num_key_value_heads: int | None = None) -> str:
    """The role of each head in a projection's output: one letter, q, k or v, per head.

    Args:
        projection: the name of the linear map in the attention module.
        num_heads: query heads.
        num_key_value_heads: key heads, and as many value heads; default: `num_heads`.

    Returns:
        The letters in the order of the output's channels.

    Raises:
        ValueError: for an unknown projection name, or key heads that do not divide the query
            heads.

    Example:
        >>> head_roles("k_proj", 4, 2), head_roles("qkv_proj", 4, 2)
        ('kk', 'qqqqkkvv')
        >>> head_roles("query_key_value", 4, 2)  # each group has its own keys and values
        'qqkvqqkv'
    """
    shared = num_heads if num_key_value_heads is None else num_key_value_heads
    if min(num_heads, shared) < 1 or num_heads % shared:
        raise ValueError(
            "num_key_value_heads must be >= 1 and divide num_heads, got "
            f"num_heads={num_heads}, num_key_value_heads={shared}"
        )
    counts = {"q": num_heads, "k": shared, "v": shared}
    if projection in _FUSED:
        return "".join(role * count for role, count in counts.items())
    if projection == "query_key_value":
        return ("q" * (num_heads // shared) + "kv") * shared
    if projection in _SEPARATE:
        return _SEPARATE[projection] * counts[_SEPARATE[projection]]
    raise ValueError(
        f"the heads of projection {projection!r} are unknown: known names are "
        f"{', '.join(_SEPARATE)}, query_key_value, {', '.join(_FUSED)}"
    )


class HeadMixer(FirMixer):
    """Filters some heads of a projection with two taps; the others pass unchanged.

    Attributes:
        shifts: the roles of the filtered heads, see `head_roles`.

    Args:
        channels, context_length: D, the width of the projection's output, and L >= 2.
        heads: one letter, q, k or v, per head of D / len(heads) channels, as from `head_roles`;
            default: one key head. `attach` at "qkv" takes those of all queries, keys and values,
            and finds them by itself in transformers models.

    Raises:
        ValueError: if the heads do not divide the channels, or none of them is filtered.
    """

    points = ("qkv",)
    kernel_size = 2
    shifts: ClassVar[str]

    def __init__(self, channels: int, context_length: int, *, heads: str) -> None:
        super().__init__(channels, context_length, fraction=1.0, mixed="last", residual=False)
        if context_length < 2:
            raise ValueError(f"context_length must be >= 2 for a shift, got {context_length}")
        if not set(heads) <= set("qkv") or not set(heads) & set(self.shifts):
            raise ValueError(
                f"heads must have one letter, q, k or v, per head, including at least one "
                f"{' or '.join(self.shifts)}, got {heads!r}"
            )
        if channels % len(heads):
            raise ValueError(f"{len(heads)} heads cannot share {channels} channels equally")
        self.heads = heads
        self.head_width = channels // len(heads)
        self._filtered = np.array([role in self.shifts for role in heads])

    @classmethod
    def check_point(cls, point: str, options: Mapping[str, Any]) -> None:
        """Refuse every point but "qkv"."""
        if point not in cls.points:
            raise UserError(
                f"{cls.kind!r} filters the heads of keys and values, so it cannot stand at "
                f"{point!r}: choose the point 'qkv'"
            )

    @classmethod
    def options_at(
        cls, projection: Projection, options: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """The heads of the projection; None if none of them is filtered.

        Raises:
            UserError: if they are unknown, or none is of this projection.
        """
        role = _SEPARATE.get(projection.name)
        if role is not None and role not in cls.shifts:
            return None
        heads = options.get("heads", projection.heads)
        if heads is None:
            raise UserError(
                f"{cls.kind!r} cannot tell which channels of {projection.name} are queries, keys "
                f"and values in a model outside transformers: {_REMEDY}"
            )
        if role is not None:
            if role not in heads:
                raise UserError(
                    f"{projection.name} needs heads with the letter {role!r}, got {heads!r}: "
                    f"{_REMEDY}"
                )
            heads = role * heads.count(role)
        return {**options, "heads": heads}


@register_mixer("kv_shift")
class KvShiftMixer(HeadMixer):
    """Two learned taps for each key and value head.

        y_h(t) = a_{h,0} · x_h(t) + a_{h,1} · x_h(t−1)

    Queries pass unchanged. The taps start at (1, 0): the identity.

    Reference: KV shifting attention (Xu et al., 2024), whose taps start at random.

    Attributes:
        kernels: (key and value heads, 2), a.

    Args:
        channels, context_length, heads: see `HeadMixer`.

    Raises:
        ValueError: see `HeadMixer`.

    Causality: y(t) reads x(t − 1) and x(t).

    Example:
        >>> KvShiftMixer(8, 16, heads="qkvk").num_parameters
        6
    """

    shifts = "kv"
    starts_as_identity = True

    def __init__(self, channels: int, context_length: int, *, heads: str = "k") -> None:
        super().__init__(channels, context_length, heads=heads)
        # The kernel row of each head; the row after the last leaves queries unchanged.
        num_filtered = int(self._filtered.sum())
        rows = np.where(self._filtered, self._filtered.cumsum() - 1, num_filtered)
        self._rows = Constant(rows.repeat(self.head_width))
        self._unchanged = Constant(np.array([[1.0, 0.0]]))
        self.kernels = self._parameter("kernels", np.array([[1.0, 0.0]] * num_filtered))

    def taps(self) -> Tensor:
        """The kernels of all channels, (D, 2)."""
        kernels = self.kernels
        unchanged = self._unchanged.on(kernels.device, kernels.dtype)
        return torch.cat([kernels, unchanged])[self._rows.on(kernels.device)]


@register_mixer("key_offset")
class KeyOffsetMixer(HeadMixer):
    """Take half of the rotary pairs of every key from the previous token.

        y_i(t) = x_i(t − 1)   for the channels i of the slower half of a key head's pairs

    All other channels pass unchanged. No parameters. It runs before the rotation, so a key keeps
    its own position.

    Reference: the key offset of modded-nanogpt (Jordan et al., 2025), which runs after the
    rotation, on pairs that do not rotate.

    Args:
        channels, context_length, heads: see `HeadMixer`.
        interleaved: whether pairs are neighbours, (0, 1), (2, 3) …, as in GPT-J, or half a head
            apart, as in most models.
        rotary_width: the channels at the start of each head that rotate, an even number from 4;
            default: all. `attach` reads it from the configuration of transformers models.

    Raises:
        ValueError: see `HeadMixer`, and for an invalid `rotary_width`.

    Causality: y(t) reads x(t − 1) and x(t).

    Example:
        >>> mixer = KeyOffsetMixer(8, 16, heads="qk")
        >>> mixer(torch.arange(1.0, 17.0).view(1, 2, 8))[0, 1]
        tensor([ 9., 10., 11., 12., 13.,  6., 15.,  8.])
    """

    shifts = "k"

    def __init__(
        self,
        channels: int,
        context_length: int,
        *,
        heads: str = "k",
        interleaved: bool = False,
        rotary_width: int | None = None,
    ) -> None:
        super().__init__(channels, context_length, heads=heads)
        width = self.head_width if rotary_width is None else rotary_width
        if not 4 <= width <= self.head_width or width % 2:
            raise ValueError(
                "the rotary channels of a head must be an even number from 4 to its "
                f"{self.head_width} channels, got {width}"
            )
        self.interleaved = interleaved
        pairs = np.arange(width) // 2 if interleaved else np.arange(width) % (width // 2)
        slower = np.zeros(self.head_width, dtype=bool)
        slower[:width] = pairs >= width // 2 - width // 4
        moved = (self._filtered[:, None] & slower).flatten()
        self._taps = Constant(np.stack([~moved, moved], axis=1).astype(np.float64))

    @classmethod
    def options_at(
        cls, projection: Projection, options: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """See `HeadMixer`; also the rotary channels."""
        placed = super().options_at(projection, options)
        if placed is None or projection.rotary_width is None:
            return placed
        return {"rotary_width": projection.rotary_width, **placed}

    def taps(self) -> Tensor:
        """The kernels of all channels, (D, 2): (1, 0) or (0, 1)."""
        return self._taps.on(torch.device("cpu"), torch.float32)

    def _taps_for(self, x: Tensor) -> Tensor:
        return self._taps.on(x.device, accumulation_dtype(x.dtype))
