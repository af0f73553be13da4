"""What the benchmarks share: paired times, peak memory of CPU tensors, and one line per result."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile


def header(title: str) -> None:
    """The title, and where the numbers come from."""
    # Not above: bench_gpu.py runs where only the library's dependencies are.
    from latentwave.bench.training import describe_environment

    where = describe_environment()
    print(f"# {title}")
    print(
        f"torch {where['versions']['torch']}, {where['cpu']}, {where['cores']} cores, "
        f"{where['threads']} threads, commit {where['commit']}"
    )


def paired_seconds(
    functions: Mapping[str, Callable[[], object]], *, repeats: int = 7, at_most: float = 30.0
) -> dict[str, float]:
    """The median time of each function, all of them run in turn, so that disturbances are shared.

    Stops early, with at least three rounds, when `at_most` seconds are spent.
    """
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    began = time.perf_counter()
    for done in range(repeats):
        if done >= 3 and time.perf_counter() - began > at_most:
            break
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_extra_bytes(function: Callable[[], object]) -> int:
    """The highest sum of bytes that were allocated and not yet freed while the function ran."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    kineto = profiler.profiler.kineto_results if profiler.profiler else None
    if kineto is None:
        raise RuntimeError("the profiler recorded nothing")
    events = [event for event in kineto.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def forward_backward(
    function: Callable[..., Tensor], *inputs: Tensor, weights: Tensor
) -> Callable[[], tuple[Tensor, ...]]:
    """A call that runs the function and its gradients for all inputs that need one."""
    wanted = [tensor for tensor in inputs if tensor.requires_grad]

    def run() -> tuple[Tensor, ...]:
        output = function(*inputs)
        return (output.detach(), *torch.autograd.grad(output, wanted, weights))

    return run


def verdict(value: float, target: float, *, at_least: bool) -> str:
    """The target beside a value, and whether it is met."""
    met = value >= target if at_least else value <= target
    return f"target {'>=' if at_least else '<='} {target:g}: {'met' if met else 'MISSED'}"
