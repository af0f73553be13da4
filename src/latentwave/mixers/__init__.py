"""Token mixers as modules: one contract, one registry, streaming state."""

from latentwave.mixers.adaptive import AdaptiveFilterbankMixer
from latentwave.mixers.base import Mixer
from latentwave.mixers.chain import ChainMixer
from latentwave.mixers.ema import EmaMixer
from latentwave.mixers.filterbank import FilterbankMixer
from latentwave.mixers.learnable import LearnableWaveletMixer
from latentwave.mixers.references import MovingAverageMixer, ShortConvMixer, TokenShiftMixer
from latentwave.mixers.registry import MixerConfig, build_mixer, list_mixers, register_mixer
from latentwave.mixers.sequence_parallel import mix_sequence_shard
from latentwave.mixers.state import MixerState
from latentwave.mixers.wavelet import WaveletMixer

__all__ = [
    "AdaptiveFilterbankMixer",
    "ChainMixer",
    "EmaMixer",
    "FilterbankMixer",
    "LearnableWaveletMixer",
    "Mixer",
    "MixerConfig",
    "MixerState",
    "MovingAverageMixer",
    "ShortConvMixer",
    "TokenShiftMixer",
    "WaveletMixer",
    "build_mixer",
    "list_mixers",
    "mix_sequence_shard",
    "register_mixer",
]
