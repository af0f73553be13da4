"""Documents, padding and state where several models or unusual layers meet."""

import itertools

import torch

import latentwave as lw
from tests.comparing import assert_differ, assert_same
from tests.hub import models
from tests.hub.models import tokens
from tests.hub.plain import Decoder


def mixed(model=None, points=("mlp", "block"), **more):
    where = {"layers": "transformer.h"} | more
    return models.mixed((model or Decoder()).double(), "short_conv", points, **where)


def test_models_inside_streaming_keep_states_of_their_own():
    """Such as a draft model beside the one it writes for, or a teacher that does not stream."""
    target, draft, teacher, ids = mixed(), mixed(), mixed(), tokens(2, 20)
    whole = target(ids), draft(ids), teacher(ids)
    caches, parts = ({}, {}), ([], [])
    with torch.no_grad(), lw.streaming(target), lw.streaming(draft) as state:
        for start, stop in itertools.pairwise([0, 9, 10, 20]):
            for model, cache, part in zip((target, draft), caches, parts, strict=True):
                part.append(model(ids[:, start:stop], cache=cache))
            assert_same(teacher(ids), whole[2])
        for part, expected in zip(parts, whole, strict=False):
            assert_same(torch.cat(part, dim=1), expected)
        state.reset()  # that of the draft alone
        assert_same(draft(ids), whole[1])
        assert_differ(target(ids), whole[0])
