"""Several kinds of mixers in one model, each at points of its own."""

import pytest
import torch

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import all_mixers
from tests.hub.models import BACKBONES, chunked, gpt2, lively, tokens

PAIRS = [
    ("kv_shift", None),
    (lw.MixerConfig(kind="short_conv", options={"kernel_size": 3}), ["attention", "mlp"]),
    ("wavelet", "block"),
]


@pytest.mark.parametrize("backbone", ["gpt2", "llama"])
def test_each_kind_stands_at_its_own_points_through_cache_and_folder(backbone, tmp_path):
    model = lively(lw.attach(BACKBONES[backbone](), PAIRS))
    where = {(each.mixer.kind, each.point) for each in all_mixers(model)}
    assert where == {
        ("kv_shift", "qkv"),
        ("short_conv", "attention"),
        ("short_conv", "mlp"),
        ("wavelet", "block"),
    }
    ids = tokens(2, 12)
    whole = model(ids).logits
    torch.testing.assert_close(chunked(model, ids, (0, 7, 12)), whole)
    lw.assert_causal(model)

    model.save_pretrained(tmp_path)
    again = lw.from_pretrained(tmp_path)
    assert torch.equal(again(ids).logits, whole)
    lw.save_mixers(model, tmp_path / "alone")
    other = lw.detach(again)
    assert torch.equal(lw.load_mixers(other, tmp_path / "alone")(ids).logits, whole)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # vmap loops over some operators
def test_gradients_of_every_sequence_with_torch_func():
    more = [("filterbank", ["block"]), ("ema", ["mlp_output"])]
    model = lively(lw.attach(BACKBONES["llama"](), [*PAIRS[:2], *more])).double().eval()
    parameters, ids = dict(model.named_parameters()), tokens(3, 12)

    def loss(parameters, one):
        inputs = {"input_ids": one.unsqueeze(0), "labels": one.unsqueeze(0), "use_cache": False}
        return torch.func.functional_call(model, parameters, (), inputs).loss

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, ids)
    for b in range(3):
        wanted = torch.autograd.grad(loss(parameters, ids[b]), list(parameters.values()))
        here = [gradient[b] for gradient in found.values()]
        torch.testing.assert_close(here, list(wanted), rtol=1e-5, atol=1e-8)


def test_a_second_call_is_refused_with_what_is_there():
    model = lw.attach(gpt2(), [("ema", "mlp"), ("kv_shift", None)])
    with pytest.raises(UserError, match=r"already attached \(ema, kv_shift\).*as a list"):
        lw.attach(model, "best")
