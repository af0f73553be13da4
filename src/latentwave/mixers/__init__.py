"""Token mixers as modules: one contract, one registry, streaming state."""

from latentwave.mixers.adaptive import AdaptiveFilterbankMixer
from latentwave.mixers.base import Mixer
from latentwave.mixers.chain import ChainMixer
from latentwave.mixers.dynamic import DynamicConvMixer
from latentwave.mixers.ema import EmaMixer
from latentwave.mixers.filterbank import FilterbankMixer
from latentwave.mixers.heads import KeyOffsetMixer, KvShiftMixer, head_roles
from latentwave.mixers.learnable import LearnableWaveletMixer
from latentwave.mixers.pyramid import PyramidMixer
from latentwave.mixers.references import MovingAverageMixer, ShortConvMixer, TokenShiftMixer
from latentwave.mixers.registry import (
    MixerConfig,
    build_mixer,
    default_points,
    list_mixers,
    register_mixer,
    register_preset,
)
from latentwave.mixers.state import MixerState
from latentwave.mixers.wavelet import WaveletMixer
from latentwave.mixers.wavelet_bank import WaveletBankMixer

__all__ = [
    "AdaptiveFilterbankMixer",
    "ChainMixer",
    "DynamicConvMixer",
    "EmaMixer",
    "FilterbankMixer",
    "KeyOffsetMixer",
    "KvShiftMixer",
    "LearnableWaveletMixer",
    "Mixer",
    "MixerConfig",
    "MixerState",
    "MovingAverageMixer",
    "PyramidMixer",
    "ShortConvMixer",
    "TokenShiftMixer",
    "WaveletBankMixer",
    "WaveletMixer",
    "build_mixer",
    "default_points",
    "head_roles",
    "list_mixers",
    "register_mixer",
    "register_preset",
]
