"""The two training objectives: predict the next token, or the classes of a document."""

import dataclasses
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset
from transformers import PreTrainedModel

from latentwave.bench.data import GridWindows, RandomWindows, TokenStore
from latentwave.bench.data.tasks.codecs import PcmCodec
from latentwave.bench.data.tasks.examples import LabelledExamples, ShuffledExamples, even_indices
from latentwave.bench.data.windows import DocumentBorders
from latentwave.bench.training.contestant import ContestantConfig
from latentwave.bench.training.evaluation import (
    Collate,
    collator,
    evaluate_classifier,
    evaluate_loss,
    require_metrics,
)
from latentwave.bench.training.models import build_classifier, build_model, wave_config
from latentwave.bench.training.processes import num_processes, on_cpu
from latentwave.bench.training.recipe import Recipe
from latentwave.bench.training.wave_encoder import WaveEncoderConfig
from latentwave.errors import UserError


class LanguageModelling:
    """Predicts the next token in windows of context_length tokens."""

    task = "language-model"  # as in a recipe
    loss_unit = "token"  # what the loss is a mean over
    mean_loss = False  # whether a model always returns the mean over its batch
    collate: Collate | None = None  # makes a batch of items; None: the Trainer's own
    final_split: str | None = None  # on which a finished model is measured as a whole
    tokens_per_step: int  # that a training step reads, on average

    def __init__(self, recipe: Recipe, store: TokenStore) -> None:
        if not store.metadata.vocab_size:
            raise UserError(
                f"the corpus {store.metadata.corpus!r} holds raw samples without a vocabulary: "
                'they can be classified (task "classification"), not predicted as tokens'
            )
        self.recipe, self.store = recipe, store
        self._window = recipe.backbone.context_length
        self.tokens_per_step = recipe.training.batch_size * self._window

    def training_set(self, seed: int) -> RandomWindows:
        """The random windows of all steps in order; they depend on the seed alone."""
        settings = self.recipe.training
        num_windows = settings.num_steps * settings.batch_size
        tokens = self.store.split("train")
        return RandomWindows(tokens, self._window, num_windows, seed, self._borders("train"))

    def evaluation_set(self, split: str, limit: int | None) -> GridWindows:
        """Evenly spaced windows, at most `limit`: the same at every evaluation."""
        tokens = self.store.split(split)
        return GridWindows(tokens, self._window, limit, self._borders(split), split=split)

    def build(self, contestant: ContestantConfig, seed: int) -> PreTrainedModel:
        """A model of `build_model`."""
        vocab_size = self.store.metadata.vocab_size
        return build_model(self.recipe.backbone, contestant, vocab_size=vocab_size, seed=seed)

    def evaluate(
        self, model: PreTrainedModel, items: Dataset[dict[str, Tensor]], batch_size: int
    ) -> dict[str, float]:
        """The "loss" of `evaluate_loss`."""
        return {"loss": evaluate_loss(model, items, batch_size)}

    def one_item(self) -> tuple[dict[str, Any], int]:
        """Inputs of one full context, for which costs are counted, and its number of tokens."""
        tokens = torch.zeros(1, self._window, dtype=torch.int64)
        return {"input_ids": tokens, "use_cache": False}, self._window

    def _borders(self, split: str) -> DocumentBorders | None:
        return self.store.borders(split) if self.recipe.training.separate_documents else None


class Classification:
    """Predicts the class or classes of a document from at most context_length tokens.

    A step reads batch_size documents, padded to the longest. Tokens are counted as if every
    document had the mean length of those in training; for raw sound they are frames.
    """

    task = "classification"
    loss_unit = "document"
    mean_loss = True

    def __init__(self, recipe: Recipe, store: TokenStore) -> None:
        self.recipe, self.store = recipe, store
        require_metrics()
        if store.metadata.class_names is None:
            raise UserError(
                f"the corpus {store.metadata.corpus!r} has no labels: it trains language models "
                '(task "language-model"), not classifiers'
            )
        if recipe.training.separate_documents:
            raise UserError(
                "training.separate_documents keeps the documents of a window apart, but a "
                "classifier reads one at a time: leave it out"
            )
        codec = store.codec
        self._sound: WaveEncoderConfig | None = None
        if isinstance(codec, PcmCodec):
            self._sound = wave_config(recipe.backbone, codec.sample_rate)
        self.collate: Collate = collator(self._sound, store)
        self.final_split = "test" if len(store.split("test")) else "validation"
        self._training_examples = self._examples("train")
        length = torch.tensor(int(self._training_examples.lengths.mean()))
        self._item = torch.zeros(1, int(length))
        self._item_tokens = int(self._sound.num_frames(length) if self._sound else length)
        self.tokens_per_step = recipe.training.batch_size * self._item_tokens

    def training_set(self, seed: int) -> ShuffledExamples:
        """The documents of all steps, shuffled in every epoch."""
        settings = self.recipe.training
        num_examples = settings.num_steps * settings.batch_size
        return ShuffledExamples(self._training_examples, num_examples, seed)

    def evaluation_set(self, split: str, limit: int | None) -> Dataset[dict[str, Tensor]]:
        """Evenly spaced documents, at most `limit`."""
        examples = self._examples(split)
        return Subset(examples, even_indices(len(examples), limit))

    def build(self, contestant: ContestantConfig, seed: int) -> PreTrainedModel:
        """A model of `build_classifier`."""
        metadata = self.store.metadata
        return build_classifier(
            self.recipe.backbone,
            contestant,
            class_names=metadata.class_names or (),
            multi_label=metadata.multi_label,
            vocab_size=metadata.vocab_size,
            sample_rate=self._sound.sample_rate if self._sound else None,
            seed=seed,
        )

    def evaluate(
        self, model: PreTrainedModel, items: Dataset[dict[str, Tensor]], batch_size: int
    ) -> dict[str, float]:
        """The measures of `evaluate_classifier`."""
        return evaluate_classifier(model, items, self.collate, batch_size)

    def one_item(self) -> tuple[dict[str, Any], int]:
        """Inputs of one document of mean length, and its number of tokens."""
        if self._sound:
            return {"input_values": self._item}, self._item_tokens
        return {"input_ids": self._item.long()}, self._item_tokens

    def _examples(self, split: str) -> LabelledExamples:
        context = self.recipe.backbone.context_length
        longest = self._sound.max_samples() if self._sound else context
        return LabelledExamples(self.store, split, longest)


Objective = LanguageModelling | Classification


def settle_compilation(recipe: Recipe, store: TokenStore) -> Recipe:
    """Decide a recipe's `compile` if it is null, for all contestants alike."""
    settings = recipe.training
    if settings.compile is not None:
        return recipe
    contestants = recipe.contestants.values()
    steps = max([settings.num_steps, *(each.num_steps or 0 for each in contestants)])
    # Labelled examples differ in length, and every length would be compiled again.
    pays = steps >= settings.LONG and _objective_of(recipe, store) is LanguageModelling
    return dataclasses.replace(recipe, training=dataclasses.replace(settings, compile=pays))


def open_objective(recipe: Recipe, store: TokenStore) -> Objective:
    """The objective of a recipe on a corpus."""
    return _objective_of(recipe, store)(recipe, store)


def check_fits(objective: Objective) -> None:
    """Refuse a run that this machine cannot hold, or whose windows its corpus cannot fill.

    No model is built. The estimate is a lower bound: matrices, their gradients and optimizer
    state, and for one pass of this process every layer's input and a language model's logits.
    """
    backbone, training = objective.recipe.backbone, objective.recipe.training
    vocab_size = objective.store.metadata.vocab_size
    width, layers = backbone.hidden_size, backbone.num_layers
    per_layer = 4 * width**2 + 2 * width * backbone.intermediate_size
    parameters = width * vocab_size + layers * per_layer
    passes = num_processes() * training.gradient_accumulation_steps
    per_token = 0 if training.gradient_checkpointing else layers * width
    if objective.task == "language-model":
        per_token += vocab_size
    tokens = objective.tokens_per_step // passes
    needed = 16 * parameters // num_processes() + 4 * tokens * per_token
    on_gpu = torch.cuda.is_available() and not on_cpu()
    memory = torch.cuda.mem_get_info()[1] if on_gpu else psutil.virtual_memory().total
    if needed > memory:
        raise UserError(
            f"num_layers={layers}, hidden_size={width}, intermediate_size="
            f"{backbone.intermediate_size} and the batch need at least {needed / 2**30:,.1f} GiB, "
            f"this {'GPU' if on_gpu else 'machine'} has {memory / 2**30:,.1f} GiB: choose "
            "smaller sizes, a smaller batch_size or more gradient_accumulation_steps"
        )
    objective.training_set(seed=0)
    objective.evaluation_set("validation", training.num_evaluation_windows)


def _objective_of(recipe: Recipe, store: TokenStore) -> type[Objective]:
    """By the recipe's task, or else by whether the corpus has labels."""
    if recipe.task is None:
        return LanguageModelling if store.metadata.class_names is None else Classification
    return Classification if recipe.task == Classification.task else LanguageModelling
