"""Models with mixers on a GPU: training, generation, compilation."""

import copy
import itertools

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import latentwave as lw
from tests.cuda.agreement import DEVICE
from tests.hub.models import CONTEXT, VOCABULARY, padded, randomized, sizes

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    pytest.mark.unchecked,
    pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores"),
]
MIXERS = {
    "best": {},
    "wavelet": {"mixer": "wavelet"},
    "ema": {"mixer": "ema", "learnable": True},
    "short_conv": {"mixer": "short_conv", "points": ["attention", "mlp"]},
    "filterbank": {"mixer": "filterbank", "num_filters": 20, "kernel_size": 12},
    "adaptive": {"mixer": "adaptive_filterbank", "num_filters": 6, "kernel_sizes": [4, 8]},
}
EVERY_MIXER = pytest.mark.parametrize("mixer", MIXERS)
WIDER = {"hidden_size": 32, "intermediate_size": 64}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


def llama(num_layers=3):
    return LlamaForCausalLM(LlamaConfig(**sizes(num_layers, **WIDER)))


def gpt2():
    return GPT2LMHeadModel(GPT2Config(**sizes(3, hidden_size=32, **NO_DROPOUT)))


def attached(mixer, model):
    return randomized(lw.attach(model, **MIXERS[mixer]))


def batch(step=0):
    generator = torch.Generator().manual_seed(step)
    return torch.randint(2, VOCABULARY, (4, CONTEXT), generator=generator)


def losses(model, device, steps=20, autocast=False):
    model = model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    found = []
    for step in range(steps):
        ids = batch(step % 2).to(device)
        # Around the forward pass only: weights that were cast once are kept inside.
        with torch.autocast(device, dtype=torch.bfloat16, enabled=autocast):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        found.append(loss.detach())
    return torch.stack(found).cpu().double()


@EVERY_MIXER
@pytest.mark.parametrize(("autocast", "limit"), [(False, 2e-3), (True, 2e-2)])
def test_twenty_steps_equal_those_on_the_cpu(mixer, autocast, limit):
    model = attached(mixer, gpt2())
    exact = losses(copy.deepcopy(model).double(), "cpu")
    fast = losses(model, DEVICE, autocast=autocast)
    assert exact[-1] < exact[0] - 0.05
    torch.testing.assert_close(fast, exact, rtol=limit, atol=0)


@EVERY_MIXER
def test_generate_with_cache_equals_without(mixer):
    model = attached(mixer, llama()).to(DEVICE).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    inputs = padded(batch()[:2, :12].to(DEVICE)) | {"do_sample": False, "max_new_tokens": 24}
    cached, whole = (model.generate(**inputs, use_cache=use) for use in (True, False))
    assert torch.equal(cached, whole)
    assert len(cached[:, 12:].unique()) > 3


@pytest.mark.parametrize("mixer", ["best", "wavelet", "filterbank"])
def test_a_compiled_model_sees_mixers_that_come_later(mixer):
    torch.compiler.reset()
    ids = batch().to(DEVICE)
    model = llama(2).to(DEVICE).eval()
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True)
        plain = compiled(input_ids=ids, use_cache=False).logits
        attached(mixer, model)
        with_mixers = compiled(input_ids=ids, use_cache=False).logits
        eager = model(input_ids=ids, use_cache=False).logits
    assert (with_mixers - plain).norm() > 1e-2 * plain.norm()
    assert (with_mixers - eager).norm() < 1e-4 * eager.norm()


def test_compiled_training_equals_eager():
    torch.compiler.reset()
    model = attached("best", llama(2)).to(DEVICE).train()
    ids = batch().to(DEVICE)

    def gradients(step):
        model.zero_grad()
        step(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        return [p.grad.clone() for p in model.parameters()]

    eager = gradients(model)
    fast = gradients(torch.compile(model))
    for a, b in itertools.zip_longest(fast, eager):
        assert (a - b).norm() <= 1e-3 * b.norm() + 1e-6
