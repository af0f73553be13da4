"""The class of a document as what a run learns."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from latentwave.bench.data import TokenStore
from latentwave.bench.data.tasks import (
    EvenExamples,
    LabelledExamples,
    PadExamples,
    ShuffledExamples,
)
from latentwave.bench.data.tasks.codecs import PairCodec, SampleCodec
from latentwave.bench.training.classifiers import build_classifier, wave_config
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
        self.class_names = store.metadata.class_names
        codec = store.codec
        self._separator = codec.separator if isinstance(codec, PairCodec) else None
        self._sound: WaveEncoderConfig | None = None
        if isinstance(codec, SampleCodec):
            self._sound = wave_config(recipe.backbone, codec.sample_rate)
        self.collate: Collate = collator(self._sound, store.metadata.vocab_size)
        self._mean_length = int(self._training_examples.lengths.mean())
        self._mean_tokens = self._tokens_of(self._mean_length)
        self.tokens_per_step = recipe.training.batch_size * self._mean_tokens

    def examples(self, split: str) -> LabelledExamples:
        """All documents of a split."""
        context = self.recipe.backbone.context_length
        longest = context if self._sound is None else self._sound.max_samples()
        return labelled_examples(self.store, split, longest, self._separator)

    def training_set(self, seed: int) -> ShuffledExamples:
        """Documents in random order, epoch after epoch."""
        settings = self.recipe.training
        num_examples = settings.num_steps * settings.batch_size
        return ShuffledExamples(self._training_examples, num_examples, seed)

    def evaluation_set(self, split: str, limit: int | None) -> EvenExamples:
        """Evenly spaced documents."""
        return EvenExamples(self.examples(split), limit)

    def build(self, contestant: ContestantConfig, seed: int) -> PreTrainedModel:
        """See `build_classifier`."""
        return build_classifier(
            self.recipe.backbone,
            contestant,
            class_names=self.class_names,
            multi_label=self.store.metadata.multi_label,
            vocab_size=self.store.metadata.vocab_size,
            sample_rate=None if self._sound is None else self._sound.sample_rate,
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
        return self.evaluate(model, self.evaluation_set(split, None), batch_size), split

    def one_item(self) -> tuple[dict[str, Any], int]:
        """A document of the mean length."""
        if self._sound is not None:
            return {"input_values": torch.zeros(1, self._mean_length)}, self._mean_tokens
        tokens = torch.zeros(1, self._mean_length, dtype=torch.int64)
        return {"input_ids": tokens}, self._mean_tokens

    @functools.cached_property
    def _training_examples(self) -> LabelledExamples:
        return self.examples("train")

    def _tokens_of(self, length: int) -> int:
        if self._sound is None:
            return length
        beyond = max(length - self._sound.first_frame_samples, 0)
        return beyond // self._sound.samples_per_frame + 1


def labelled_examples(
    store: TokenStore, split: str, max_tokens: int, separator: int | None = None
) -> LabelledExamples:
    """The documents of a split with their labels.

    Args:
        store: with labels.
        split: "train", "validation" or "test".
        max_tokens: of a document; what is longer loses its end.
        separator: between the texts of a pair.

    Raises:
        UserError: if there are none.
    """
    spans = store.spans(split)
    if not len(spans):
        raise UserError(
            f"the {split} split of {store.metadata.corpus!r} has no documents: raise its share"
        )
    labels = np.asarray(store.labels)[spans[:, 0]]
    return LabelledExamples(
        store.split(split), spans[:, 1], labels, max_tokens=max_tokens, separator=separator
    )


def collator(sound: WaveEncoderConfig | None, vocab_size: int) -> PadExamples:
    """How batches of a corpus are padded: to at least one frame of sound."""
    if sound is None:
        return PadExamples(pad_token=vocab_size)
    return PadExamples(min_length=sound.first_frame_samples)


def is_classifier(model: PreTrainedModel) -> bool:
    """Whether a model gives classes, not tokens."""
    problem = getattr(model.config, "problem_type", None)
    return problem in ("single_label_classification", "multi_label_classification")


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
    id2label: dict[Any, str] = model.config.id2label or {}
    names = tuple(id2label[index] for index in sorted(id2label))
    if names != store.metadata.class_names:
        raise UserError(
            f"the model knows {len(names)} classes ({', '.join(names[:3])} …), the corpus "
            f"{store.metadata.corpus!r} has others: it was trained on another corpus"
        )
    config, codec = model.config, store.codec
    sound = config if isinstance(config, WaveEncoderConfig) else None
    longest = config.max_position_embeddings if sound is None else sound.max_samples()
    separator = codec.separator if isinstance(codec, PairCodec) else None
    examples = labelled_examples(store, split, longest, separator)
    collate = collator(sound, store.metadata.vocab_size)
    measured = evaluate_classifier(model, EvenExamples(examples, None), collate, batch_size)
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
    logits, labels = [], []
    for first in range(0, count, step):
        own = range(count)[first + rank() * batch_size :][:batch_size]
        # A process without items of its own runs one for nothing: sharded models need all.
        batch = collate([items[index] for index in own or [0]])
        inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
        truth = inputs.pop("labels")
        output = model(**inputs).logits.float().cpu()
        if own:
            logits.append(output)
            labels.append(truth.cpu())
    model.train(training)
    parts = on_all(lambda: (torch.cat(logits), torch.cat(labels)) if logits else None)
    all_logits, all_labels = (
        torch.cat([part[which] for part in parts if part is not None]) for which in (0, 1)
    )
    if all_labels.dim() == 1:
        loss = F.cross_entropy(all_logits, all_labels)
    else:
        loss = F.binary_cross_entropy_with_logits(all_logits, all_labels)
    return {"loss": float(loss)} | classification_metrics(all_logits, all_labels)
