"""Windows that hold several documents keep them apart, in filters and in attention."""

import numpy as np
import pytest
import torch

from latentwave.bench.data import Document, DocumentBorders, GridWindows
from tests.comparing import assert_differ, assert_same
from tests.hub.models import gpt2, llama, mixed


def naive(documents, start, length):
    segments, positions = [], []
    for place in range(start, start + length):
        new = place in documents and place != start
        segments.append(segments[-1] + new if segments else 0)
        positions.append(0 if new or not positions else positions[-1] + 1)
    return segments, positions


@pytest.mark.parametrize("first_token", [0, 3, 7])
def test_segments_follow_the_documents(first_token):
    documents = [0, 1, 2, 7, 8, 20, 21, 40]
    borders = DocumentBorders(np.array(documents), first_token)
    for start in range(25):
        for length in (1, 2, 7, 16):
            segments, positions = borders.of_window(start, length)
            expected = naive(documents, first_token + start, length)
            assert (segments.tolist(), positions.tolist()) == expected


def test_windows_of_a_store(make):
    sizes = np.random.default_rng(0).integers(1, 40, 60).tolist()
    store = make([Document(pieces=("abcdefg"[size % 7 :] * size,)) for size in sizes])
    tokens = store.split("train")
    borders = store.borders("train")
    spans = store.spans("train")[:, 1]
    windows = GridWindows(tokens, 33, borders=borders)
    for index in (0, 5, len(windows) - 1):
        item, start = windows[index], 32 * index
        segments, positions = naive(set(spans.tolist()), start, 33)
        assert item["segment_ids"].tolist() == segments
        assert item["position_ids"].tolist() == positions
        masked = item["labels"] == -100
        assert masked.tolist() == [position == 0 for position in positions]
        assert torch.equal(item["labels"][~masked], item["input_ids"][~masked])
    assert set(GridWindows(tokens, 33)[0]) == {"input_ids", "labels"}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", [None, "wavelet", "filterbank", "ema"])
@pytest.mark.parametrize("build", [gpt2, llama])
def test_one_document_changes_no_loss_of_another(build, kind, attention):
    model = build()
    model.set_attn_implementation(attention)
    if kind is not None:
        mixed(model, kind, placement="all")
    documents = [0, 5, 6, 15]
    tokens = np.random.default_rng(1).integers(0, 11, 24)

    def losses(tokens, borders=None):
        item = GridWindows(tokens, len(tokens), borders=borders)[0]
        labels = item.pop("labels")
        inputs = {name: value[None] for name, value in item.items()}
        logits = model(**inputs, use_cache=False).logits[0]
        every = torch.nn.functional.cross_entropy(logits[:-1], labels[1:], reduction="none")
        return every.detach()

    borders = DocumentBorders(np.array(documents), 0)
    before = losses(tokens, borders)
    assert (before == 0).nonzero().flatten().tolist() == [4, 5, 14]
    for start, stop in zip(documents, [*documents[1:], 24], strict=True):
        changed = tokens.copy()
        changed[start:stop] = (changed[start:stop] + 1) % 11
        after = losses(changed, borders)
        # Loss t predicts token t + 1.
        others = torch.ones(23, dtype=torch.bool)
        others[max(0, start - 1) : stop - 1] = False
        assert torch.equal(after[others], before[others])
    assert_differ(losses(tokens)[20:], before[20:], share=1e-6)
    # A document has the same losses alone as among others.
    assert_same(before[6:14], losses(tokens[6:15]))
