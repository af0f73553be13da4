"""Codecs of subwords: byte pairs learned from a corpus, or any tokenizer.json."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from latentwave.bench.data.metadata import token_dtype
from latentwave.bench.data.text.characters import (
    Draft,
    TextCodec,
    fast_tokenizer,
    read_tokenizer,
    text_pieces,
)
from latentwave.errors import UserError

# Long texts are encoded in windows, several at once on several cores. Neighbours are joined where
# as many tokens on either side are equal.
_WINDOW_CHARACTERS = 1 << 14
_OVERLAP_CHARACTERS = 1 << 9
_WINDOWS_AT_ONCE = 16
_EQUAL_TOKENS = 8


class PretrainedCodec(TextCodec):
    """The tokens of a tokenizer of transformers, without the special tokens it would add."""

    kind = "pretrained"

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._fast = tokenizer
        self._backend: Tokenizer = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        # Added tokens may leave gaps in the numbers.
        self.vocab_size = max(self._backend.get_vocab(with_added_tokens=True).values()) + 1
        self.dtype = token_dtype(self.vocab_size)

    @classmethod
    def open(cls, path: Path) -> "PretrainedCodec":
        """Read a tokenizer.json from its path or a model's folder; a UserError if it is damaged."""
        fast = fast_tokenizer(read_tokenizer(path))
        if not fast.get_vocab():
            raise UserError(f"the tokenizer {path} has no tokens: use another tokenizer")
        config = path / "tokenizer_config.json"
        if config.is_file():
            try:
                fast = PreTrainedTokenizerFast.from_pretrained(path)
            except Exception as error:  # of many kinds, depending on the damage
                raise UserError(f"{config} is damaged ({error}): get it again") from error
        return cls(fast)

    @classmethod
    def load(cls, folder: Path, **_: Any) -> "PretrainedCodec":
        """Read what `save` wrote."""
        return cls.open(folder)

    def encode(self, piece: str) -> NDArray[Any]:
        """The tokens of a text: (tokens,), in the smallest unsigned type."""
        return np.concatenate([np.empty(0, self.dtype), *self.encode_document([piece])])

    def encode_document(self, pieces: Iterable[str]) -> Iterator[NDArray[Any]]:
        """The tokens that the tokenizer gives for a whole text, in parts.

        A long text is encoded in overlapping windows, which are joined where their tokens agree in
        place and value; windows that agree nowhere are encoded as one. So what a tokenizer does at
        the ends of a text, such as putting a "▁" before it, happens once.
        """
        text, left, first = "", None, 0  # the last window, and its first token to yield
        windows = _overlapping(pieces)
        while batch := list(itertools.islice(windows, _WINDOWS_AT_ONCE)):
            for window, right in zip(batch, self._encode(batch), strict=True):
                if left is None:
                    text, left = window, right
                elif joint := _joint(left, right, len(text) - _OVERLAP_CHARACTERS):
                    yield np.array(left.ids[first : joint[0]], self.dtype)
                    text, left, first = window, right, joint[1]
                else:
                    text += window[_OVERLAP_CHARACTERS:]
                    left = self._encode([text])[0]
        if left is not None:
            yield np.array(left.ids[first:], self.dtype)

    def _encode(self, texts: list[str]) -> list[Encoding]:
        try:
            return self._backend.encode_batch(texts, add_special_tokens=False)
        except Exception as error:  # the library raises nothing more specific
            unknown = next((c for c in sorted(set("".join(texts))) if not self._knows(c)), None)
            what = "the text" if unknown is None else f"{unknown!r} (U+{ord(unknown):04X})"
            raise UserError(
                f"the tokenizer cannot encode {what} ({error}): leave it out, or use another "
                "tokenizer"
            ) from error

    def _knows(self, character: str) -> bool:
        try:
            self._backend.encode(character, add_special_tokens=False)
        except Exception:
            return False
        return True

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of transformers."""
        return self._fast


def _overlapping(pieces: Iterable[str]) -> Iterator[str]:
    """Cut a text into windows, each of which begins with the last characters of the previous."""
    text = ""
    for piece in pieces:
        for start in range(0, len(piece), _WINDOW_CHARACTERS):
            text += piece[start : start + _WINDOW_CHARACTERS]
            while len(text) >= 2 * _WINDOW_CHARACTERS:
                yield text[:_WINDOW_CHARACTERS]
                text = text[_WINDOW_CHARACTERS - _OVERLAP_CHARACTERS :]
    if text:
        yield text


def _joint(left: Encoding, right: Encoding, shift: int) -> tuple[int, int] | None:
    """Where the left window ends and the right one begins, in tokens; None if they disagree.

    The right window begins at character `shift` of the left one.
    """
    left_ids, right_ids, near = left.ids, right.ids, _EQUAL_TOKENS
    middle = _OVERLAP_CHARACTERS // 2
    for place in sorted(range(0, _OVERLAP_CHARACTERS, 4), key=lambda place: abs(place - middle)):
        i, j = left.char_to_token(shift + place), right.char_to_token(place)
        if i is None or j is None or min(i, j) < near or i + near > len(left_ids):
            continue
        if left_ids[i - near : i + near] == right_ids[j - near : j + near] and all(
            _start_of(left, i + k) == _start_of(right, j + k) + shift for k in range(-near, near)
        ):
            return i, j
    return None


def _start_of(encoding: Encoding, token: int) -> int:
    span = encoding.token_to_chars(token)
    return -1 if span is None else span[0]


class BytePairCodec(PretrainedCodec):
    """Byte pairs: frequent runs of bytes, learned from the training documents of a corpus.

    All 256 bytes are tokens, so every text can be encoded, and decodes to itself. Words are
    separated as in GPT-2, and no pair crosses their borders.
    """

    kind = "bpe"

    @classmethod
    def train(cls, draft: Draft, vocab_size: int) -> "BytePairCodec":
        """Learn up to `vocab_size` tokens, 256 bytes included; the same text gives the same."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        training = draft.points[: draft.num_training]
        borders = draft.pieces[draft.pieces < draft.num_training]
        texts = ("".join(text_pieces(piece)) for piece in np.split(training, borders[1:]))
        tokenizer.train_from_iterator(texts, trainer)
        return cls(fast_tokenizer(tokenizer))
