import pytest
import torch


@pytest.fixture(autouse=True)
def _compile_afresh(request):
    """Every case traces the same `forward`, which torch compiles only so many times."""
    if "unchecked" in request.keywords:
        torch.compiler.reset()
