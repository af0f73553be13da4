"""Pure tensor functions behind the mixers, without modules or models."""

from latentwave.functional.averages import causal_moving_average
from latentwave.functional.cascade import (
    causal_cascade,
    dilated_fir,
    stationary_decomposition,
    stationary_reconstruction,
)
from latentwave.functional.families import cascade_taps, orthogonal_lowpass
from latentwave.functional.filterbank import (
    causal_filterbank,
    naive_filterbank,
    noncausal_filterbank,
)
from latentwave.functional.fir import causal_fir, dynamic_fir
from latentwave.functional.fourier_bank import windowed_fourier_bank
from latentwave.functional.pyramid import pyramid_sum
from latentwave.functional.scan import decaying_sums
from latentwave.functional.segments import segment_runs

__all__ = [
    "cascade_taps",
    "causal_cascade",
    "causal_filterbank",
    "causal_fir",
    "causal_moving_average",
    "decaying_sums",
    "dilated_fir",
    "dynamic_fir",
    "naive_filterbank",
    "noncausal_filterbank",
    "orthogonal_lowpass",
    "pyramid_sum",
    "segment_runs",
    "stationary_decomposition",
    "stationary_reconstruction",
    "windowed_fourier_bank",
]
