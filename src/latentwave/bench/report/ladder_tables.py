"""Tabulates a ladder for its page and for a terminal."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from rich.console import Console

from latentwave.bench.ladder import RungPlan
from latentwave.bench.ladder.results import (
    CellCost,
    Check,
    HeldOut,
    Interval,
    LadderResults,
    Multiplier,
    RateSearch,
)
from latentwave.bench.report.formats import (
    MISSING,
    Cell,
    Row,
    format_count,
    format_number,
    format_share,
    in_brackets,
    in_words,
)
from latentwave.bench.report.ladder_charts import finished_runs, mean_loss
from latentwave.bench.report.page import Section, Table, make_table, print_table

FACTORS = "factor of the setting's learning rates that ended lowest in the search"
NO_LAW = "the plain decoder’s runs are too few or fit no law"
_AT_END = "* an end of the grid: a better one may lie beyond it"
RULE = (
    "what a mixer saves, gains over a control, and keeps from the smallest size to the largest, "
    "where each is least"
)
_RATIOS = (  # besides tokens: the multiplier's field, its title, and what is divided by what
    ("seconds", "in seconds", "seconds it needs for that loss ÷ seconds used"),
    (
        "parameters",
        "as larger plain decoders",
        "size of the plain decoder that has that loss after the same tokens ÷ size used",
    ),
)


def print_ladder(results: LadderResults, console: Console) -> None:
    """Print gains and multipliers of every setting, one row for a contestant at a size."""
    for setting in settings_of(results):
        multipliers = [m for m in results.multipliers if m.setting == setting]
        if not multipliers:
            continue
        console.print(f"# {setting}")
        console.print(
            "by tokens per parameter: gain over the plain decoder in nats, tokens it needs for "
            "that loss ÷ tokens used [95 %]"
        )
        print_table(console, _by_budget(multipliers, _gain_and_tokens))
        if any(m.extrapolated for m in multipliers):
            console.print("* extrapolated: below every mean loss of the plain decoder at that size")
        if any(m.tokens is None and not m.extrapolated for m in multipliers):
            console.print(f"{MISSING} no multiplier: {NO_LAW}")
        for measure, title, ratio in _RATIOS:
            known = [m for m in multipliers if getattr(m, measure) is not None]
            if known:
                console.print(f"# {setting}, {title}")
                console.print(f"by tokens per parameter: {ratio} [95 %]")
                print_table(console, _by_budget(known, partial(_ratio, measure)))
    for place in diverged_cells(results):
        console.print(f"diverged: {place}")
    for check in results.held_out:
        console.print(f"held out: {check_in_words(check)}")
    for title, table in verdict_tables(results).items():
        console.print(f"# {title}\n{RULE}")
        print_table(console, table)
    for setting in dict.fromkeys(each.setting for each in results.searches):
        searches = [s for s in results.searches if s.setting == setting]
        console.print(f"# {setting}, learning rates\nby tokens per parameter: {FACTORS}")
        if any(each.at_end_of_grid for each in searches):
            console.print(_AT_END)
        print_table(console, _by_budget(searches, _chosen))


def print_plan(rungs: Sequence[RungPlan], console: Console) -> None:
    """Print what a ladder would cost, one row for a size in a setting."""
    rows = [
        {
            "setting": each.setting,
            "size": each.size,
            "parameters": format_count(each.num_parameters),
            "contestants": str(each.num_contestants),
            "runs": str(each.num_runs),
            "tokens": format_count(each.tokens),
            "FLOPs": f"{each.flops:.1e}",
            "hours": f"{each.hours:.2f}",
        }
        for each in rungs
    ]
    print_table(console, make_table(rows))
    hours = sum(each.hours for each in rungs)
    console.print(f"{hours:.1f} hours in one process; parallel runs divide them")


def costs_table(costs: Sequence[CellCost]) -> Table:
    """Tabulate what every contestant costs at every size."""
    rows = [
        {
            "size": c.size,
            "contestant": c.contestant,
            "setting": c.setting,
            "parameters": format_count(c.num_parameters),
            "mixers": format_share(c.num_mixer_parameters / c.num_parameters),
            "tokens/s": format_count(c.tokens_per_second),
        }
        for c in costs
    ]
    return make_table(rows)


def _by_budget(
    entries: Sequence[Multiplier] | Sequence[RateSearch], cell: Callable[[Any], str | Cell]
) -> Table:
    """Tabulate entries: one row for a contestant at a size, one column for a budget."""
    cells: dict[tuple[str, str], dict[float, Multiplier | RateSearch]] = {}
    for each in entries:
        cells.setdefault((each.contestant, each.size), {})[each.budget] = each
    rows = []
    for (contestant, size), found in cells.items():
        row: Row = {"contestant": contestant, "size": size}
        if seeds := [m.num_seeds for m in found.values() if isinstance(m, Multiplier)]:
            row["seeds"] = str(max(seeds))
        for budget in sorted({each.budget for each in entries}):
            row[f"{budget:g}"] = cell(found[budget]) if budget in found else ""
        rows.append(row)
    return make_table(rows)


def setting_section(results: LadderResults, setting: str) -> Section:
    """Show the final loss of every contestant, size and budget, and what it saves."""
    multipliers = {
        (m.contestant, m.size, m.budget): m for m in results.multipliers if m.setting == setting
    }
    rows = []
    for place, points in finished_runs(results, setting).items():
        name, size, budget = place
        row: Row = {
            "contestant": name,
            "size": size,
            "tokens\n/parameter": f"{budget:g}",
            "seeds": str(len(points)),
            "loss\nnats": f"{mean_loss(points):.3f}",
        }
        found = multipliers.get(place)
        row["gain\nnats"] = signed_cell(found.gain) if found else MISSING
        for unit in ("tokens", "flops", "seconds"):
            times = times_cell(getattr(found, unit), found.extrapolated) if found else MISSING
            row[unit.replace("flops", "FLOPs")] = times
        row["parameters"] = times_cell(found.parameters if found else None)
        rows.append(row)
    caption = (
        "Multipliers: what the plain decoder needs for the same loss ÷ what the contestant used. "
        "For parameters that is after the same tokens, within the sizes measured."
    )
    return Section(title=f"Setting “{setting}”", table=make_table(rows, caption))


def verdict_tables(results: LadderResults) -> dict[str, Table]:
    """Tabulate by title what each part of the rule says, at its weakest, about the contestants.

    There is a table for each setting with more than one seed or size: a screening decides nothing.
    """
    tables = {}
    for setting in dict.fromkeys(each.setting for each in results.promotions):
        if len({(p.size, p.seed) for p in results.points if p.setting == setting}) < 2:
            continue
        promotions = [each for each in results.promotions if each.setting == setting]
        timed = all(each.measure == "seconds" for each in promotions)
        rows = []
        for each in promotions:
            missing = f"{each.num_missing} runs missing" if each.num_missing else ""
            row: Row = {
                "contestant": each.contestant,
                f"saves {'seconds' if timed else 'tokens'}": _checked(each.saves, ".2f"),
                "beats controls, nats": _checked(each.beats_controls, "+.3f"),
                "lasts with size": _checked(each.lasts, ".2f"),
                "promoted": Cell(in_words(each.promoted), missing),
            }
            rows.append(row)
        untimed = "" if timed else "Steps were not timed, so nothing is promoted."
        tables[f"{setting}, the rule for a default"] = make_table(rows, untimed)
    return tables


def searches_table(searches: Sequence[RateSearch]) -> Table:
    """Tabulate the losses of every search by factor."""
    factors = sorted({float(factor) for each in searches for factor in each.losses})
    rows = []
    for each in searches:
        row: Row = {
            "size": each.size,
            "contestant": each.contestant,
            "setting": each.setting,
            "tokens\n/parameter": f"{each.budget:g}",
        }
        losses = {float(factor): loss for factor, loss in each.losses.items()}
        for factor in factors:
            loss = losses.get(factor)
            lost = "diverged" if factor in losses else ""
            row[f"× {factor:g}"] = lost if loss is None else f"{loss:.4f}"
        row["chosen"] = _chosen(each)
        rows.append(row)
    return make_table(rows, _AT_END if any(each.at_end_of_grid for each in searches) else "")


def settings_of(results: LadderResults) -> Iterable[str]:
    """The settings with trained runs, in the order of the recipe."""
    return dict.fromkeys(point.setting for point in results.points)


def diverged_cells(results: LadderResults) -> list[str]:
    """Name the cells with diverged runs, which the tables leave out, and count these runs."""
    cells: dict[str, list[bool]] = {}
    for p in results.points:
        cell = f"{p.setting} {p.contestant} {p.size} at {p.budget:g} tokens per parameter"
        cells.setdefault(cell, []).append(p.loss is None)
    return [
        f"{cell}: {sum(lost)} of {len(lost)} seeds" for cell, lost in cells.items() if any(lost)
    ]


def check_in_words(check: HeldOut) -> str:
    """Say what a law predicted and what was measured."""
    return (
        f"{check.setting} {check.size} at {check.budget:g} tokens per parameter: predicted "
        f"{check.predicted:.4f}, measured {check.measured:.4f} "
        f"({format_number(check.predicted - check.measured, '+.4f')})"
    )


def _gain_and_tokens(multiplier: Multiplier) -> Cell:
    gain, times = signed_cell(multiplier.gain).value, times_cell(multiplier.tokens)
    mark = "*" if multiplier.extrapolated else " "
    return Cell(f"{gain} {times.value:>5}{mark}", f"{times.note} ".lstrip())


def _ratio(measure: str, multiplier: Multiplier) -> Cell:
    extrapolated = multiplier.extrapolated and measure != "parameters"
    return times_cell(getattr(multiplier, measure), extrapolated)


def times_cell(value: Interval | None, extrapolated: bool = False) -> Cell:
    """A multiplier and its interval; an asterisk marks extrapolation."""
    if value is None:
        return Cell(MISSING)
    return _interval_cell(value, ".2f", "×*" if extrapolated else "×")


def signed_cell(value: Interval) -> Cell:
    """A gain in nats and its interval."""
    return _interval_cell(value, "+.3f")


def _checked(check: Check | None, spec: str) -> Cell:
    if check is None:
        return Cell("not tested")
    value = _interval_cell(check.value, spec)
    return Cell(f"{in_words(check.passed)}  {value}", check.where)


def _interval_cell(value: Interval, spec: str, suffix: str = "") -> Cell:
    """A value and its interval, which one seed does not have; an end without a law is a dot."""
    ends = [value.low, value.high] if value.low != value.high else []
    texts = ["…" if end is None else format_number(end, spec) for end in ends]
    return Cell(f"{format_number(value.mean, spec)}{suffix}", in_brackets(texts))


def _chosen(search: RateSearch) -> str:
    return f"{search.chosen:g}{'*' if search.at_end_of_grid else ''}"
