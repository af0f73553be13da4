"""Tokens as people read them, and the classes by which losses are told apart."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from latentwave.bench.data import Codec
from latentwave.bench.data.text.characters import ByteCodec, CharacterCodec
from latentwave.bench.inspection.losses import Grouping

_VISIBLE = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}
_CHARACTERS = ["vowel", "consonant", "space", "digit", "punctuation", "other"]
_RANKS = (10, 100, 1000, 10_000)


def token_texts(codec: Codec, tokens: NDArray[Any]) -> list[str]:
    """Tokens as short texts, none empty; white space and what cannot be printed is made visible.

    Example:
        >>> token_texts(CharacterCodec(" ab"), np.array([1, 0, 2]))
        ['a', '␣', 'b']
    """
    return [
        "".join(_VISIBLE.get(c, c if c.isprintable() else f"\\x{ord(c):02x}") for c in text or "∅")
        for text in codec.token_names(tokens)
    ]


def group_tokens(
    codec: Codec, windows: Int[np.ndarray, "N T"], counts: Int[np.ndarray, " V"]
) -> list[Grouping]:
    """The classes of the predicted tokens of windows, the first of each window left out.

    Characters and bytes are sorted by kind and by place in the word, samples of sound by how far
    they are from the sample before, events of music by their type, all others by how frequent
    they are.

    Args:
        codec: what tokens mean.
        windows: (N, T), T = L + 1.
        counts: (V,), how often each token stands in the training split.
    """
    predicted, previous = windows[:, 1:], windows[:, :-1]
    vocabulary = np.arange(codec.vocab_size)
    if codec.decodes_to == "sound":
        jump = np.abs(predicted.astype(np.int64) - previous.astype(np.int64))
        names = ["none", "1–2", "3–8", "9–32", "33 and more"]
        members = np.digitize(jump, [1, 3, 9, 33])
        title = "step from the sample before, in levels"
        return [Grouping(title=title, names=names, members=members)]
    if codec.decodes_to == "music":
        types = [name.partition("_")[0] for name in codec.token_names(vocabulary)]
        return [_by_token("type of event", sorted(set(types)), types, predicted)]
    if isinstance(codec, CharacterCodec | ByteCodec):
        texts = codec.token_names(vocabulary)
        letter = np.array([text.isalnum() or text.startswith("\\x") for text in texts])
        place = np.where(letter[predicted], np.where(letter[previous], 1, 0), 2)
        words = ["first letter of a word", "inside a word", "between words"]
        return [
            _by_token("kind of character", _CHARACTERS, map(_character_kind, texts), predicted),
            Grouping(title="place in the word", names=words, members=place),
        ]
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    edges = [edge for edge in _RANKS if edge < len(counts)]
    ranges = itertools.pairwise([0, *edges, len(counts)])
    names = [f"rank {low + 1:,}–{high:,}" for low, high in ranges]
    members = np.digitize(rank[predicted], edges)
    return [Grouping(title="how frequent the token is in training", names=names, members=members)]


def _by_token(
    title: str, names: list[str], own: Iterable[str], predicted: Int[np.ndarray, "N L"]
) -> Grouping:
    """Groups of tokens, whatever stands before them; `own` is the group of each token."""
    table = np.array([names.index(name) for name in own])
    return Grouping(title=title, names=names, members=table[predicted])


def _character_kind(text: str) -> str:
    if text in set("aeiouyAEIOUY"):
        return "vowel"
    kinds = {"consonant": text.isalpha(), "space": text.isspace(), "digit": text.isdigit()}
    kinds["punctuation"] = text in string.punctuation or (len(text) == 1 and text.isprintable())
    return next((kind for kind, holds in kinds.items() if holds), "other")
