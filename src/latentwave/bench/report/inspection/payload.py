"""What the interactive page computes with: thinned, rounded, packed."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from latentwave.bench.inspection import EmbeddingPath, Inspection, Kernels, TokenActivity
from latentwave.bench.report.inspection.token_figures import (
    ACTIVITY_RANGE,
    ACTIVITY_TITLES,
    MASK_TITLE,
)

_MOST_TAP_VALUES = 300_000  # of all mixers together, two bytes each
_MOST_MAP_VALUES = 500_000  # one byte each
_MOST_ROWS = 64
_FEWEST_ROWS, _FEWEST_STEPS = 12, 6


def make_payload(inspection: Inspection) -> dict[str, Any]:
    """Plain values for the page's script.

    Kernels are thinned evenly in the order of centre frequency, snapshots evenly in time, so that
    the page stays small whatever the model's size. Taps are rounded to 1/32767 of a mixer's
    largest, masks to 1/127.

    Args:
        inspection: what was seen.
    """
    count = max(1, len(inspection.kernels))
    most_rows = min(_MOST_ROWS, _MOST_MAP_VALUES // (2 * count * max(1, len(inspection.tokens))))
    return {
        "tokens": inspection.tokens,
        "mixers": [
            _mixer(
                each,
                inspection.activity.get(each.name),
                inspection.paths.get(each.name),
                most_rows=max(_FEWEST_ROWS, most_rows),
                most_values=_MOST_TAP_VALUES // count,
            )
            for each in inspection.kernels
        ],
    }


def choose(
    shape: tuple[int, int, int], most_rows: int, most_values: int
) -> tuple[Int[np.ndarray, " s"], Int[np.ndarray, " n"]]:
    """Which snapshots and which rows are kept of (S, N, K) taps.

    Args:
        shape: S, N, K.
        most_rows: at most so many rows.
        most_values: so many taps in all, if that leaves enough to look at.

    Returns:
        Ascending indices of snapshots and rows, first and last of both among them.

    Example:
        >>> steps, rows = choose((20, 100, 50), 64, 20_000)
        >>> len(steps), len(rows)
        (6, 64)
    """
    num_steps, num_rows, num_taps = shape
    rows = min(num_rows, most_rows)
    steps = min(num_steps, max(_FEWEST_STEPS, most_values // (rows * num_taps)))
    rows = min(rows, max(_FEWEST_ROWS, most_values // (steps * num_taps)))
    return _evenly(num_steps, steps), _evenly(num_rows, rows)


def _evenly(count: int, kept: int) -> Int[np.ndarray, " k"]:
    return np.unique(np.round(np.linspace(0, count - 1, kept)).astype(np.int64))


def _mixer(
    kernels: Kernels,
    activity: TokenActivity | None,
    path: EmbeddingPath | None,
    *,
    most_rows: int,
    most_values: int,
) -> dict[str, Any]:
    history = kernels.history if len(kernels.history) else kernels.taps[None]
    steps, rows = choose(history.shape, most_rows, most_values)
    weights = None if kernels.weights is None else kernels.weights[None]
    if kernels.weight_history is not None:
        weights = kernels.weight_history
    change = kernels.change()
    return {
        "label": kernels.label,
        "kind": kernels.kind,
        "rows": kernels.rows,
        "total": len(kernels.taps),
        "indices": kernels.indices[rows].tolist(),
        "counts": kernels.counts[rows].tolist(),
        "windows": np.round(1 / kernels.haar[rows, 0]).astype(int).tolist(),
        "centre": _rounded(kernels.centre[rows]),
        "bandwidth": _rounded(kernels.bandwidth[rows]),
        "weights": None if weights is None else [_rounded(each[rows]) for each in weights[steps]],
        "steps": kernels.steps[steps].tolist() if len(kernels.steps) else [],
        "taps": pack(history[steps][:, rows], np.int16),
        "change": {
            "steps": kernels.steps.tolist(),
            "mean": _rounded(change.mean(axis=1)),
            "low": _rounded(np.percentile(change, 25, axis=1)) if len(change) else [],
            "high": _rounded(np.percentile(change, 75, axis=1)) if len(change) else [],
            "centres": [_rounded(each) for each in kernels.centre_history()[:, rows].T],
        },
        "maps": _maps(activity, rows),
        "path": None
        if path is None
        else {
            "before": [_rounded(axis) for axis in path.before.T],
            "after": [_rounded(axis) for axis in path.after.T],
            "explained": _rounded(path.explained),
        },
    }


def _maps(activity: TokenActivity | None, rows: Int[np.ndarray, " n"]) -> list[dict[str, Any]]:
    """The pictures over tokens that a mixer has."""
    if activity is None:
        return []
    maps = []
    if activity.tf_mask is not None:
        packed = pack(_clipped(activity.tf_mask[rows]), np.int8)
        maps.append({"title": MASK_TITLE, "signed": True} | packed)
    title, values = ACTIVITY_TITLES[activity.signed], activity.activity[rows]
    if activity.signed:
        maps.append({"title": title, "signed": True} | pack(_clipped(values), np.int8))
        return maps
    levels = 20 * np.log10(np.maximum(values, 1e-9))
    loudest = float(levels.max())
    below = np.clip(levels - loudest, -ACTIVITY_RANGE, 0.0)
    maps.append({"title": title, "signed": False, "offset": loudest} | pack(below, np.int8))
    return maps


def _clipped(values: Float[np.ndarray, "n T"]) -> Float[np.ndarray, "n T"]:
    """Without the few largest, beside which all others would be pale."""
    reach = float(np.percentile(np.abs(values), 99.5))
    clipped: Float[np.ndarray, "n T"] = np.clip(values, -reach, reach)
    return clipped


def pack(values: Float[np.ndarray, "*shape"], dtype: type[np.signedinteger[Any]]) -> dict[str, Any]:
    """Numbers as integers of one scale in base64, little-endian.

    Example:
        >>> pack(np.array([0.5, -1.0]), np.int8)["data"]
        'QIE='
    """
    largest = np.iinfo(dtype).max
    peak = float(np.abs(values).max(initial=0.0)) or 1.0
    whole = np.round(values / peak * largest).astype(np.dtype(dtype).newbyteorder("<"))
    return {
        "shape": list(values.shape),
        "scale": peak / largest,
        "data": base64.b64encode(whole.tobytes()).decode("ascii"),
    }


def _rounded(values: Float[np.ndarray, " n"]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
