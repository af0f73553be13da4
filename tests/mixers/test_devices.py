"""Launches, transfers and float64 of a pass on an accelerator, counted on the meta device."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from latentwave.functional import causal_fir
from latentwave.hub.cache import MixerStates
from latentwave.mixers import running_sums
from tests.mixers.cases import CASES, CHANNELS, build_case

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
    """The case's second call; its first one may move constants to the device."""
    mixer = build_case(case).to(META)
    x = torch.randn(2, tokens, CHANNELS, device=META, requires_grad=training)
    options = {"state": mixer.new_state()} if streaming else {}
    if borders:
        options["segment_ids"] = torch.zeros(2, tokens, dtype=torch.int64, device=META)
        options["padding_mask"] = torch.ones(2, tokens, dtype=torch.bool, device=META)
    with torch.set_grad_enabled(training):
        mixer(x, **options)
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
# The most launches for one mixer of each kind, and for the chains, which hold several.
MOST = {"training": 270, "training-borders": 350, "step": 150, "chunk-borders": 165}


@pytest.mark.parametrize("float64", [True, False], ids=["float64", "no float64"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_nothing_travels_between_host_and_device(case, way, float64, monkeypatch):
    monkeypatch.setattr(running_sums, "has_float64", lambda device: float64 or device != META)
    found = recorded(case, **WAYS[way])
    assert not found.with_host
    assert 0 < len(found.launches) <= MOST[way]
    assert float64 or not found.wide


@pytest.mark.parametrize("case", ["wavelet", "pyramid"])
def test_a_static_cache_needs_no_float64(case, monkeypatch):
    monkeypatch.setattr(running_sums, "has_float64", lambda device: device != META)
    mixer = build_case(case).to(META)
    with torch.no_grad():
        for _ in range(2):  # the first time, constants move to the device
            state = MixerStates(static=True, is_sliding=False).of("here")
            with Recorder() as recorder:
                for tokens in (9, 1):
                    mixer(torch.randn(2, tokens, CHANNELS, device=META), state=state)
    assert not recorder.wide


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
