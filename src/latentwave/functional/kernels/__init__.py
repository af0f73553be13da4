"""Triton kernels for GPUs. Import its modules only where `TRITON` says that Triton is installed."""

from importlib.util import find_spec

TRITON = find_spec("triton") is not None

__all__ = ["TRITON"]
