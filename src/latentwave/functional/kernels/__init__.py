"""Triton kernels for GPUs, all of them optional: a plain form stands beside each."""

from latentwave.functional.kernels.operators import TRITON, decaying_scan, takes, window_sums

__all__ = ["TRITON", "decaying_scan", "takes", "window_sums"]
