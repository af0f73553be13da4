"""What a run learns: the next token, or the class of a document."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from latentwave.bench.data import TokenStore
from latentwave.bench.training.contestant import ContestantConfig
from latentwave.bench.training.recipe import Recipe

Collate = Callable[[Sequence[dict[str, Tensor]]], dict[str, Tensor]]


class Objective(abc.ABC):
    """The parts of an experiment that depend on what is learned.

    Attributes:
        task: as in a recipe.
        loss_unit: what the loss is the mean over.
        mean_loss: whether a model's loss is the mean over its batch, whatever the Trainer asks.
        collate: makes a batch of items; None for the Trainer's own way.
        tokens_per_step: that a training step reads, on average.

    Args:
        recipe: the experiment.
        store: its corpus.
    """

    task: str
    loss_unit: str
    mean_loss: bool = False
    collate: Collate | None = None
    tokens_per_step: int

    def __init__(self, recipe: Recipe, store: TokenStore) -> None:
        self.recipe = recipe
        self.store = store

    @abc.abstractmethod
    def training_set(self, seed: int) -> Dataset[dict[str, Tensor]]:
        """What all steps read, in order; it depends on the seed alone."""

    @abc.abstractmethod
    def evaluation_set(self, split: str, limit: int | None) -> Dataset[dict[str, Tensor]]:
        """The same items at every evaluation, at most `limit`."""

    @abc.abstractmethod
    def build(self, contestant: ContestantConfig, seed: int) -> PreTrainedModel:
        """A contestant with random weights."""

    @abc.abstractmethod
    def evaluate(
        self, model: PreTrainedModel, items: Dataset[dict[str, Tensor]], batch_size: int
    ) -> dict[str, float]:
        """The "loss" over items and further metrics; processes share the work."""

    @abc.abstractmethod
    def one_item(self) -> tuple[dict[str, Any], int]:
        """Inputs of one typical item, B = 1, and their tokens: what costs are counted for."""

    def final_metrics(
        self, model: PreTrainedModel, batch_size: int
    ) -> tuple[dict[str, float], str | None]:
        """Metrics of a finished model over a whole split, and its name; none by default."""
        return {}, None
