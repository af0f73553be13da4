"""Mixers on sequences that are split over several processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from torch import Tensor

from latentwave.functional import exchange_halo, shard_lengths
from latentwave.mixers.base import Mixer
from latentwave.mixers.state import MixerState

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def mix_sequence_shard(
    mixer: Mixer,
    x: Float[Tensor, "B T D"],
    *,
    group: dist.ProcessGroup | None = None,
    segment_ids: Int[Tensor, "B T"] | None = None,
    padding_mask: Bool[Tensor, "B T"] | None = None,
) -> Float[Tensor, "B T D"]:
    """Run a mixer on this rank's part of sequences that are split over ranks by tokens.

    The results of all ranks, joined, are what the mixer gives for the whole sequences. A filter
    of receptive field R receives the last R − 1 tokens before its shard, from as many ranks as
    that takes; a recurrent mixer (`ema`) waits for the value at the end of the rank before it.
    Gradients flow back to the ranks that hold the tokens; those of the mixer's parameters are
    this rank's part and must be summed over the ranks.

    Every rank of the group must call it, and run the backward pass, in the same order.

    Args:
        mixer: causal, with the same parameters on every rank.
        x: (B, T, D), this rank's tokens; T ≥ 1 may differ from rank to rank, B may not.
        group: the ranks that share the sequences, in the order of the tokens; default: all.
        segment_ids: (B, T), this rank's part; given on all ranks or on none.
        padding_mask: (B, T), this rank's part; given on all ranks or on none.

    Returns:
        (B, T, D), this rank's part of the result.

    Raises:
        ValueError: if the mixer is not causal, the batch sizes differ, or a shard is empty.

    Causality: that of the mixer; nothing is sent to an earlier rank but gradients.

    Example:
        torchrun --nproc_per_node 4 train.py, where every rank holds a quarter of the context::

            y = mix_sequence_shard(mixer, x)  # instead of mixer(x)
    """
    if not mixer.causal:
        raise ValueError(
            f"a {mixer.kind} with causal=False reads tokens of later ranks: only causal mixers "
            "can run on a sequence that is split"
        )
    state = _ShardState(x, shard_lengths(x, group), group)
    y: Tensor = mixer(x, state=state, segment_ids=segment_ids, padding_mask=padding_mask)
    return state.tie(y)


class _ShardState(MixerState):
    """The past of one call, which lies on other ranks instead of in an earlier call."""

    def __init__(self, x: Tensor, lengths: list[int], group: dist.ProcessGroup | None) -> None:
        super().__init__()
        self._x = x
        self._lengths = lengths
        self._group = group
        self._seen: set[str] = set()
        self._ties: list[Tensor] = []

    def __contains__(self, name: str) -> bool:
        return name in self._seen

    def extend(self, name: str, new: Tensor, *, history: int) -> Tensor:
        self._seen.add(name)
        return torch.cat([exchange_halo(new, history, self._lengths, self._group), new], dim=1)

    def get(self, name: str) -> Tensor | None:
        rank = dist.get_rank(self._group)
        if rank == 0:
            return None
        return _receive(self._x, _global_rank(rank - 1, self._group), self._group)

    def put(self, name: str, value: Tensor) -> None:
        self._seen.add(name)
        rank = dist.get_rank(self._group)
        if rank + 1 < dist.get_world_size(self._group):
            receiver = _global_rank(rank + 1, self._group)
            self._ties.append(_send(value, receiver, self._group))

    def tie(self, y: Tensor) -> Tensor:
        """Make the backward pass of y wait for the gradients of what was sent on."""
        for nothing in self._ties:
            y = y + nothing
        return y

    def clone(self) -> MixerState:
        raise NotImplementedError("the state of a split sequence serves one call")


def _global_rank(rank: int, group: dist.ProcessGroup | None) -> int:
    return rank if group is None else dist.get_global_rank(group, rank)


def _send(value: Tensor, receiver: int, group: dist.ProcessGroup | None) -> Tensor:
    B, C = value.shape
    wants = value.requires_grad and torch.is_grad_enabled()
    header = torch.tensor([B, C, _DTYPES.index(value.dtype), wants], device=value.device)
    dist.send(header, receiver, group=group)
    sent: Tensor = _Send.apply(value, receiver, group)  # type: ignore[no-untyped-call]
    return sent


def _receive(x: Tensor, sender: int, group: dist.ProcessGroup | None) -> Tensor:
    header = torch.empty(4, dtype=torch.int64, device=x.device)
    dist.recv(header, sender, group=group)
    B, C, dtype, wants = header.tolist()
    anchor = torch.empty(B, C, dtype=_DTYPES[dtype], device=x.device, requires_grad=bool(wants))
    received: Tensor = _Receive.apply(anchor, x, sender, group)  # type: ignore[no-untyped-call]
    return received


class _Send(torch.autograd.Function):
    """Gives the value to the next rank and a zero to this one, whose gradient is awaited."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, receiver: int, group: dist.ProcessGroup | None) -> Tensor:
        ctx.receiver, ctx.group, ctx.like = receiver, group, value.detach()
        dist.send(value.detach().contiguous(), receiver, group=group)
        return value.new_zeros(())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        result = torch.empty_like(ctx.like, memory_format=torch.contiguous_format)
        dist.recv(result, ctx.receiver, group=ctx.group)
        return result, None, None


class _Receive(torch.autograd.Function):
    """Takes the value of the rank before; its gradient goes back there.

    x lends its place in the graph, so that the gradient is sent whenever that of x is asked for.
    """

    @staticmethod
    def forward(
        ctx: Any, anchor: Tensor, x: Tensor, sender: int, group: dist.ProcessGroup | None
    ) -> Tensor:
        ctx.sender, ctx.group = sender, group
        value = torch.empty_like(anchor)
        dist.recv(value, sender, group=group)
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, None, None]:
        dist.send(grad.contiguous(), ctx.sender, group=ctx.group)
        return None, None, None, None
