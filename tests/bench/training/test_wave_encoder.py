import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
)

import latentwave as lw
from latentwave.bench.training.wave_encoder import (
    WaveEncoderConfig,
    WaveEncoderForAudioClassification,
)
from latentwave.hub import attached_mixers
from tests.comparing import assert_differ

pytestmark = pytest.mark.usefixtures("float64")

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def wave_encoder(kind="filterbank", problem="single_label_classification", **options):
    config = WaveEncoderConfig(
        frontend_channels=6,
        frontend_kernel_sizes=(16, 4),
        frontend_strides=(4, 5),
        max_position_embeddings=100,
        num_labels=5,
        problem_type=problem,
        **SIZES,
    )
    model = WaveEncoderForAudioClassification(config)
    if kind:
        defaults = {"causal": False, "num_filters": 6, "kernel_size": 9}
        lw.attach(model, kind, **(options or (defaults if kind == "filterbank" else {})))
    return awake(model)


def awake(model):
    """Weights large enough for mixers to matter."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("mixer.weights"):
                parameter.normal_()
    return model.eval()


@pytest.mark.parametrize("kind", [None, "filterbank", "wavelet", "ema"])
def test_padding_changes_nothing(kind):
    model = wave_encoder(kind)
    sounds = [torch.randn(1, n) for n in (300, 640, 20)]
    alone = torch.cat([model(sound).logits for sound in sounds])
    batch = torch.randn(3, 700)  # what stands behind a sound is not silence
    mask = torch.zeros(3, 700, dtype=torch.int64)
    for row, sound in enumerate(sounds):
        batch[row, : sound.shape[1]] = sound
        mask[row, : sound.shape[1]] = 1
    torch.testing.assert_close(model(batch, mask).logits, alone, rtol=1e-4, atol=1e-5)


def test_the_mask_reaches_the_mixers():
    """The same, seen from the other side: without the frame mask the mixers would differ."""
    model = wave_encoder()
    seen = []
    mixer = attached_mixers(model)[0]
    mixer.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["padding_mask"]), with_kwargs=True
    )
    mask = torch.zeros(2, 700, dtype=torch.int64)
    mask[0, :700] = mask[1, :300] = 1
    model(torch.randn(2, 700), mask)
    # Frames of 16 + 3 · 4 = 28 samples, 20 apart.
    assert seen[0].sum(1).tolist() == [(700 - 28) // 20 + 1, (300 - 28) // 20 + 1]


def test_later_sound_matters_to_non_causal_mixers_alone():
    model = wave_encoder()
    causal = wave_encoder(causal=True, num_filters=6, kernel_size=9)
    with pytest.raises(lw.hub.CausalityError):
        lw.assert_causal(attached_mixers(model)[0], num_tokens=20)
    lw.assert_causal(attached_mixers(causal)[0], num_tokens=20)


def test_frames_and_loudness():
    model = wave_encoder()
    assert model.config.samples_per_frame == 20
    assert model.config.max_samples() == 28 + 99 * 20
    sound = torch.randn(2, 500)
    frames, mask = model.frontend(sound, torch.ones(2, 500, dtype=torch.bool))
    assert frames.shape == (2, (500 - 28) // 20 + 1, 16)
    assert mask.all()
    torch.testing.assert_close(model(0.1 * sound).logits, model(sound).logits, rtol=1e-2, atol=1e-3)
    silence = model(torch.zeros(1, 5)).logits
    assert torch.isfinite(silence).all()


@pytest.mark.parametrize("kind", [None, "filterbank"])
def test_saved_and_loaded(kind, tmp_path):
    model = wave_encoder(kind)
    sound = torch.randn(1, 400)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    again = lw.from_pretrained(tmp_path)
    assert type(again) is WaveEncoderForAudioClassification
    saved = model.state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in again.state_dict().items())
    # Weights at other addresses may be summed in another order.
    torch.testing.assert_close(again(sound).logits, model(sound).logits)
    assert len(attached_mixers(again)) == (2 if kind else 0)


def test_losses_of_one_and_of_several_labels():
    sound = torch.randn(2, 400)
    one = wave_encoder()(sound, labels=torch.tensor([1, 4]))
    several = wave_encoder(problem="multi_label_classification")
    truth = torch.tensor([[1.0, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
    out = several(sound, labels=truth)
    expected = torch.nn.functional.cross_entropy(one.logits, torch.tensor([1, 4]))
    torch.testing.assert_close(one.loss, expected)
    expected = torch.nn.functional.binary_cross_entropy(out.logits.sigmoid(), truth)
    torch.testing.assert_close(out.loss, expected)
    out.loss.backward()
    grads = {name for name, p in several.named_parameters() if p.grad is not None}
    assert {"frontend.analysis.weight", "classifier.weight"} < grads


def classifiers():
    sizes = SIZES | {"vocab_size": 20, "pad_token_id": 2, "num_labels": 4}
    none = dict.fromkeys(("bos_token_id", "eos_token_id"))
    gpt2 = {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 64}
    return {
        "gpt2": lambda: GPT2ForSequenceClassification(
            GPT2Config(vocab_size=20, pad_token_id=2, num_labels=4, **gpt2, **none)
        ),
        "llama": lambda: LlamaForSequenceClassification(
            LlamaConfig(max_position_embeddings=64, **sizes, **none)
        ),
        "modernbert": lambda: ModernBertForSequenceClassification(
            ModernBertConfig(
                max_position_embeddings=64,
                cls_token_id=None,
                sep_token_id=None,
                classifier_pooling="mean",
                **sizes,
                **none,
            )
        ),
    }


@pytest.mark.parametrize("name", ["gpt2", "llama", "modernbert"])
@pytest.mark.parametrize("causal", [True, False])
def test_classifiers_of_transformers_with_mixers(name, causal, tmp_path):
    if name != "modernbert" and not causal:
        pytest.skip("decoders read no later tokens")
    model = classifiers()[name]()
    lw.attach(model, "filterbank", causal=causal, num_filters=6, kernel_size=5, context_length=32)
    awake(model)
    ids = torch.randint(3, 20, (1, 9))
    padded = torch.cat([ids, torch.full((1, 6), 2)], dim=1)
    mask = (padded != 2).long()
    logits = model(ids, attention_mask=torch.ones_like(ids)).logits
    torch.testing.assert_close(model(padded, attention_mask=mask).logits, logits)
    without = model(padded, attention_mask=torch.ones_like(padded)).logits
    if name == "modernbert":
        assert_differ(without, logits)
    model.save_pretrained(tmp_path)
    again = lw.from_pretrained(tmp_path)
    assert type(again) is type(model)
    torch.testing.assert_close(again(padded, attention_mask=mask).logits, logits)
