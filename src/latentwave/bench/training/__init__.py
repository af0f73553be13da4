"""Recipes and training runs, on top of the Trainer of transformers."""

from latentwave.bench.training.backbone import BackboneConfig
from latentwave.bench.training.contestant import BASELINE, ContestantConfig
from latentwave.bench.training.environment import describe_environment
from latentwave.bench.training.evaluation import (
    evaluate_loss,
    evaluate_on_split,
    is_classifier,
    load_run,
    model_folder,
)
from latentwave.bench.training.generation import continue_tokens
from latentwave.bench.training.models import build_model
from latentwave.bench.training.objective import open_objective, settle_compilation
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
from latentwave.bench.training.result import (
    RunResult,
    check_folder,
    corpus_of,
    read_record,
    read_result,
)
from latentwave.bench.training.run import describe_run, train
from latentwave.bench.training.settings import TrainingConfig

__all__ = [
    "BASELINE",
    "BackboneConfig",
    "ContestantConfig",
    "Recipe",
    "RunResult",
    "TrainingConfig",
    "TuningConfig",
    "build_model",
    "check_folder",
    "continue_tokens",
    "corpus_of",
    "describe_environment",
    "describe_run",
    "evaluate_loss",
    "evaluate_on_split",
    "is_classifier",
    "is_main",
    "load_recipe",
    "load_run",
    "model_folder",
    "on_main",
    "open_objective",
    "prepared_store",
    "rank",
    "read_recipe_file",
    "read_record",
    "read_result",
    "recipe_from_dict",
    "settle_compilation",
    "start_processes",
    "train",
]
