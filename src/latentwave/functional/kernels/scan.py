"""Exponentially decaying sums on a GPU: a scan inside each chunk, and a carry between chunks.

Decays are kept as logarithms, and added: the product of many rounded decays would drift.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,import-not-found,import-untyped"
# ruff: noqa: PLR0917
import torch
import triton
import triton.language as tl
from torch import Tensor

_TOKENS, _CHANNELS = 64, 16  # per chunk


def decaying_scan(x: Tensor, log_decay: Tensor, runs: Tensor | None) -> Tensor:
    """The sums of `functional.decaying_sums`, of float32 signals (B, T, C)."""
    B, T, C = x.shape
    x = x.contiguous()
    y = torch.empty_like(x)
    _scan[(triton.cdiv(C, _CHANNELS), B)](
        x, log_decay.contiguous(), x if runs is None else runs.contiguous(), y, T, C,
        BT=_TOKENS, BC=_CHANNELS, HAS_RUNS=runs is not None,
    )  # fmt: skip
    return y


@triton.jit
def _combine(older_log, older_sum, log, value):
    return older_log + log, tl.exp(log) * older_sum + value


@triton.jit(do_not_specialize=("T",))
def _scan(
    x, log_decay, runs, y, T, C, BT: tl.constexpr, BC: tl.constexpr, HAS_RUNS: tl.constexpr
):  # fmt: skip
    b = tl.program_id(1)
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    decay = tl.load(log_decay + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    carry = tl.zeros((1, BC), tl.float32)
    for chunk in range(0, T, BT):
        t = chunk + tl.arange(0, BT)
        wanted = (t < T)[:, None] & (c < C)[None, :]
        at = b.to(tl.int64) * T * C + t[:, None] * C + c[None, :]
        value = tl.load(x + at, mask=wanted, other=0.0).to(tl.float32)
        logs = decay + tl.zeros((BT, BC), tl.float32)
        if HAS_RUNS:
            # Compare for equality, not order: the adjoint passes runs of reversed tokens.
            here = tl.load(runs + b.to(tl.int64) * T + t, mask=t < T, other=0)
            before = tl.load(runs + b.to(tl.int64) * T + t - 1, mask=(t > 0) & (t < T), other=0)
            starts = here != before
            logs = tl.where(starts[:, None], float("-inf"), logs)
        reach, total = tl.associative_scan((logs, value), 0, _combine)
        total += tl.exp(reach) * carry
        tl.store(y + at, total, mask=wanted)
        newest = (t == chunk + BT - 1)[:, None]
        carry = tl.sum(tl.where(newest, total, 0.0), 0, keep_dims=True)
