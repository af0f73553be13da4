"""Byte pairs as tokens, trained here or read from any tokenizer.json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from latentwave.bench.data.codec import Codec
from latentwave.bench.data.corpus import Corpus
from latentwave.bench.data.metadata import token_dtype
from latentwave.bench.data.text.tokenizers import (
    TOKENIZER_FILE,
    count_text,
    fast_tokenizer,
    read_tokenizer,
    write_text,
)
from latentwave.bench.data.text.words import cut_at_words
from latentwave.errors import UserError

# Short texts share the work of several cores, and their tokens fit the cache.
_PART_CHARACTERS = 1 << 14


class PretrainedCodec(Codec):
    """The tokens of a tokenizer of transformers, without the special ones it would add.

    Args:
        tokenizer: as `AutoTokenizer` loads it.
    """

    kind = "pretrained"
    unit = "character"
    suffix = ".txt"

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._fast = tokenizer
        self._backend: Tokenizer = tokenizer.backend_tokenizer
        # Added tokens may leave holes in the numbers.
        self.vocab_size = max(self._backend.get_vocab(with_added_tokens=True).values()) + 1
        self.dtype = token_dtype(self.vocab_size)

    @classmethod
    def open(cls, path: Path) -> PretrainedCodec:
        """Read a tokenizer.json, or the folder of a model that has one.

        Raises:
            UserError: if there is none.
        """
        file = path / TOKENIZER_FILE if path.is_dir() else path
        if not file.is_file():
            raise UserError(f"there is no tokenizer {file}: name a {TOKENIZER_FILE} or its folder")
        try:
            backend = read_tokenizer(file)
        except (OSError, ValueError) as error:
            raise UserError(str(error)) from error
        if path.is_dir() and (path / "tokenizer_config.json").is_file():
            return cls(PreTrainedTokenizerFast.from_pretrained(path))
        return cls(fast_tokenizer(backend))

    @classmethod
    def load(cls, folder: Path) -> PretrainedCodec:
        """Read what `save` wrote."""
        return cls.open(folder)

    def encode(self, piece: str) -> NDArray[Any]:
        """The tokens of a text: (tokens,), in the smallest unsigned type for the vocabulary."""
        parts = list(cut_at_words(piece, _PART_CHARACTERS))
        try:
            encoded = self._backend.encode_batch_fast(parts, add_special_tokens=False)
        except Exception as error:  # the library raises nothing more special
            raise self._unknown(piece, error) from error
        return np.concatenate(
            [np.empty(0, self.dtype), *(np.array(part.ids, self.dtype) for part in encoded)]
        )

    def _unknown(self, piece: str, error: Exception) -> UserError:
        for character in sorted(set(piece)):
            try:
                self._backend.encode(character, add_special_tokens=False)
            except Exception:
                return UserError(
                    f"character {character!r} (U+{ord(character):04X}) is not in the vocabulary "
                    "of the tokenizer: leave it out, or use another tokenizer"
                )
        return UserError(f"the tokenizer cannot encode the text: {error}")

    def num_units(self, piece: str) -> int:
        """Characters."""
        return len(piece)

    def count_units(self, piece: str) -> dict[str, int]:
        """Characters, and bytes of UTF-8."""
        return count_text(piece)

    def save(self, folder: Path) -> None:
        """Write the tokenizer for `transformers.AutoTokenizer.from_pretrained(folder)`."""
        self._fast.save_pretrained(folder)

    def same_tokens(self, other: Codec) -> bool:
        """Whether both have the same vocabulary."""
        return isinstance(other, PretrainedCodec) and (
            self._backend.get_vocab() == other._backend.get_vocab()
        )

    def write(self, tokens: NDArray[Any], path: Path) -> None:
        """Decode tokens into a text file."""
        write_text(path, self._backend.decode(tokens.tolist(), skip_special_tokens=False))

    def encode_prompt(self, prompt: str) -> NDArray[Any]:
        """The tokens of a text."""
        return self.encode(prompt)

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of transformers."""
        return self._fast


class BytePairCodec(PretrainedCodec):
    """Byte pairs: frequent runs of bytes, learned from the training documents of a corpus.

    Every text can be encoded, as all 256 bytes are tokens, and decodes to itself. Words are cut
    as GPT-2 does; no pair crosses from one into the next.
    """

    kind = "bpe"

    @classmethod
    def train(cls, corpus: Corpus, vocab_size: int) -> BytePairCodec:
        """Learn the pairs.

        The same documents give the same pairs.

        Args:
            corpus: whose documents name their split; those of "train" are read.
            vocab_size: at most; at least the 256 bytes.
        """
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_training_texts(corpus), trainer)
        return cls(fast_tokenizer(tokenizer))


def _training_texts(corpus: Corpus) -> Iterator[str]:
    for document in corpus.documents():
        if document.split != "train":
            return
        yield from document.pieces
