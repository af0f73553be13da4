"""The causal FIR filter: direct sums for the first taps, block FFTs for the rest.

Both work on (B, T, C) in the accumulation dtype, without gradients. The tail of a long kernel is
split at lags P, 4P, 16P, …. The part that starts at lag P works on blocks of P tokens: block n
receives terms from whole blocks before it, never from itself or later ones. Between two blocks the
filter is a Toeplitz matrix, applied by a circular convolution of size 2P.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from latentwave.functional.averages import full_precision

# The first taps, summed directly, by the crossover that `benchmarks/bench_learnable.py` measures;
# with document borders fewer, because each needs a masked pass.
DIRECT_TAPS, DOCUMENT_DIRECT_TAPS = 128, 16
GRAM_TAPS = 64  # the gradient of up to this many is a matrix product over frames; of more, FFTs
# Values per chunk of a long sequence: workspaces stay in the CPU's cache and do not grow with T.
CHUNK_VALUES = 2**18


def convolve(x: Tensor, taps: Tensor, runs: Tensor | None) -> Tensor:
    """y(t) = Σ_k taps(k) x(t−k), in chunks."""
    K = min(taps.shape[1], x.shape[1])
    chunks = list(_chunks(x, K))
    if len(chunks) == 1:
        return _convolve_chunk(x, taps, runs)
    parts = []
    for start, stop in chunks:
        first = max(0, start - K + 1)
        chunk_runs = None if runs is None else runs[:, first:stop]
        y = _convolve_chunk(x[:, first:stop], taps, chunk_runs)
        parts.append(y[:, start - first :])
    return torch.cat(parts, dim=1)


def correlate(x: Tensor, y: Tensor, num_taps: int, runs: Tensor | None) -> Tensor:
    """c(k) = Σ_{b,t} y(t) x(t−k) for k < num_taps, in chunks."""
    total = x.new_zeros(x.shape[2], num_taps)
    for start, stop in _chunks(x, num_taps):
        first = max(0, start - num_taps + 1)
        new = F.pad(y[:, start:stop], (0, 0, start - first, 0))
        chunk_runs = None if runs is None else runs[:, first:stop]
        total = total + _correlate_chunk(x[:, first:stop], new, num_taps, chunk_runs)
    return total


def _chunks(x: Tensor, num_taps: int) -> Iterator[tuple[int, int]]:
    B, num_tokens, C = x.shape
    # A chunk rereads the num_taps − 1 tokens before it: keep that share small.
    length = max(CHUNK_VALUES // max(1, B * C), 8 * num_taps)
    if x.device.type != "cpu" or num_tokens < 2 * length:  # elsewhere launches count
        yield 0, num_tokens
    else:
        yield from itertools.pairwise([*range(0, num_tokens, length), num_tokens])


def _convolve_chunk(x: Tensor, taps: Tensor, runs: Tensor | None) -> Tensor:
    K = min(taps.shape[1], x.shape[1])
    direct = _direct_taps(runs)
    if runs is not None and direct >= K:
        return _by_lags(x, taps[:, :K], runs)
    T = x.shape[1]
    # Channels first: tokens contiguous, for the convolution and the FFTs alike.
    signal = x.transpose(1, 2).contiguous()
    if runs is None:
        y = _by_convolution(signal, taps[:, : min(K, direct)])
    else:
        y = _by_lags(x, taps[:, :direct], runs).transpose(1, 2).contiguous()
    for low, high in _tail_parts(K, direct):
        blocks = _Blocks.build(T, low, high, runs)
        partition = _spectra_of_taps(taps[:, low:high], blocks)
        sources = blocks.cut(signal, -1)
        spectra = torch.fft.rfft(sources, 2 * low)
        received = torch.zeros_like(spectra)
        for j in range(1, blocks.reach + 1):
            sent = blocks.connect(spectra[:, :, : blocks.count - j], j)
            received[:, :, j:].addcmul_(sent, partition[:, j - 1].unsqueeze(1))
        result = blocks.of_document(0, torch.fft.irfft(received, 2 * low)[..., :low])
        y += result.flatten(2)[..., :T]
    return y.transpose(1, 2)


def _correlate_chunk(x: Tensor, y: Tensor, num_taps: int, runs: Tensor | None) -> Tensor:
    K = min(num_taps, x.shape[1])
    if runs is None:
        lags = _correlation_by_frames(x, y, K)
    else:
        lags = _correlation_with_borders(x, y, K, runs)
    return F.pad(lags, (0, num_taps - K))


def _direct_taps(runs: Tensor | None) -> int:
    return DIRECT_TAPS if runs is None else DOCUMENT_DIRECT_TAPS


def _tail_parts(num_taps: int, direct: int) -> Iterator[tuple[int, int]]:
    low = direct
    while low < num_taps:
        yield low, min(4 * low, num_taps)
        low *= 4


def _by_lags(x: Tensor, taps: Tensor, runs: Tensor) -> Tensor:
    y = x * taps[:, 0]
    for k in range(1, min(taps.shape[1], x.shape[1])):
        earlier = x[:, :-k] * (runs[:, k:] == runs[:, :-k]).unsqueeze(-1)
        y[:, k:].addcmul_(earlier, taps[:, k])
    return y


def _by_convolution(signal: Tensor, taps: Tensor) -> Tensor:  # (B, C, T)
    C, K = taps.shape
    with full_precision(signal.device):
        return F.conv1d(F.pad(signal, (K - 1, 0)), taps.flip(1).unsqueeze(1), groups=C)


def _correlation_by_lags(x: Tensor, y: Tensor, num_taps: int, runs: Tensor) -> Tensor:
    T = x.shape[1]
    products = []
    for k in range(num_taps):
        product = y[:, k:] * x[:, : T - k] * (runs[:, k:] == runs[:, : T - k]).unsqueeze(-1)
        products.append(product.sum((0, 1)))
    return torch.stack(products, dim=1)


def _correlation_by_frames(x: Tensor, y: Tensor, num_taps: int) -> Tensor:
    """Correlate each frame of y with the frame of x that is twice as long and ends with it."""
    T, C = x.shape[1:]
    hop = 1 << (num_taps - 1).bit_length()
    missing = -T % hop
    older = F.pad(x.permute(2, 0, 1), (hop, missing)).unfold(2, 2 * hop, hop)
    newer = F.pad(y.permute(2, 0, 1), (0, missing)).reshape(C, y.shape[0], -1, hop)
    if num_taps > GRAM_TAPS:
        products = torch.fft.rfft(older).conj() * torch.fft.rfft(F.pad(newer, (hop, 0)))
        lags: Tensor = torch.fft.irfft(products.sum((1, 2)), 2 * hop)
        return lags[:, :num_taps]
    with full_precision(x.device):
        gram = torch.bmm(newer.flatten(1, 2).mT, older.flatten(1, 2))
    # gram[:, i, j] pairs y at hop + i with x at j. With rows one entry longer, each row shifts by
    # one column, so that entries with the same lag, hop + i − j, share column j − i.
    slid = F.pad(gram.flatten(1), (0, hop)).view(C, hop, 2 * hop + 1)
    return slid.sum(1)[:, 1 : hop + 1].flip(1)[:, :num_taps]


def _correlation_with_borders(x: Tensor, y: Tensor, num_taps: int, runs: Tensor) -> Tensor:
    T = x.shape[1]
    direct = min(num_taps, DOCUMENT_DIRECT_TAPS)
    parts = [_correlation_by_lags(x, y, direct, runs)]
    older, newer = x.transpose(1, 2), y.transpose(1, 2)
    for low, high in _tail_parts(num_taps, DOCUMENT_DIRECT_TAPS):
        blocks = _Blocks.build(T, low, high, runs)
        spectra = torch.fft.rfft(blocks.cut(older, -1), 2 * low)
        received = torch.fft.rfft(blocks.cut(newer, 0), 2 * low)
        lags = x.new_zeros(x.shape[2], (blocks.reach + 1) * low)
        for j in range(1, blocks.reach + 1):
            sent = blocks.connect(spectra[:, :, : blocks.count - j], j)
            products = (sent.conj() * received[:, :, j:]).sum((0, 2))
            lags[:, (j - 1) * low : (j + 1) * low] += torch.fft.irfft(products, 2 * low).roll(
                low, -1
            )
        # Keep lags from `low` on: earlier ones belong to the previous part.
        parts.append(F.pad(lags, (0, max(0, high - lags.shape[1])))[:, low:high])
    return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class _Blocks:
    """T tokens cut into blocks.

    Documents are contiguous, so two blocks share at most one: the last of the earlier block and the
    first of the later one.
    """

    size: int
    count: int
    reach: int  # how many blocks back the taps reach
    documents: Tensor | None  # (B, N, P)

    @staticmethod
    def build(num_tokens: int, size: int, high: int, runs: Tensor | None) -> "_Blocks":
        count = -(-num_tokens // size)
        reach = min((high - 2) // size + 1, count - 1)
        if runs is not None:
            # Padding after the last token is never read, so its run does not matter.
            runs = F.pad(runs, (0, count * size - num_tokens)).view(-1, count, size)
        return _Blocks(size, count, reach, runs)

    def cut(self, signal: Tensor, place: int) -> Tensor:
        """(B, C, T) → (B, C, N, P), one document per block, see `of_document`."""
        B, C, T = signal.shape
        padded = F.pad(signal, (0, self.count * self.size - T))
        return self.of_document(place, padded.reshape(B, C, self.count, self.size))

    def of_document(self, place: int, blocks: Tensor) -> Tensor:
        """Zero tokens outside the document of their block's first (place 0) or last (−1) token."""
        if self.documents is None:
            return blocks
        same = self.documents == self.documents[..., place].unsqueeze(-1)
        return blocks * same.unsqueeze(1)

    def connect(self, spectra: Tensor, distance: int) -> Tensor:
        """Zero blocks whose last document differs from the first one `distance` blocks later."""
        if self.documents is None:
            return spectra
        last, first = self.documents[..., -1], self.documents[..., 0]
        same = last[:, : self.count - distance] == first[:, distance:]
        return spectra * same[:, None, :, None]


def _spectra_of_taps(taps: Tensor, blocks: _Blocks) -> Tensor:
    """(C, reach, P + 1): for each distance j, the taps at lags jP − P … jP + P − 1, circular."""
    P = blocks.size
    width = (blocks.reach + 1) * P
    lags = F.pad(taps, (P, max(0, width - P - taps.shape[1])))[:, :width]
    spectra: Tensor = torch.fft.rfft(lags.unfold(1, 2 * P, P).roll(P, -1))
    return spectra
