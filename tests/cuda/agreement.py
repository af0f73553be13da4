"""How close a result on a GPU has to be to one in float64."""

import torch

DEVICE = "cuda"
# Of the norm. Gradients pass ReLU gates, which a rounded input can flip.
OUTPUTS = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
GRADIENTS = {torch.float32: 1e-4, torch.bfloat16: 1e-1}


def assert_agree(value, exact, *, output=False, name="y"):
    value = value.detach()
    assert value.shape == exact.shape
    error = (value.cpu().double() - exact.cpu()).norm() / exact.norm().clamp(min=1e-6)
    limit = (OUTPUTS if output else GRADIENTS)[value.dtype]
    assert error <= limit, f"{name}: relative error {error:.1e}, at most {limit:.0e}"
