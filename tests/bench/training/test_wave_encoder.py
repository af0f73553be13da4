import pytest
import torch

import latentwave as lw
from latentwave.bench.training import ContestantConfig
from latentwave.bench.training.models import build_classifier
from latentwave.bench.training.wave_encoder import (
    WaveEncoderConfig,
    WaveEncoderForAudioClassification,
)
from latentwave.hub import attached_mixers
from tests.comparing import assert_differ
from tests.tiny import tiny_backbone

pytestmark = pytest.mark.usefixtures("float64")


BANK = {"causal": False, "num_filters": 6, "kernel_size": 9}


def classifier(architecture, kind, options, **corpus):
    """A small classifier whose mixers matter, in evaluation mode."""
    backbone = tiny_backbone(
        architecture=architecture,
        num_layers=3,
        context_length=100,
        frontend_channels=6,
        frontend_kernel_sizes=[16, 4],
        frontend_strides=[4, 5],
    )
    contestant = ContestantConfig(kind=kind, options=options)
    corpus = {"multi_label": False, "class_names": "abcde"} | corpus
    model = build_classifier(backbone, contestant, seed=0, **corpus).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("mixer.weights"):  # a bank starts as the identity
                parameter.normal_()
    return model


def wave_encoder(kind="filterbank", **corpus):
    options = BANK if kind == "filterbank" else {}
    return classifier("encoder", kind, options, vocab_size=0, sample_rate=16_000, **corpus)


def test_the_front_end_and_the_classifier_start_at_the_scale_of_their_inputs():
    """transformers initialises classifiers of foreign classes five times too small."""
    config = WaveEncoderConfig(hidden_size=96, num_hidden_layers=1, num_labels=50, vocab_size=1)
    model = WaveEncoderForAudioClassification(config)
    for module in (model.frontend.analysis, model.frontend.summary, model.classifier):
        fan_in = module.weight[0].numel()
        assert module.weight.std().item() == pytest.approx(fan_in**-0.5, rel=0.1)


@pytest.mark.parametrize("kind", [None, "filterbank", "wavelet", "ema"])
def test_padding_changes_nothing(kind):
    model = wave_encoder(kind)
    sounds = [torch.randn(1, n) for n in (300, 640, 20)]
    alone = torch.cat([model(sound).logits for sound in sounds])
    batch = torch.randn(3, 700)  # padding need not be silence
    mask = torch.zeros(3, 700, dtype=torch.int64)
    for row, sound in enumerate(sounds):
        batch[row, : sound.shape[1]] = sound
        mask[row, : sound.shape[1]] = 1
    torch.testing.assert_close(model(batch, mask).logits, alone, rtol=1e-4, atol=1e-5)


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


def test_the_loss_reaches_the_front_end():
    model = wave_encoder(multi_label=True)
    out = model(torch.randn(2, 400), labels=torch.tensor([[1.0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]))
    out.loss.backward()
    grads = {name for name, p in model.named_parameters() if p.grad is not None}
    assert {"frontend.analysis.weight", "classifier.weight"} < grads


@pytest.mark.parametrize(
    ("architecture", "causal"),
    [("gpt2", True), ("llama", True), ("encoder", True), ("encoder", False)],
)
def test_classifiers_of_tokens_with_mixers(architecture, causal, tmp_path):
    model = classifier(architecture, "filterbank", BANK | {"causal": causal}, vocab_size=20)
    ids = torch.randint(20, (1, 9))
    padded = torch.cat([ids, torch.full((1, 6), 20)], dim=1)
    mask = (padded != 20).long()
    logits = model(ids, attention_mask=torch.ones_like(ids)).logits
    torch.testing.assert_close(model(padded, attention_mask=mask).logits, logits)
    if architecture == "encoder":
        assert_differ(model(padded, attention_mask=torch.ones_like(padded)).logits, logits)
    model.save_pretrained(tmp_path)
    again = lw.from_pretrained(tmp_path)
    assert type(again) is type(model)
    torch.testing.assert_close(again(padded, attention_mask=mask).logits, logits)
