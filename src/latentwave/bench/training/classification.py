"""The class of a document as what a run learns."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset, Subset
from transformers import PreTrainedModel

from latentwave.bench.data import TokenStore
from latentwave.bench.data.tasks.codecs import PcmCodec
from latentwave.bench.data.tasks.examples import (
    LabelledExamples,
    PadExamples,
    ShuffledExamples,
    even_indices,
)
from latentwave.bench.training.classifiers import (
    MULTI_LABEL,
    SINGLE_LABEL,
    build_classifier,
    wave_config,
)
from latentwave.bench.training.contestant import ContestantConfig
from latentwave.bench.training.metrics import classification_metrics, require_metrics
from latentwave.bench.training.objective import Collate, Objective
from latentwave.bench.training.processes import num_processes, on_all, rank
from latentwave.bench.training.recipe import Recipe
from latentwave.bench.training.wave_encoder import WaveEncoderConfig
from latentwave.errors import UserError


class Classification(Objective):
    """The class of each document, or all its classes, from at most context_length tokens.

    A step reads batch_size documents, padded to the longest of them; tokens are counted as if
    all were of the mean length of the training documents. Tokens of raw sound are frames.

    Raises:
        UserError: if the corpus has no labels, or the extra `tasks` is not installed.
    """

    task = "classification"
    loss_unit = "document"
    mean_loss = True

    def __init__(self, recipe: Recipe, store: TokenStore) -> None:
        super().__init__(recipe, store)
        require_metrics()
        if store.metadata.class_names is None:
            raise UserError(
                f"the corpus {store.metadata.corpus!r} has no labels: it trains language models "
                '(task "language-model"), not classifiers'
            )
        codec = store.codec
        self._sound: WaveEncoderConfig | None = None
        if isinstance(codec, PcmCodec):
            self._sound = wave_config(recipe.backbone, codec.sample_rate)
        self.collate: Collate = _collator(self._sound, store)
        length = torch.tensor(int(self._training_examples.lengths.mean()))
        self._item = torch.zeros(1, int(length))
        self._item_tokens = int(self._sound.num_frames(length) if self._sound else length)
        self.tokens_per_step = recipe.training.batch_size * self._item_tokens

    def examples(self, split: str) -> LabelledExamples:
        """All documents of a split."""
        context = self.recipe.backbone.context_length
        return LabelledExamples(
            self.store, split, self._sound.max_samples() if self._sound else context
        )

    def training_set(self, seed: int) -> ShuffledExamples:
        """Documents in random order, epoch after epoch."""
        settings = self.recipe.training
        num_examples = settings.num_steps * settings.batch_size
        return ShuffledExamples(self._training_examples, num_examples, seed)

    def evaluation_set(self, split: str, limit: int | None) -> Dataset[dict[str, Tensor]]:
        """Evenly spaced documents."""
        examples = self.examples(split)
        return Subset(examples, even_indices(len(examples), limit))

    def build(self, contestant: ContestantConfig, seed: int) -> PreTrainedModel:
        """See `build_classifier`."""
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
        """See `evaluate_classifier`."""
        return evaluate_classifier(model, items, self.collate, batch_size)

    def final_metrics(
        self, model: PreTrainedModel, batch_size: int
    ) -> tuple[dict[str, float], str | None]:
        """Over the whole test split, or validation where there is no test."""
        split = "test" if len(self.store.split("test")) else "validation"
        return self.evaluate(model, self.examples(split), batch_size), split

    def one_item(self) -> tuple[dict[str, Any], int]:
        """A document of the mean length."""
        if self._sound:
            return {"input_values": self._item}, self._item_tokens
        return {"input_ids": self._item.long()}, self._item_tokens

    @functools.cached_property
    def _training_examples(self) -> LabelledExamples:
        return self.examples("train")


def _collator(sound: WaveEncoderConfig | None, store: TokenStore) -> PadExamples:
    """Batches are padded with the token after the vocabulary; sound to at least one frame."""
    if sound is None:
        return PadExamples(pad_token=store.metadata.vocab_size)
    return PadExamples(min_length=sound.first_frame_samples)


def is_classifier(model: PreTrainedModel) -> bool:
    """Whether a model gives classes, not tokens."""
    return getattr(model.config, "problem_type", None) in (SINGLE_LABEL, MULTI_LABEL)


def evaluate_on_split(
    model: PreTrainedModel, store: TokenStore, split: str, batch_size: int = 16
) -> tuple[dict[str, float], int]:
    """What `evaluate_classifier` gives for a whole split, and its number of documents.

    Args:
        model: a classifier.
        store: of a corpus with the same classes.
        split: "train", "validation" or "test".
        batch_size: documents per forward pass.

    Raises:
        UserError: if the classes are others, or the split is empty.
    """
    config = model.config
    names = tuple(name for _, name in sorted((config.id2label or {}).items()))
    if names != store.metadata.class_names:
        raise UserError(
            f"the model knows {len(names)} classes ({', '.join(names[:3])} …), the corpus "
            f"{store.metadata.corpus!r} has others: it was trained on another corpus"
        )
    sound = config if isinstance(config, WaveEncoderConfig) else None
    longest = sound.max_samples() if sound else config.max_position_embeddings
    examples = LabelledExamples(store, split, longest)
    measured = evaluate_classifier(model, examples, _collator(sound, store), batch_size)
    return measured, len(examples)


@torch.no_grad()
def evaluate_classifier(
    model: PreTrainedModel,
    items: Dataset[dict[str, Tensor]],
    collate: Collate,
    batch_size: int = 16,
) -> dict[str, float]:
    """Mean loss and accuracy, or mean average precision; processes share the work.

    Args:
        model: a classifier; left in the mode that it was in.
        items: labelled documents.
        collate: makes batches of them.
        batch_size: documents per forward pass of one process.

    Returns:
        "loss" in nats per document (multi-label: per document and class) and the metrics of
        `classification_metrics`, the same on every process.
    """
    training = model.training
    model.train(False)
    count, step = len(items), batch_size * num_processes()  # type: ignore[arg-type]
    parts = []
    for first in range(0, count, step):
        own = range(count)[first + rank() * batch_size :][:batch_size]
        # A process without items of its own runs one for nothing: sharded models need all.
        batch = collate([items[index] for index in own or [0]])
        inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
        truth = inputs.pop("labels")
        logits = model(**inputs).logits
        if own:
            parts.append((logits.float().cpu(), truth.cpu()))
    model.train(training)
    parts = [part for of_one in on_all(lambda: parts) for part in of_one]
    all_logits, all_labels = (torch.cat(each) for each in zip(*parts, strict=True))
    if all_labels.dim() == 1:
        loss = F.cross_entropy(all_logits, all_labels)
    else:
        loss = F.binary_cross_entropy_with_logits(all_logits, all_labels)
    return {"loss": float(loss)} | classification_metrics(all_logits, all_labels)
