"""Compiled mixers beside eager ones, forward + backward."""

from collections.abc import Iterator

import torch
from measure import MIXERS, Row, compare, forward_backward, main, paired, relative_error, some_mixer


def rows(quick: bool) -> Iterator[Row]:
    B, T, D = (1, 40, 16) if quick else (8, 512, 128)
    x = torch.randn(B, T, D, requires_grad=True)
    dy = torch.randn_like(x)
    with torch.compiler.set_stance("force_eager" if quick else "default"):
        for name in MIXERS:
            torch.compiler.reset()  # graphs of earlier mixers count towards the limit
            mixer = some_mixer(name, D)
            eager = forward_backward(mixer, x, weights=dy)
            compiled = torch.compile(mixer, fullgraph=True)
            ours = forward_backward(compiled, x, weights=dy)
            ms = paired({"compiled": ours, "eager": eager}, repeats=25, at_most=10.0)
            yield compare(
                "compiled mixers",
                f"{B}×{T}×{D}",
                name,
                "ms",
                ms["compiled"],
                ms["eager"],
                "faster",
                against="eager",
                error=relative_error(ours(), eager()),
            )


if __name__ == "__main__":
    main(rows)
