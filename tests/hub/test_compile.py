"""Compiled models equal eager ones, whatever was compiled before in the process.

No test resets the compiler between its models: a graph of the plain model that is reused for one
with mixers is the fault that these tests look for.
"""

import copy
import functools
import itertools

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import CompileConfig, StaticCache

import latentwave as lw
from latentwave.hub import all_mixers, decoder_layers
from latentwave.mixers.registry import POINTS
from tests.hub import models
from tests.hub.models import (
    BACKBONES,
    DEAF_BACKBONES,
    cache_of,
    chunked,
    padded,
    points_for,
    tokens,
    trainable,
)

pytestmark = pytest.mark.unchecked

KINDS = lw.list_mixers()
EVERY_BACKBONE = pytest.mark.parametrize(
    "backbone", ["llama", pytest.param("gpt2", marks=pytest.mark.slow)]
)
compiled = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)
WIDE = {"rtol": 1e-4, "atol": 1e-5}
DOCUMENTS = {"segment_ids": (torch.arange(20) // 7).expand(2, -1)}


@pytest.fixture(autouse=True)
def _many_graphs():
    # Each model of a test is one more entry in the cache of the same functions.
    with torch._dynamo.config.patch(recompile_limit=64):
        yield


def plain(backbone="llama"):
    return trainable((BACKBONES | DEAF_BACKBONES)[backbone](2)).eval()


def mixed(model, kind="short_conv", points=("qkv", "mlp", "mlp_output", "block"), **options):
    return models.mixed(model, kind, points, placement="all", **options)


def step(run, model, ids, **inputs):
    """The loss and every gradient."""
    model.zero_grad()
    loss = run(input_ids=ids, labels=ids, use_cache=False, **inputs).loss
    loss.backward()
    return [loss.detach()] + [p.grad.clone() for p in model.parameters() if p.grad is not None]


def check(run, model, ids, modes=(True, False), **inputs):
    """The compiled model equals the eager one, in training and evaluation."""
    eager = copy.deepcopy(model)
    for training in modes:
        torch.testing.assert_close(
            step(run, model.train(training), ids, **inputs),
            step(eager.train(training), eager, ids, **inputs),
            **({} if model.dtype == torch.bfloat16 else WIDE),
        )


@EVERY_BACKBONE
def test_a_plain_model_was_compiled_before(backbone):
    ids, first, second = tokens(2, 20), plain(backbone), mixed(plain(backbone))
    check(compiled(first), first, ids)
    check(compiled(second), second, ids)


@EVERY_BACKBONE
def test_attached_and_detached_after_compilation(backbone):
    model, ids = plain(backbone), tokens(2, 20)
    run = compiled(model)
    check(run, model, ids, [False])
    before = run(ids).logits
    check(run, mixed(model), ids, [False])
    assert not torch.allclose(run(ids).logits, before)
    check(run, lw.detach(model), ids, [False])
    torch.testing.assert_close(run(ids).logits, before)


def wrapped(module):
    return torch.compile(module, backend="eager", dynamic=True)


def wrap(model, part):
    """Replace a module with its wrapper, as scripts do that compile only a part."""
    for layer in model.model.layers if part == "mlp" else ():
        layer.mlp = wrapped(layer.mlp)
    for index, layer in enumerate(model.model.layers if part == "layers" else ()):
        model.model.layers[index] = wrapped(layer)
    if part == "decoder":
        model.model = wrapped(model.model)


@torch.no_grad()
@pytest.mark.parametrize("part", ["decoder", "layers", "mlp"])
@pytest.mark.parametrize("attached_first", [True, False])
def test_parts_that_are_wrapped(attached_first, part):
    original, ids = plain().eval(), tokens(2, 20)
    points = "mlp", "block"  # inside a layer and after it
    eager = mixed(copy.deepcopy(original), points=points)
    model = copy.deepcopy(eager if attached_first else original)
    wrap(model, part)
    if not attached_first:
        mixed(model, points=points)  # with the weights of the other one
    for inputs in (padded(ids), {"input_ids": ids, **DOCUMENTS}):
        found, wanted = (each(**inputs, use_cache=False).logits for each in (model, eager))
        torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(chunked(model, ids, (0, 9, 20)), eager(ids).logits)
    lw.detach(model)
    torch.testing.assert_close(model(ids).logits, original(ids).logits)


def test_option_sets_on_one_class():
    ids = tokens(2, 20)
    for kind, options in (
        ("short_conv", {"kernel_size": 3}),
        ("short_conv", {"kernel_size": 6}),
        ("wavelet", {"level": 1}),
        ("wavelet", {"level": 2}),
        ("wavelet", {"level": 2, "residual": True}),
    ):
        model = mixed(plain(), kind, ["mlp"], **options)
        run = torch.compile(model, backend="eager", fullgraph=True)
        torch.testing.assert_close(run(ids).logits, model(ids).logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_padding_and_documents(dtype):
    model, ids = mixed(plain()).to(dtype), tokens(2, 20)
    run = compiled(model)
    check(run, model, ids, [True], attention_mask=padded(ids)["attention_mask"])
    check(run, model, ids, [True], **DOCUMENTS)


def test_documents_that_the_head_does_not_pass_on():
    model, ids = mixed(plain("gptj")).train(), tokens(2, 20)
    expected = step(model, model, ids, **DOCUMENTS)
    run = compiled(model)
    torch.testing.assert_close(step(run, model, ids, **DOCUMENTS), expected, **WIDE)
    assert not torch.allclose(step(run, model, ids)[0], expected[0])
    for reentrant in (False, True):
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        torch.testing.assert_close(step(model, model, ids, **DOCUMENTS), expected, **WIDE)


def test_no_recompilation_after_the_first_step():
    model = mixed(plain()).train()
    run, optimizer = compiled(model), torch.optim.SGD(model.parameters(), lr=1e-2)
    for number in range(3):
        with torch._dynamo.config.patch(error_on_recompile=number > 0):
            ids, mask = tokens(2, 20), torch.ones(2, 20, dtype=torch.int64)
            step(run, model, ids, attention_mask=mask)
            optimizer.step()


@EVERY_BACKBONE
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradient_checkpointing(backbone, use_reentrant):
    model, ids = mixed(plain(backbone)).train(), tokens(2, 20)
    mask = padded(ids)["attention_mask"]
    expected = step(model, model, ids, attention_mask=mask)
    model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    # Reentrant checkpointing breaks the graphs of plain models too.
    run = compiled(model, fullgraph=not use_reentrant)
    found = step(run, model, ids, attention_mask=mask)
    torch.testing.assert_close(found, expected, **WIDE)


# Compilers look at the .grad of a layer's input.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("in_place", [True, False])
def test_layers_that_are_compiled_one_by_one(in_place):
    model, ids = mixed(plain()).train(), tokens(2, 20)
    names = [each.name for each in all_mixers(model)]
    expected = step(model, model, ids, **DOCUMENTS)
    layers = model.model.layers
    for index, layer in enumerate(list(layers)):
        if in_place:
            layer.compile(backend="aot_eager", fullgraph=True)
        else:
            layers[index] = compiled(layer)
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        found = step(model, model, ids, **DOCUMENTS)
        torch.testing.assert_close(found, expected, **WIDE)
    assert [each.name for each in all_mixers(model)] == names
    lw.detach(model)
    assert type(decoder_layers(model)[0]) is type(plain().model.layers[0])


def test_adapters_put_on_what_is_mixed():
    model, ids = mixed(plain(), points=["qkv", "mlp_hidden"]), tokens(2, 20)
    lora = LoraConfig(r=2, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    adapted = get_peft_model(model, lora)
    run = torch.compile(adapted, backend="eager", fullgraph=True)
    torch.testing.assert_close(run(input_ids=ids).logits, adapted(input_ids=ids).logits)


@EVERY_BACKBONE
@pytest.mark.parametrize(
    "kind",
    [
        kind if kind in ("best", "wavelet") else pytest.param(kind, marks=pytest.mark.slow)
        for kind in KINDS
    ],
)
def test_generation_that_transformers_compiles(backbone, kind):
    model, ids = mixed(plain(backbone), kind, points_for(kind, "mlp", "block")), tokens(2, 20)
    model.eval()
    length = {"max_new_tokens": 6, "do_sample": False}
    how = CompileConfig(backend="aot_eager", fullgraph=True)
    how._compile_all_devices = True
    expected = model.generate(ids, **length, use_cache=False)
    for _ in range(2):
        found = model.generate(
            ids,
            **length,
            cache_implementation="static",
            compile_config=how,
            return_dict_in_generate=True,
        )
        assert torch.equal(found.sequences, expected)
        assert isinstance(cache_of(found), StaticCache)


def test_a_second_generation_compiles_nothing():
    model = mixed(plain(), "pyramid", ["mlp", "block"]).float().eval()
    how = CompileConfig(backend="aot_eager", fullgraph=True)
    how._compile_all_devices = True
    options = {"cache_implementation": "static", "compile_config": how, "do_sample": False}
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(2):
            model.generate(tokens(2, 20), max_new_tokens=6, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "point"), [(kind, point) for kind in KINDS for point in points_for(kind, *POINTS)]
)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_kind_at_every_point(backbone, kind, point):
    ids, first = tokens(2, 20), plain(backbone)
    step(compiled(first), first.train(), ids)
    model = mixed(plain(backbone), kind, [point])
    check(compiled(model), model, ids)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "point"), list(zip(KINDS, itertools.cycle(POINTS), strict=False)))
def test_kinds_under_inductor(kind, point):
    model = mixed(plain(), kind, points_for(kind, point))
    check(torch.compile(model, fullgraph=True), model, tokens(2, 20))
