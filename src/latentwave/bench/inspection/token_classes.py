"""Tokens as people read them, and the classes by which losses are told apart."""

from __future__ import annotations

import dataclasses
import itertools
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from latentwave.bench.data import Codec
from latentwave.bench.data.audio import SampleCodec
from latentwave.bench.data.music import EventCodec
from latentwave.bench.data.text.bytes import ByteCodec
from latentwave.bench.data.text.characters import CharacterCodec

_VISIBLE = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}
_VOWELS = frozenset("aeiouyAEIOUY")
_RANKS = (10, 100, 1000, 10_000)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grouping:
    """One way to sort predicted tokens into classes.

    Attributes:
        title: what the classes are.
        classes: their names.
        members: (N, L), the class of each predicted token.
    """

    title: str
    classes: list[str]
    members: Int[np.ndarray, "N L"]


def token_texts(codec: Codec, tokens: NDArray[Any]) -> list[str]:
    """Tokens as short texts; white space and what cannot be printed is made visible.

    Args:
        codec: what tokens mean.
        tokens: (T,).

    Returns:
        T texts, never empty.

    Example:
        >>> token_texts(CharacterCodec(" ab"), np.array([1, 0, 2]))
        ['a', '␣', 'b']
    """
    return [_shown(text) for text in _plain_texts(codec, tokens)]


def _plain_texts(codec: Codec, tokens: NDArray[Any]) -> list[str]:
    values = [int(token) for token in tokens]
    if isinstance(codec, CharacterCodec):
        return [codec.vocabulary[value] for value in values]
    if isinstance(codec, ByteCodec):
        return [chr(value) if value < 0x80 else f"\\x{value:02x}" for value in values]
    if isinstance(codec, EventCodec):
        names = _event_names(codec)
        return [names[value] for value in values]
    if isinstance(codec, SampleCodec):
        return [str(value) for value in values]
    return [str(codec.tokenizer.decode([value])) for value in values]


def _shown(text: str) -> str:
    shown = "".join(
        _VISIBLE.get(c, c if c.isprintable() else f"\\x{ord(c):02x}") for c in text or "∅"
    )
    # Bytes that are part of a character have none of their own.
    return shown.replace("\ufffd", "�")


def _event_names(codec: EventCodec) -> list[str]:
    from latentwave.bench.data.music.tokens import miditok_tokenizer

    vocabulary: dict[str, int] = miditok_tokenizer(codec.kind).vocab
    return sorted(vocabulary, key=vocabulary.__getitem__)


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

    Returns:
        One or two groupings.
    """
    predicted, previous = windows[:, 1:], windows[:, :-1]
    if isinstance(codec, CharacterCodec | ByteCodec):
        texts = _plain_texts(codec, np.arange(codec.vocab_size))
        kinds = ["vowel", "consonant", "space", "digit", "punctuation", "other"]
        table = np.array([kinds.index(_character_kind(text)) for text in texts])
        return [
            _named("kind of character", kinds, table[predicted]),
            _place_in_word(texts, predicted, previous),
        ]
    if isinstance(codec, SampleCodec):
        jump = np.abs(predicted.astype(np.int64) - previous.astype(np.int64))
        edges = [1, 3, 9, 33]
        names = ["none", "1–2", "3–8", "9–32", "33 and more"]
        return [_named("step from the sample before, in levels", names, np.digitize(jump, edges))]
    if isinstance(codec, EventCodec):
        types = [name.partition("_")[0] for name in _event_names(codec)]
        names = sorted(set(types))
        table = np.array([names.index(each) for each in types])
        return [_named("type of event", names, table[predicted])]
    return [_by_rank(predicted, counts)]


def _character_kind(text: str) -> str:
    rules: Sequence[tuple[str, Callable[[str], bool]]] = (
        ("vowel", _VOWELS.__contains__),
        ("consonant", str.isalpha),
        ("space", str.isspace),
        ("digit", str.isdigit),
        ("punctuation", lambda c: c in string.punctuation or (len(c) == 1 and c.isprintable())),
    )
    return next((name for name, holds in rules if holds(text)), "other")


def _place_in_word(
    texts: list[str], predicted: Int[np.ndarray, "N L"], previous: Int[np.ndarray, "N L"]
) -> Grouping:
    letter = np.array([text.isalnum() or text.startswith("\\x") for text in texts])
    inside = letter[predicted]
    members = np.where(inside, np.where(letter[previous], 1, 0), 2)
    names = ["first letter of a word", "inside a word", "between words"]
    return _named("place in the word", names, members)


def _by_rank(predicted: Int[np.ndarray, "N L"], counts: Int[np.ndarray, " V"]) -> Grouping:
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    edges = [edge for edge in _RANKS if edge < len(counts)]
    borders = [0, *edges, len(counts)]
    names = [f"rank {low + 1:,}–{high:,}" for low, high in itertools.pairwise(borders)]
    return _named(
        "how frequent the token is in training", names, np.digitize(rank[predicted], edges)
    )


def _named(title: str, names: list[str], members: NDArray[Any]) -> Grouping:
    """Without classes that no token belongs to."""
    present = [i for i in range(len(names)) if (members == i).any()]
    renumber = np.full(len(names), -1)
    renumber[present] = np.arange(len(present))
    return Grouping(title=title, classes=[names[i] for i in present], members=renumber[members])
