"""Labelled documents as examples, and batches of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from latentwave.bench.data.windows import by_name, opened
from latentwave.errors import UserError

Example = dict[str, Tensor]


class LabelledExamples(Dataset[Example]):
    """The documents of a split, each cut to a length, with their labels.

    Tokens come as `input_ids`, int64. Raw samples come as `input_values`, float32 in [−1, 1).

    Args:
        tokens: (N,), those of the split.
        starts: (n,), where each document starts among them.
        labels: (n,), classes; or (n, classes), 0 and 1, for several labels per document.
        max_tokens: a longer document loses its end. Of a pair of texts each keeps half of this.
        separator: the token between the texts of a pair; None where documents are no pairs.

    Raises:
        UserError: if there are no documents, or one is empty.

    Example:
        >>> some = LabelledExamples(np.arange(7), np.array([0, 4]), np.array([1, 0]), max_tokens=3)
        >>> some[1]
        {'input_ids': tensor([4, 5, 6]), 'labels': tensor(0)}
    """

    def __init__(
        self,
        tokens: NDArray[Any],
        starts: NDArray[np.int64],
        labels: NDArray[Any],
        *,
        max_tokens: int,
        separator: int | None = None,
    ) -> None:
        if len(starts) != len(labels):
            raise ValueError(f"{len(starts)} documents have {len(labels)} labels")
        if max_tokens < 3:
            raise ValueError(f"max_tokens must be >= 3, got {max_tokens}")
        if not len(starts):
            raise UserError("the split has no labelled documents")
        self.tokens = tokens
        self.starts = np.append(starts, len(tokens))
        self.labels = labels
        self.max_tokens = max_tokens
        self.separator = separator
        lengths = np.diff(self.starts)
        if lengths.min() < 1:
            raise UserError(f"document {int(lengths.argmin())} of the split is empty")
        self.lengths = np.minimum(lengths, max_tokens)

    def __len__(self) -> int:
        """Documents."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Example:
        """One document and its label."""
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} documents")
        document = self._cut(self.tokens[self.starts[index] : self.starts[index + 1]])
        label = torch.from_numpy(np.asarray(self.labels[index]))
        # Several labels per document are probabilities to the loss, one is an index.
        example = {"labels": label.float() if label.dim() else label.long()}
        if document.dtype == np.int16:
            values = torch.from_numpy(document.astype(np.float32) / 32768)
            return {"input_values": values} | example
        return {"input_ids": torch.from_numpy(document.astype(np.int64))} | example

    def __getstate__(self) -> dict[str, Any]:
        """The mapped file by its name, see `by_name`."""
        return self.__dict__ | {"tokens": by_name(self.tokens)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the file again."""
        self.__dict__.update(state)
        self.tokens = opened(self.tokens)

    def _cut(self, document: NDArray[Any]) -> NDArray[Any]:
        if self.separator is None or len(document) <= self.max_tokens:
            return document[: self.max_tokens]
        border = int((document == self.separator).argmax())
        half = (self.max_tokens - 1) // 2
        # What a short text leaves, the other may use.
        first = min(border, max(half, self.max_tokens - (len(document) - border)))
        second = self.max_tokens - 1 - first
        return np.concatenate([document[:first], document[border : border + 1 + second]])


class ShuffledExamples(Dataset[Example]):
    """Training examples in random order, epoch after epoch.

    Example i is number i mod n of a shuffle that the seed and the epoch ⌊i / n⌋ alone determine:
    any number of workers and a resumed run read the same ones.

    Args:
        examples: what is shuffled.
        num_examples: the length of the dataset, such as steps · batch size.
        seed: >= 0.
    """

    def __init__(self, examples: LabelledExamples, num_examples: int, seed: int) -> None:
        if num_examples < 1 or seed < 0:
            raise ValueError(
                f"num_examples must be >= 1 and seed >= 0, got {num_examples} and {seed}"
            )
        self.examples = examples
        self.num_examples = num_examples
        self.seed = seed
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        """Examples of all epochs."""
        return self.num_examples

    def __getitem__(self, index: int) -> Example:
        """One example."""
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} examples")
        epoch, place = divmod(index, len(self.examples))
        if epoch != self._epoch:
            bits = np.random.Philox(key=self.seed, counter=epoch << 64)
            self._order = np.argsort(bits.random_raw(len(self.examples)), kind="stable")
            self._epoch = epoch
        return self.examples[int(self._order[place])]


class EvenExamples(Dataset[Example]):
    """Evenly spaced examples of a split: the same at every evaluation.

    Args:
        examples: of the split.
        num_examples: how many at most; None for all.
    """

    def __init__(self, examples: LabelledExamples, num_examples: int | None) -> None:
        whole = len(examples)
        self.examples = examples
        self.num_examples = whole if num_examples is None else min(num_examples, whole)

    def __len__(self) -> int:
        """Examples."""
        return self.num_examples

    def __getitem__(self, index: int) -> Example:
        """One example."""
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} examples")
        return self.examples[index * len(self.examples) // self.num_examples]


@dataclasses.dataclass(frozen=True)
class PadExamples:
    """Make a batch: examples are padded on the right to the longest of them.

    Attributes:
        pad_token: stands for missing tokens; samples are padded with silence.
        min_length: pad to at least as many.

    Example:
        >>> pad = PadExamples(pad_token=9)
        >>> batch = pad([{"input_ids": torch.tensor(ids), "labels": torch.tensor(0)}
        ...              for ids in ([1, 2], [3])])
        >>> batch["input_ids"].tolist(), batch["attention_mask"].tolist()
        ([[1, 2], [3, 9]], [[1, 1], [1, 0]])
    """

    pad_token: int = 0
    min_length: int = 1

    def __call__(self, examples: Sequence[Example]) -> Example:
        """Inputs (B, longest), `attention_mask` of the same shape, `labels`."""
        name = "input_ids" if "input_ids" in examples[0] else "input_values"
        inputs = [example[name] for example in examples]
        length = max(self.min_length, *(len(one) for one in inputs))
        padding = self.pad_token if name == "input_ids" else 0.0
        batch = inputs[0].new_full((len(inputs), length), padding)
        mask = torch.zeros(len(inputs), length, dtype=torch.int64)
        for row, one in enumerate(inputs):
            batch[row, : len(one)] = one
            mask[row, : len(one)] = 1
        labels = torch.stack([example["labels"] for example in examples])
        return {name: batch, "attention_mask": mask, "labels": labels}
