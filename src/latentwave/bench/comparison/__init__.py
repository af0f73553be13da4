"""Measuring: comparisons, speed-ups with intervals, costs."""

from latentwave.bench.comparison.clock import Clock
from latentwave.bench.comparison.comparison import compare
from latentwave.bench.comparison.cost import measure_cost
from latentwave.bench.comparison.harness import run_harness
from latentwave.bench.comparison.positions import loss_by_position, token_losses
from latentwave.bench.comparison.results import (
    ContestantResults,
    DecodingCost,
    Estimate,
    Evaluation,
    ModelCost,
    Results,
    read_results,
    write_results,
)
from latentwave.bench.comparison.statistics import (
    estimate,
    estimate_ratio,
    first_crossing,
    highest_coverage,
    seeds_needed,
    speedup,
)
from latentwave.bench.comparison.summary import compare_contestants, derive
from latentwave.bench.comparison.workers import Job, Workers

__all__ = [
    "Clock",
    "ContestantResults",
    "DecodingCost",
    "Estimate",
    "Evaluation",
    "Job",
    "ModelCost",
    "Results",
    "Workers",
    "compare",
    "compare_contestants",
    "derive",
    "estimate",
    "estimate_ratio",
    "first_crossing",
    "highest_coverage",
    "loss_by_position",
    "measure_cost",
    "read_results",
    "run_harness",
    "seeds_needed",
    "speedup",
    "token_losses",
    "write_results",
]
