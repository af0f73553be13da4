"""Which objective a recipe means."""

from __future__ import annotations

from latentwave.bench.data import TokenStore
from latentwave.bench.training.classification import Classification
from latentwave.bench.training.language_modelling import LanguageModelling
from latentwave.bench.training.objective import Objective
from latentwave.bench.training.recipe import Recipe


def open_objective(recipe: Recipe, store: TokenStore) -> Objective:
    """What a recipe learns on a corpus: its `task`, or else what the corpus is made for.

    Raises:
        UserError: if the corpus does not fit the task or the backbone.
    """
    labelled = store.metadata.class_names is not None
    task = recipe.task or (Classification.task if labelled else LanguageModelling.task)
    if task == Classification.task:
        return Classification(recipe, store)
    return LanguageModelling(recipe, store)
