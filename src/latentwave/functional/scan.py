"""Exponentially decaying sums over tokens, in linear time and at full precision."""

from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from latentwave.functional.averages import accumulation_dtype
from latentwave.functional.kernels import TRITON, takes

BLOCK_TOKENS = 32


def decaying_sums(
    x: Float[Tensor, "B T C"],
    log_decay: Float[Tensor, " C"],
    runs: Int[Tensor, "B T"] | None = None,
) -> Float[Tensor, "B T C"]:
    """Sum the past of every channel with exponentially falling weights.

        s_c(t) = x_c(t) + d_c · s_c(t−1),   d_c = exp(log_decay_c),   s_c(−1) = 0

    On a CPU, all blocks of 32 tokens run the recursion at once; the sums at their ends follow the
    same recursion with decay d^32, and block by block d^{i+1} times the sum before it is added.
    Elsewhere sums double their reach, s_{2w}(t) = s_w(t) + d^w s_w(t−w): more operations, but
    log2 T launches. Compilers see one operator, the same for every T. Each power of d is one
    exponential of its logarithm, so no error builds up and nothing is divided by a vanishing power.

    Args:
        x: (B, T, C), any floating type.
        log_decay: (C,), natural logarithms of the decays, negative.
        runs: (B, T) from `segment_runs`: sums restart at document borders.

    Returns:
        (B, T, C) in float32 (float64 for float64 input).

    Raises:
        ValueError: if log_decay does not have one entry per channel.

    Causality: s(t) reads x(0 … t).

    Reference: the blocked scan of Blelloch (1990) and the doubling of Hillis and Steele (1986),
    for a constant decay per channel.

    Example:
        >>> decaying_sums(torch.ones(1, 3, 1), torch.tensor([0.5]).log()).flatten()
        tensor([1.0000, 1.5000, 1.7500])
    """
    if log_decay.shape != x.shape[-1:]:
        raise ValueError(
            f"log_decay must have one entry for each of the {x.shape[-1]} channels, "
            f"got shape {tuple(log_decay.shape)}"
        )
    dtype = accumulation_dtype(x.dtype)
    return _apply(x.to(dtype), log_decay.to(dtype), runs)


@torch.library.custom_op(
    "latentwave::decaying_scan",
    mutates_args=(),
    schema="(Tensor x, Tensor log_decay, Tensor? runs) -> Tensor",
)
def _decaying_scan(x: Tensor, log_decay: Tensor, runs: Tensor | None) -> Tensor:
    return (_scan if x.device.type == "cpu" else _double)(x, log_decay, runs).contiguous()


@_decaying_scan.register_fake
def _(x: Tensor, *others: object) -> Tensor:
    return x.new_empty(x.shape)


def _scan_on_gpu(x: Tensor, log_decay: Tensor, runs: Tensor | None) -> Tensor:
    from latentwave.functional.kernels import scan

    return (scan.decaying_scan if takes(x) else _double)(x, log_decay, runs)


if TRITON:
    _decaying_scan.register_kernel("cuda")(_scan_on_gpu)


def _apply(x: Tensor, log_decay: Tensor, runs: Tensor | None) -> Tensor:
    return cast(Tensor, _DecayingSums.apply(x, log_decay, runs))  # type: ignore[no-untyped-call]


class _DecayingSums(torch.autograd.Function):
    """The recursion; its adjoint is the same recursion from the last token to the first."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, log_decay: Tensor, runs: Tensor | None) -> Tensor:
        if torch.compiler.is_compiling() or takes(x):
            return cast(Tensor, _decaying_scan(x, log_decay, runs))
        return (_scan if x.device.type == "cpu" else _double)(x, log_decay, runs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, log_decay, runs = inputs
        ctx.save_for_backward(log_decay, runs, output)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        log_decay, runs, sums = ctx.saved_tensors
        reversed_runs = None if runs is None else runs.flip(1)
        grad_x = _apply(grad_outputs[0].flip(1), log_decay, reversed_runs).flip(1)
        grad_log_decay = None
        if ctx.needs_input_grad[1]:
            before = sums[:, :-1]
            if runs is not None:
                before = before * (runs[:, 1:] == runs[:, :-1]).unsqueeze(-1)
            grad_log_decay = (grad_x[:, 1:] * before).sum((0, 1)) * log_decay.exp()
        return grad_x, grad_log_decay, None


def _double(x: Tensor, log_decay: Tensor, runs: Tensor | None) -> Tensor:
    sums = x.clone(memory_format=torch.contiguous_format)
    reach = 1
    while reach < x.shape[1]:
        earlier = sums[:, :-reach] * (reach * log_decay).exp()
        if runs is not None:
            earlier = earlier * (runs[:, reach:] == runs[:, :-reach]).unsqueeze(-1)
        sums[:, reach:] += earlier
        reach *= 2
    return sums


def _scan(x: Tensor, log_decay: Tensor, runs: Tensor | None) -> Tensor:
    B, T, C = x.shape
    if T <= BLOCK_TOKENS:
        sums = x.clone(memory_format=torch.contiguous_format)
        _run_blocks(sums.unsqueeze(1), log_decay, None if runs is None else runs.unsqueeze(1))
        return sums
    N, missing = -(-T // BLOCK_TOKENS), -T % BLOCK_TOKENS
    sums = x.new_zeros(B, N * BLOCK_TOKENS, C)  # a copy, because blocks are summed in place
    sums[:, :T] = x
    sums = sums.view(B, N, BLOCK_TOKENS, C)
    block_runs = None if runs is None else F.pad(runs, (0, missing)).view(B, N, BLOCK_TOKENS)
    last_runs = None if block_runs is None else block_runs[:, :, -1]
    _run_blocks(sums, log_decay, block_runs)

    before = _scan(sums[:, :, -1], BLOCK_TOKENS * log_decay, last_runs)[:, :-1].unsqueeze(2)
    if block_runs is not None:
        before = before * (block_runs[:, 1:] == block_runs[:, :-1, -1:]).unsqueeze(-1)
    steps = torch.arange(1, BLOCK_TOKENS + 1, device=x.device, dtype=x.dtype)
    weights = (steps.unsqueeze(-1) * log_decay).exp()
    sums[:, 1:].addcmul_(before, weights)
    return sums.view(B, N * BLOCK_TOKENS, C)[:, :T]


def _run_blocks(sums: Tensor, log_decay: Tensor, runs: Tensor | None) -> None:
    """Run the recursion in all blocks of (B, N, L, C) at once, in place."""
    decay = log_decay.exp()
    for i in range(1, sums.shape[2]):
        before = sums[:, :, i - 1]
        if runs is not None:
            before = before * (runs[:, :, i] == runs[:, :, i - 1]).unsqueeze(-1)
        sums[:, :, i].addcmul_(before, decay)
