"""Comparisons that give the same answer on every processor.

Another processor, another number of threads or another path sums in another order. What has to be
the same is therefore bounded by the scale of the values, not by a number that fitted once; and what
has to differ must differ far more than rounding does.
"""

import torch


def _scale(actual, expected):
    """Both in float64, and the largest difference as a share of the largest expected value."""
    actual, expected = (torch.as_tensor(x).detach().double() for x in (actual, expected))
    assert actual.shape == expected.shape
    assert torch.isfinite(actual).all()
    assert torch.isfinite(expected).all()
    scale = expected.abs().max().clamp(min=torch.finfo(torch.float64).tiny)
    return float((actual - expected).abs().max() / scale)


def assert_same(actual, expected, share=1e-5):
    """No difference is larger than `share` of the largest expected value."""
    found = _scale(actual, expected)
    assert found <= share, (
        f"they differ by {found:.1e} of the largest value, {share:.0e} is allowed"
    )


def assert_differ(actual, expected, share=1e-3):
    """The largest difference is at least `share` of the largest expected value."""
    found = _scale(actual, expected)
    assert found >= share, f"they differ by {found:.1e} of the largest value, {share:.0e} is needed"


def with_gradients(function, inputs, **options):
    """What a function gives, and the gradients of its inputs for one fixed gradient of that."""
    y = function(*inputs, **options)
    # Numbers that every type holds.
    dy = torch.arange(y.numel()).reshape(y.shape).sin().bfloat16().to(y.dtype)
    return [y.detach(), *torch.autograd.grad(y, inputs, dy)]
