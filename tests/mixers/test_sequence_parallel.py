"""A sequence split over processes gives what the whole gives, forwards and backwards."""

import datetime

import pytest
import torch
import torch.distributed as dist

from latentwave.functional import exchange_halo
from latentwave.mixers import build_mixer, mix_sequence_shard
from tests.mixers.cases import CASES, CHANNELS, build_case
from tests.processes import run_processes

T = 37
# Receptive fields reach 16 tokens: over one border, and over ranks that hold less than that.
SPLITS = [[20, 17], [5, 32], [3, 18, 16], [30, 2, 5], [1, 35, 1]]


def test_split_equals_whole(tmp_path):
    run_processes(3, _compare_all, tmp_path)


def _compare_all(rank):
    soon = datetime.timedelta(seconds=30)
    pair, trio = dist.new_group([0, 1], soon), dist.new_group([0, 1, 2], soon)
    segments = torch.repeat_interleave(torch.tensor([4, 0, 9, 4]), torch.tensor([5, 1, 20, 11]))
    padding = torch.arange(T)[None] >= torch.tensor([[0], [9]])
    for case in CASES:
        for lengths in SPLITS:
            group = pair if len(lengths) == 2 else trio
            if rank >= len(lengths):
                continue
            _compare(case, rank, lengths, group, None, None)
            _compare(case, rank, lengths, group, segments.expand(2, -1), None)
            _compare(case, rank, lengths, group, None, padding)
    _refusals(rank)


def _compare(case, rank, lengths, group, segment_ids, padding_mask):
    torch.manual_seed(0)
    mixer = build_case(case).double()
    x = torch.randn(2, T, CHANNELS, dtype=torch.float64)
    direction = torch.randn_like(x)
    parameters = list(mixer.parameters())

    whole = x.clone().requires_grad_()
    y = mixer(whole, segment_ids=segment_ids, padding_mask=padding_mask)
    expected = torch.autograd.grad((y.square() * direction).sum(), [whole, *parameters])

    def part(tensor):
        return None if tensor is None else tensor.split(lengths, dim=1)[rank].contiguous()

    shard = part(x).requires_grad_()
    z = mix_sequence_shard(
        mixer, shard, group=group, segment_ids=part(segment_ids), padding_mask=part(padding_mask)
    )
    grads = torch.autograd.grad((z.square() * part(direction)).sum(), [shard, *parameters])
    where = f"{case}, {lengths}, rank {rank}"
    torch.testing.assert_close(z, part(y), msg=lambda m: f"{where}: {m}")
    torch.testing.assert_close(grads[0], part(expected[0]), msg=lambda m: f"{where}: {m}")
    for name, grad, total in zip(
        dict(mixer.named_parameters()), grads[1:], expected[1:], strict=True
    ):
        summed = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed, group=group)
        torch.testing.assert_close(summed, total, msg=lambda m, n=name: f"{where}, {n}: {m}")


def _refusals(rank):
    encoder = build_mixer("filterbank", channels=4, context_length=16, causal=False, kernel_size=4)
    with pytest.raises(ValueError, match="only causal mixers"):
        mix_sequence_shard(encoder, torch.zeros(1, 3, 4))
    shift = build_mixer("token_shift", channels=4, context_length=16)
    with pytest.raises(ValueError, match=r"same batch, got sizes \[1, 2, 3\]"):
        mix_sequence_shard(shift, torch.zeros(rank + 1, 3, 4))
    with pytest.raises(ValueError, match=r"at least one token, got shards of \[0, 1, 2\]"):
        mix_sequence_shard(shift, torch.zeros(1, rank, 4))
    with pytest.raises(ValueError, match=r"5 of them on rank \d, got \[5, 5\]"):
        exchange_halo(torch.zeros(1, 5, 1), 2, [5, 5])
    with pytest.raises(ValueError, match="halo must be >= 0, got -1"):
        exchange_halo(torch.zeros(1, 5, 1), -1, [5, 5, 5])
