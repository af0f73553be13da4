"""Recipes and training runs, on top of the Trainer of transformers."""

from latentwave.bench.training.backbone import BackboneConfig
from latentwave.bench.training.checkpoint import list_checkpoints, newest_checkpoint
from latentwave.bench.training.classification import (
    Classification,
    collator,
    evaluate_classifier,
    evaluate_on_split,
    is_classifier,
    labelled_examples,
)
from latentwave.bench.training.classifiers import build_classifier
from latentwave.bench.training.contestant import BASELINE, ContestantConfig
from latentwave.bench.training.curve import CurvePoint
from latentwave.bench.training.environment import describe_environment
from latentwave.bench.training.evaluation import evaluate_loss, load_run, model_folder
from latentwave.bench.training.generation import continue_tokens
from latentwave.bench.training.models import build_model
from latentwave.bench.training.objective import Objective
from latentwave.bench.training.processes import (
    is_main,
    on_main,
    prepared_store,
    rank,
    start_processes,
)
from latentwave.bench.training.recipe import (
    Recipe,
    TuningConfig,
    load_recipe,
    read_recipe_file,
    recipe_from_dict,
)
from latentwave.bench.training.result import RunResult, check_folder, read_record, read_result
from latentwave.bench.training.run import describe_run, train
from latentwave.bench.training.settings import TrainingConfig
from latentwave.bench.training.tasks import open_objective

__all__ = [
    "BASELINE",
    "BackboneConfig",
    "Classification",
    "ContestantConfig",
    "CurvePoint",
    "Objective",
    "Recipe",
    "RunResult",
    "TrainingConfig",
    "TuningConfig",
    "build_classifier",
    "build_model",
    "check_folder",
    "collator",
    "continue_tokens",
    "describe_environment",
    "describe_run",
    "evaluate_classifier",
    "evaluate_loss",
    "evaluate_on_split",
    "is_classifier",
    "is_main",
    "labelled_examples",
    "list_checkpoints",
    "load_recipe",
    "load_run",
    "model_folder",
    "newest_checkpoint",
    "on_main",
    "open_objective",
    "prepared_store",
    "rank",
    "read_recipe_file",
    "read_record",
    "read_result",
    "recipe_from_dict",
    "start_processes",
    "train",
]
