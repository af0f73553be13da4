"""Measuring: comparisons, speed-ups with intervals, costs, the causality check."""
