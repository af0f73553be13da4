"""Time and memory per token of every mixer on long sequences, forward + backward, batch 1."""

from collections.abc import Iterator
from functools import partial

import torch
from measure import (
    MIXERS,
    Row,
    compare,
    forward_backward,
    main,
    paired,
    peak_mib,
    relative_error,
    some_mixer,
)


def rows(quick: bool) -> Iterator[Row]:
    short, long = (64, 256) if quick else (512, 131072)
    for name in MIXERS:
        D = 8 if quick or "filterbank" in name else 64
        mixer = some_mixer(name, D)
        calls = {}
        for T in (long, short):
            x = torch.randn(1, T, D, requires_grad=True)
            calls[str(T)] = forward_backward(mixer, x, weights=torch.randn_like(x))
        times = paired(calls, unit="µs", repeats=5)
        ours, reference = ([1e3 * us / int(T) for us in own] for T, own in times.items())
        high, low = ([2**20 * peak_mib(call)[0] / int(T)] for T, call in calls.items())
        with torch.no_grad():
            x = torch.randn(1, long, D)
            y = mixer(x)
            error = relative_error([y], [mixer.double()(x.double())])
        row = partial(compare, "growth", f"D {D}, {long:,} tokens", against=f"{short} tokens")
        yield row(f"{name}: time", "ns/token", ours, reference, at_most=1.5, error=error)
        yield row(f"{name}: memory", "bytes/token", high, low, at_most=1.5)


if __name__ == "__main__":
    main(rows)
