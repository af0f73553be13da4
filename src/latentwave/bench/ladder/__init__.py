"""Compute multipliers of annealed runs over model sizes and lengths."""

from latentwave.bench.ladder.assemble import assemble, time_steps
from latentwave.bench.ladder.plan import RungPlan, plan_ladder
from latentwave.bench.ladder.promotion import describe_promotion
from latentwave.bench.ladder.recipe import (
    LadderRecipe,
    RateSearchConfig,
    SettingConfig,
    SizeConfig,
    load_ladder,
)
from latentwave.bench.ladder.results import LadderResults, read_ladder
from latentwave.bench.ladder.run import Ladder, run_ladder
from latentwave.bench.ladder.search import SearchRecipe, load_search, run_search

__all__ = [
    "Ladder",
    "LadderRecipe",
    "LadderResults",
    "RateSearchConfig",
    "RungPlan",
    "SearchRecipe",
    "SettingConfig",
    "SizeConfig",
    "assemble",
    "describe_promotion",
    "load_ladder",
    "load_search",
    "plan_ladder",
    "read_ladder",
    "run_ladder",
    "run_search",
    "time_steps",
]
