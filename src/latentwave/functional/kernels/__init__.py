"""Optional Triton kernels for GPUs; each has a plain PyTorch counterpart."""

from latentwave.functional.kernels.operators import TRITON, decaying_scan, takes, window_sums

__all__ = ["TRITON", "decaying_scan", "takes", "window_sums"]
