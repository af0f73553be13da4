"""Slow reference forms, straight from the definitions, and random documents."""

import torch

from latentwave.functional import segment_runs


def slow_fir(x, taps, runs=None):
    """Σ_k taps(k) x(t−k), one lag at a time."""
    T = x.shape[1]
    y = torch.zeros_like(x)
    for k in range(min(taps.shape[1], T)):
        earlier = x[:, : T - k]
        if runs is not None:
            earlier = earlier * (runs[:, k:] == runs[:, : T - k]).unsqueeze(-1)
        y[:, k:] += earlier * taps[:, k]
    return y


def random_runs(batch, tokens, *, mean_length=15):
    """Documents of random lengths."""
    return (torch.rand(batch, tokens) < 1.0 / mean_length).long().cumsum(1)


def documents(batch, tokens, packed=True):
    """Runs of short documents, some of which share an id; None unless `packed`."""
    ids = torch.randint(0, 4, (batch, tokens)).div(3, rounding_mode="floor")
    return segment_runs(ids) if packed else None
