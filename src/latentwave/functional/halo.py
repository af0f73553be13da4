"""The past of a sequence shard: what a rank needs from the ranks before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor


def shard_lengths(x: Shaped[Tensor, "B T C"], group: dist.ProcessGroup | None = None) -> list[int]:
    """How many tokens each rank holds of the same sequences.

    Args:
        x: (B, T, C), this rank's shard; T may differ from rank to rank.
        group: the ranks that share the sequences, in the order of the tokens; default: all.

    Returns:
        One length per rank.

    Raises:
        ValueError: on every rank, if the batch sizes differ or a rank holds no tokens.
    """
    own = torch.tensor(x.shape[:2], device=x.device)
    shapes = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(shapes, own, group=group)
    batches = [int(shape[0]) for shape in shapes]
    if len(set(batches)) > 1:
        raise ValueError(f"every rank must hold a shard of the same batch, got sizes {batches}")
    lengths = [int(shape[1]) for shape in shapes]
    if min(lengths) < 1:
        raise ValueError(f"every rank must hold at least one token, got shards of {lengths}")
    return lengths


def exchange_halo(
    x: Shaped[Tensor, "B T C"],
    halo: int,
    lengths: Sequence[int],
    group: dist.ProcessGroup | None = None,
) -> Shaped[Tensor, "B {halo} C"]:
    """The `halo` tokens before this rank's shard of a sequence.

        h(t) = X(o_r − halo + t),   t = 0 … halo − 1,   X(s) = 0 for s < 0

    for the whole sequence X and the shard X(o_r … o_r + T_r − 1) of rank r. A halo that is longer
    than one shard comes from several ranks. Differentiable: the gradient travels back to the
    ranks that hold the tokens. Every rank must call it, and run the backward pass, in the same
    order.

    Args:
        x: (B, T_r, C), this rank's shard.
        halo: tokens, such as `receptive_field − 1`.
        lengths: T of every rank, see `shard_lengths`.
        group: the ranks that share the sequence, in the order of the tokens; default: all.

    Returns:
        (B, halo, C), zeros before the first token.

    Raises:
        ValueError: if halo is negative or lengths do not fit.

    Causality: a rank receives nothing from the ranks after it.
    """
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    if halo < 0:
        raise ValueError(f"halo must be >= 0, got {halo}")
    if len(lengths) != size or lengths[rank] != x.shape[1]:
        raise ValueError(
            f"lengths must hold the tokens of {size} ranks, {x.shape[1]} of them on rank {rank}, "
            f"got {list(lengths)}"
        )
    received: Tensor = _Halo.apply(x, halo, list(lengths), group)  # type: ignore[no-untyped-call]
    return received


def _parts(halo: int, lengths: Sequence[int]) -> list[list[int]]:
    """parts[r][q]: how many of its last tokens rank r sends to rank q."""
    starts = [sum(lengths[:r]) for r in range(len(lengths))]
    return [
        [
            max(0, starts[r] + lengths[r] - max(starts[r], starts[q] - halo)) if r < q else 0
            for q in range(len(lengths))
        ]
        for r in range(len(lengths))
    ]


class _Halo(torch.autograd.Function):
    """One all-to-all with uneven parts; its adjoint sends the same parts the other way."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, halo: int, lengths: list[int], group: dist.ProcessGroup | None
    ) -> Tensor:
        rank, parts = dist.get_rank(group), _parts(halo, lengths)
        ctx.sent = parts[rank]
        ctx.taken = [row[rank] for row in parts]
        ctx.shape, ctx.group = x.shape, group
        (B, T, C), count = x.shape, sum(ctx.taken)
        tails = torch.cat([x[:, T - n :].transpose(0, 1) for n in ctx.sent])
        past = x.new_empty(count, B, C)
        dist.all_to_all_single(past, tails.contiguous(), ctx.taken, ctx.sent, group=group)
        return torch.cat([x.new_zeros(B, halo - count, C), past.transpose(0, 1)], dim=1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (B, T, C), count = ctx.shape, sum(ctx.taken)
        given = grad[:, grad.shape[1] - count :].transpose(0, 1).contiguous()
        back = grad.new_empty(sum(ctx.sent), B, C)
        dist.all_to_all_single(back, given, ctx.sent, ctx.taken, group=ctx.group)
        result = grad.new_zeros(B, T, C)
        for part in torch.split(back, ctx.sent):
            result[:, T - len(part) :] += part.transpose(0, 1)
        return result, None, None, None
