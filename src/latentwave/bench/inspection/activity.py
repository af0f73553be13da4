"""Measures what mixers do at each token of a text: masks, sub-bands, embedding paths."""

import dataclasses
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor
from transformers import PreTrainedModel

from latentwave.bench.data import DocumentBorders
from latentwave.bench.inspection.kernels import Kernels
from latentwave.bench.training.evaluation import in_mode
from latentwave.functional import causal_fir, dynamic_fir, segment_runs
from latentwave.mixers import AdaptiveFilterbankMixer, Mixer
from latentwave.mixers.dynamic import DynamicMixer
from latentwave.mixers.filterbank import Bank


@dataclasses.dataclass(frozen=True, kw_only=True)
class Passage:
    """One mixer's input and output for one text."""

    before: Float[np.ndarray, "T D"]  # the input, float32
    after: Float[np.ndarray, "T D"]  # the output, float32
    segment_ids: Int[np.ndarray, " T"] | None = None  # documents; None: one


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenMap:
    """What a mixer does at each token of a text, one row per kernel or per lag."""

    title: str
    rows: Literal["kernel", "lag"]  # kernels in the order of `Kernels`, lags from 0
    values: Float[np.ndarray, "N T"]
    signed: bool  # whether values can be negative


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbeddingPath:
    """The embeddings of a text before and after a mixer, in the plane of most variance."""

    before: Float[np.ndarray, "T 2"]
    after: Float[np.ndarray, "T 2"]  # in the same coordinates
    explained: Float[np.ndarray, " 2"]  # share of the total variance along each coordinate


@torch.no_grad()
def record_passages(
    model: PreTrainedModel,
    mixers: dict[str, Mixer],
    tokens: Integer[np.ndarray, " T"],
    borders: DocumentBorders | None = None,
) -> dict[str, Passage]:
    """Run a text through a causal language model and record each mixer's input and output.

    With `borders`, the tokens are the first of a split whose documents do not see each other; None:
    the text is one document. The model's mode is restored.
    """
    passages: dict[str, Passage] = {}

    def record(name: str, _: Mixer, args: Any, kwargs: dict[str, Any], output: Tensor) -> None:
        x: Tensor = args[0] if args else kwargs["x"]
        before, after = (t[0].float().cpu().numpy() for t in (x, output))
        ids = kwargs.get("segment_ids")
        ids = None if ids is None else ids[0].cpu().numpy()
        passages[name] = Passage(before=before, after=after, segment_ids=ids)

    handles = [
        mixer.register_forward_hook(partial(record, name), with_kwargs=True)
        for name, mixer in mixers.items()
    ]
    inputs = {"input_ids": torch.from_numpy(tokens.astype(np.int64))}
    if borders is not None:
        inputs["segment_ids"], inputs["position_ids"] = borders.of_window(0, len(tokens))
    batch = {name: ids[None].to(model.device) for name, ids in inputs.items()}
    try:
        with in_mode(model, training=False):
            model(**batch, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return passages


@torch.no_grad()
def token_maps(mixer: Mixer, kernels: Kernels, passage: Passage) -> list[TokenMap]:
    """What a mixer does at each token of a passage.

    - A filterbank: its time-frequency mask a_m(t), if that depends on the tokens, and what
      sub-band m adds, the mean over channels of a_m(t) · ReLU((h_m * x)(t)) · gate.
    - A mixer whose taps depend on the token: for each lag, the root mean square over channels of
      its taps, and of what the lag adds, their products with x(t − lag).
    - Any other: the root mean square of the outputs over the channels that share a kernel.
    """
    x = torch.from_numpy(passage.before)[None]
    x = x.to(next(mixer.parameters(), x))
    runs = segment_ids = None
    if passage.segment_ids is not None:
        segment_ids = torch.from_numpy(passage.segment_ids)[None].to(x.device)
        runs = segment_runs(segment_ids)
    if isinstance(mixer, Bank):
        return _sub_bands(mixer, kernels, x, segment_ids, runs)
    if isinstance(mixer, DynamicMixer):
        return _lags(mixer, x, runs)
    start, stop = mixer.mixed_range
    power = np.zeros((len(kernels.taps), len(passage.after)))
    np.add.at(power, kernels.row_of, passage.after[:, start:stop].T.astype(np.float64) ** 2)
    size = np.sqrt(power / kernels.counts[:, None])
    return [TokenMap(title="size of the outputs", rows="kernel", values=size, signed=False)]


def _sub_bands(
    mixer: Bank, kernels: Kernels, x: Tensor, segment_ids: Tensor | None, runs: Tensor | None
) -> list[TokenMap]:
    maps = []
    scale: Any = 1.0 if kernels.weights is None else kernels.weights[:, None]
    if isinstance(mixer, AdaptiveFilterbankMixer):
        weights = mixer.tf_mask(x, segment_ids=segment_ids)[0]
        scale = weights.float().cpu().numpy().T[kernels.indices]
        title = "time-frequency mask a(t)"
        maps.append(TokenMap(title=title, rows="kernel", values=scale, signed=True))
    gate: Any = 1.0 if mixer.fade_gate is None else mixer.fade_gate
    bands = (
        causal_fir(x, mixer.analysis[index].expand(mixer.channels, -1), runs=runs)[0].relu() * gate
        for index in kernels.indices.tolist()
    )
    activity = np.stack([band.mean(dim=-1).float().cpu().numpy() for band in bands]) * scale
    maps.append(TokenMap(title="sub-band activity", rows="kernel", values=activity, signed=True))
    return maps


def _lags(mixer: DynamicMixer, x: Tensor, runs: Tensor | None) -> list[TokenMap]:
    lags = mixer.added_kernels(x).unbind(2)
    zero = torch.zeros_like(lags[0])
    added = [dynamic_fir(x, [zero] * lag + [each], runs=runs) for lag, each in enumerate(lags)]
    return [
        TokenMap(
            title=title,
            rows="lag",
            values=np.stack([each[0].cpu().double().square().mean(dim=-1).sqrt() for each in rows]),
            signed=False,
        )
        for title, rows in (("size of the taps", lags), ("size of what each lag adds", added))
    ]


def embedding_path(passage: Passage) -> EmbeddingPath:
    """Input and output of a mixer in two dimensions: one principal component analysis of both.

    Coordinates are in units of the embeddings, centred; the largest loading of each axis is
    positive.

    Example:
        >>> line = np.array([[0.0, 0.0], [3.0, 4.0]], dtype=np.float32)
        >>> path = embedding_path(Passage(before=line, after=line))
        >>> path.after[:, 0].round(3), path.explained.round(3)
        (array([-2.5,  2.5]), array([1., 0.]))
    """
    both = np.concatenate([passage.before, passage.after]).astype(np.float64)
    both -= both.mean(axis=0)
    # The zero channel gives even a single channel two axes.
    _, sizes, axes = np.linalg.svd(np.pad(both, ((0, 0), (0, 1))), full_matrices=False)
    axes, power = axes[:2], sizes**2
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.where(axes[[0, 1], largest] < 0, -1.0, 1.0)[:, None]
    points = both @ axes[:, :-1].T
    return EmbeddingPath(
        before=points[: len(passage.before)],
        after=points[len(passage.before) :],
        explained=power[:2] / (power.sum() or 1.0),
    )
