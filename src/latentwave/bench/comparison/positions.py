"""Loss by position in the context, and in contexts longer than in training."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel

from latentwave.bench.comparison.clock import read_measured, write_measured
from latentwave.bench.comparison.results import LossByPosition
from latentwave.bench.comparison.statistics import estimate
from latentwave.bench.data import GridWindows, TokenStore
from latentwave.bench.training import Recipe, load_run, open_objective, read_result
from latentwave.bench.training.evaluation import in_mode
from latentwave.errors import UserError

_IGNORED = -100
_NUM_TOKENS = 1 << 17  # validation tokens that each context length is measured on


@torch.no_grad()
def token_losses(
    model: PreTrainedModel, windows: Dataset[dict[str, Any]], batch_size: int = 16
) -> Float[np.ndarray, "N L"]:
    """The loss of every prediction in N windows of L + 1 tokens, such as `GridWindows`.

    The model keeps its mode.

    Returns:
        (N, L), float64, nats; entry (n, t) is for token t + 1 of window n, given tokens 0 … t.
        NaN where the label is masked.
    """
    parts = []
    with in_mode(model, training=False):
        for batch in DataLoader(windows, batch_size):
            labels = batch.pop("labels")[:, 1:].to(model.device)
            inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
            logits = model(**inputs, use_cache=False).logits[:, :-1].float().transpose(1, 2)
            losses = F.cross_entropy(logits, labels, reduction="none", ignore_index=_IGNORED)
            losses = losses.masked_fill(labels == _IGNORED, math.nan)
            parts.append(losses.cpu().double().numpy())
    return np.concatenate(parts)


def loss_by_position(
    model: PreTrainedModel, windows: Dataset[dict[str, Any]], batch_size: int = 16
) -> Float[np.ndarray, " L"]:
    """The mean over windows of `token_losses`.

    Returns:
        (L,), float64, nats; NaN at positions that are masked in all windows. Without masked labels
        the mean over positions is `evaluate_loss` to rounding.
    """
    losses = token_losses(model, windows, batch_size)
    counted = ~np.isnan(losses)
    with np.errstate(invalid="ignore"):
        mean: Float[np.ndarray, " L"] = np.where(counted, losses, 0.0).sum(0) / counted.sum(0)
    return mean


def position_edges(num_positions: int) -> list[int]:
    """Edges of bins of positions, two bins per octave.

    Returns:
        Ascending, from 0 to L; bin i holds the positions edges[i] ≤ t < edges[i + 1].

    Example:
        >>> position_edges(31)
        [0, 1, 2, 3, 5, 7, 10, 15, 22, 31]
    """
    # Position t is predicted from t + 1 tokens; the octaves are those of t + 1.
    borders = (round(2 ** (step / 2)) - 1 for step in itertools.count())
    inside = itertools.takewhile(lambda border: border < num_positions, borders)
    return sorted({0, num_positions, *inside})


def check_longer_contexts(recipe: Recipe, store: TokenStore) -> None:
    """Refuse `longer_contexts` that the corpus or a contestant's model has no room for."""
    contexts, trained = recipe.longer_contexts, recipe.backbone.context_length
    if not contexts:
        return
    num_tokens = len(store.split("validation"))
    backbones = {name: recipe.as_seen_by(name).backbone for name in recipe.contestants}
    learned = [
        name
        for name, backbone in backbones.items()
        if backbone.architecture == "gpt2" and backbone.positions in (None, "learned")
    ]
    if open_objective(recipe, store).task != "language-model":
        reason = "are measured on language models only: leave them out"
    elif max(contexts) > num_tokens:
        reason = f"exceed the {num_tokens:,} tokens of the validation split"
    elif min(contexts) <= trained:
        reason = f"must exceed backbone.context_length={trained}"
    elif learned:
        reason = (
            f"cannot be read by contestant {learned[0]!r}: its learned positions end at {trained}; "
            'use backbone.positions "rotary" or "none"'
        )
    else:
        return
    raise UserError(f"longer_contexts {contexts} {reason}")


def measure_longer_contexts(
    recipe: Recipe, store: TokenStore, folders: Mapping[str, Sequence[Path]]
) -> dict[str, list[LossByPosition]]:
    """The validation loss by position of finished runs, in contexts longer than in training.

    Bins of positions double in width; the first holds the context of training. `folders` has one
    run per seed for each contestant; measurements are cached there. Documents are kept apart if
    they were in training.
    """
    trained = recipe.backbone.context_length
    validation = store.split("validation")
    borders = store.borders("validation") if recipe.training.separate_documents else None
    apart = {} if borders is None else {"separate_documents": True}

    def losses_by_bin(folder: Path, context: int, edges: list[int]) -> list[float]:
        path = folder / f"context-{context}.json"
        setting = {"edges": edges, "tokens": _NUM_TOKENS} | apart
        known: list[float] | None = read_measured(path, setting, list[float])
        if known is not None and len(known) == len(edges) - 1:
            return known
        if read_result(folder).diverged_at is not None:
            return [math.nan] * (len(edges) - 1)
        model, _ = load_run(folder)
        windows = GridWindows(validation, context, max(1, _NUM_TOKENS // context), borders)
        losses = loss_by_position(model, windows, batch_size=max(1, 4096 // context))
        measured = [float(np.nanmean(losses[a:b])) for a, b in itertools.pairwise(edges)]
        write_measured(path, setting, measured)
        return measured

    found: dict[str, list[LossByPosition]] = {name: [] for name in folders}
    for context in recipe.longer_contexts:
        edges = [0, trained - 1]
        while edges[-1] < context - 1:
            edges.append(min(2 * edges[-1] + 1, context - 1))
        for name, runs in folders.items():
            by_seed = (losses_by_bin(folder, context, edges) for folder in runs)
            losses = [estimate(values) for values in zip(*by_seed, strict=True)]
            found[name].append(LossByPosition(context=context, edges=edges, loss=losses))
    return found
