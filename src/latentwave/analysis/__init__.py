"""Measuring: comparisons, speed-ups with intervals, costs, the causality check."""

from latentwave.analysis.causality import CausalityError, assert_causal

__all__ = ["CausalityError", "assert_causal"]
