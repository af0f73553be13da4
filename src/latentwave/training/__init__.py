"""Recipes and training runs, on top of the Trainer of transformers."""

from latentwave.training.curve import CurvePoint
from latentwave.training.environment import describe_environment
from latentwave.training.evaluation import evaluate_loss, load_run
from latentwave.training.models import build_model
from latentwave.training.recipe import (
    BASELINE,
    BackboneConfig,
    ContestantConfig,
    Recipe,
    TrainingConfig,
    load_recipe,
    recipe_from_dict,
)
from latentwave.training.run import RunResult, last_checkpoint, read_result, train

__all__ = [
    "BASELINE",
    "BackboneConfig",
    "ContestantConfig",
    "CurvePoint",
    "Recipe",
    "RunResult",
    "TrainingConfig",
    "build_model",
    "describe_environment",
    "evaluate_loss",
    "last_checkpoint",
    "load_recipe",
    "load_run",
    "read_result",
    "recipe_from_dict",
    "train",
]
