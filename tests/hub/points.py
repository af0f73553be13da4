"""Mixers at points inside layers, for the tests of points."""

import itertools

import pytest
import torch
from transformers import DynamicCache

import latentwave as lw
from latentwave.hub import all_mixers
from latentwave.hub.points import POINTS
from tests.hub.models import BACKBONES
from tests.mixers.cases import randomize

INNER = POINTS[:-1]
EVERY_BACKBONE = pytest.mark.parametrize("backbone", BACKBONES)
EVERY_POINT = pytest.mark.parametrize(
    "points",
    [*INNER, [*INNER, "block"]],
    ids=lambda points: points if isinstance(points, str) else "all",
)
SIZES = {
    "filterbank": {"num_filters": 6, "kernel_size": 8},
    "adaptive_filterbank": {"num_filters": 6, "kernel_size": 8, "mask_width": 8, "mask_window": 5},
}
LENGTH = {"max_new_tokens": 12, "do_sample": False}


def mixed(model, kind, points, **more):
    options = SIZES.get(kind, {}) | more
    model = lw.attach(model, kind, points=points, context_length=16, **options)
    for each in all_mixers(model):
        randomize(each.mixer)
    return model


def chunked(model, ids, cuts=(0, 9, 16, 17, 20)):
    cache = DynamicCache(config=model.config)
    parts = [
        model(ids[:, start:stop], past_key_values=cache).logits
        for start, stop in itertools.pairwise(cuts)
    ]
    return torch.cat(parts, dim=1)
