"""Schedules, optimizers, and runs that start from the checkpoint of another."""

import shutil

import numpy as np
import pytest
import torch
from torch import nn

from latentwave.bench.data import RandomWindows, TokenBatches
from latentwave.bench.training import ContestantConfig, TrainingConfig, build_model
from latentwave.bench.training.checkpoint import checkpoint_step, list_checkpoints
from latentwave.bench.training.optimizers import (
    BatchedMuon,
    check_warmup,
    make_optimizer,
    make_schedule,
)
from latentwave.errors import UserError
from latentwave.hub.parameter_groups import mixer_parameters
from latentwave.mixers import list_mixers
from tests.tiny import tiny_recipe

WSD = {"num_steps": 10, "schedule": "wsd", "tensorboard": False, "snapshots": False}


@pytest.mark.parametrize(("optimizer", "dropout"), [("adamw", 0.2), ("muon", 0.0)])
def test_a_branch_and_a_resumed_run_are_the_uninterrupted_run(
    optimizer, dropout, run_one, tmp_path
):
    options = WSD | {"optimizer": optimizer, "dropout": dropout}
    whole = run_one(tmp_path / "whole", **options)
    trunk = options | {"schedule": "constant", "num_steps": 16, "save_at_steps": [3, 8]}
    run_one(tmp_path / "trunk", **trunk)
    kept = {checkpoint_step(path): path for path in list_checkpoints(tmp_path / "trunk")}
    assert set(kept) == {3, 8, 12, 16}
    branch = run_one(tmp_path / "branch", start_from=kept[8], **options)
    assert [point.step for point in branch.curve] == [10]
    assert branch.final_loss == whole.final_loss
    assert branch.tokens == whole.tokens
    with pytest.raises(UserError, match="another first_step"):  # as a run of its own
        run_one(tmp_path / "branch", resume=True, **options)
    (tmp_path / "whole" / "result.json").unlink()
    shutil.rmtree(list_checkpoints(tmp_path / "whole")[0])
    assert run_one(tmp_path / "whole", resume=True, **options).final_loss == whole.final_loss


def test_a_branch_needs_an_intact_checkpoint(run_one, tmp_path):
    with pytest.raises(UserError, match="cannot start from .*checkpoint-8"):
        run_one(tmp_path / "branch", start_from=tmp_path / "checkpoint-8", **WSD)


def test_schedules():
    def rates(schedule):
        steps = {"num_steps": 20, "evaluate_every_steps": 20, "save_every_steps": 20}
        config = TrainingConfig(schedule=schedule, num_warmup_steps=4, **steps)
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = make_schedule(optimizer, config)
        found = [*scheduler.get_last_lr()]
        for _ in range(20):
            optimizer.step()
            scheduler.step()
            found += scheduler.get_last_lr()
        return found

    warmup = [0, 0.25, 0.5, 0.75]
    assert rates("constant") == [*warmup, *[1.0] * 17]
    assert rates("wsd") == [*warmup, *[1.0] * 13, 0.75, 0.5, 0.25, 0.0]
    cosine = rates("cosine")
    assert cosine[:5] == [*warmup, 1.0]
    assert cosine[12] == pytest.approx(0.5)
    assert cosine[-1] == 0


@pytest.mark.parametrize("kind", list_mixers())
def test_mixers_take_no_decay_and_never_go_to_muon(kind, text):
    options = {"adaptive_filterbank": {"mask_heads": 2}}.get(kind, {})
    recipe = tiny_recipe(text, contestants={"it": ContestantConfig(kind=kind, options=options)})
    model = build_model(recipe.backbone, recipe.contestants["it"], vocab_size=11, seed=0)
    made = make_optimizer(model, TrainingConfig(optimizer="muon", weight_decay=0.1))
    of_mixers = {id(p) for p in mixer_parameters(model)}
    everything = [id(p) for group in made.param_groups for p in group["params"]]
    assert sorted(everything) == sorted(id(p) for p in model.parameters())
    for group in made.param_groups:
        own = {id(p) for p in group["params"]}
        if group["weight_decay"] or "momentum" in group:
            assert not own & of_mixers
            assert all(p.dim() > 1 for p in group["params"])
    assert "momentum" in made.param_groups[0]


@pytest.mark.parametrize(
    ("rank", "processes", "passes"), [(0, 1, 1), (1, 2, 1), (0, 2, 3), (0, 1, 2)]
)
def test_batches_are_the_dataset(rank, processes, passes):
    tokens = np.random.default_rng(0).integers(0, 200, 1000).astype(np.uint8)
    windows = RandomWindows(tokens, 16, 600 * processes, seed=3)
    shares = {"windows_per_pass": 2, "passes_per_step": passes}
    batches = TokenBatches(windows, rank=rank, num_processes=processes, **shares)
    assert len(batches) == 300
    seen = list(batches)
    for index, batch in enumerate(seen):
        for place in range(2):
            item = windows[index * 2 * processes + 2 * rank + place]
            assert torch.equal(batch["input_ids"][place], item["input_ids"])
            assert torch.equal(batch["labels"][place], item["labels"])
    batches.start_at(60)
    assert torch.equal(next(iter(batches))["input_ids"], seen[60 * passes]["input_ids"])


@pytest.mark.parametrize(
    ("changes", "most"), [({}, 39), ({"schedule": "wsd", "decay_fraction": 0.8}, 8)]
)
def test_a_warmup_that_reaches_the_end_or_the_decay_is_refused(changes, most):
    def check(num_warmup_steps):
        training = {"num_steps": 40, "evaluate_every_steps": 20, "save_every_steps": 20} | changes
        check_warmup(TrainingConfig(num_warmup_steps=num_warmup_steps, **training))

    check(most)
    with pytest.raises(UserError, match=f"num_warmup_steps={most + 1} .*: use at most {most}"):
        check(most + 1)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_batched_muon_is_torchs_muon(weight_decay):
    shapes = [(8, 8), (24, 8), (8, 24), (24, 8), (8, 8), (5, 7)]
    own, theirs = ([nn.Parameter(torch.randn(*shape)) for shape in shapes] for _ in range(2))
    for one, other in zip(own, theirs, strict=True):
        other.data.copy_(one.data)
    options = {"lr": 0.02, "weight_decay": weight_decay, "adjust_lr_fn": "match_rms_adamw"}
    batched, plain = BatchedMuon(own, **options), torch.optim.Muon(theirs, **options)
    before = [p.detach().clone() for p in own]
    for _ in range(3):
        for one, other in zip(own, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        batched.step()
        plain.step()
    for one, other, old in zip(own, theirs, before, strict=True):
        # Both iterate in bfloat16.
        assert (one - other).norm() < 0.02 * (other - old).norm()
    assert set(batched.state[own[0]]) == set(plain.state[theirs[0]])
