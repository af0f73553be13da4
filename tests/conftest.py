"""Shared by all tests: shapes in annotations are checked at run time.

`LATENTWAVE_SHAPE_CHECKS=0` runs the tests marked "unchecked" instead, those for which the checks
stand in the way: torch.compile traces the bare code, and refusals are ours, not the checker's.
Where beartype is missing, all tests run without checks.
"""

import contextlib
import gc
import importlib
import os
import signal
from importlib.util import find_spec

import pytest
import torch

CHECKER_EXISTS = find_spec("beartype") is not None
CHECK_SHAPES = CHECKER_EXISTS and os.environ.get("LATENTWAVE_SHAPE_CHECKS", "1") == "1"
if CHECK_SHAPES:
    from jaxtyping import install_import_hook

    import tests.checker

    # What is imported while a checked module runs is compiled anew: the hook changes where Python
    # looks for compiled files.
    for name in ("datasets", "matplotlib.pyplot", "peft", "scipy.signal", "transformers.trainer"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)

    install_import_hook("latentwave", f"{tests.checker.__name__}.checked")


def pytest_collection_modifyitems(config, items):
    if not CHECKER_EXISTS:
        return
    chosen = [item for item in items if ("unchecked" in item.keywords) != CHECK_SHAPES]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def pytest_collection_finish():
    # Trainers collect garbage several times a run: what has been imported by now is none.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """As many as the cores have room for: threads of several workers would wait for each other."""
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("OMP_NUM_THREADS", "1")))


# Tiny tensors are slower on several threads; the environment may ask for them all the same.
if "OMP_NUM_THREADS" not in os.environ:
    torch.set_num_threads(1)


# What is on the disk after a power cut, no test can see.
os.fsync = lambda descriptor: None

# Shells let what they start in the background ignore interrupts; some tests send them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def float64():
    """Models and inputs of a test are made in float64, where rounding is out of the way."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=not CHECK_SHAPES)
def _fresh_compiler() -> None:
    # Otherwise the graphs of earlier tests count towards a function's recompilation limit.
    torch.compiler.reset()
