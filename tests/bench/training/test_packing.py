"""Packed documents in training: filters, attention and positions stop at their borders."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

from latentwave import attach

LENGTHS = [9, 3, 12]
VOCABULARY = 20


def documents():
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(VOCABULARY, (n,), generator=generator) for n in LENGTHS]


def labels(ids):
    result = ids.clone()
    result[0] = -100  # the first token of a document is not predicted from another one
    return result


def packed(*borders):
    """All documents in one row, with what tells their borders."""
    told = {
        "position_ids": torch.cat([torch.arange(n) for n in LENGTHS]),
        "segment_ids": torch.repeat_interleave(torch.arange(3), torch.tensor(LENGTHS)),
    }
    item = {
        "input_ids": torch.cat(documents()),
        "labels": torch.cat([labels(ids) for ids in documents()]),
    }
    return [item | {name: told[name] for name in borders}]


def alone():
    """One row for each document, filled up behind it."""
    items = []
    for ids in documents():
        missing = (0, sum(LENGTHS) - len(ids))
        pad = torch.nn.functional.pad
        items.append(
            {
                "input_ids": pad(ids, missing),
                "labels": pad(labels(ids), missing, value=-100),
                "attention_mask": pad(torch.ones_like(ids), missing),
            }
        )
    return items


def trained(kind, items, folder):
    set_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=32,
        n_embd=12,
        n_layer=3,
        n_head=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    options = {"kernel_size": 8} if kind == "filterbank" else {}
    model = attach(GPT2LMHeadModel(config), kind, context_length=16, **options)
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=3,
        per_device_train_batch_size=len(items),
        # With momentum in the place of Adam, rounding is not blown up to whole steps.
        optim="sgd",
        learning_rate=0.1,
        lr_scheduler_type="constant",
        train_sampling_strategy="sequential",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    Trainer(model=model, args=arguments, train_dataset=items * 3).train()
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("kind", ["wavelet", "filterbank"])
def test_packed_training_equals_separate_documents(kind, tmp_path):
    expected = trained(kind, alone(), tmp_path)
    both = packed("position_ids", "segment_ids")
    torch.testing.assert_close(trained(kind, both, tmp_path), expected)
    # Positions alone tell them too, to mixers as to attention.
    positions = packed("position_ids")
    torch.testing.assert_close(trained(kind, positions, tmp_path), expected)
    difference = (trained(kind, packed(), tmp_path) - expected).abs().max()
    assert difference > 1e-3, "the borders made no difference: the test cannot fail"
