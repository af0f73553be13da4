"""Checks annotated shapes at run time in all tests, and sets up what tests share.

`LATENTWAVE_SHAPE_CHECKS=0` switches the checks off and runs the tests marked "unchecked" instead:
torch.compile must trace the bare code, and a bad shape must be refused by us, not by the checker.
Without beartype all tests run, without checks.
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

    # While a checked module runs, the hook changes where Python looks for compiled files, so what
    # is imported then is compiled again. Large packages are therefore imported before.
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
    # Trainers collect garbage several times a run; imported modules need not be searched each time.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """No more workers than cores for their threads, which would otherwise wait for each other."""
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("OMP_NUM_THREADS", "1")))


# Tiny tensors are slower on several threads, so these have to be asked for.
if "OMP_NUM_THREADS" not in os.environ:
    torch.set_num_threads(1)


# No test can cut the power, so none needs files to be on the disk.
os.fsync = lambda descriptor: None

# Background processes of a shell ignore interrupts, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def float64():
    """Make models and inputs in float64, where rounding does not blur comparisons."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=not CHECK_SHAPES)
def _fresh_compiler() -> None:
    # Otherwise graphs of earlier tests count towards a function's recompilation limit.
    torch.compiler.reset()
