"""Packed documents in transformers' own Trainer: mixers see their borders."""

import pytest
import torch
from transformers import Trainer, TrainingArguments

from latentwave.bench.training import ContestantConfig, build_model
from latentwave.hub import attached_mixers
from tests.tiny import tiny_backbone

LENGTHS = torch.tensor([9, 3, 12])


@pytest.mark.parametrize("names", [["segment_ids", "position_ids"], ["position_ids"]])
def test_the_trainer_hands_borders_to_mixers(names, tmp_path):
    model = build_model(tiny_backbone(), ContestantConfig(kind="wavelet"), vocab_size=20, seed=0)
    seen = []
    for mixer in attached_mixers(model).values():
        mixer.register_forward_pre_hook(
            lambda module, args, kwargs: seen.append(kwargs["segment_ids"]), with_kwargs=True
        )
    tokens = torch.randint(20, (24,))
    borders = {
        "segment_ids": torch.repeat_interleave(torch.arange(3), LENGTHS),
        "position_ids": torch.cat([torch.arange(n) for n in LENGTHS]),
    }
    item = {"input_ids": tokens, "labels": tokens} | {name: borders[name] for name in names}
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    Trainer(model=model, args=arguments, train_dataset=[item] * 8).train()
    assert seen
    for segments in seen:
        changes = segments[0].diff().nonzero().flatten() + 1
        assert changes.tolist() == LENGTHS.cumsum(0)[:-1].tolist()
