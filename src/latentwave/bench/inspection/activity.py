"""What the mixers do over the tokens of one text: masks, sub-bands, paths of embeddings."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor
from transformers import PreTrainedModel

from latentwave.bench.data import DocumentBorders
from latentwave.bench.inspection.kernels import Kernels
from latentwave.bench.training.evaluation import in_mode
from latentwave.functional import causal_fir, segment_runs
from latentwave.mixers import AdaptiveFilterbankMixer, Mixer
from latentwave.mixers.filterbank import Bank


@dataclasses.dataclass(frozen=True, kw_only=True)
class Passage:
    """One mixer's input and output for one text."""

    before: Float[np.ndarray, "T D"]  # float32, what goes in
    after: Float[np.ndarray, "T D"]  # float32, what comes out
    # the document of each token; None where all are of one
    segment_ids: Int[np.ndarray, " T"] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenActivity:
    """A mixer's kernels over the tokens of a text, rows as in its `Kernels`."""

    # a_m(t), the weights that a token-adaptive filterbank chooses; None for all other mixers,
    # whose weights do not depend on the token
    tf_mask: Float[np.ndarray, "N T"] | None
    # of a filterbank: the mean over channels of a_m(t) · ReLU((h_m * x)(t)), what sub-band m adds
    # to a channel, of either sign. Of other mixers: the root mean square of the outputs y(t) over
    # the channels that share the kernel.
    activity: Float[np.ndarray, "N T"]
    signed: bool  # whether activity has either sign


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbeddingPath:
    """The path of the embeddings of a text in the plane where it is widest."""

    before: Float[np.ndarray, "T 2"]  # its input
    after: Float[np.ndarray, "T 2"]  # its output, in the same coordinates
    explained: Float[np.ndarray, " 2"]  # share of the variance of both that each coordinate holds


@torch.no_grad()
def record_passages(
    model: PreTrainedModel,
    mixers: dict[str, Mixer],
    tokens: Integer[np.ndarray, " T"],
    borders: DocumentBorders | None = None,
) -> dict[str, Passage]:
    """Run a text through a model and keep what goes into each mixer and what comes out.

    Args:
        model: a causal language model; left in the mode that it was in.
        mixers: its mixers by name.
        tokens: (T,), no more than its context.
        borders: where documents start, if the tokens are the first of a split and its documents
            do not see each other; None: the text is one document.
    """
    found: dict[str, Passage] = {}

    def record(name: str, _: Mixer, args: Any, kwargs: dict[str, Any], output: Tensor) -> None:
        x: Tensor = args[0] if args else kwargs["x"]
        before, after = (t[0].float().cpu().numpy() for t in (x, output))
        ids = kwargs.get("segment_ids")
        ids = None if ids is None else ids[0].cpu().numpy()
        found[name] = Passage(before=before, after=after, segment_ids=ids)

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
    return found


@torch.no_grad()
def token_activity(mixer: Mixer, kernels: Kernels, passage: Passage) -> TokenActivity:
    """How active each kernel of a mixer is at each token, rows as in `kernels`."""
    if not isinstance(mixer, Bank):
        start, stop = mixer.mixed_range
        power = np.zeros((len(kernels.taps), len(passage.after)))
        np.add.at(power, kernels.row_of, passage.after[:, start:stop].T.astype(np.float64) ** 2)
        size = np.sqrt(power / kernels.counts[:, None])
        return TokenActivity(tf_mask=None, activity=size, signed=False)
    x = torch.from_numpy(passage.before)[None].to(mixer.analysis)
    segment_ids = runs = tf_mask = None
    if passage.segment_ids is not None:
        segment_ids = torch.from_numpy(passage.segment_ids)[None].to(x.device)
        runs = segment_runs(segment_ids)
    scale: Any = 1.0 if kernels.weights is None else kernels.weights[:, None]
    if isinstance(mixer, AdaptiveFilterbankMixer):
        weights = mixer.tf_mask(x, segment_ids=segment_ids)[0]
        scale = tf_mask = weights.float().cpu().numpy().T[kernels.indices]
    bands = (
        causal_fir(x, mixer.analysis[index].expand(mixer.channels, -1), runs=runs)[0].relu()
        for index in kernels.indices.tolist()
    )
    activity = np.stack([band.mean(dim=-1).float().cpu().numpy() for band in bands]) * scale
    return TokenActivity(tf_mask=tf_mask, activity=activity, signed=True)


def embedding_path(passage: Passage) -> EmbeddingPath:
    """Input and output of a mixer in two dimensions: one principal component analysis of both.

    The plane is fitted to inputs and outputs together, centred, by a singular value
    decomposition, so that both are seen from the same side and on the same scale. Coordinates are
    in units of the embeddings; the sign of each axis is such that its largest loading is positive.

    Example:
        >>> line = np.array([[0.0, 0.0], [3.0, 4.0]], dtype=np.float32)
        >>> path = embedding_path(Passage(before=line, after=line))
        >>> path.after[:, 0].round(3), path.explained.round(3)
        (array([-2.5,  2.5]), array([1., 0.]))
    """
    both = np.concatenate([passage.before, passage.after]).astype(np.float64)
    both -= both.mean(axis=0)
    # A zero channel, so that one channel has two axes too.
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
