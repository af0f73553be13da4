"""Document borders of packed sequences."""

import torch
from jaxtyping import Int
from torch import Tensor


def segment_runs(segment_ids: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Number the runs of equal ids, so that a reused id still means a new document.

        r(t) = r(t−1) + [id(t) ≠ id(t−1)],   r(0) = 0

    Args:
        segment_ids: (B, T), any integer type; tokens of one document share an id.

    Returns:
        (B, T), int64, non-decreasing over the tokens; two tokens belong to the same
        document if and only if their runs are equal.

    Causality: r(t) reads ids up to t.

    Example:
        >>> segment_runs(torch.tensor([[7, 7, 3, 7]]))
        tensor([[0, 0, 1, 2]])
    """
    changed = torch.zeros_like(segment_ids, dtype=torch.int64)
    changed[:, 1:] = segment_ids[:, 1:] != segment_ids[:, :-1]
    return changed.cumsum(dim=1)


def document_bounds(runs: Int[Tensor, "B T"]) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """The first and the last token of each token's document; `runs` as from `segment_runs`.

    Example:
        >>> document_bounds(torch.tensor([[0, 0, 1]]))
        (tensor([[0, 0, 2]], dtype=torch.int32), tensor([[1, 1, 2]], dtype=torch.int32))
    """
    runs = runs.contiguous()
    first = torch.searchsorted(runs, runs, out_int32=True)
    return first, torch.searchsorted(runs, runs, right=True, out_int32=True) - 1
