"""Measuring: comparisons, speed-ups with intervals, costs, the causality check."""

from latentwave.analysis.causality import CausalityError, assert_causal
from latentwave.analysis.clock import Clock
from latentwave.analysis.comparison import compare
from latentwave.analysis.cost import DecodingCost, ModelCost, measure_cost
from latentwave.analysis.harness import run_harness
from latentwave.analysis.pairs import compare_contestants
from latentwave.analysis.positions import loss_by_position, token_losses
from latentwave.analysis.statistics import (
    Estimate,
    estimate,
    estimate_ratio,
    first_crossing,
    highest_coverage,
    seeds_needed,
    speedup,
)
from latentwave.analysis.summary import Track, compare_tracks
from latentwave.analysis.workers import Job, Workers

__all__ = [
    "CausalityError",
    "Clock",
    "DecodingCost",
    "Estimate",
    "Job",
    "ModelCost",
    "Track",
    "Workers",
    "assert_causal",
    "compare",
    "compare_contestants",
    "compare_tracks",
    "estimate",
    "estimate_ratio",
    "first_crossing",
    "highest_coverage",
    "loss_by_position",
    "measure_cost",
    "run_harness",
    "seeds_needed",
    "speedup",
    "token_losses",
]
