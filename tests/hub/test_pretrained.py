"""Going on from trained weights: nothing changes at step 0, then mixers learn."""

import copy
import math

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import latentwave as lw
from latentwave.hub import all_mixers
from tests.comparing import assert_differ
from tests.hub.models import BACKBONES, llama, tokens
from tests.hub.smollm2 import needs_smollm2, smollm2, text
from tests.mixers.cases import randomize

# Every kind can start as the identity: filterbanks do, the others through a gate.
IDENTITIES = {
    "filterbank": {"num_filters": 6, "kernel_size": 8},
    "adaptive_filterbank": {"num_filters": 6, "kernel_size": 8, "mask_width": 8},
} | {
    kind: {"gated": True}
    for kind in lw.list_mixers()
    if kind not in ("filterbank", "adaptive_filterbank")
}


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("kind", IDENTITIES)
def test_no_logit_changes_at_step_0(backbone, kind):
    model, ids = BACKBONES[backbone](), tokens(2, 30)
    before = model(ids).logits
    lw.attach(model, kind, placement="all", **IDENTITIES[kind])
    assert torch.equal(model(ids).logits, before)
    for each in all_mixers(model):
        randomize(each.mixer)
    assert_differ(model(ids).logits, before)


def train(model, ids, *, steps=6, lr=1e-2):
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=lr, weight_decay=0.0)
    model.train()
    losses = []
    for _ in range(steps):
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    model.eval()
    return losses


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


@pytest.mark.parametrize("kind", ["wavelet", "filterbank"])
def test_together_with_lora_and_exported_again(kind, tmp_path):
    model, ids = llama(), tokens(4, 30)
    before = model(ids).logits
    lw.attach(model, kind, **IDENTITIES[kind])
    lora = LoraConfig(
        r=2, target_modules=["q_proj", "v_proj"], modules_to_save=["latentwave_mixer"]
    )
    adapted = get_peft_model(model, lora)
    assert torch.equal(adapted(input_ids=ids).logits, before)
    losses = train(adapted, ids)
    assert losses[-1] < losses[0] - 0.01
    prompt = {"input_ids": ids[:, :7], "max_new_tokens": 8, "do_sample": False}
    generated = adapted.generate(**prompt)
    assert torch.equal(generated, adapted.generate(**prompt, use_cache=False))

    merged = adapted.merge_and_unload()
    merged.save_pretrained(tmp_path)
    for load in (lw.from_pretrained, AutoModelForCausalLM.from_pretrained):
        with lw.register():
            again = load(tmp_path)
        assert torch.equal(again(ids).logits, merged(ids).logits)
        assert torch.equal(again.generate(**prompt), generated)
    mixers = [each.mixer for each in all_mixers(again)]
    assert all(any(p.any() for p in mixer.parameters()) for mixer in mixers), "mixers were trained"
    lw.detach(merged).save_pretrained(tmp_path / "plain")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    assert not hasattr(plain.config, "latentwave")


@pytest.mark.slow
@needs_smollm2
@pytest.mark.parametrize("kind", ["wavelet", "filterbank"])
def test_a_real_checkpoint_goes_on(kind, tmp_path):
    model, tokenizer = smollm2()
    ids = tokenizer(text(), return_tensors="pt").input_ids[:, :256]
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
