"""Labelled documents as examples, and batches of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from latentwave.bench.data.store import TokenStore
from latentwave.errors import UserError

Item = dict[str, Tensor]


class LabelledExamples(Dataset[Item]):
    """The documents of a split, each cut to a length, with their labels.

    Tokens come as `input_ids`, int64; raw samples as `input_values`, float32 in [−1, 1). One
    label is a class, int64; several are 0 and 1 for each class, float32. `lengths`, (documents,),
    are the tokens of each, at most `max_tokens`.

    Raises:
        UserError: if the split has no documents.
    """

    def __init__(self, store: TokenStore, split: str, max_tokens: int) -> None:
        spans = store.spans(split)
        if not len(spans):
            raise UserError(
                f"the {split} split of {store.metadata.corpus!r} has no documents: raise its share"
            )
        self._tokens, self._edges = store.split(split), spans[:, 1:]
        self._labels = np.asarray(store.labels)[spans[:, 0]]
        self.max_tokens = max_tokens
        self.lengths = np.minimum(spans[:, 2] - spans[:, 1], max_tokens)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Item:
        start, stop = self._edges[index]
        document = self._tokens[start:stop][: self.max_tokens]
        label = torch.from_numpy(np.asarray(self._labels[index]))
        labels = {"labels": label.float() if label.dim() else label.long()}
        if document.dtype == np.int16:
            values = torch.from_numpy(document.astype(np.float32) / 32768)
            return {"input_values": values} | labels
        return {"input_ids": torch.from_numpy(document.astype(np.int64))} | labels


class ShuffledExamples(Dataset[Item]):
    """Training examples in random order, epoch after epoch.

    Example i is number i mod n of a shuffle that the seed and the epoch ⌊i / n⌋ alone determine:
    any number of workers and a resumed run read the same ones. Its length is `num_examples`, such
    as steps · batch size.
    """

    def __init__(self, examples: Sequence[Item] | LabelledExamples, num_examples: int, seed: int):
        self.examples, self.num_examples, self.seed = examples, num_examples, seed
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return self.num_examples

    def __getitem__(self, index: int) -> Item:
        epoch, place = divmod(index, len(self.examples))
        if epoch != self._epoch:
            bits = np.random.Philox(key=self.seed, counter=epoch << 64)
            self._order = np.argsort(bits.random_raw(len(self.examples)), kind="stable")
            self._epoch = epoch
        return self.examples[int(self._order[place])]


def even_indices(num_examples: int, limit: int | None) -> list[int]:
    """Evenly spaced indices, at most `limit` of them: the same at every evaluation."""
    count = num_examples if limit is None else min(limit, num_examples)
    return [index * num_examples // count for index in range(count)]


@dataclasses.dataclass(frozen=True)
class PadExamples:
    """Make a batch: examples are padded on the right to the longest of them.

    It holds inputs (B, longest), `attention_mask` of the same shape, and `labels`.
    """

    pad_token: int = 0  # stands for missing tokens; samples are padded with silence
    min_length: int = 1  # pad to at least as many

    def __call__(self, examples: Sequence[Item]) -> Item:
        """The batch of some examples."""
        name = "input_ids" if "input_ids" in examples[0] else "input_values"

        def padded(rows: list[Tensor], value: float) -> Tensor:
            batch = pad_sequence(rows, batch_first=True, padding_value=value)
            return F.pad(batch, (0, max(0, self.min_length - batch.shape[1])), value=value)

        inputs = [example[name] for example in examples]
        return {
            name: padded(inputs, self.pad_token if name == "input_ids" else 0.0),
            "attention_mask": padded([torch.ones(len(one)).long() for one in inputs], 0),
            "labels": torch.stack([example["labels"] for example in examples]),
        }
