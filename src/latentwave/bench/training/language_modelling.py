"""The next token as what a run learns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from latentwave.bench.data import GridWindows, RandomWindows, TokenStore
from latentwave.bench.data.windows import DocumentBorders
from latentwave.bench.training.contestant import ContestantConfig
from latentwave.bench.training.evaluation import evaluate_loss
from latentwave.bench.training.models import build_model
from latentwave.bench.training.objective import Objective
from latentwave.bench.training.recipe import Recipe
from latentwave.errors import UserError


class LanguageModelling(Objective):
    """The next token, over windows of context_length tokens."""

    task = "language-model"
    loss_unit = "token"

    def __init__(self, recipe: Recipe, store: TokenStore) -> None:
        """See `Objective`.

        Raises:
            UserError: for raw samples, which have no vocabulary.
        """
        super().__init__(recipe, store)
        if not store.metadata.vocab_size:
            raise UserError(
                f"the corpus {store.metadata.corpus!r} holds raw samples without a vocabulary: "
                'they can be classified (task "classification"), not predicted as tokens'
            )
        self._window = recipe.backbone.context_length
        self.tokens_per_step = recipe.training.batch_size * self._window

    def training_set(self, seed: int) -> RandomWindows:
        """Windows at random places."""
        settings = self.recipe.training
        num_windows = settings.num_steps * settings.batch_size
        tokens = self.store.split("train")
        return RandomWindows(tokens, self._window, num_windows, seed, self._borders("train"))

    def evaluation_set(self, split: str, limit: int | None) -> GridWindows:
        """Evenly spaced windows."""
        return GridWindows(self.store.split(split), self._window, limit, self._borders(split))

    def build(self, contestant: ContestantConfig, seed: int) -> PreTrainedModel:
        """A causal language model, see `build_model`."""
        vocab_size = self.store.metadata.vocab_size
        return build_model(self.recipe.backbone, contestant, vocab_size=vocab_size, seed=seed)

    def evaluate(
        self, model: PreTrainedModel, items: Dataset[dict[str, Tensor]], batch_size: int
    ) -> dict[str, float]:
        """Nats per predicted token."""
        return {"loss": evaluate_loss(model, items, batch_size)}

    def one_item(self) -> tuple[dict[str, Any], int]:
        """A whole context."""
        tokens = torch.zeros(1, self._window, dtype=torch.int64)
        return {"input_ids": tokens, "use_cache": False}, self._window

    def _borders(self, split: str) -> DocumentBorders | None:
        """Where documents begin, if windows keep them apart."""
        apart = self.recipe.training.separate_documents
        return self.store.borders(split) if apart else None
