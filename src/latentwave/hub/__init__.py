"""The model side: attach mixers, carry their state, save and load them, prove causality."""

from latentwave.hub.attach import attach, detach
from latentwave.hub.attached import AttachedMixer, all_mixers, attached_mixers
from latentwave.hub.causality import CausalityError, assert_causal
from latentwave.hub.checkpoint import from_pretrained
from latentwave.hub.contexts import documents, streaming
from latentwave.hub.decoder import decoder_layers
from latentwave.hub.export import prepare_export
from latentwave.hub.parameter_groups import mixer_parameters, parameter_groups
from latentwave.hub.register import Registration, register
from latentwave.hub.saving import load_mixers, save_mixers

__all__ = [
    "AttachedMixer",
    "CausalityError",
    "Registration",
    "all_mixers",
    "assert_causal",
    "attach",
    "attached_mixers",
    "decoder_layers",
    "detach",
    "documents",
    "from_pretrained",
    "load_mixers",
    "mixer_parameters",
    "parameter_groups",
    "prepare_export",
    "register",
    "save_mixers",
    "streaming",
]
