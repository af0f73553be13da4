"""Mixers inside layers under FSDP2: the gradients of one process."""

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

import latentwave as lw
from latentwave.bench.training.engine import shard_model
from latentwave.hub import all_mixers
from latentwave.hub.points import POINTS
from tests.hub.models import BACKBONES, tokens
from tests.mixers.cases import randomize
from tests.processes import run_processes


def build(backbone):
    torch.manual_seed(0)
    model = BACKBONES[backbone]()
    lw.attach(model, "short_conv", points=list(POINTS))
    for each in all_mixers(model):
        randomize(each.mixer)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.train(), tokens(4, 20)


def test_fsdp2_gives_the_gradients_of_one_process(tmp_path):
    run_processes(2, _compare, tmp_path)


def _compare(rank):
    for backbone in BACKBONES:
        for checkpointing in (False, True):
            model, ids = build(backbone)
            model(ids, labels=ids, use_cache=False).loss.backward()
            expected = {name: p.grad for name, p in model.named_parameters()}

            model, ids = build(backbone)
            if checkpointing:
                model.gradient_checkpointing_enable()
            shard_model(model)
            mine = ids.chunk(dist.get_world_size())[rank]
            model(mine, labels=mine, use_cache=False).loss.backward()
            for name, parameter in model.named_parameters():
                assert isinstance(parameter, DTensor), name
                torch.testing.assert_close(
                    parameter.grad.full_tensor(), expected[name], rtol=1e-4, atol=1e-5, msg=name
                )


def test_mixers_put_into_a_sharded_model(tmp_path):
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
        torch.testing.assert_close(
            parameter.grad.full_tensor(), gradients[0][name].grad, rtol=1e-4, atol=1e-5, msg=name
        )
    lw.detach(model)
    assert [type(layer).__name__ for layer in model.model.layers] == ["FSDPLlamaDecoderLayer"] * 3
