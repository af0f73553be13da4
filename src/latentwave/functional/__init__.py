"""Pure tensor functions: what the mixers compute, without modules or models."""

from latentwave.functional.averages import causal_moving_average, dyadic_window_sums
from latentwave.functional.filterbank import (
    causal_filterbank,
    naive_filterbank,
    noncausal_filterbank,
)
from latentwave.functional.fourier_bank import windowed_fourier_bank
from latentwave.functional.segments import segment_runs

__all__ = [
    "causal_filterbank",
    "causal_moving_average",
    "dyadic_window_sums",
    "naive_filterbank",
    "noncausal_filterbank",
    "segment_runs",
    "windowed_fourier_bank",
]
