"""Decoding a token with a mixer's state, beside filtering the whole prefix again, batch 1."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from measure import MIXERS, Row, compare, main, paired, relative_error, some_mixer
from torch import Tensor

from latentwave.mixers import Mixer


def streaming_step(mixer: Mixer, prefix: Tensor) -> Callable[[], Tensor]:
    """One token after the prefix; the state moves on by a token at each call."""
    state = mixer.new_state()
    mixer(prefix, state=state)
    return lambda: mixer(prefix[:, -1:], state=state)


@torch.no_grad()
def rows(quick: bool) -> Iterator[Row]:
    D, repeats = (16, 3) if quick else (128, 200)
    L, early, late = 512, 8, 4096
    x = torch.randn(1, late, D)
    for name in MIXERS:
        mixer = some_mixer(name, D)
        state = mixer.new_state()
        mixer(x[:, :L], state=state)
        whole = mixer(x[:, : L + 1])
        error = relative_error([mixer(x[:, L : L + 1], state=state)], [whole[:, L:]])
        steps = {"early": streaming_step(mixer, x[:, :early]), "late": streaming_step(mixer, x)}
        anew = partial(mixer, x[:, :L])
        us = paired({**steps, "anew": anew}, unit="µs", repeats=repeats, at_most=10.0)
        row = partial(compare, "decoding", f"D {D}, L {L}", against=f"{L} tokens anew", error=error)
        yield row(f"{name}: a token", "µs", us["late"], us["anew"], "faster")
        row = partial(compare, "decoding", f"D {D}, position {late:,}", against=f"position {early}")
        yield row(f"{name}: a late token", "µs", us["late"], us["early"], at_most=1.2)


if __name__ == "__main__":
    main(rows)
