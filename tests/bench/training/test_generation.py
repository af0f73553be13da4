import numpy as np
import pytest
import torch

from latentwave.bench.training import ContestantConfig, build_model, continue_tokens
from tests.tiny import tiny_backbone


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request):
    backbone = tiny_backbone(architecture=request.param, context_length=16)
    contestant = ContestantConfig(kind="wavelet")
    model = build_model(backbone, contestant, vocab_size=11, seed=0).eval()
    # With the initial weights the likeliest token hardly depends on the earlier ones.
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.7)
    return model


def by_hand(model, tokens, num_new):
    """The likeliest tokens, a full forward pass for each, from the later half of a full context."""
    tokens, start = list(tokens), 0
    for _ in range(num_new):
        if len(tokens) - start >= 16:
            start = len(tokens) - 8
        with torch.no_grad():
            logits = model(torch.tensor([tokens[start:]]), use_cache=False).logits
        tokens.append(int(logits[0, -1].argmax()))
    return tokens


@pytest.mark.parametrize("length", [1, 7, 15, 16, 17, 40])
def test_longer_than_the_context(model, length):
    prompt = np.arange(length) % 11
    tokens = continue_tokens(model, prompt, 37, temperature=0.0)
    assert tokens.tolist() == by_hand(model, prompt, 37)
    assert length == 1 or len(set(tokens[length:].tolist())) > 3


def test_the_end_token_ends(model):
    prompt = np.array([3, 4], dtype=np.uint8)
    tokens = continue_tokens(model, prompt, 37, temperature=0.0)
    end = int(tokens[20])
    first = 2 + tokens[2:].tolist().index(end)
    stopped = continue_tokens(model, prompt, 37, temperature=0.0, end_token=end)
    assert stopped.tolist() == tokens[: first + 1].tolist()


def test_progress_counts_every_new_token(model):
    seen = []
    tokens = continue_tokens(model, np.array([1]), 50, temperature=1.0, on_progress=seen.append)
    assert sum(seen) == 50 == len(tokens) - 1
    assert len(seen) > 1
