"""Inspects a trained run, and compares its losses with those of another."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer
from numpy.typing import NDArray
from transformers import PreTrainedModel

from latentwave.bench.comparison import token_losses
from latentwave.bench.data import Codec, GridWindows, TokenStore
from latentwave.bench.inspection.activity import (
    EmbeddingPath,
    TokenMap,
    embedding_path,
    record_passages,
    token_maps,
)
from latentwave.bench.inspection.kernels import Kernels, kernels_of, named_mixers
from latentwave.bench.inspection.losses import (
    LossBin,
    losses_by_position,
    losses_by_repeat,
    losses_overall,
    repeat_lengths,
)
from latentwave.bench.training import corpus_of, is_classifier, read_record
from latentwave.errors import UserError
from latentwave.hub import all_mixers

MOST_TOKENS = 256
_DEFAULT_TOKENS = 128
_MOST_LOGITS = 50_000_000
_VISIBLE = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectedRun:
    """A trained model and the codec of its tokens."""

    name: str  # such as that of its contestant or its folder
    folder: Path  # of the run, or of the saved model
    model: PreTrainedModel  # in eval mode
    codec: Codec

    @property
    def num_mixer_parameters(self) -> int:
        """The number of trainable parameters of the mixers, their gates included."""
        return sum(each.mixer.num_parameters for each in all_mixers(self.model))


@dataclasses.dataclass(kw_only=True)
class Inspection:
    """The results; what could not be measured is empty, and a note says why."""

    runs: list[InspectedRun]  # one or two
    kernels: list[Kernels]  # of the first run's mixers, in the order of the layers
    tokens: list[str] = dataclasses.field(default_factory=list)  # of the text, printable
    # of the first run's mixers over the text, by their names
    token_maps: dict[str, list[TokenMap]] = dataclasses.field(default_factory=dict)
    paths: dict[str, EmbeddingPath] = dataclasses.field(default_factory=dict)
    overall: LossBin | None = None  # over all windows
    by_position: list[LossBin] = dataclasses.field(default_factory=list)
    by_repeat: list[LossBin] = dataclasses.field(default_factory=list)
    num_windows: int = 0  # that losses were measured on
    window_tokens: int = 0
    measured_on: str = ""  # corpus and split
    notes: list[str] = dataclasses.field(default_factory=list)  # what is missing, and why


def inspect_runs(
    runs: Sequence[InspectedRun],
    store: TokenStore | None,
    *,
    split: str = "validation",
    text: Integer[np.ndarray, " T"] | None = None,
    num_windows: int = 128,
    separate_documents: bool = False,
    on_stage: Callable[[str], object] = lambda stage: None,
) -> Inspection:
    """Inspect a run, and compare its losses with another's on the same windows.

    Args:
        runs: the run, and the one to compare it with, if any.
        store: the corpus in their tokens; None: losses are not measured.
        split: of the corpus.
        text: tokens for masks and paths, cut to the context and `MOST_TOKENS`; default: the first
            `_DEFAULT_TOKENS` of the split.
        num_windows: at most, spread evenly over the split.
        separate_documents: keep the documents of a window apart, as in training.
        on_stage: called with a description of each stage before it starts.

    Raises:
        UserError: for runs whose tokens or corpora differ, a classifier beside another run, a
            split without tokens, or num_windows below 1.
    """
    if num_windows < 1:
        raise UserError(f"num_windows must be >= 1, got {num_windows}")
    first = runs[0]
    if len(runs) > 1:
        _check_comparable(runs)
    on_stage("kernels")
    mixers = named_mixers(first.model)
    kernels = [kernels_of(name, mixer, first.folder) for name, mixer in mixers.items()]
    found = Inspection(runs=list(runs), kernels=kernels, notes=_notes(first, kernels, store))
    if is_classifier(first.model):
        return found
    found.window_tokens = context = min(
        getattr(run.model.config, "max_position_embeddings", MOST_TOKENS) for run in runs
    )
    limit = min(context, MOST_TOKENS)
    borders = None
    if store is not None:
        borders = store.borders(split) if separate_documents else None
        windows = GridWindows(store.split(split), context, num_windows, borders, split=split)
        _measure(found, windows, on_stage)
        found.measured_on = f"{store.metadata.corpus}, {split}"
        if text is None:
            text = np.asarray(store.split(split)[: min(_DEFAULT_TOKENS, limit)])
        else:
            borders = None  # the text is one document
    if text is not None:
        on_stage("masks and paths")
        if len(text) > limit:
            found.notes.append(f"Only the first {limit} of {len(text):,} tokens are shown.")
        found.tokens = token_texts(first.codec, text[:limit])
        passages = record_passages(first.model, mixers, text[:limit], borders)
        for each in kernels:
            if passage := passages.get(each.name):
                found.paths[each.name] = embedding_path(passage)
                found.token_maps[each.name] = token_maps(mixers[each.name], each, passage)
    return found


def token_texts(codec: Codec, tokens: NDArray[Any]) -> list[str]:
    """Tokens as short texts, none empty, with white space and control characters visible."""
    return [
        "".join(_VISIBLE.get(c, c if c.isprintable() else f"\\x{ord(c):02x}") for c in text or "∅")
        for text in codec.token_names(tokens)
    ]


def _check_comparable(runs: Sequence[InspectedRun]) -> None:
    first = runs[0]
    for run in runs:
        if is_classifier(run.model):
            raise UserError(f"{run.folder} is a classifier: inspect it alone")
        if not run.codec.same_tokens(first.codec):
            raise UserError(
                f"{run.folder} reads other tokens than {first.folder}: name a run on the same "
                "corpus with --against"
            )
        here, there = (corpus_of(read_record(each.folder)) for each in (run, first))
        if here and there and here != there:
            raise UserError(
                f"{run.folder} was trained on another corpus than {first.folder}, or on other "
                "splits of it: name a run on the same with --against"
            )


def _measure(found: Inspection, windows: GridWindows, on_stage: Callable[[str], object]) -> None:
    # Large vocabularies make large logits.
    batch_size = _MOST_LOGITS // (windows.window_tokens * found.runs[0].codec.vocab_size)
    losses = []
    for run in found.runs:
        on_stage(f"losses of {run.name}")
        losses.append(token_losses(run.model, windows, min(16, max(1, batch_size))))
    items = [windows[index] for index in range(len(windows))]
    tokens = np.stack([each["input_ids"].numpy() for each in items])[:, :-1]
    positions = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    if windows.borders is not None:
        positions = np.stack([each["position_ids"].numpy() for each in items])[:, :-1]
    found.num_windows = len(windows)
    found.overall = losses_overall(losses)
    found.by_position = losses_by_position(losses, positions)
    found.by_repeat = losses_by_repeat(losses, repeat_lengths(tokens, positions))


def _notes(run: InspectedRun, kernels: list[Kernels], store: TokenStore | None) -> list[str]:
    notes = []
    if not kernels:
        notes.append(f"{run.name} is a plain backbone without mixers: it has no kernels to show.")
    elif not any(mixer.num_parameters for mixer in named_mixers(run.model).values()):
        notes.append("The kernels have no parameters: training does not change them.")
    elif not any(len(each.steps) for each in kernels):
        notes.append(
            "How the kernels changed is not shown: the folder has no snapshots of the mixers, "
            "which runs keep in their folder `mixers`."
        )
    if is_classifier(run.model):
        notes.append("The run is a classifier: only its kernels are shown.")
    elif store is None:
        notes.append("Losses are not shown: the folder does not say what it was trained on.")
    return notes
