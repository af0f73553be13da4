"""Programs made by `torch.export`, as transformers makes them for ExecuTorch."""

import pytest
import torch
from torch import nn
from torch.export import Dim
from transformers import DynamicCache, StaticCache
from transformers.integrations.executorch import (
    TorchExportableModuleForDecoderOnlyLM,
    TorchExportableModuleWithStaticCache,
    convert_and_export_with_cache,
)

import latentwave as lw
from latentwave.errors import UserError
from tests.hub.models import BACKBONES, mixed, points_for, tokens

pytestmark = pytest.mark.unchecked

CONFIG = {"batch_size": 2, "max_cache_len": 32}


@pytest.fixture
def model(request):
    kind, points = getattr(request, "param", ("best", ["mlp"]))
    model = mixed(BACKBONES["llama"](2), kind, points, placement="all").eval()
    model.generation_config.update(
        use_cache=True, cache_implementation="static", cache_config=CONFIG
    )
    return model


def exported(module, num_tokens, dynamic=None):
    inputs = {"input_ids": tokens(2, num_tokens), "cache_position": torch.arange(num_tokens)}
    shapes = dynamic and {"input_ids": {1: dynamic}, "cache_position": {0: dynamic}}
    return torch.export.export(module, (), kwargs=inputs, dynamic_shapes=shapes)


def stepped(module, ids, lengths):
    """The logits of consecutive chunks."""
    start, logits = 0, []
    for length in lengths:
        positions = torch.arange(start, start + length)
        logits.append(module(input_ids=ids[:, start : start + length], cache_position=positions))
        start += length
    return torch.cat(logits, dim=1)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            (kind, points_for(kind, "block")),
            id=kind,
            # A short kernel, a ring of samples with running sums, and a recursion.
            marks=[] if kind in {"best", "wavelet", "ema"} else pytest.mark.slow,
        )
        for kind in lw.list_mixers()
    ],
    indirect=True,
)
@pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects")
@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")  # torch's own
@torch.no_grad()
def test_programs_keep_the_state(model):
    ids = tokens(2, 9)
    expected = model(input_ids=ids, use_cache=False).logits
    module = TorchExportableModuleForDecoderOnlyLM(model).eval()
    lw.prepare_export(module)
    by_token = module.export(input_ids=tokens(2, 1), cache_position=torch.tensor([0]))
    by_chunk = exported(module.model, 5, Dim.AUTO)
    functional = by_token.run_decompositions()
    changed = functional.graph_signature.buffers_to_mutate.values()
    assert any("mixer_state" in name for name in changed)  # what runtimes keep between calls
    for program, lengths in ((by_token, [1] * 9), (functional, [1] * 9), (by_chunk, [2, 4, 3])):
        for _ in range(2):  # position 0 starts over
            torch.testing.assert_close(stepped(program.module(), ids, lengths), expected)


def test_a_program_that_would_forget_the_state_is_refused(model):
    with pytest.raises(Exception, match="latentwave.prepare_export"):
        convert_and_export_with_cache(model)


def test_mixers_attached_after_the_preparation_are_refused(model):
    module = TorchExportableModuleWithStaticCache(model).eval()
    lw.prepare_export(module)
    lw.attach(lw.detach(model), "short_conv", context_length=16)
    with pytest.raises(UserError, match="with all mixers attached, before exporting"):
        exported(module, 1)


@pytest.mark.parametrize("prepared", [False, True])
@torch.no_grad()
def test_a_module_that_resets_its_cache_starts_over(model, prepared):
    ids = tokens(2, 9)
    expected = model(input_ids=ids, use_cache=False).logits
    module = TorchExportableModuleWithStaticCache(model).eval()
    if prepared:
        lw.prepare_export(module)
    for _ in range(2):
        torch.testing.assert_close(stepped(module, ids, [1] * 9), expected)


@torch.no_grad()
def test_programs_without_a_cache_need_nothing(model):
    shapes = {"input_ids": {0: Dim("B", min=1, max=8), 1: Dim("T", min=2, max=32)}}
    inputs = {"input_ids": tokens(2, 9)}
    model.config.use_cache = False
    program = torch.export.export(model, (), kwargs=inputs, dynamic_shapes=shapes, strict=False)
    ids = tokens(3, 20)
    torch.testing.assert_close(program.module()(input_ids=ids).logits, model(ids).logits)


def test_modules_that_cannot_be_prepared(model):
    with pytest.raises(UserError, match="needs the module to export, got 'gpt2'"):
        lw.prepare_export("gpt2")
    with pytest.raises(UserError, match="Linear holds no transformers model with mixers"):
        lw.prepare_export(nn.Linear(2, 2))
    with pytest.raises(UserError, match="must hold one static cache, got 0"):
        lw.prepare_export(model)
    module = nn.ModuleList([model])
    module.cache = DynamicCache()
    with pytest.raises(UserError, match="StaticCache after its early_.*, got a DynamicCache$"):
        lw.prepare_export(module)
    module.cache = StaticCache(config=model.config, max_cache_len=8)
    with pytest.raises(UserError, match="got a StaticCache before it"):
        lw.prepare_export(module)
