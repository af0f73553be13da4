"""Compares contestants: training runs, speed-ups with intervals, costs."""

from latentwave.bench.comparison.comparison import compare
from latentwave.bench.comparison.cost import measure_cost
from latentwave.bench.comparison.harness import run_harness
from latentwave.bench.comparison.positions import loss_by_position, token_losses
from latentwave.bench.comparison.results import (
    ContestantResults,
    Estimate,
    Results,
    read_results,
    write_results,
)
from latentwave.bench.comparison.statistics import first_crossing, highest_coverage, seeds_needed
from latentwave.bench.comparison.summary import compare_contestants, derive
from latentwave.bench.comparison.workers import Workers

__all__ = [
    "ContestantResults",
    "Estimate",
    "Results",
    "Workers",
    "compare",
    "compare_contestants",
    "derive",
    "first_crossing",
    "highest_coverage",
    "loss_by_position",
    "measure_cost",
    "read_results",
    "run_harness",
    "seeds_needed",
    "token_losses",
    "write_results",
]
