"""The multipliers of a ladder as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from latentwave.bench.ladder import RungPlan
from latentwave.bench.ladder.results import Interval, LadderResults, Multiplier
from latentwave.bench.report.formats import MISSING, format_count


def print_ladder(results: LadderResults, console: Console) -> None:
    """Gains and token multipliers of every setting, one row for a contestant at a size."""
    for setting in dict.fromkeys(point.setting for point in results.points):
        own = [m for m in results.multipliers if m.setting == setting]
        if not own:
            continue
        console.print(f"# {setting}", soft_wrap=True)
        console.print(
            "gain over the plain decoder in nats, tokens it needs for the same loss ÷ tokens used, "
            "by tokens per parameter",
            soft_wrap=True,
        )
        budgets = sorted({m.budget for m in own})
        table = Table(box=None)
        for title in ("contestant", "size", "seeds", *(f"{budget:g}" for budget in budgets)):
            side = "left" if title == "contestant" else "right"
            table.add_column(title, no_wrap=True, justify=side)  # type: ignore[arg-type]
        for contestant, size in dict.fromkeys((m.contestant, m.size) for m in own):
            cells = {m.budget: m for m in own if (m.contestant, m.size) == (contestant, size)}
            seeds = max(m.num_seeds for m in cells.values())
            shown = (_cell(cells.get(budget)) for budget in budgets)
            table.add_row(contestant, size, str(seeds), *shown)
        console.print(table)
    if any(m.extrapolated for m in results.multipliers):
        console.print("* beyond every run of the plain decoder at that size: extrapolated")
    for check in results.held_out:
        error = check.predicted - check.measured
        console.print(
            f"held out: {check.setting} {check.size} at {check.budget:g} tokens per parameter: "
            f"predicted {check.predicted:.4f}, measured {check.measured:.4f} ({error:+.4f})",
            soft_wrap=True,
        )


def print_plan(rungs: Sequence[RungPlan], console: Console) -> None:
    """What a ladder would cost, one row for a size on a setting."""
    table = Table(box=None)
    titles = ("setting", "size", "parameters", "contestants", "runs", "tokens", "FLOPs", "hours")
    for title in titles:
        table.add_column(title, no_wrap=True, justify="left" if title == "setting" else "right")
    for each in rungs:
        table.add_row(
            each.setting,
            each.size,
            format_count(each.num_parameters),
            str(each.num_contestants),
            str(each.num_runs),
            format_count(each.tokens),
            f"{each.flops:.1e}",
            f"{each.hours:.2f}",
        )
    console.print(table)
    hours = sum(each.hours for each in rungs)
    console.print(f"{hours:.1f} hours on one process; processes side by side share them")


def _cell(value: Multiplier | None) -> str:
    if value is None:
        return ""
    mark = "*" if value.extrapolated else " "
    times = MISSING if value.tokens is None else f"{value.tokens.mean:.2f}×"
    return f"{value.gain.mean:+.3f} {times:>5}{mark}".replace("-", "−")


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
