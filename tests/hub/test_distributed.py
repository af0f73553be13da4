"""Mixers inside layers under DDP and FSDP2: the gradients of one process, compiled or not."""

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

import latentwave as lw
from latentwave.bench.training.engine import shard_model
from latentwave.errors import UserError
from latentwave.hub import all_mixers
from latentwave.mixers.registry import POINTS
from tests.hub.models import BACKBONES, mixed, tokens, trainable
from tests.processes import run_processes


def build(backbone):
    torch.manual_seed(0)
    return trainable(mixed(BACKBONES[backbone](), "short_conv", POINTS)), tokens(4, 20)


def whole(tensor):
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_gradients_are_those_of_one_process(compiled, tmp_path):
    run_processes(2, _compare_all, tmp_path, compiled)


def _compare_all(rank, compiled):
    """Every case in one start of the processes, which takes most of the time."""
    for backbone in BACKBONES:
        for wrapper in ("ddp", "fsdp2"):
            _compare(rank, wrapper, backbone, compiled)


def _compare(rank, wrapper, backbone, compiled):
    model, ids = build(backbone)
    model(ids, labels=ids, use_cache=False).loss.backward()
    expected = {name: p.grad for name, p in model.named_parameters()}
    mine = ids.chunk(dist.get_world_size())[rank]
    for checkpointing in (False, True):
        model, _ = build(backbone)
        if checkpointing:
            model.gradient_checkpointing_enable()
        if wrapper == "fsdp2":
            shard_model(model)
        run = DistributedDataParallel(model) if wrapper == "ddp" else model
        if compiled:
            run = torch.compile(run, backend="aot_eager")
        run(input_ids=mine, labels=mine, use_cache=False).loss.backward()
        for name, parameter in model.named_parameters():
            said = f"{wrapper} on {backbone}: {name}"
            assert isinstance(parameter, DTensor) == (wrapper == "fsdp2"), said
            torch.testing.assert_close(whole(parameter.grad), expected[name], msg=said)


def test_mixers_attached_to_a_sharded_model(tmp_path):
    run_processes(2, _attach_late, tmp_path)


def _attach_late(rank):
    gradients = []
    for sharded_first in (False, True):
        torch.manual_seed(0)
        model, ids = BACKBONES["llama"]().train(), tokens(4, 20)
        if sharded_first:
            shard_model(model)
            ids = ids.chunk(dist.get_world_size())[rank]
        lw.attach(model, "short_conv", points=["qkv", "mlp", "block"])
        with torch.no_grad():
            for each in all_mixers(model):
                each.mixer.kernels.fill_(0.1)
        model(ids, labels=ids, use_cache=False).loss.backward()
        gradients.append(dict(model.named_parameters()))
    for name, parameter in gradients[1].items():
        torch.testing.assert_close(whole(parameter.grad), gradients[0][name].grad, msg=name)
    lw.detach(model)
    assert [type(layer).__name__ for layer in model.model.layers] == ["FSDPLlamaDecoderLayer"] * 3


def test_mixers_of_a_sharded_model_are_saved_loaded_and_reset(tmp_path):
    run_processes(2, _save_and_load, tmp_path, tmp_path / "mixers")


def _save_and_load(rank, folder):
    torch.manual_seed(0)
    options = {"num_filters": 4, "kernel_size": 8, "init": "fourier"}
    mixers = [{"kind": "short_conv"}, {"kind": "kv_shift"}]
    mixers += [{"kind": "filterbank", "options": options}]
    model = mixed(BACKBONES["llama"](), "chain", "qkv", mixers=mixers)
    expected = {name: p.detach().clone() for name, p in model.named_parameters()}
    shard_model(model)
    lw.save_mixers(model, folder)
    dist.barrier()
    for each in all_mixers(model):
        with pytest.raises(UserError, match="this 'chain' mixer is sharded"):
            each.mixer.impulse_response()
        each.mixer.reset_parameters()
    assert any(not torch.equal(whole(p), expected[n]) for n, p in model.named_parameters())
    lw.load_mixers(model, folder)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(whole(parameter.detach()), expected[name], msg=name)
    alone = lw.load_mixers(BACKBONES["llama"](), folder)
    for each, other in zip(all_mixers(alone), all_mixers(model), strict=True):
        for own, sharded in zip(each.mixer.parameters(), other.mixer.parameters(), strict=True):
            assert torch.equal(own, whole(sharded.detach()))
