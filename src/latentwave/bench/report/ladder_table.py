"""The multipliers of a ladder on the console."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table

from latentwave.bench.ladder.results import Interval, LadderResults
from latentwave.bench.report.formats import MISSING


def print_ladder(results: LadderResults, console: Console) -> None:
    """The multipliers of every setting, one table each."""
    for setting in dict.fromkeys(point.setting for point in results.points):
        table = Table(title=f"{setting}: tokens the plain decoder needs ÷ tokens used", box=None)
        for title in ("contestant", "size", "tokens/param", "gain, nats", "M tokens", "M seconds"):
            table.add_column(
                title, no_wrap=True, justify="left" if title == "contestant" else "right"
            )
        for each in (m for m in results.multipliers if m.setting == setting):
            table.add_row(
                each.contestant,
                each.size,
                f"{each.budget:g}",
                signed(each.gain),
                times(each.tokens, each.extrapolated),
                times(each.seconds, each.extrapolated),
            )
        console.print(table)
    for check in results.held_out:
        error = check.predicted - check.measured
        console.print(
            f"held out: {check.setting} {check.size} at {check.budget:g} tokens per parameter: "
            f"predicted {check.predicted:.4f}, measured {check.measured:.4f} ({error:+.4f})",
            soft_wrap=True,
        )


def times(value: Interval | None, extrapolated: bool = False) -> str:
    """A multiplier with its interval; an asterisk marks extrapolation."""
    if value is None or value.mean is None or not math.isfinite(value.mean):
        return MISSING
    high = "…" if value.high is None else f"{value.high:.2f}"
    low = "…" if value.low is None else f"{value.low:.2f}"
    return f"{value.mean:.2f}× [{low}, {high}]{'*' if extrapolated else ''}"


def signed(value: Interval) -> str:
    """A gain in nats with its interval."""
    ends = "" if value.low is None else f" [{value.low:+.3f}, {value.high:+.3f}]"
    return f"{value.mean:+.3f}{ends}".replace("-", "−")
