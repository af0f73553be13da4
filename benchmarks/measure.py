"""Shared by all benchmarks: rows of results, paired timing, peak memory, the command line.

A benchmark is a script with a function `rows`, which yields rows as it measures them, and
`main(rows)` at its end. `python benchmarks/bench_x.py` prints its rows; `benchmarks/run.py` runs
all benchmarks and writes the file that the pages show.
"""

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

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # silences the profiler of `peak_mib`
NUM_FILTERS, KERNEL_SIZE = 144, 32  # M and K of filterbanks
# Kind and options by the name of the row.
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

    group: str  # the table that it belongs to
    what: str  # what was measured
    setting: str  # at which sizes
    ours: float  # median over rounds
    unit: str  # of `ours` and `reference`
    reference: float  # the median for the slow form or the plain model
    against: str  # which of these it is
    # Median of reference ÷ ours if it reads "faster" or "smaller", else of ours ÷ reference.
    ratio: float
    reads: Literal["faster", "smaller", "of it"] = "of it"
    at_least: float | None = None  # target of the ratio, from below
    at_most: float | None = None  # or from above
    # The largest ‖ours − reference‖ ÷ ‖reference‖ of outputs and gradients, if both compute the
    # same function; for growth, against float64.
    error: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the ratio meets its target; None without one."""
        if self.at_least is not None:
            return self.ratio >= self.at_least
        return None if self.at_most is None else self.ratio <= self.at_most

    def cells(self) -> list[str]:
        """The cells of a table, in the order of `TITLES`."""
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
    load: float  # the machine's average load in the minute before
    quick: bool  # whether sizes were small, so that the numbers mean nothing
    seconds: float  # the time of the whole call
    failed: list[str]  # benchmarks that ended with an error, so that rows are missing
    rows: list[Row]

    def write(self, path: Path) -> None:
        """Write JSON; each row also says whether it meets its target."""
        rows = [vars(row) | {"met": row.met} for row in self.rows]
        text = json.dumps(vars(self) | {"rows": rows}, indent=1, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Benchmarks":
        """Read what `write` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        for row in values["rows"]:
            del row["met"]
        return cls(**values | {"rows": [Row(**row) for row in values["rows"]]})


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def main(rows: Callable[[bool], Iterator[Row]]) -> None:
    """The command line of one benchmark: prints its rows as a table or as lines of JSON."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--json", action="store_true", help="print a line of JSON per row")
    options = parser.parse_args()
    torch.manual_seed(0)
    output, show = sys.stdout, printer()
    with contextlib.redirect_stdout(sys.stderr):  # keep what libraries print out of the rows
        for row in rows(options.quick):
            if options.json:
                print(json.dumps(vars(row)), file=output, flush=True)
            else:
                show(row)


def printer() -> Callable[[Row], None]:
    """A function that prints rows one by one, as one table."""
    # Imported here, because bench_gpu.py runs with the library's dependencies alone.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 180)
    last = ""

    def show(row: Row) -> None:
        nonlocal last
        # Fixed shares of the width align the columns of all rows.
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
    """A row from the values of the same rounds."""
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
    """Time functions in turn, so that all share disturbances, after one call each to warm up.

    After three rounds, none starts later than `at_most` seconds. Returns a value per round: the
    "ms" or "µs" of a call, or in any other unit the `work` done per second.
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
    """The peak of memory in CPU tensors while the function ran, in MiB."""
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
    """One of `MIXERS`, moved away from its initial values, where many are the identity."""
    kind, options = MIXERS[name]
    mixer = build_mixer(kind, channels=channels, context_length=512, **options)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return mixer


def forward_backward(
    function: Callable[..., Tensor], *inputs: Tensor, weights: Tensor
) -> Callable[[], tuple[Tensor, ...]]:
    """A call that runs a function and its gradients, a module's parameters included."""
    parameters = function.parameters() if isinstance(function, nn.Module) else ()
    wanted = [tensor for tensor in (*inputs, *parameters) if tensor.requires_grad]

    def run() -> tuple[Tensor, ...]:
        output = function(*inputs)
        return (output.detach(), *torch.autograd.grad(output, wanted, weights))

    return run


@torch.no_grad()
def relative_error(ours: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """The largest ‖ours − reference‖ ÷ ‖reference‖; raises ArithmeticError if they disagree."""
    error = 0.0
    for fast, slow in zip(ours, reference, strict=True):
        error = max(error, float((fast - slow).norm() / slow.norm()))
        if not error < 1e-4:
            raise ArithmeticError(f"the fast form is off by {error:.1e} of the reference")
    return error
