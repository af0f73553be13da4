"""Optional Triton kernels for GPUs; each has a plain PyTorch counterpart."""

from latentwave.functional.kernels.operators import TRITON, takes, window_sums

__all__ = ["TRITON", "takes", "window_sums"]
