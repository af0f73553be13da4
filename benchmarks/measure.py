"""What the benchmarks share: the row that a measurement becomes, paired times, peak memory.

A benchmark is a script with a function `rows`, which yields rows as it measures them, and
`main(rows)` at its end. `python benchmarks/bench_x.py` prints its rows; `benchmarks/run.py` prints
those of all benchmarks and writes the file that the pages show.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from latentwave.mixers import Mixer, build_mixer

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler of `peak_mib` says nothing
NUM_FILTERS, KERNEL_SIZE = 144, 32  # M and K of filterbanks
# Mixers by the name of their row: kind and options.
MIXERS: dict[str, tuple[str, dict[str, Any]]] = {
    "best": ("best", {}),
    "wavelet haar": ("wavelet", {}),
    "wavelet haar, mean": ("wavelet", {"boundary": "mean"}),
    "wavelet db4": ("wavelet", {"wavelet": "db4"}),
    "learnable, 16 taps": ("learnable_wavelet", {}),
    "learnable, 512 taps": ("learnable_wavelet", {"max_taps": 512}),
    "learnable, angles": ("learnable_wavelet", {"wavelet": "db2", "orthogonal": True}),
    "ema": ("ema", {}),
    "moving average": ("moving_average", {}),
    "short conv": ("short_conv", {}),
    "token shift": ("token_shift", {}),
    "filterbank": ("filterbank", {}),
    "adaptive filterbank": ("adaptive_filterbank", {}),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement beside its reference."""

    group: str  # of rows that belong together
    what: str  # was measured
    setting: str  # its sizes
    ours: float  # median over rounds
    unit: str  # of `ours` and `reference`
    reference: float  # the same of the slow form or the plain model
    against: str  # what the reference is
    # The median over rounds of reference ÷ ours where it reads "faster" or "smaller", of
    # ours ÷ reference where it reads "of it".
    ratio: float
    reads: Literal["faster", "smaller", "of it"] = "of it"
    at_least: float | None = None  # target of the ratio
    at_most: float | None = None  # the same from above
    # The largest ‖ours − reference‖ ÷ ‖reference‖ of outputs and gradients, where both are the same
    # function; growth is compared with float64.
    error: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the ratio meets its target; None without one."""
        if self.at_least is not None:
            return self.ratio >= self.at_least
        return None if self.at_most is None else self.ratio <= self.at_most

    def cells(self) -> list[str]:
        """What a table shows, in the order of `TITLES`."""
        ratio, target = f"{self.ratio:.3f}", ""
        if self.reads != "of it":
            ratio = f"{_digits(self.ratio)}× {self.reads}"
        if self.met is not None:
            limit = f"≤ {self.at_most:g}" if self.at_least is None else f"≥ {self.at_least:g}"
            target = f"{limit}: {'met' if self.met else 'missed'}"
        ours, reference = f"{_digits(self.ours)} {self.unit}", _digits(self.reference)
        error = "" if self.error is None else f"{self.error:.0e}"
        return [self.what, self.setting, ours, reference, self.against, ratio, target, error]


TITLES = ["what", "sizes", "ours", "reference", "which is", "ratio", "target", "error"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Benchmarks:
    """All rows of one call of `benchmarks/run.py`."""

    environment: dict[str, Any]  # see `latentwave.bench.training.describe_environment`
    load: float  # processes that ran on the machine in the minute before, on average
    quick: bool  # whether sizes were small: then the numbers say nothing
    seconds: float  # that all of it took
    failed: list[str]  # benchmarks that ended with an error; rows of theirs are missing
    rows: list[Row]

    def write(self, path: Path) -> None:
        """As JSON, with a key more in each row: whether it meets its target."""
        rows = [vars(row) | {"met": row.met} for row in self.rows]
        text = json.dumps(vars(self) | {"rows": rows}, indent=1, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Benchmarks:
        """What `write` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        for row in values["rows"]:
            del row["met"]
        return cls(**values | {"rows": [Row(**row) for row in values["rows"]]})


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def main(rows: Callable[[bool], Iterator[Row]]) -> None:
    """The command line of one benchmark: its rows as a table or as lines of JSON."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it runs")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each row")
    options = parser.parse_args()
    torch.manual_seed(0)
    output, show = sys.stdout, printer()
    with contextlib.redirect_stdout(sys.stderr):  # what libraries print is no row
        for row in rows(options.quick):
            if options.json:
                print(json.dumps(vars(row)), file=output, flush=True)
            else:
                show(row)


def printer() -> Callable[[Row], None]:
    """Prints rows one by one, all of them in one table."""
    # Not above: bench_gpu.py runs where only the library's dependencies are.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 180)
    last = ""

    def show(row: Row) -> None:
        nonlocal last
        # Shares of the width, whatever is in a row: so all rows have the same columns.
        table = Table(box=None, expand=True, show_header=not last)
        for title, share in zip(TITLES, (9, 8, 5, 3, 5, 4, 4, 2), strict=True):
            table.add_column(title, ratio=share, overflow="fold")
        if row.group != last:
            table.add_row(Text(row.group, style="bold"))
        table.add_row(*map(Text, row.cells()), style="red" if row.met is False else "")
        console.print(table)
        last = row.group

    return show


def compare(
    group: str,
    setting: str,
    what: str,
    unit: str,
    ours: Sequence[float],
    reference: Sequence[float],
    reads: Literal["faster", "smaller", "of it"] = "of it",
    **more: Any,
) -> Row:
    """A row of values from the same rounds."""
    pairs = zip(ours, reference, strict=True)
    ratio = statistics.median(a / b if reads == "of it" else b / a for a, b in pairs)
    more |= {"ours": statistics.median(ours), "reference": statistics.median(reference)}
    return Row(group=group, what=what, setting=setting, unit=unit, ratio=ratio, reads=reads, **more)


def paired(
    functions: Mapping[str, Callable[[], object]],
    *,
    unit: str = "ms",
    work: float = 1.0,
    repeats: int = 7,
    at_most: float = 30.0,
) -> dict[str, list[float]]:
    """Measure functions in turn, so that disturbances are shared; each is called once before.

    No round starts after `at_most` seconds, once there are three. A value for each round: the "ms"
    or "µs" that a call takes, in any other unit how much of `work` it does per second.
    """
    for function in functions.values():
        function()
    values: dict[str, list[float]] = {name: [] for name in functions}
    began = time.perf_counter()
    for done in range(repeats):
        if done >= 3 and time.perf_counter() - began > at_most:
            break
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds = time.perf_counter() - start
            scale = {"ms": 1e3, "µs": 1e6}.get(unit)
            values[name].append(scale * seconds if scale else work / seconds)
    return values


def peak_mib(function: Callable[[], object]) -> list[float]:
    """The most MiB of CPU tensors that were allocated and not yet freed while the function ran."""
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
    return [peak / 2**20]


def some_mixer(name: str, channels: int) -> Mixer:
    """One of `MIXERS`, a step away from its start, where many are the identity."""
    kind, options = MIXERS[name]
    mixer = build_mixer(kind, channels=channels, context_length=512, **options)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return mixer


def forward_backward(
    function: Callable[..., Tensor], *inputs: Tensor, weights: Tensor
) -> Callable[[], tuple[Tensor, ...]]:
    """A call that runs a function and its gradients, those of a module's parameters too."""
    parameters = function.parameters() if isinstance(function, nn.Module) else ()
    wanted = [tensor for tensor in (*inputs, *parameters) if tensor.requires_grad]

    def run() -> tuple[Tensor, ...]:
        output = function(*inputs)
        return (output.detach(), *torch.autograd.grad(output, wanted, weights))

    return run


@torch.no_grad()
def relative_error(ours: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """The largest ‖ours − reference‖ ÷ ‖reference‖; two sides that disagree are not compared."""
    error = 0.0
    for fast, slow in zip(ours, reference, strict=True):
        error = max(error, float((fast - slow).norm() / slow.norm()))
        if not error < 1e-4:
            raise ArithmeticError(f"the fast form is off by {error:.1e} of the reference")
    return error
