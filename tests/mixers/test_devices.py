"""Launches, transfers and float64 of a pass on an accelerator, counted on the meta device."""

import copy
import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from latentwave.functional import causal_fir
from latentwave.hub.cache import MixerStates
from latentwave.mixers import running_sums
from tests.mixers.cases import CASES, CHANNELS, EVERY_CASE, build_case

META = torch.device("meta")
WAITING = {"_local_scalar_dense", "nonzero", "equal", "unique_dim", "_unique2"}
FROM_LISTS = {torch.tensor, torch.as_tensor, torch.from_numpy, torch.Tensor.new_tensor}


class Recorder(TorchDispatchMode):
    """Records launches, and operators that touch the host or float64."""

    def __init__(self):
        super().__init__()
        self.launches, self.with_host, self.wide = [], [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        leaves = torch.utils._pytree.tree_leaves((args, kwargs, result))
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        if not func.is_view:
            self.launches.append(name)
        if name in WAITING or any(tensor.device != META for tensor in tensors):
            self.with_host.append(name)
        if any(tensor.dtype == torch.float64 for tensor in tensors):
            self.wide.append(name)
        return result


def recorded(case, *, tokens=70, training=False, streaming=False, borders=False):
    """The case's second call."""
    mixer = build_case(case).to(META)
    x = torch.randn(2, tokens, CHANNELS, device=META, requires_grad=training)
    options = {"state": mixer.new_state()} if streaming else {}
    if borders:
        options["segment_ids"] = torch.zeros(2, tokens, dtype=torch.int64, device=META)
        options["padding_mask"] = torch.ones(2, tokens, dtype=torch.bool, device=META)
    with torch.set_grad_enabled(training):
        mixer(x, **options)
        with Recorder() as recorder, ListFinder() as lists:
            y = mixer(x, **options)
            if training:
                y.sum().backward()
    recorder.with_host += lists.found
    return recorder


class ListFinder(TorchFunctionMode):
    """Finds tensors made of lists, which no operator shows on the meta device."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in FROM_LISTS:
            self.found.append(func.__name__)
        return func(*args, **(kwargs or {}))


WAYS = {
    "training": {"training": True},
    "training-borders": {"training": True, "borders": True},
    "step": {"tokens": 1, "streaming": True},
    "chunk-borders": {"tokens": 9, "streaming": True, "borders": True},
}
# Launches of each case in each of these ways, in order, on a device with float64.
LAUNCHES = {
    "wavelet": (32, 48, 6, 28),
    "wavelet-mean": (36, 55, 22, 42),
    "wavelet-residual": (40, 55, 7, 29),
    "wavelet-single": (26, 40, 6, 26),
    "wavelet-schedule": (44, 59, 6, 30),
    "wavelet-schedule-mean": (48, 67, 24, 44),
    "wavelet-db2": (34, 73, 9, 34),
    "wavelet-sym4": (30, 73, 7, 37),
    "wavelet-coif1": (48, 107, 11, 48),
    "learnable": (30, 180, 5, 55),
    "learnable-db2": (32, 122, 6, 38),
    "learnable-angles": (136, 226, 42, 74),
    "learnable-angles-sym3": (192, 342, 56, 106),
    "best": (47, 70, 10, 35),
    "best-audio": (27, 50, 5, 24),
    "ema": (84, 120, 10, 41),
    "ema-all": (78, 114, 10, 41),
    "ema-learnable": (93, 131, 13, 44),
    "moving-average": (30, 46, 18, 38),
    "short-conv": (27, 50, 5, 24),
    "short-conv-plain": (39, 72, 5, 30),
    "token-shift": (27, 40, 8, 21),
    "dynamic": (47, 70, 10, 35),
    "dynamic-unfused": (47, 70, 10, 35),
    "dynamic-haar": (67, 95, 12, 42),
    "dynamic-gate": (23, 31, 11, 20),
    "wavelet-bank": (48, 91, 8, 38),
    "wavelet-bank-learned": (33, 56, 8, 26),
    "wavelet-bank-short": (24, 37, 8, 20),
    "pyramid": (78, 113, 9, 42),
    "pyramid-part": (48, 69, 10, 29),
    "kv-shift": (19, 32, 6, 19),
    "kv-shift-values": (19, 32, 6, 19),
    "key-offset": (10, 23, 4, 17),
    "key-offset-interleaved": (10, 23, 4, 17),
    "filterbank": (6, 13, 3, 12),
    "filterbank-longest": (6, 13, 3, 10),
    "filterbank-one-tap": (6, 13, 4, 12),
    "filterbank-multi": (6, 13, 3, 12),
    "filterbank-fourier": (6, 13, 3, 10),
    "adaptive": (168, 179, 75, 92),
    "chain": (57, 99, 11, 54),
    "chain-nested": (231, 281, 102, 163),
    "wavelet-gated": (44, 60, 8, 30),
    "short-conv-gated": (45, 68, 8, 27),
    "filterbank-gated": (18, 25, 5, 14),
    "adaptive-deep": (270, 286, 134, 154),
}


@pytest.mark.parametrize("float64", [True, False], ids=["float64", "no float64"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_nothing_travels_between_host_and_device(case, way, float64, monkeypatch):
    monkeypatch.setattr(running_sums, "has_float64", lambda device: float64 or device != META)
    found = recorded(case, **WAYS[way])
    assert not found.with_host
    assert float64 or not found.wide
    counted = dict(zip(WAYS, LAUNCHES[case], strict=True))[way]
    slack = 1.2 if float64 else 3  # without it, a step adds up the whole window again
    assert 0 < len(found.launches) <= math.ceil(slack * counted)


@pytest.mark.parametrize("case", ["wavelet", "pyramid"])
def test_a_static_cache_needs_no_float64(case, monkeypatch):
    monkeypatch.setattr(running_sums, "has_float64", lambda device: device != META)
    mixer = build_case(case).to(META)
    with torch.no_grad():
        state = MixerStates(static=True, is_sliding=False).of("here")
        with Recorder() as recorder:
            for tokens in (9, 1):
                mixer(torch.randn(2, tokens, CHANNELS, device=META), state=state)
    assert not recorder.wide


@EVERY_CASE
def test_constants_move_with_the_mixer(case):
    """A compiled function that copies one itself is compiled again, now that the copy is there."""
    mixer = copy.deepcopy(build_case(case).to(META))
    state = MixerStates(static=True, is_sliding=False).of("here")
    with torch.no_grad(), Recorder() as recorder:
        for tokens in (9, 1):
            mixer(torch.randn(2, tokens, CHANNELS, device=META), state=state)
    assert not recorder.with_host


@pytest.mark.unchecked
@EVERY_CASE
def test_a_second_step_is_not_compiled_again(case):
    mixer = build_case(case)
    run = torch.compile(mixer, backend="eager", fullgraph=True)
    for number in range(3):
        with torch._dynamo.config.patch(error_on_recompile=number > 0):
            run(torch.randn(2, 9, CHANNELS, requires_grad=True)).sum().backward()


def test_short_kernels_are_one_block_on_an_accelerator():
    x = torch.randn(16, 2048, 768, device=META, requires_grad=True)
    taps = torch.randn(768, 4, device=META, requires_grad=True)
    with Recorder() as recorder:
        causal_fir(x, taps).sum().backward()
    assert len(recorder.launches) <= 30


@pytest.mark.parametrize("case", CASES)
def test_a_run_on_fake_tensors_leaves_the_mixer_usable(case):
    """Constants copied during torch.export, which runs models on fake tensors, were once kept."""
    mixer = build_case(case)
    with FakeTensorMode(allow_non_fake_inputs=True):
        mixer(torch.empty(1, 9, CHANNELS))
    assert type(mixer(torch.randn(1, 9, CHANNELS))) is torch.Tensor
