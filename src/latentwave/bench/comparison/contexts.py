"""The loss at contexts longer than in training."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from latentwave.bench.comparison.kept import keep, read_kept
from latentwave.bench.comparison.positions import loss_by_position
from latentwave.bench.comparison.results import LossByPosition
from latentwave.bench.comparison.statistics import estimate
from latentwave.bench.data import GridWindows, TokenStore
from latentwave.bench.training import Recipe, load_run, open_objective
from latentwave.errors import UserError

_NUM_TOKENS = 1 << 17  # of the validation split that one context length is measured on


def check_longer_contexts(recipe: Recipe, store: TokenStore) -> None:
    """See that every contestant can read contexts longer than in training.

    Raises:
        UserError: for a contestant with learned positions, which end where training ended, a
            context that is not longer or that the validation split cannot fill, or a task that
            predicts no tokens.
    """
    if not recipe.longer_contexts:
        return
    if open_objective(recipe, store).task != "language-model":
        raise UserError(
            f"longer_contexts {recipe.longer_contexts} are measured on language models only: "
            "leave them out"
        )
    num_tokens = len(store.split("validation"))
    if max(recipe.longer_contexts) > num_tokens:
        raise UserError(
            f"longer_contexts {recipe.longer_contexts} exceed the {num_tokens:,} tokens of the "
            "validation split"
        )
    if min(recipe.longer_contexts) <= recipe.backbone.context_length:
        raise UserError(
            f"longer_contexts {recipe.longer_contexts} must exceed backbone.context_length="
            f"{recipe.backbone.context_length}"
        )
    for name in recipe.contestants:
        backbone = recipe.as_seen_by(name).backbone
        if backbone.architecture == "gpt2" and backbone.positions in (None, "learned"):
            raise UserError(
                f"longer_contexts {recipe.longer_contexts} cannot be read by contestant {name!r}: "
                f"its learned positions end at {backbone.context_length}; use "
                'backbone.positions "rotary" or "none"'
            )


def measure_longer_contexts(
    recipe: Recipe, store: TokenStore, folders: Mapping[str, Sequence[Path]]
) -> dict[str, dict[int, LossByPosition]]:
    """The validation loss by position of finished runs, in contexts longer than in training.

    Positions are put in bins that double in width; the first holds the context of training. What
    was measured is kept in the folder of each run.

    Args:
        recipe: names the contexts.
        store: its corpus.
        folders: of each contestant's runs, one per seed.

    Returns:
        For each contestant the loss by context length.
    """
    return {
        name: {
            context: _over_seeds([_measured(path, store, recipe, context) for path in own])
            for context in recipe.longer_contexts
        }
        for name, own in folders.items()
    }


def _measured(
    folder: Path, store: TokenStore, recipe: Recipe, context: int
) -> dict[str, list[float]]:
    path = folder / f"context-{context}.json"
    setting = {"context": context, "num_tokens": _NUM_TOKENS}
    known: dict[str, list[float]] | None = read_kept(path, setting)
    if known is not None:
        return known
    model, _ = load_run(folder)
    windows = GridWindows(store.split("validation"), context, max(1, _NUM_TOKENS // context))
    by_position = loss_by_position(model, windows, batch_size=max(1, 4096 // context))
    edges = [0, recipe.backbone.context_length - 1]
    while edges[-1] < context - 1:
        edges.append(min(2 * edges[-1] + 1, context - 1))
    bins = [float(np.nanmean(by_position[a:b])) for a, b in itertools.pairwise(edges)]
    measured = {"edges": [float(edge) for edge in edges], "loss": bins}
    keep(path, setting, measured)
    return measured


def _over_seeds(runs: Sequence[dict[str, list[float]]]) -> LossByPosition:
    losses = zip(*(run["loss"] for run in runs), strict=True)
    return LossByPosition(
        edges=[int(edge) for edge in runs[0]["edges"]],
        loss=[estimate(list(values)) for values in losses],
    )
