"""The programs of the filterbank kernels; see `filterbank` for how they fit together."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,import-not-found,import-untyped"
# ruff: noqa: PLR0917
import triton
import triton.language as tl

# One kernel for all lengths, so that streaming chunks and steps never recompile.
_LENGTHS = ("N", "T", "M", "W", "start", "history", "tiles")


@triton.jit
def _windows(
    x, first, last, b, t, d, N, T, D, W, start, history,
    WP: tl.constexpr, HAS_RUNS: tl.constexpr,
):  # fmt: skip
    """The windows (rows, WP) of the tokens t and channels d; zero beyond their documents."""
    exists = (t < T) & (d < D)
    n = (t + start)[:, None] + tl.arange(0, WP)[None, :]
    inside = (n >= 0) & (n < N) & (tl.arange(0, WP) < W)[None, :] & exists[:, None]
    if HAS_RUNS:
        here = b.to(tl.int64) * N + history + t
        inside &= n >= tl.load(first + here, mask=exists, other=0)[:, None]
        inside &= n <= tl.load(last + here, mask=exists, other=-1)[:, None]
    return tl.load(x + b.to(tl.int64) * N * D + n * D + d[:, None], mask=inside, other=0.0)


@triton.jit
def _weights_of(
    weights, b, t, cols, T, M, TT: tl.constexpr, PER_TOKEN: tl.constexpr
):  # fmt: skip
    """The weights a (rows or 1, filters) of the filters `cols`."""
    if PER_TOKEN:
        # A tile of one token has one row of weights.
        at = tl.max(t, 0, keep_dims=True) if TT == 1 else t
        wanted = (at < T)[:, None] & (cols < M)[None, :]
        rows = (b.to(tl.int64) * T + at)[:, None]
        a = tl.load(weights + rows * M + cols[None, :], mask=wanted, other=0.0)
    else:
        a = tl.load(weights + cols, mask=cols < M, other=0.0)[None, :]
    return a


@triton.jit(do_not_specialize=_LENGTHS)
def forward_tiles(
    x, taps, weights, first, last, y, N, T, D, M, W, MP, start, history,
    STEPS: tl.constexpr, TT: tl.constexpr, WP: tl.constexpr, BM: tl.constexpr, BD: tl.constexpr,
    HAS_RUNS: tl.constexpr, PER_TOKEN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write y of STEPS tiles of tokens by one tile of channels."""
    b = tl.program_id(2)
    rows = tl.arange(0, TT * BD)
    d = tl.program_id(1) * BD + rows % BD
    lags = tl.arange(0, WP)
    for step in range(STEPS):
        t = (tl.program_id(0) * STEPS + step) * TT + rows // BD
        signal = _windows(x, first, last, b, t, d, N, T, D, W, start, history, WP, HAS_RUNS)
        total = tl.zeros((TT * BD, BM), tl.float32)
        for m in range(0, MP, BM):
            cols = m + tl.arange(0, BM)
            h = tl.load(taps + lags[:, None] * MP + cols[None, :])
            z = tl.dot(signal, h, input_precision=PRECISION)
            a = _weights_of(weights, b, t, cols, T, M, TT, PER_TOKEN)
            total += tl.maximum(z, 0.0) * a
        at = b.to(tl.int64) * T * D + t * D + d
        tl.store(y + at, tl.sum(total, 1).to(y.dtype.element_ty), mask=(t < T) & (d < D))


@triton.jit(do_not_specialize=_LENGTHS)
def analysis_tiles(
    grad, x, taps, weights, first, last, partial, grad_mask,
    N, T, D, M, W, MP, start, history, tiles,
    TT: tl.constexpr, WP: tl.constexpr, BM: tl.constexpr, BD: tl.constexpr,
    HAS_RUNS: tl.constexpr, PER_TOKEN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write a partial sum of G for one tile of filters, and ∂ tf_mask of the tokens it covers."""
    rows = tl.arange(0, TT * BD)
    lags = tl.arange(0, WP)
    cols = tl.program_id(1) * BM + tl.arange(0, BM)
    h = tl.load(taps + lags[:, None] * MP + cols[None, :])
    product = tl.zeros((BM, WP), tl.float32)
    per_batch = (T + TT - 1) // TT
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        b = tile // per_batch
        first_token = tile % per_batch * TT
        t = first_token + rows // BD
        mask_sum = tl.zeros((TT, BM), tl.float32)
        a = _weights_of(weights, b, t, cols, T, M, TT, PER_TOKEN)
        for channel in range(0, D, BD):
            d = channel + rows % BD
            signal = _windows(x, first, last, b, t, d, N, T, D, W, start, history, WP, HAS_RUNS)
            at = b.to(tl.int64) * T * D + t * D + d
            dy = tl.load(grad + at, mask=(t < T) & (d < D), other=0.0).to(tl.float32)[:, None]
            z = tl.dot(signal, h, input_precision=PRECISION)
            gate = tl.where(z > 0.0, dy, 0.0)
            if PER_TOKEN:
                parts = tl.reshape(z * gate, (TT, BD, BM))
                mask_sum += tl.sum(parts, 1)
                gate = gate * a
            product = tl.dot(
                tl.trans(gate.to(signal.dtype)), signal, product, input_precision=PRECISION
            )
        if PER_TOKEN:
            tokens = first_token + tl.arange(0, TT)
            there = (b.to(tl.int64) * T + tokens)[:, None] * M + cols[None, :]
            wanted = (tokens < T)[:, None] & (cols < M)[None, :]
            tl.store(grad_mask + there, mask_sum, mask=wanted)
    target = partial + tl.program_id(0).to(tl.int64) * MP * WP
    tl.store(target + cols[:, None] * WP + lags[None, :], product)


@triton.jit(do_not_specialize=_LENGTHS)
def signal_tiles(
    grad, x, taps, adjoint, weights, first, last, grad_x, N, T, D, M, W, MP, start, history,
    BN: tl.constexpr, WP: tl.constexpr, BM: tl.constexpr,
    BD: tl.constexpr, HAS_RUNS: tl.constexpr, PER_TOKEN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write dx of one tile of tokens by one tile of channels."""
    b = tl.program_id(2)
    d = tl.program_id(1) * BD + tl.arange(0, BD)
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    lags = tl.arange(0, WP)
    total = tl.zeros((BD, BN), tl.float32)
    # The outputs whose windows reach the tile.
    newest = tl.program_id(0) * BN - start
    for token in range(tl.maximum(newest - (W - 1), 0), tl.minimum(newest + BN, T)):
        t = token + tl.zeros((BD,), tl.int32)
        signal = _windows(x, first, last, b, t, d, N, T, D, W, start, history, WP, HAS_RUNS)
        at = b.to(tl.int64) * T * D + t * D + d
        dy = tl.load(grad + at, mask=d < D, other=0.0).to(tl.float32)[:, None]
        lag = n - token - start
        reached = (lag >= 0) & (lag < W)
        if HAS_RUNS:
            here = b.to(tl.int64) * N + history + token
            reached &= (n >= tl.load(first + here)) & (n <= tl.load(last + here))
        for m in range(0, MP, BM):
            cols = m + tl.arange(0, BM)
            h = tl.load(taps + lags[:, None] * MP + cols[None, :])
            z = tl.dot(signal, h, input_precision=PRECISION)
            gate = tl.where(z > 0.0, dy, 0.0)
            if PER_TOKEN:
                gate = gate * _weights_of(weights, b, t, cols, T, M, 1, PER_TOKEN)
            back = tl.load(
                adjoint + lag[:, None] * MP + cols[None, :], mask=reached[:, None], other=0.0
            )
            total = tl.dot(gate.to(signal.dtype), tl.trans(back), total, input_precision=PRECISION)
    at = b.to(tl.int64) * N * D + n[None, :] * D + d[:, None]
    wanted = (n < N)[None, :] & (d < D)[:, None]
    tl.store(grad_x + at, total.to(grad_x.dtype.element_ty), mask=wanted)
