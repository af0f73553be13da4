"""Labelled documents as training and evaluation examples, and padded batches of them."""

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
    """The documents of a split, each cut to `max_tokens`, with their labels.

    Tokens are `input_ids`, int64; raw samples are `input_values`, float32 in [−1, 1). `labels` is
    the class, int64, or 0 or 1 for every class, float32. `lengths`, (documents,), counts the
    tokens of each document after the cut.

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
    """Training examples in random order, epoch after epoch, `num_examples` in all.

    Example i is number i mod n of a shuffle that depends only on the seed and the epoch ⌊i / n⌋:
    it is the same for any number of workers and in a resumed run.
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
    """Up to `limit` evenly spaced indices: the same at every evaluation."""
    count = num_examples if limit is None else min(limit, num_examples)
    return [index * num_examples // count for index in range(count)]


@dataclasses.dataclass(frozen=True)
class PadExamples:
    """Makes batches: inputs and `attention_mask`, (B, longest), padded right, and `labels`."""

    pad_token: int = 0  # for tokens; samples are padded with silence
    min_length: int = 1  # tokens or samples to pad to at least

    def __call__(self, examples: Sequence[Item]) -> Item:
        """Pad and stack examples."""
        name = "input_ids" if "input_ids" in examples[0] else "input_values"

        def padded(rows: list[Tensor], value: float) -> Tensor:
            batch = pad_sequence(rows, batch_first=True, padding_value=value)
            return F.pad(batch, (0, max(0, self.min_length - batch.shape[1])), value=value)

        inputs = [example[name] for example in examples]
        return {
            name: padded(inputs, self.pad_token if name == "input_ids" else 0.0),
            "attention_mask": padded([torch.ones(len(row)).long() for row in inputs], 0),
            "labels": torch.stack([example["labels"] for example in examples]),
        }
