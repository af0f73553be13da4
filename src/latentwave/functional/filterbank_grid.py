"""The memory layout of the fused filterbank, which lets a GEMM read windows in place.

Tokens are cut into segments of S, each with the W − 1 extra tokens that its windows reach. A block
holds some of these signals, one per (batch, segment, channel), as the columns of a matrix with
S + W − 1 tokens as rows. The windows of all signals at token r of their segment are then rows
r … r + W − 1: contiguous memory, without one copy of the signal per tap.

A block is one such matrix, or P lanes, (P, rows, C), one per (batch, segment). In the backward
pass, threads split a batched GEMM and the element-wise work on its result by the same lanes, so
values stay in the cache of the core that made them. The forward pass uses one lane and gets the
same effect by keeping signals in rows, where the weighted sums are fast too.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Elements of the (M, R) matrix: as many as fit into a core's level-2 cache, or as fill a GPU.
_ELEMENTS_PER_THREAD = 150_000
_ELEMENTS_PER_GPU = 2**24
_LONGEST_SEGMENT = 64
# Cost of an extra GEMM, in multiplications per column (measured at 2000 columns).
_GEMM_OVERHEAD = 2000
_FEWEST_COLUMNS, _MOST_COLUMNS = 64, 256  # of a lane


class Band(NamedTuple):
    """Filters that share a GEMM: their range in M, and their rows in a window."""

    filters: slice
    lags: slice

    @property
    def shape(self) -> tuple[int, int]:
        """The number of filters and of lags."""
        return len(range(self.filters.stop)[self.filters]), len(range(self.lags.stop)[self.lags])

    @property
    def size(self) -> int:
        """Multiplications per column."""
        return math.prod(self.shape)

    def join(self, other: "Band") -> "Band":
        """This band followed by `other`, padded to the lags that either reads."""
        lags = slice(min(self.lags.start, other.lags.start), max(self.lags.stop, other.lags.stop))
        return Band(slice(self.filters.start, other.filters.stop), lags)


class Block(NamedTuple):
    """The ranges of batch, segments and channels that are filtered together."""

    batch: range
    segments: range
    channels: range
    in_lanes: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Their lengths."""
        return len(self.batch), len(self.segments), len(self.channels)

    @property
    def num_lanes(self) -> int:
        """P, the number of (batch, segment) pairs, or 1."""
        return len(self.batch) * len(self.segments) if self.in_lanes else 1

    def cut(self, value: Tensor) -> Tensor:
        """The block's part of (…, B, segments, D), a view."""
        return self.cut_pairs(value)[..., self.channels.start : self.channels.stop]

    def cut_pairs(self, value: Tensor) -> Tensor:
        """The block's part of (…, B, segments, C) with all of its last axis, a view."""
        b, s = self.batch, self.segments
        return value[..., b.start : b.stop, s.start : s.stop, :]

    def matrices(self, memory: Tensor, rows: int) -> Tensor:
        """The start of a flat buffer as P lanes, (P, rows, C)."""
        P, size = self.num_lanes, math.prod(self.shape)
        return memory[: rows * size].view(P, rows, size // P)

    def unfolded(self, lanes: Tensor) -> Tensor:
        """Lanes (P, rows, C) as (rows, B, segments, channels) of the block, a view."""
        nb, ns, nd = self.shape
        if not self.in_lanes:
            return lanes.view(-1, nb, ns, nd)
        return lanes.view(nb, ns, -1, nd).permute(2, 0, 1, 3)


class Placement:
    """The position of every filter's taps in a window of W rows, the oldest token first.

    `past` of these rows are before the window's own token; windows end at it, or are centred on it
    if not `causal`.
    """

    def __init__(self, num_filters: int, kernel_sizes: Sequence[int], causal: bool) -> None:
        self.M, self.W = num_filters, max(kernel_sizes)
        self.kernel_sizes, self.causal = kernel_sizes, causal
        self.past = self.W - 1 if causal else self.W // 2

    def scales(self) -> list[Band]:
        """One band per kernel size."""
        size = self.M // len(self.kernel_sizes)
        scales = []
        for i, K in enumerate(self.kernel_sizes):
            first = self.past - (K - 1 if self.causal else K // 2)
            scales.append(Band(slice(i * size, (i + 1) * size), slice(first, first + K)))
        return scales

    def place(self, analysis: Tensor, dtype: torch.dtype) -> Tensor:
        """The taps as rows of a window, oldest token first: (M, W), zero elsewhere."""
        placed = analysis.new_zeros(self.M, self.W, dtype=dtype)
        for scale in self.scales():
            K = scale.shape[1]
            placed[scale.filters, scale.lags] = analysis[scale.filters, :K].to(dtype).flip(1)
        return placed

    def unplace(self, placed: Tensor) -> Tensor:
        """The adjoint of `place`: (M, K)."""
        analysis = torch.zeros_like(placed)
        for scale in self.scales():
            K = scale.shape[1]
            analysis[scale.filters, :K] = placed[scale.filters, scale.lags].flip(1)
        return analysis


class Grid(Placement):
    """The layout of one call's windows and their division into blocks.

    With `in_lanes`, one lane per pair, unless there are too few channels for a GEMM.
    """

    def __init__(
        self,
        x: Tensor,
        num_filters: int,
        kernel_sizes: Sequence[int],
        *,
        history: int,
        causal: bool,
        in_lanes: bool,
    ) -> None:
        super().__init__(num_filters, kernel_sizes, causal)
        self.B, self.D, self.T = x.shape[0], x.shape[2], x.shape[1] - history
        # Crop history beyond the windows; missing history is zero.
        self.crop, self.pad = max(history - self.past, 0), max(self.past - history, 0)

        on_cpu = x.device.type == "cpu"
        elements = _ELEMENTS_PER_THREAD * torch.get_num_threads() if on_cpu else _ELEMENTS_PER_GPU
        columns = max(1, elements // num_filters)
        values = self.B * self.T * self.D
        longest = min(_LONGEST_SEGMENT, max(1, math.ceil(values / columns)))
        self.num_segments = math.ceil(self.T / longest)
        self.S = math.ceil(self.T / max(1, self.num_segments))
        self.L = self.S + self.W - 1
        self.blocks = list(self._blocks(columns, in_lanes)) if values else []
        # The largest number of columns and lanes of any block.
        self.R = max((math.prod(block.shape) for block in self.blocks), default=0)
        self.P = max((block.num_lanes for block in self.blocks), default=0)

    def _blocks(self, columns: int, in_lanes: bool) -> Iterator[Block]:
        widest = columns
        if in_lanes:
            widest = min(columns, max(_MOST_COLUMNS, columns // (self.B * self.num_segments)))
        channels = list(ranges(self.D, widest))
        in_lanes = in_lanes and len(channels[-1]) >= _FEWEST_COLUMNS
        together = max(1, columns // len(channels[0]))
        segments = list(ranges(self.num_segments, together))
        for b in ranges(self.B, max(1, together // len(segments[0]))):
            for s in segments:
                for d in channels:
                    yield Block(b, s, d, in_lanes)

    def bands(self) -> list[Band]:
        """Scales, joined where that is cheaper than a separate GEMM."""
        bands: list[Band] = []
        for scale in self.scales():
            joint = bands[-1].join(scale) if bands else scale
            if bands and joint.size - bands[-1].size - scale.size < _GEMM_OVERHEAD:
                bands[-1] = joint
            else:
                bands.append(scale)
        return bands

    def windows(self, value: Tensor, fill: int = 0) -> Tensor:
        """Split (B, history + T, C) into overlapping segments, (L, B, segments, C)."""
        value = value[:, self.crop :]
        after = self.num_segments * self.S + self.W - 1 - self.pad - value.shape[1]
        padded = F.pad(value, (0, 0, self.pad, after), value=fill)
        return padded.unfold(1, self.L, self.S).permute(3, 0, 1, 2)

    def documents(self, runs: Tensor | None) -> Tensor | None:
        """The document of each token, laid out like `windows`: (L, B, segments, 1); −1 is none."""
        return None if runs is None else self.windows(runs.unsqueeze(-1), fill=-1)

    def new_sum(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """The buffer for `add_windows`, padded to a whole last segment."""
        tokens = (self.num_segments + 1) * self.S + self.W
        return x.new_zeros(self.B, tokens, self.D, dtype=dtype)

    def add_windows(self, total: Tensor, block: Block, lanes: Tensor) -> None:
        """Add a block's (P, L, C) to the tokens it came from; neighbours overlap."""
        nb, ns, nd = block.shape
        b, d = block.batch, block.channels
        rows = block.unfolded(lanes).permute(1, 2, 0, 3)
        for r in range(0, self.L, self.S):
            part = rows[:, :, r : r + self.S]
            first = block.segments.start * self.S + r
            tokens = total[b.start : b.stop, first : first + ns * self.S, d.start : d.stop]
            # Splitting an axis is a view for any strides.
            tokens.view(nb, ns, self.S, nd)[:, :, : part.shape[2]] += part

    def sum_to_tokens(self, total: Tensor, like: Tensor) -> Tensor:
        """The finished sum as (B, history + T, D) in the dtype of `like`."""
        tokens = total[:, self.pad : self.pad + like.shape[1] - self.crop]
        return F.pad(tokens, (0, 0, self.crop, 0)).to(like.dtype).contiguous()

    def per_token(self, value: Tensor) -> Tensor:
        """Split (B, T, C) into segments of outputs, (S, B, segments, C)."""
        padded = F.pad(value, (0, 0, 0, self.num_segments * self.S - self.T))
        return padded.view(self.B, self.num_segments, self.S, value.shape[-1]).permute(2, 0, 1, 3)

    def new_per_token(self, like: Tensor, channels: int) -> Tensor:
        """Zeros in the layout of `per_token`."""
        zeros = like.new_zeros(self.B, self.num_segments, self.S, channels)
        return zeros.permute(2, 0, 1, 3)

    def to_tokens(self, value: Tensor) -> Tensor:
        """The inverse of `per_token`: (B, T, C)."""
        return value.permute(1, 2, 0, 3).flatten(1, 2)[:, : self.T].contiguous()


class Windows:
    """The windows of one block, token by token, cut at document borders if there are any."""

    def __init__(self, grid: Grid, block: Block, lanes: Tensor, documents: Tensor | None) -> None:
        self._W, self._past, self._lanes = grid.W, grid.past, lanes
        self._documents = None
        if documents is not None:
            # (P, L, pairs of the lane, 1): the document of each token
            of_pairs = block.cut_pairs(documents).reshape(grid.L, block.num_lanes, -1, 1)
            self._documents = of_pairs.transpose(0, 1)

    def at(self, r: int) -> tuple[Tensor, Tensor | None]:
        """The windows (P, W, C) of token r, and a mask (P, W, pairs, 1) of other documents."""
        window = self._lanes[:, r : r + self._W]
        if self._documents is None:
            return window, None
        here = self._documents[:, r + self._past].unsqueeze(1)
        foreign = self._documents[:, r : r + self._W] != here
        return clear(window, foreign), foreign


def clear(lanes: Tensor, foreign: Tensor) -> Tensor:
    """Zero the entries of lanes (P, W, C) that are `foreign`."""
    P, W, C = lanes.shape
    per_pair = lanes.view(P, W, foreign.shape[2], -1)
    return per_pair.masked_fill(foreign, 0).view(P, W, C)


def ranges(length: int, size: int) -> Iterator[range]:
    """Split 0 … length − 1 into nearly equal pieces of at most `size`, longest first."""
    pieces = math.ceil(length / size)
    edges = [-(-length * i // pieces) for i in range(pieces + 1)]
    return (range(a, b) for a, b in itertools.pairwise(edges))
