"""The mixers' states in caches: cropped, handed on, and no longer than the filters need."""

import copy

import pytest
import torch
from transformers import DynamicCache, LlamaModel

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub.cache import MixerStates, states_in
from latentwave.mixers.registry import POINTS
from tests.hub.models import GREEDY, cache_of, cached, gpt2, llama, mixed, tokens


def test_cropping_the_last_call_rewinds_and_further_is_refused():
    model, ids = mixed(gpt2(), "wavelet"), tokens(1, 60)
    cache = DynamicCache()
    model(ids[:, :40], **cached(cache))
    model(ids[:, 40:45], **cached(cache))
    cache.crop(-5)
    again = model(ids[:, 40:45], **cached(cache)).logits
    whole = model(ids[:, :45], use_cache=False).logits
    torch.testing.assert_close(again, whole[:, 40:], rtol=1e-4, atol=1e-4)
    model(ids[:, 45:46], **cached(cache))
    cache.crop(-4)
    with pytest.raises(UserError, match="cropped to 42 tokens, further back"):
        model(ids[:, 42:43], **cached(cache))


class OldDecoder(LlamaModel):
    """Like code outside transformers that was written before 5.24."""

    def forward(self, input_ids=None, past_key_values=None, use_cache=None, **others):
        return super().forward(input_ids, **cached(past_key_values), use_cache=use_cache, **others)


@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated")
def test_a_decoder_may_use_either_name_for_its_cache():
    ids, newer = tokens(1, 12), llama().model
    older = OldDecoder(newer.config).double().eval()
    older.load_state_dict(newer.state_dict())
    for decoder in (newer, older):
        mixed(decoder, "wavelet")
        whole = decoder(ids, use_cache=False).last_hidden_state
        first = decoder(ids[:, :7], use_cache=True)  # the decoder makes its own cache
        rest = decoder(ids[:, 7:], past_key_values=cache_of(first)).last_hidden_state
        torch.testing.assert_close(rest, whole[:, 7:])


def test_a_cache_is_not_cropped_into_padding():
    model, ids, mask = lw.attach(gpt2(), "wavelet"), tokens(2, 9), torch.ones(2, 9).long()
    mask[1, 4:6] = 0
    cache = cache_of(model(ids, attention_mask=mask))
    model(ids[:, :1], **cached(cache))
    cache.crop(torch.tensor(-1))  # as older transformers do
    model(ids[:, :1], **cached(cache))
    cache.crop(-4)
    with pytest.raises(UserError, match="cropped to 6 tokens, further back"):
        model(ids[:, :1], **cached(cache))


@pytest.mark.parametrize(
    ("kind", "points"),
    [("wavelet", None), ("adaptive_filterbank", None), ("short_conv", list(POINTS))],
)
def test_a_draft_model_can_undo_a_whole_draft(kind, points):
    model, draft = (mixed(gpt2(), kind, points) for _ in range(2))
    ids, options = tokens(1, 12), GREEDY | {"return_dict_in_generate": True}
    assisted = model.generate(ids, assistant_model=draft, num_assistant_tokens=5, **options)
    alone = model.generate(ids, **options)
    assert torch.equal(assisted.sequences, alone.sequences)
    assert not states_in(cache_of(alone), 3).record_past  # it would grow without end


def test_a_draft_model_may_have_lost_its_mixers():
    model, draft, ids = gpt2(), lw.attach(gpt2(), "short_conv"), tokens(1, 12)
    lw.detach(draft.transformer)  # the model around it keeps its class
    assisted = model.generate(ids, assistant_model=draft, **GREEDY)
    assert torch.equal(assisted, model.generate(ids, **GREEDY))


@pytest.mark.parametrize("history", [3, 40])  # copied at every call, and not
@torch.no_grad()
def test_a_recording_reaches_back_to_the_last_crop(history):
    states, samples = MixerStates(static=False, is_sliding=False), torch.randn(1, 400, 2)
    site = states.of("here")
    states.activate_past_recording()
    site.extend("x", samples[:, :50], history=history)
    states.crop(0)
    for t in range(50, 350):
        site.extend("x", samples[:, t : t + 1], history=history)
    states.crop(-299)
    both = site.extend("x", samples[:, 51:53], history=history)
    assert torch.equal(both, samples[:, 51 - history : 53])


def test_tokens_to_remove_are_negative_and_static_caches_stay_whole():
    with pytest.raises(UserError, match=r"such as crop\(-1\) for the last one, got 5"):
        MixerStates(static=False, is_sliding=False).crop(5)  # transformers once kept 5
    static = MixerStates(static=True, is_sliding=True)
    assert not static.is_croppable
    with pytest.raises(UserError, match="static cache cannot be cropped"):
        static.crop(-1)


def test_the_state_stays_as_long_as_the_filters_are():
    model, ids = mixed(gpt2(), "wavelet"), tokens(1, 60)
    cache = DynamicCache()
    for t in range(60):
        model(ids[:, t : t + 1], **cached(cache))
    (samples,) = cache.layers[-1].of("0.latentwave_mixer")._tensors.values()
    assert samples.nbytes <= 8 * 8 * (3 * 17 + 64), "spare room is bounded too"


@torch.no_grad()
def test_a_cache_filled_in_another_precision_changes_none():
    mixer = lw.build_mixer("wavelet", channels=4, context_length=64, fraction=1.0)
    state = MixerStates(static=False, is_sliding=False).of("here")
    for tokens_of, dtype in ((9, torch.bfloat16), (2, torch.float32), (2, torch.bfloat16)):
        assert mixer(torch.ones(1, tokens_of, 4, dtype=dtype), state=state).dtype == dtype


@pytest.mark.parametrize("kind", ["wavelet", "ema"])
def test_a_cache_filled_in_inference_mode_changes_hands(kind):
    model, ids = mixed(gpt2(), kind), tokens(1, 30)
    whole = model(ids, use_cache=False).logits
    cache = DynamicCache()
    with torch.inference_mode():
        for t in range(20):
            model(ids[:, t : t + 1], **cached(cache))
    for each in (copy.deepcopy(cache), cache):
        with torch.no_grad():
            rest = [model(ids[:, t : t + 1], **cached(each)).logits for t in range(20, 30)]
        torch.testing.assert_close(torch.cat(rest, dim=1), whole[:, 20:], rtol=1e-4, atol=1e-4)
