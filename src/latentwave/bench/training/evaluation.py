"""Measures the loss and metrics of models, and loads the model of a finished run."""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset, default_collate
from transformers import PreTrainedModel

from latentwave.bench.data import Codec, TokenStore, load_codec
from latentwave.bench.data.codec import optional_package
from latentwave.bench.data.tasks.examples import LabelledExamples, PadExamples
from latentwave.bench.training.checkpoint import list_checkpoints
from latentwave.bench.training.files import MANIFEST, MODEL, RECORD, RESULT, find_fault
from latentwave.bench.training.models import MULTI_LABEL, SINGLE_LABEL
from latentwave.bench.training.processes import device, num_processes, on_all, rank
from latentwave.bench.training.progress import quiet_transformers
from latentwave.bench.training.result import read_result
from latentwave.bench.training.wave_encoder import WaveEncoderConfig
from latentwave.errors import UserError
from latentwave.hub import from_pretrained

Collate = Callable[[list[dict[str, Tensor]]], dict[str, Tensor]]


@torch.no_grad()
def evaluate_loss(
    model: PreTrainedModel, windows: Dataset[dict[str, Any]], batch_size: int = 16
) -> float:
    """Mean loss in nats per predicted token; processes that train together share the work.

    Every window of `GridWindows` counts once, and all processes get the same mean. The model's
    mode is restored.

    Raises:
        UserError: if no token is predicted.
    """
    total, tokens = 0.0, 0
    with in_mode(model, training=False):
        for inputs, counts in _own_batches(model, windows, batch_size, default_collate):
            loss = float(model(**inputs, use_cache=False).loss)
            predicted = int((inputs["labels"][:, 1:] != -100).sum())
            if counts and predicted:
                total, tokens = total + loss * predicted, tokens + predicted
    parts = on_all(lambda: (total, tokens))
    tokens = sum(part for _, part in parts)
    if not tokens:
        raise UserError(
            "there is nothing to predict: every token is the first of its document; use longer "
            "documents, or separate_documents false"
        )
    return sum(part for part, _ in parts) / tokens


@torch.no_grad()
def evaluate_classifier(
    model: PreTrainedModel,
    items: Dataset[dict[str, Tensor]],
    collate: Collate,
    batch_size: int,
) -> dict[str, float]:
    """Mean loss and accuracy, or mean average precision; processes share the work.

    Returns:
        "loss" in nats per document (multi-label: per document and class) and the metrics of
        `classification_metrics`, the same in every process.
    """
    parts = []
    with in_mode(model, training=False):
        for inputs, counts in _own_batches(model, items, batch_size, collate):
            truth = inputs.pop("labels")
            logits = model(**inputs).logits
            if counts:
                parts.append((logits.float().cpu(), truth.cpu()))
    gathered = itertools.chain.from_iterable(on_all(lambda: parts))
    logits, labels = (torch.cat(each) for each in zip(*gathered, strict=True))
    multi_label = labels.dim() > 1
    cross_entropy = F.binary_cross_entropy_with_logits if multi_label else F.cross_entropy
    return {"loss": float(cross_entropy(logits, labels))} | classification_metrics(logits, labels)


def _own_batches(
    model: PreTrainedModel, items: Dataset[dict[str, Tensor]], batch_size: int, collate: Collate
) -> Iterator[tuple[dict[str, Tensor], bool]]:
    """This process's share of the items as model inputs, and whether each batch counts.

    A process that has run out of items repeats one: sharded models need every process.
    """
    count, step = len(items), batch_size * num_processes()  # type: ignore[arg-type]
    for first in range(0, count, step):
        share = range(count)[first + rank() * batch_size :][:batch_size]
        batch = collate([items[index] for index in share or [0]])
        yield {name: tensor.to(model.device) for name, tensor in batch.items()}, bool(share)


@contextlib.contextmanager
def in_mode(model: PreTrainedModel, *, training: bool) -> Iterator[None]:
    """Put a model into training or evaluation mode, and restore its own afterwards."""
    before = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(before)


def classification_metrics(
    logits: Float[Tensor, "N C"], labels: Shaped[Tensor, " N"] | Shaped[Tensor, "N C"]
) -> dict[str, float]:
    """Accuracy, or for several labels per document the macro mean average precision.

    Returns:
        "accuracy" in [0, 1], or "map" in [0, 1], the mean over classes with documents (NaN if no
        class has any).
    """
    functional = require_metrics()
    if labels.dim() == 1:
        accuracy = functional.multiclass_accuracy
        return {"accuracy": float(accuracy(logits, labels, logits.shape[1], average="micro"))}
    # Scaled to [0, 1] linearly: sigmoids of large logits would all be 1 and lose their order.
    scores = logits.double()
    scores = (scores - scores.min()) / (scores.max() - scores.min()).clamp(min=1e-12)
    truth = labels.long()
    precisions = [
        float(functional.binary_average_precision(scores[:, index], truth[:, index]))
        for index in truth.any(dim=0).nonzero().flatten()
    ]
    return {"map": sum(precisions) / len(precisions) if precisions else math.nan}


def require_metrics() -> Any:
    """Torchmetrics' classification functions; a UserError without the extra `tasks`."""
    return optional_package("torchmetrics.functional.classification", "tasks", "a classifier")


def is_classifier(model: PreTrainedModel) -> bool:
    """Whether a model predicts classes, not tokens."""
    return getattr(model.config, "problem_type", None) in (SINGLE_LABEL, MULTI_LABEL)


def collator(sound: WaveEncoderConfig | None, store: TokenStore) -> PadExamples:
    """Pads batches with the token after the vocabulary; sound to one frame at least."""
    least = 1 if sound is None else sound.first_frame_samples
    return PadExamples(pad_token=store.metadata.vocab_size, min_length=least)


def evaluate_on_split(
    model: PreTrainedModel, store: TokenStore, split: str, batch_size: int = 16
) -> tuple[dict[str, float], int]:
    """The result of `evaluate_classifier` on a whole split, and its number of documents.

    Raises:
        UserError: if the corpus has other classes than the model, or the split is empty.
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
    measured = evaluate_classifier(model, examples, collator(sound, store), batch_size)
    return measured, len(examples)


def model_folder(folder: Path) -> Path:
    """The folder that holds the model: `model` in the folder of a run, or the folder itself.

    Raises:
        UserError: if there is none, or the run diverged; names the finished runs below the folder.
    """
    if not folder.exists():
        raise UserError(f"there is no folder {folder}: give the folder of a run or a saved model")
    if (folder / RESULT).exists():
        diverged_at = read_result(folder).diverged_at
        if diverged_at is not None:
            raise UserError(
                f"the run {folder} diverged at step {diverged_at} and has no model: train it with "
                "a lower learning rate"
            )
        if not (folder / MODEL).exists() and not list_checkpoints(folder):
            raise UserError(
                f"the run {folder} is finished and its model was removed, as a ladder does with "
                "those of its branches: train it again in another folder"
            )
    if (folder / MODEL).is_dir():
        found = folder / MODEL
    elif (folder / RECORD).exists():
        raise UserError(
            f"the run {folder} has no model or is not finished: go on with latentwave train … "
            f"--output {folder} --resume"
        )
    else:
        found = folder
    if not (found / "config.json").exists():
        runs = sorted(str(path.parent) for path in folder.glob(f"*/{MODEL}"))
        hint = f"; its finished runs are: {', '.join(runs)}" if runs else ""
        raise UserError(f"{folder} holds no trained model{hint}")
    return found


def load_run(folder: Path) -> tuple[PreTrainedModel, Codec]:
    """Load the model of a finished run onto `device()`, and the codec of its tokens.

    Raises:
        UserError: if there is no model, its files have changed, or its weights are not finite.
    """
    found = model_folder(folder)
    is_sealed = found != folder or (found / MANIFEST).exists()
    if is_sealed and (fault := find_fault(found)):
        raise UserError(
            f"the model of {folder} is damaged ({fault}): train it on with --resume, which makes "
            "the model again"
        )
    with quiet_transformers():
        model = from_pretrained(found)
    if not all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
        raise UserError(
            f"the weights in {found} are not all finite: they are damaged, or the run diverged; "
            "train it with a lower learning rate"
        )
    moved: Any = model.to(device())
    return moved, load_codec(found)
