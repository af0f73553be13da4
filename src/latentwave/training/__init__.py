"""Recipes and training runs, on top of the Trainer of transformers."""

from latentwave.training.checkpoint import list_checkpoints, newest_checkpoint
from latentwave.training.curve import CurvePoint
from latentwave.training.environment import describe_environment
from latentwave.training.evaluation import evaluate_loss, load_run
from latentwave.training.generation import continue_tokens
from latentwave.training.models import build_model
from latentwave.training.processes import is_main, on_main, prepared_store, rank, start_processes
from latentwave.training.recipe import (
    BASELINE,
    BackboneConfig,
    ContestantConfig,
    Recipe,
    TrainingConfig,
    load_recipe,
    recipe_from_dict,
)
from latentwave.training.result import RunResult, read_result
from latentwave.training.run import train

__all__ = [
    "BASELINE",
    "BackboneConfig",
    "ContestantConfig",
    "CurvePoint",
    "Recipe",
    "RunResult",
    "TrainingConfig",
    "build_model",
    "continue_tokens",
    "describe_environment",
    "evaluate_loss",
    "is_main",
    "list_checkpoints",
    "load_recipe",
    "load_run",
    "newest_checkpoint",
    "on_main",
    "prepared_store",
    "rank",
    "read_result",
    "recipe_from_dict",
    "start_processes",
    "train",
]
