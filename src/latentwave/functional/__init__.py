"""Pure tensor functions: what the mixers compute, without modules or models."""

from latentwave.functional.averages import causal_moving_average, dyadic_window_sums
from latentwave.functional.segments import segment_runs

__all__ = ["causal_moving_average", "dyadic_window_sums", "segment_runs"]
