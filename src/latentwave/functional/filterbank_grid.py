"""How the fused filterbank lays out its windows, so that a GEMM can read them in place.

The tokens are cut into segments of S, each with the W − 1 tokens that its windows also reach. A
block takes R of these signals, one per (batch, segment, channel), as the columns of a matrix with
S + W − 1 tokens as rows. The windows of all R signals at token r of their segment are then its
rows r … r + W − 1: contiguous memory, without one copy of the signal per tap.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Elements of the (M, R) matrix: what stays in a core's level-2 cache, and what fills a GPU.
_ELEMENTS_PER_THREAD = 150_000
_ELEMENTS_PER_GPU = 2**24
_LONGEST_SEGMENT = 64


class Band(NamedTuple):
    """Filters of one length: their rows of z, their rows of a window, their taps."""

    filters: slice
    lags: slice
    taps: Tensor  # (filters, K), oldest token first


class Block(NamedTuple):
    """The ranges of batch, segments and channels that are filtered together."""

    batch: range
    segments: range
    channels: range

    @property
    def shape(self) -> tuple[int, int, int]:
        """Their lengths; R is the product."""
        return len(self.batch), len(self.segments), len(self.channels)

    def cut(self, value: Tensor) -> Tensor:
        """The block's part of (…, B, segments, D), a view."""
        return self.cut_pairs(value)[..., self.channels.start : self.channels.stop]

    def cut_pairs(self, value: Tensor) -> Tensor:
        """The block's part of (…, B, segments, C) with all of its last axis, a view."""
        b, s = self.batch, self.segments
        return value[..., b.start : b.stop, s.start : s.stop, :]


class Grid:
    """How the windows of one call are laid out and cut into blocks.

    Args:
        x: (B, history + T, D).
        num_filters: M.
        kernel_sizes: one per band of M / len(kernel_sizes) filters.
        history: leading tokens that are read but have no output.
        causal: windows end at their token; else they are centred on it.
    """

    def __init__(
        self, x: Tensor, num_filters: int, kernel_sizes: Sequence[int], history: int, causal: bool
    ) -> None:
        self.B, self.D, self.T = x.shape[0], x.shape[2], x.shape[1] - history
        self.M, self.W = num_filters, max(kernel_sizes)
        self.kernel_sizes, self.causal = kernel_sizes, causal
        self.past = self.W - 1 if causal else self.W // 2
        # Older history than windows reach is cropped, missing history is zero.
        self.crop, self.pad = max(history - self.past, 0), max(self.past - history, 0)

        on_cpu = x.device.type == "cpu"
        elements = _ELEMENTS_PER_THREAD * torch.get_num_threads() if on_cpu else _ELEMENTS_PER_GPU
        columns = max(1, elements // num_filters)
        values = self.B * self.T * self.D
        longest = min(_LONGEST_SEGMENT, max(1, math.ceil(values / columns)))
        self.num_segments = math.ceil(self.T / longest)
        self.S = math.ceil(self.T / max(1, self.num_segments))
        self.L = self.S + self.W - 1
        self.blocks = list(self._blocks(columns)) if values else []
        self.R = max((math.prod(block.shape) for block in self.blocks), default=0)

    def _blocks(self, columns: int) -> Iterator[Block]:
        channels = list(ranges(self.D, columns))
        together = max(1, columns // len(channels[0]))
        segments = list(ranges(self.num_segments, together))
        for b in ranges(self.B, max(1, together // len(segments[0]))):
            for s in segments:
                for d in channels:
                    yield Block(b, s, d)

    def bands(self, analysis: Tensor, dtype: torch.dtype) -> list[Band]:
        """The longest filters come first: theirs is the product that overwrites all lags."""
        size = self.M // len(self.kernel_sizes)
        bands = []
        for band, K in enumerate(self.kernel_sizes):
            filters = slice(band * size, (band + 1) * size)
            first = self.past - (K - 1 if self.causal else K // 2)
            taps = analysis[filters, :K].to(dtype).flip(1)
            bands.append(Band(filters, slice(first, first + K), taps))
        return sorted(bands, key=lambda band: -band.taps.shape[1])

    def windows(self, value: Tensor, fill: int = 0) -> Tensor:
        """Segments and what their windows reach, (L, B, segments, C), of (B, history + T, C)."""
        value = value[:, self.crop :]
        behind = self.num_segments * self.S + self.W - 1 - self.pad - value.shape[1]
        padded = F.pad(value, (0, 0, self.pad, behind), value=fill)
        return padded.unfold(1, self.L, self.S).permute(3, 0, 1, 2)

    def documents(self, runs: Tensor | None) -> Tensor | None:
        """The document of each token, as `windows`: (L, B, segments, 1); −1 is none."""
        return None if runs is None else self.windows(runs.unsqueeze(-1), fill=-1)

    def new_sum(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """What `add_windows` adds to: the padded signal, with room for a whole last segment."""
        tokens = (self.num_segments + 1) * self.S + self.W
        return x.new_zeros(self.B, tokens, self.D, dtype=dtype)

    def add_windows(self, total: Tensor, block: Block, rows: Tensor) -> None:
        """Add a block's (L, R) to the tokens it came from; neighbours overlap."""
        nb, ns, nd = block.shape
        b, d = block.batch, block.channels
        for r in range(0, self.L, self.S):
            some = rows[r : r + self.S].view(-1, nb, ns, nd).permute(1, 2, 0, 3)
            first = block.segments.start * self.S + r
            tokens = total[b.start : b.stop, first : first + ns * self.S, d.start : d.stop]
            # Cutting an axis in two is a view whatever the strides are.
            tokens.view(nb, ns, self.S, nd)[:, :, : some.shape[2]] += some

    def sum_to_tokens(self, total: Tensor, like: Tensor) -> Tensor:
        """The finished sum as (B, history + T, D) in the dtype of `like`."""
        kept = total[:, self.pad : self.pad + like.shape[1] - self.crop]
        return F.pad(kept, (0, 0, self.crop, 0)).to(like.dtype).contiguous()

    def per_token(self, value: Tensor) -> Tensor:
        """What belongs to the outputs, (S, B, segments, C), of (B, T, C)."""
        padded = F.pad(value, (0, 0, 0, self.num_segments * self.S - self.T))
        return padded.view(self.B, self.num_segments, self.S, value.shape[-1]).permute(2, 0, 1, 3)

    def new_per_token(self, like: Tensor, channels: int) -> Tensor:
        """Zeros laid out as `per_token` lays out."""
        zeros = like.new_zeros(self.B, self.num_segments, self.S, channels)
        return zeros.permute(2, 0, 1, 3)

    def to_tokens(self, value: Tensor) -> Tensor:
        """The inverse of `per_token`: (B, T, C)."""
        return value.permute(1, 2, 0, 3).flatten(1, 2)[:, : self.T].contiguous()


class Windows:
    """The windows of one block, token by token, cut at document borders if there are any."""

    def __init__(self, grid: Grid, block: Block, rows: Tensor, runs: Tensor | None) -> None:
        self._grid, self._rows = grid, rows
        self._shape = (grid.W, math.prod(block.shape[:2]), block.shape[2])
        # (L, pairs of batch and segment): the document of each token
        self._runs = None if runs is None else block.cut_pairs(runs).reshape(grid.L, -1)

    def at(self, r: int) -> tuple[Tensor, Tensor | None]:
        """The (W, R) window of token r, and which (W, pairs, 1) of it are other documents."""
        W = self._grid.W
        window = self._rows[r : r + W]
        if self._runs is None:
            return window, None
        foreign = (self._runs[r : r + W] != self._runs[r + self._grid.past]).unsqueeze(-1)
        return window.view(self._shape).masked_fill(foreign, 0).view(W, -1), foreign


def ranges(length: int, size: int) -> Iterator[range]:
    """Cut 0 … length − 1 into pieces of about equal length, at most `size`; longest first."""
    pieces = math.ceil(length / size)
    edges = [-(-length * i // pieces) for i in range(pieces + 1)]
    return (range(a, b) for a, b in itertools.pairwise(edges))


def matrix(memory: Tensor, rows: int, columns: int) -> Tensor:
    """The front of a flat buffer as a contiguous matrix."""
    return memory[: rows * columns].view(rows, columns)
