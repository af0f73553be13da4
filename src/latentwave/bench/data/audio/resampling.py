"""Change of sample rate in blocks, without seams."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float32
from scipy import signal

BLOCK_SAMPLES = 1 << 17  # of input; half a megabyte


def resample(
    blocks: Iterable[Float32[np.ndarray, " _"]], rate: int, new_rate: int
) -> Iterator[Float32[np.ndarray, " _"]]:
    """Resample a signal that comes in pieces.

        y = scipy.signal.resample_poly(x, new_rate / g, rate / g),   g = gcd(rate, new_rate)

    for the whole signal x, to rounding: every output is computed with all the input that its
    filter covers, whatever the pieces. Memory does not grow with the signal.

    Args:
        blocks: the signal in pieces of any lengths.
        rate: of the signal, in hertz.
        new_rate: wanted, in hertz.

    Yields:
        Pieces of the result; ceil(N · new_rate / rate) samples in all for N of input.

    Example:
        >>> pieces = [np.ones(5, np.float32), np.ones(6, np.float32)]
        >>> sum(len(piece) for piece in resample(pieces, 48000, 16000))
        4
    """
    common = math.gcd(rate, new_rate)
    up, down = new_rate // common, rate // common
    if up == down:
        yield from blocks
        return
    filter_ = _low_pass(max(up, down))
    # Cuts lie at multiples of `down`, where an output falls onto an input.
    reach = down * math.ceil((len(filter_) // 2 / up + 1) / down)
    block = down * max(1, BLOCK_SAMPLES // down)
    waiting = np.empty(0, np.float32)
    before = 0  # samples of `waiting` whose outputs are done
    for piece in blocks:
        waiting = np.concatenate([waiting, piece]) if len(waiting) else piece
        while len(waiting) >= before + block + reach:
            stop = before + block
            done = signal.resample_poly(waiting[: stop + reach], up, down, window=filter_)
            yield done[before // down * up : stop // down * up]
            keep = max(0, stop - reach)
            waiting, before = waiting[keep:], stop - keep
    if len(waiting) > before:
        done = signal.resample_poly(waiting, up, down, window=filter_)
        yield done[before // down * up :]


@functools.lru_cache(maxsize=8)
def _low_pass(longest: int) -> Float32[np.ndarray, " taps"]:
    """The filter that `resample_poly` designs by default."""
    taps = signal.firwin(20 * longest + 1, 1.0 / longest, window=("kaiser", 5.0))
    return np.asarray(taps, dtype=np.float32)
