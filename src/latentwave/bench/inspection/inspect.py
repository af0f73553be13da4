"""Everything that there is to see in one run, beside another one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer
from transformers import PreTrainedModel

from latentwave.bench.comparison.positions import token_losses
from latentwave.bench.data import Codec, GridWindows, MediaCodec, TokenStore
from latentwave.bench.inspection.activity import (
    EmbeddingPath,
    TokenActivity,
    embedding_path,
    record_passages,
    token_activity,
)
from latentwave.bench.inspection.kernels import Kernels, kernels_of, named_mixers
from latentwave.bench.inspection.losses import (
    LossBin,
    LossTable,
    losses_by_class,
    losses_by_position,
    losses_overall,
)
from latentwave.bench.inspection.samples import Sample, generate_samples
from latentwave.bench.inspection.token_classes import group_tokens, token_texts
from latentwave.bench.training import is_classifier
from latentwave.errors import UserError

MOST_TOKENS = 256
_DEFAULT_TOKENS = 128
_COUNTED_TOKENS = 2_000_000
_NUM_SAMPLES = 3
_MOST_LOGITS = 50_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectedRun:
    """A trained model and what its tokens mean.

    Attributes:
        name: for people, such as that of its contestant or its folder.
        folder: of the run, or of the saved model.
        model: in eval mode.
        codec: of its tokens.
    """

    name: str
    folder: Path
    model: PreTrainedModel
    codec: Codec

    @property
    def num_parameters(self) -> int:
        """All trainable scalars."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    @property
    def num_mixer_parameters(self) -> int:
        """Those of the mixers."""
        return sum(mixer.num_parameters for mixer in named_mixers(self.model).values())

    @property
    def kinds(self) -> list[str]:
        """The kinds of its mixers, sorted; empty for a plain backbone."""
        return sorted({mixer.kind for mixer in named_mixers(self.model).values()})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was seen; whatever could not be measured is empty, and a note says why.

    Attributes:
        runs: one or two.
        kernels: of the first run's mixers, in the order of the layers.
        tokens: of the text, as people read them.
        activity: of the first run's mixers over the text, by their names.
        paths: of the embeddings through the same mixers, by their names.
        overall: the loss of each run over all windows; None where not measured.
        by_position: the losses by position; None where not measured.
        by_class: the losses by classes of tokens.
        num_windows: that were measured on.
        window_tokens: of each.
        measured_on: corpus and split, for people.
        samples: that the runs generated.
        notes: what lacks, and why.
    """

    runs: list[InspectedRun]
    kernels: list[Kernels]
    tokens: list[str]
    activity: dict[str, TokenActivity]
    paths: dict[str, EmbeddingPath]
    overall: LossBin | None
    by_position: LossTable | None
    by_class: list[LossTable]
    num_windows: int
    window_tokens: int
    measured_on: str
    samples: list[Sample]
    notes: list[str]


def inspect_runs(
    runs: Sequence[InspectedRun],
    store: TokenStore | None,
    *,
    split: str = "validation",
    text: Integer[np.ndarray, " T"] | None = None,
    num_windows: int = 128,
    num_new_tokens: int = 200,
    separate_documents: bool = False,
    on_stage: Callable[[str], object] | None = None,
) -> Inspection:
    """Look at a run, and measure it beside another one on the same windows.

    Args:
        runs: the run, and the one that it is compared with, if any.
        store: the corpus in their tokens; None: losses are not measured.
        split: of the corpus.
        text: tokens whose masks and paths are shown, cut to the context and `MOST_TOKENS`;
            default: the first `_DEFAULT_TOKENS` of the split.
        num_windows: at most, spread evenly over the split.
        num_new_tokens: of each sample; 0: none are generated.
        separate_documents: keep the documents of a window apart, as in training.
        on_stage: is told in words what comes next.

    Raises:
        UserError: for runs whose tokens differ, a classifier beside another run, a split without
            tokens, a number of windows below 1 or of new tokens below 0.
    """
    say = on_stage or (lambda _: None)
    if num_windows < 1:
        raise UserError(f"num_windows must be >= 1, got {num_windows}")
    if num_new_tokens < 0:
        raise UserError(f"num_new_tokens must be >= 0, got {num_new_tokens}")
    first = runs[0]
    _refuse_others(runs)
    say("kernels")
    mixers = named_mixers(first.model)
    kernels = [kernels_of(name, mixer, first.folder) for name, mixer in mixers.items()]
    notes = _notes(first, kernels, store)
    context = min(_context(run.model) for run in runs)
    if is_classifier(first.model):
        store = text = None
    measured = borders = None
    if store is not None:
        borders = store.borders(split) if separate_documents else None
        windows = GridWindows(store.split(split), context, num_windows, borders)
        measured = _measure(runs, store, windows, say)
    limit = min(context, MOST_TOKENS)
    if text is not None:
        borders = None  # it is one document
    else:
        text = np.zeros(0, dtype=np.int64)
        if store is not None:
            text = np.asarray(store.split(split)[: min(_DEFAULT_TOKENS, limit)])
    if len(text) > limit:
        notes.append(f"Of the text the first {limit} of {len(text):,} tokens are shown.")
        text = text[:limit]
    passages = {}
    if len(text):
        say("masks and paths")
        passages = record_passages(first.model, mixers, text, borders)
    prompts = [text[: max(1, context // 2)]] if len(text) else []
    if measured is not None:
        prompts = _prompts(measured.tokens, context)
    samples = []
    if prompts and isinstance(first.codec, MediaCodec):
        notes.append("Samples are sound here: `latentwave generate` writes them into files.")
    elif prompts and num_new_tokens:
        say("samples")
        models = [run.model for run in runs]
        samples = generate_samples(models, first.codec, prompts, num_new_tokens=num_new_tokens)
    found = [
        token_activity(mixers[each.name], each, passages[each.name])
        for each in kernels
        if each.name in passages
    ]
    return Inspection(
        runs=list(runs),
        kernels=kernels,
        tokens=token_texts(first.codec, text) if len(text) else [],
        activity={each.name: each for each in found if each is not None},
        paths={name: embedding_path(passage) for name, passage in passages.items()},
        overall=None if measured is None else losses_overall(measured.losses),
        by_position=None if measured is None else measured.by_position,
        by_class=[] if measured is None else measured.by_class,
        num_windows=0 if measured is None else len(measured.tokens),
        window_tokens=context,
        measured_on="" if store is None else f"{store.metadata.corpus}, {split}",
        samples=samples,
        notes=notes,
    )


def _refuse_others(runs: Sequence[InspectedRun]) -> None:
    first = runs[0]
    for other in runs[1:]:
        for run in (first, other):
            if is_classifier(run.model):
                raise UserError(f"{run.folder} is a classifier: it is inspected alone")
        if not other.codec.same_tokens(first.codec):
            raise UserError(
                f"{other.folder} reads other tokens than {first.folder}: name a run on the same "
                "corpus with --against"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Measured:
    tokens: Integer[np.ndarray, "N T"]
    losses: list[Float[np.ndarray, "N L"]]
    by_position: LossTable
    by_class: list[LossTable]


def _measure(
    runs: Sequence[InspectedRun],
    store: TokenStore,
    windows: GridWindows,
    say: Callable[[str], object],
) -> _Measured:
    """The losses of all runs on the same windows."""
    codec = runs[0].codec
    # Large vocabularies make large logits.
    batch_size = _MOST_LOGITS // (windows.window_tokens * codec.vocab_size)
    batch_size = min(16, max(1, batch_size))
    losses = []
    for run in runs:
        say(f"losses of {run.name}")
        losses.append(token_losses(run.model, windows, batch_size))
    batches = [windows[i] for i in range(len(windows))]
    tokens = np.stack([each["input_ids"].numpy() for each in batches])
    position_ids = None
    if windows.borders is not None:
        position_ids = np.stack([each["position_ids"].numpy()[:-1] for each in batches])
    training = np.asarray(store.split("train")[:_COUNTED_TOKENS])
    counts = np.bincount(training, minlength=codec.vocab_size)
    groupings = group_tokens(codec, tokens, counts)
    tables = [losses_by_class(losses, grouping) for grouping in groupings]
    return _Measured(
        tokens=tokens,
        losses=losses,
        by_position=losses_by_position(losses, position_ids),
        by_class=tables,
    )


def _context(model: PreTrainedModel) -> int:
    return int(getattr(model.config, "max_position_embeddings", MOST_TOKENS))


def _prompts(windows: Integer[np.ndarray, "N T"], context: int) -> list[Integer[np.ndarray, " _"]]:
    """The beginnings of a few windows that are far from each other."""
    chosen = np.linspace(0, len(windows) - 1, min(_NUM_SAMPLES, len(windows))).astype(int)
    return [windows[i, : max(1, min(64, context // 4))] for i in sorted(set(chosen.tolist()))]


def _notes(run: InspectedRun, kernels: list[Kernels], store: TokenStore | None) -> list[str]:
    notes = []
    if not kernels:
        notes.append(f"{run.name} is a plain backbone without mixers: it has no kernels to show.")
    elif not any(each.learned for each in kernels):
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
