"""Mixers in decoders of plain PyTorch: training, documents, decoding, compilation, saving."""

import copy
import io
import itertools

import pytest
import torch
from torch import nn

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import CausalityError, all_mixers
from latentwave.mixers.registry import POINTS
from tests.hub import models
from tests.hub.models import randomized, tokens, weights_of_mixers
from tests.hub.plain import Decoder, Listed
from tests.mixers.cases import randomize

EVERY_POINT = pytest.mark.parametrize("point", POINTS)
KINDS = pytest.mark.parametrize("kind", ["short_conv", "wavelet", "ema"])
SEGMENTS = (torch.arange(20) // 7).expand(2, -1)


def mixed(kind="short_conv", points=("mlp", "block"), model=None, layers="transformer.h", **more):
    return models.mixed(model or Decoder(), kind, points, layers=layers, **more)


def mixed_layer(kind="short_conv", point="block"):
    """One layer, in which tokens meet in the mixer alone and not in attention."""
    block = Decoder().transformer.h[0]
    block.attn.forward = lambda x, cache=None: 2 * x
    return mixed(kind, point, model=nn.Sequential(block), layers="", placement="all")


def grads(model, *batches):
    model.zero_grad()
    losses = []
    for ids, segments in batches:
        with lw.documents(segments):
            losses.append(model(ids, ids)[1])
    sum(losses).backward()
    return [p.grad.clone() for p in model.parameters()]


@EVERY_POINT
def test_names_causality_and_detach(point):
    model, ids = Decoder(), tokens(2, 20)
    before, names = model(ids), list(model.state_dict())
    classes = [type(module) for module in model.modules()]
    mixed(model=model, points=[point], placement="all")
    assert [n for n in model.state_dict() if "latentwave_mixer" not in n] == names
    assert [each.layer_index for each in all_mixers(model)] == [0, 1, 2]
    lw.assert_causal(model, ids)
    assert not torch.allclose(model(ids), before)
    lw.detach(model)
    assert [type(module) for module in model.modules()] == classes
    assert not any("mixed" in name for m in model.modules() for name in vars(m))
    assert torch.equal(model(ids), before)


@EVERY_POINT
@KINDS
def test_packed_documents_equal_separate_ones(point, kind):
    layer, x = mixed_layer(kind, point), torch.randn(2, 20, 16)
    with lw.documents(SEGMENTS):
        packed = layer(x)
    parts = [layer(x[:, SEGMENTS[0] == i]) for i in range(3)]
    torch.testing.assert_close(packed, torch.cat(parts, dim=1))


@pytest.mark.parametrize("padded", [slice(6), slice(9, 13)])
def test_padding_is_skipped(padded):
    layer, x, mask = mixed_layer(), torch.randn(2, 20, 16), torch.ones(2, 20, dtype=torch.int64)
    mask[:, padded] = 0
    real = mask[0].bool()
    with lw.documents(padding_mask=mask):
        whole = layer(x)
    torch.testing.assert_close(whole[:, real], layer(x[:, real]))
    parts = []
    with torch.no_grad(), lw.streaming(layer):
        for chunk, its_mask in zip(x.split(5, dim=1), mask.split(5, dim=1), strict=True):
            with lw.documents(padding_mask=its_mask):
                parts.append(layer(chunk))
    torch.testing.assert_close(torch.cat(parts, dim=1)[:, real], whole[:, real])


def test_inner_blocks_inherit_what_they_do_not_set():
    layer, x, mask = mixed_layer(), torch.randn(2, 20, 16), torch.ones(2, 20, dtype=torch.int64)
    mask[:, 9:13] = 0
    with lw.documents(SEGMENTS, padding_mask=mask):
        expected = layer(x)
    with lw.documents(SEGMENTS), lw.documents(padding_mask=mask):
        assert torch.equal(layer(x), expected)
    with lw.documents(padding_mask=mask):
        expected = layer(x)
        with torch.no_grad(), lw.streaming(layer):
            torch.testing.assert_close(layer(x), expected)


@EVERY_POINT
@KINDS
def test_streaming_equals_the_whole(point, kind):
    model, ids = mixed(kind, [point]), tokens(2, 20)
    whole = model(ids)
    with torch.no_grad(), lw.streaming(model) as state:
        for _ in range(2):
            cache = {}
            parts = [
                model(ids[:, start:stop], cache=cache)
                for start, stop in itertools.pairwise([0, 9, 10, 11, 20])
            ]
            torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-4)
            state.reset()
    torch.testing.assert_close(model(ids), whole)


@torch.no_grad()
def test_a_stream_is_cropped_by_its_last_call_and_no_further():
    layer, x = mixed_layer(), torch.randn(1, 9, 16)
    whole = layer(x)
    with lw.streaming(layer) as state:
        layer(x[:, :5]), layer(x[:, 5:])
        state.crop(-4)
        torch.testing.assert_close(layer(x[:, 5:]), whole[:, 5:])
        layer(x[:, :1])
        state.crop(-2)
        with pytest.raises(UserError, match="cropped further back than the mixers' state reaches"):
            layer(x[:, :1])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_layers_know_the_documents_of_their_call(reentrant, training):
    model = mixed(points=list(POINTS)).train(training)
    batches = [(tokens(2, 20), SEGMENTS), (tokens(2, 20), SEGMENTS.flip(1)), (tokens(2, 20), None)]
    expected = grads(model, *batches)
    model.reentrant = reentrant
    torch.testing.assert_close(grads(model, *batches), expected)
    with lw.documents(SEGMENTS.roll(1, 1)):  # of others, which are open in the backward pass
        torch.testing.assert_close(grads(model, *batches[:2]), grads(model, *batches[:2]))


@pytest.mark.parametrize("reentrant", [False, True])
def test_layers_checkpointed_together_need_the_documents_open(reentrant):
    model, ids = mixed(points=["block"], placement="all").eval(), tokens(2, 20)
    x = model.transformer.wte(ids).detach().requires_grad_()
    blocks = nn.Sequential(*model.transformer.h)

    def run():
        y = torch.utils.checkpoint.checkpoint(blocks, x, use_reentrant=reentrant)
        return y.square().sum()

    run().backward()  # without documents
    with lw.documents(SEGMENTS):
        loss = run()
    with pytest.raises(UserError, match="checkpoint each layer by itself"):
        loss.backward()
    with lw.documents(SEGMENTS):
        run().backward()


@pytest.mark.unchecked
@pytest.mark.parametrize("reentrant", [None, False])
def test_compiled_equals_eager(reentrant):
    ids, first = tokens(2, 20), Decoder()
    first.reentrant = reentrant
    torch.compile(first, backend="aot_eager", fullgraph=True)(ids, ids)[1].backward()
    points = ["mlp", "block"] if reentrant is not None else list(POINTS)
    model = mixed(points=points).double().train()
    expected = grads(model, (ids, None)), grads(model, (ids, SEGMENTS))
    model.reentrant = reentrant
    run = torch.compile(model, backend="aot_eager", fullgraph=True)
    for segments, grad in zip((None, SEGMENTS), expected, strict=True):
        model.zero_grad()
        with lw.documents(segments):
            loss = run(ids, ids)[1]
        loss.backward()
        found = [p.grad for p in model.parameters()]
        torch.testing.assert_close(found, grad)


def test_saved_loaded_copied_and_pickled(tmp_path):
    model, ids = mixed(), tokens(2, 20)
    lw.save_mixers(model, tmp_path)
    other = Decoder()
    other.load_state_dict(lw.detach(copy.deepcopy(model)).state_dict())
    lw.load_mixers(other, tmp_path)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for again in (other, copy.deepcopy(model), torch.load(file, weights_only=False)):
        assert torch.equal(again(ids), model(ids))
        randomize(all_mixers(again)[0].mixer)
        assert not torch.equal(again(ids), model(ids)), "it is a copy"


def test_forms_of_layers():
    model = Decoder()
    blocks = model.transformer.h
    by_name = nn.ModuleDict({f"layer{i}": block for i, block in enumerate(blocks)})
    for owner, layers in ((model, blocks), (nn.Sequential(*blocks), [*blocks]), (by_name, by_name)):
        lw.attach(owner, "wavelet", layers=layers, context_length=16, modules={"mlp": "mlp"})
        assert len(all_mixers(owner)) == 2
        lw.detach(owner)


def test_layers_that_are_lists():
    model, ids = Listed(), tokens(2, 20)
    with pytest.raises(UserError, match="ModuleList 0 is a ModuleList, which is never called"):
        lw.attach(model, "wavelet", layers="layers", points="block", context_length=16)
    before = model(ids)
    mixed(model=model, layers="layers", points=["mlp"], modules={"mlp": "1"})
    assert not torch.allclose(model(ids), before)
    lw.assert_causal(model, ids)
    assert len(all_mixers(model)) == 3
    with lw.streaming(model):
        parts = [model(ids[:, :7]), model(ids[:, 7:])]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(ids))
    lw.detach(model)
    assert not any("latentwave" in name for name in model.state_dict())


def test_layers_repeated_or_copied_after_mixers_were_attached():
    model, ids = mixed(), tokens(1, 5)
    model.transformer.h[2] = model.transformer.h[0]
    with pytest.raises(UserError, match="copied or repeated after mixers"), lw.streaming(model):
        model(ids)
    model.transformer.h[2] = copy.copy(model.transformer.h[0])
    with pytest.raises(UserError, match="this Block is a copy of a layer with mixers"):
        model(ids)


class Encoder(nn.Module):
    """PyTorch's own layers with a causal mask."""

    def __init__(self, nested=False):
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.embed = nn.Embedding(40, 16)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested)

    def forward(self, ids):
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        return self.encoder(self.embed(ids), mask=mask, is_causal=True)


def test_layers_of_torch_call_their_mixers_in_evaluation():
    """PyTorch's fused kernel, which runs without gradients, bypassed them."""
    model, ids = Encoder().eval(), tokens(2, 20)
    mixed(model=model, layers="encoder.layers", points=["mlp"], modules={"mlp": "linear1"})
    with torch.no_grad():
        torch.testing.assert_close(model(ids), model.train()(ids))
    lw.detach(model)
    assert all(layer.activation_relu_or_gelu == 1 for layer in model.encoder.layers)
    with pytest.raises(UserError, match="would filter the queries alone"):
        mixed(model=model, layers="encoder.layers", points=["attention"])
    with pytest.raises(UserError, match="build it with enable_nested_tensor=False"):
        mixed(model=Encoder(nested=True), layers="encoder.layers", channels=16)


class TokensFirst(Decoder):
    """A decoder whose layers take (T, B, D)."""

    def forward(self, ids):
        x = self.transformer.wte(ids).transpose(0, 1)
        for block in self.transformer.h:
            x = block(x)
        return self.head(x.transpose(0, 1))


def test_layers_that_take_tokens_first():
    layers = nn.ModuleList(nn.TransformerEncoderLayer(16, 2, 32) for _ in range(2))
    with pytest.raises(UserError, match="a MultiheadAttention .* has batch_first=False"):
        lw.attach(nn.Sequential(*layers), "wavelet", layers=layers, context_length=16)
    model = mixed(model=TokensFirst())
    with pytest.raises(UserError, match=r"decoder layer 0 .*\(20, 2, 16\).*across the batch"):
        lw.assert_causal(model, tokens(2, 20))


def test_layers_given_one_by_one_are_found_again(tmp_path):
    model, other, ids = Decoder(), Decoder(), tokens(1, 9)
    other.load_state_dict(model.state_dict())
    layers = list(model.transformer.h)
    mixed(model=model, layers=[torch.compile(layers[0]), layers[2]], placement="all")
    lw.save_mixers(model, tmp_path)
    for target in (other, other, lw.detach(copy.deepcopy(model))):
        assert torch.equal(lw.load_mixers(target, tmp_path)(ids), model(ids))
    assert [each.layer_index for each in all_mixers(other)] == [0, 0, 1, 1]
    with pytest.raises(UserError, match="has no module 'transformer.h.0'; its lists"):
        lw.load_mixers(nn.Sequential(*layers), tmp_path)


def test_the_width_is_that_of_the_residual_stream():
    """The first norm, in the order of torchtitan's modules, is that of the queries' heads."""
    model = Decoder()
    for block in model.transformer.h:
        block.attn.q_norm, norms = nn.RMSNorm(8), (block.ln_1, block.ln_2)
        del block.ln_1, block.ln_2
        block.ln_1, block.ln_2 = norms
    lw.attach(model, "wavelet", layers="transformer.h", context_length=16)
    assert all_mixers(model)[0].mixer.channels == 16


@pytest.mark.unchecked
@pytest.mark.parametrize("layers", ["transformer.h", "_orig_mod.transformer.h", "list", "layers"])
def test_mixers_of_a_model_that_was_compiled_before(layers, tmp_path):
    ids, model = tokens(1, 9), torch.compile(Decoder(), backend="eager")
    given = {"list": model.transformer.h, "layers": list(model.transformer.h)}
    where = {"layers": given.get(layers, layers), "context_length": 64}
    lw.attach(model, "filterbank", causal=False, **where)
    with pytest.raises(CausalityError, match="with its mixer leaks"):  # closed until it is trained
        lw.assert_causal(model, ids)
    lw.save_mixers(randomized(model), tmp_path)
    for plain in (torch.compile(Decoder(), backend="eager"), Decoder()):
        again = lw.load_mixers(plain, tmp_path)
        torch.testing.assert_close(weights_of_mixers(again), weights_of_mixers(model))
    lw.save_mixers(torch.compile(again), tmp_path)  # and compiled since
    lw.attach(lw.detach(model), "wavelet", **where)
    assert {each.mixer.kind for each in all_mixers(model)} == {"wavelet"}
