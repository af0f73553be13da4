"""Measuring: comparisons, speed-ups with intervals, costs, the causality check."""

from latentwave.analysis.causality import CausalityError, assert_causal
from latentwave.analysis.clock import Clock
from latentwave.analysis.comparison import compare
from latentwave.analysis.cost import ModelCost, measure_cost
from latentwave.analysis.harness import run_harness
from latentwave.analysis.positions import loss_by_position, token_losses
from latentwave.analysis.statistics import Estimate, estimate, first_crossing, speedup
from latentwave.analysis.summary import Track, compare_tracks
from latentwave.analysis.workers import Job, Workers

__all__ = [
    "CausalityError",
    "Clock",
    "Estimate",
    "Job",
    "ModelCost",
    "Track",
    "Workers",
    "assert_causal",
    "compare",
    "compare_tracks",
    "estimate",
    "first_crossing",
    "loss_by_position",
    "measure_cost",
    "run_harness",
    "speedup",
    "token_losses",
]
