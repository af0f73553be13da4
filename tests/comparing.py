"""Comparisons that give the same answer on every processor.

The order of a sum depends on the processor, the number of threads and the code path. Equality is
therefore bounded by the scale of the values, not by a number that fitted once, and a difference has
to be far larger than rounding.
"""

import torch


def _difference(actual, expected):
    """The largest difference as a share of the largest expected value, in float64."""
    actual, expected = (torch.as_tensor(x).detach().double() for x in (actual, expected))
    assert actual.shape == expected.shape
    assert torch.isfinite(actual).all()
    assert torch.isfinite(expected).all()
    scale = expected.abs().max().clamp(min=torch.finfo(torch.float64).tiny)
    return float((actual - expected).abs().max() / scale)


def assert_same(actual, expected, share=1e-5):
    """No difference is larger than `share` of the largest expected value."""
    found = _difference(actual, expected)
    assert found <= share, f"difference {found:.1e} of the largest value, allowed {share:.0e}"


def assert_differ(actual, expected, share=1e-3):
    """The largest difference is at least `share` of the largest expected value."""
    found = _difference(actual, expected)
    assert found >= share, f"difference {found:.1e} of the largest value, needed {share:.0e}"


def with_gradients(function, inputs, **options):
    """A function's output, and the gradients of its inputs for a fixed gradient of the output."""
    y = function(*inputs, **options)
    # Rounded to bfloat16, so that every dtype holds the same numbers.
    dy = torch.arange(y.numel()).reshape(y.shape).sin().bfloat16().to(y.dtype)
    return [y.detach(), *torch.autograd.grad(y, inputs, dy)]
