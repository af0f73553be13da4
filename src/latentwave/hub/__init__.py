"""Hugging Face side: attach mixers, carry their state in the model's cache, save and load."""

from latentwave.hub.attach import AttachedMixer, all_mixers, attach, attached_mixers, detach
from latentwave.hub.checkpoint import from_pretrained
from latentwave.hub.decoder import decoder_layers
from latentwave.hub.register import register_with_transformers
from latentwave.hub.wave_encoder import WaveEncoderConfig, WaveEncoderForAudioClassification

__all__ = [
    "AttachedMixer",
    "WaveEncoderConfig",
    "WaveEncoderForAudioClassification",
    "all_mixers",
    "attach",
    "attached_mixers",
    "decoder_layers",
    "detach",
    "from_pretrained",
    "register_with_transformers",
]
