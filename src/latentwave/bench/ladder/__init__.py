"""Ladders: annealed runs over model sizes and budgets, scaling laws and compute multipliers."""

from latentwave.bench.ladder.assemble import assemble
from latentwave.bench.ladder.costs import RungPlan, plan_ladder, time_steps
from latentwave.bench.ladder.ladder import Ladder
from latentwave.bench.ladder.recipe import load_ladder
from latentwave.bench.ladder.results import LadderResults, read_ladder
from latentwave.bench.ladder.run import run_ladder
from latentwave.bench.ladder.search import load_search, run_search

__all__ = [
    "Ladder",
    "LadderResults",
    "RungPlan",
    "assemble",
    "load_ladder",
    "load_search",
    "plan_ladder",
    "read_ladder",
    "run_ladder",
    "run_search",
    "time_steps",
]
