"""Windows that hold several documents keep them apart, in filters and in attention."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from latentwave.bench.data import CorpusConfig, DocumentBorders, GridWindows, prepare
from latentwave.hub import attach
from latentwave.mixers import FilterbankMixer
from tests.comparing import assert_differ, assert_same


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


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(60):
        size = int(rng.integers(1, 40))
        (folder / f"{index:02}.txt").write_text("".join(rng.choice(list("abcdefg"), size)))
    return prepare(CorpusConfig(name="text", path=str(folder)), tmp_path / "store")


def test_windows_of_a_store(store):
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


def gpt2(attention):
    config = GPT2Config(
        vocab_size=11, n_positions=24, n_embd=16, n_layer=3, n_head=2, attn_implementation=attention
    )
    return GPT2LMHeadModel(config)


def llama(attention):
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=11,
            max_position_embeddings=24,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            attn_implementation=attention,
        )
    )


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", [None, "wavelet", "filterbank", "ema"])
@pytest.mark.parametrize("build", [gpt2, llama])
def test_one_document_changes_no_loss_of_another(build, kind, attention):
    model = build(attention)
    model.config.use_cache = False
    if kind is not None:
        options = {"num_filters": 4, "kernel_size": 4} if kind == "filterbank" else {}
        attach(model, kind, placement="all", **options)
    model.eval()
    for module in model.modules():
        if isinstance(module, FilterbankMixer):
            torch.nn.init.normal_(module.weights)
    documents = [0, 5, 6, 15]
    tokens = np.random.default_rng(1).integers(0, 11, 24)

    def losses(tokens, *, apart):
        borders = DocumentBorders(np.array(documents), 0) if apart else None
        item = GridWindows(tokens, 24, borders=borders)[0]
        labels = item.pop("labels")
        logits = model(**{name: value[None] for name, value in item.items()}).logits[0]
        every = torch.nn.functional.cross_entropy(logits[:-1], labels[1:], reduction="none")
        return every.detach()

    before = losses(tokens, apart=True)
    assert (before == 0).nonzero().flatten().tolist() == [4, 5, 14]
    for start, stop in zip(documents, [*documents[1:], 24], strict=True):
        changed = tokens.copy()
        changed[start:stop] = (changed[start:stop] + 1) % 11
        after = losses(changed, apart=True)
        # Loss t predicts token t + 1.
        own = torch.zeros(23, dtype=torch.bool)
        own[max(0, start - 1) : stop - 1] = True
        assert torch.equal(after[~own], before[~own])
    assert_differ(losses(tokens, apart=False)[20:], before[20:], share=1e-6)
    # A document alone has the losses that it has among others.
    alone = losses_alone(model, tokens[6:15])
    assert_same(before[6:14], alone)


def losses_alone(model, tokens):
    ids = torch.from_numpy(tokens)[None]
    logits = model(input_ids=ids).logits[0]
    return torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="none").detach()
