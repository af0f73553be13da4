"""The tables of a ladder, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from latentwave.bench.ladder.results import (
    CellCost,
    Check,
    HeldOut,
    Interval,
    LadderResults,
    Multiplier,
    Promotion,
    RateSearch,
)
from latentwave.bench.report.formats import (
    MISSING,
    Cell,
    format_count,
    format_share,
    in_brackets,
    in_words,
)
from latentwave.bench.report.ladder_charts import ends_of, mean_loss
from latentwave.bench.report.page import Section, Table, make_table

FACTORS = "factor of the setting's learning rates that ended lowest in the search"
AT_END = "* an end of the grid: a better one may lie beyond it"


def costs_table(costs: Sequence[CellCost]) -> Table:
    """What every contestant costs at every size."""
    return make_table(
        {
            "size": c.size,
            "contestant": c.contestant,
            "setting": c.setting,
            "parameters": format_count(c.num_parameters),
            "mixers": format_share(c.num_mixer_parameters / c.num_parameters),
            "tokens/s": format_count(c.tokens_per_second),
        }
        for c in costs
    )


def by_budget(own: Sequence[Multiplier], cell: Callable[[Multiplier], Cell]) -> Table:
    """One row for a contestant at a size, one column for a budget."""
    budgets = sorted({m.budget for m in own})
    rows = []
    for contestant, size in dict.fromkeys((m.contestant, m.size) for m in own):
        cells = {m.budget: m for m in own if (m.contestant, m.size) == (contestant, size)}
        seeds = max(m.num_seeds for m in cells.values())
        row: dict[str, str | Cell] = {
            "contestant": contestant,
            "size": size,
            "seeds": str(seeds),
        }
        rows.append(row | {f"{b:g}": cell(cells[b]) if b in cells else "" for b in budgets})
    return make_table(rows)


def rates_table(searches: Sequence[RateSearch]) -> Table:
    """The factors that the searches of one setting chose."""
    budgets = sorted({each.budget for each in searches})
    rows = []
    for contestant, size in dict.fromkeys((each.contestant, each.size) for each in searches):
        own = {s.budget: s for s in searches if (s.contestant, s.size) == (contestant, size)}
        row: dict[str, str | Cell] = {"contestant": contestant, "size": size}
        rows.append(row | {f"{b:g}": _chosen(own[b]) if b in own else "" for b in budgets})
    return make_table(rows)


def setting_section(results: LadderResults, setting: str) -> Section:
    """The end of every cell, and what it saves."""
    multipliers = {
        (m.contestant, m.size, m.budget): m for m in results.multipliers if m.setting == setting
    }
    rows = []
    for place, points in ends_of(results, setting).items():
        name, size, budget = place
        row: dict[str, str | Cell] = {
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
        "Multipliers: what the plain decoder needs for the same loss ÷ what was used; parameters: "
        "after the same tokens, inside the sizes measured there."
    )
    return Section(title=f"Setting “{setting}”", table=make_table(rows, caption))


def verdict_tables(results: LadderResults) -> dict[str, Table]:
    """For each setting, its contestants and what each part of the rule says at its weakest.

    One seed at one size, a screening, decides nothing, so there it has no table.
    """
    tables = {}
    for setting in dict.fromkeys(each.setting for each in results.promotions):
        if len({(p.size, p.seed) for p in results.points if p.setting == setting}) < 2:
            continue
        own = [each for each in results.promotions if each.setting == setting]
        timed = all(each.measure == "seconds" for each in own)
        parts: dict[str, Callable[[Promotion], tuple[Check | None, str]]] = {
            f"saves {'seconds' if timed else 'tokens'}": lambda p: (p.saves, ".2f"),
            "beats controls, nats": lambda p: (p.beats_controls, "+.3f"),
            "lasts with size": lambda p: (p.lasts, ".2f"),
        }
        rows = []
        for each in own:
            row: dict[str, str | Cell] = {"contestant": each.contestant}
            row |= {title: _checked(*part(each)) for title, part in parts.items()}
            missing = f"{each.num_missing} runs missing" if each.num_missing else ""
            row["promoted"] = Cell(in_words(each.promoted), missing)
            rows.append(row)
        untimed = "" if timed else "Steps were not timed, so nothing is promoted."
        tables[f"{setting}, the rule for a default"] = make_table(rows, untimed)
    return tables


def searches_table(searches: Sequence[RateSearch]) -> Table:
    """The losses of every search by factor."""
    factors = sorted({float(factor) for each in searches for factor in each.losses})
    rows = []
    for each in searches:
        row: dict[str, str | Cell] = {
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
    return make_table(rows, "" if not any(each.at_end_of_grid for each in searches) else AT_END)


def settings_of(results: LadderResults) -> Iterable[str]:
    """The settings that something was trained on, in the order of the recipe."""
    return dict.fromkeys(point.setting for point in results.points)


def diverged_cells(results: LadderResults) -> list[str]:
    """The cells with runs that diverged; tables have the others alone."""
    cells: dict[str, list[bool]] = {}
    for p in results.points:
        where = f"{p.setting} {p.contestant} {p.size} at {p.budget:g} tokens per parameter"
        cells.setdefault(where, []).append(p.loss is None)
    return [
        f"{where}: {sum(lost)} of {len(lost)} seeds" for where, lost in cells.items() if any(lost)
    ]


def check_in_words(check: HeldOut) -> str:
    """What a law predicted, and what was measured."""
    return (
        f"{check.setting} {check.size} at {check.budget:g} tokens per parameter: predicted "
        f"{check.predicted:.4f}, measured {check.measured:.4f} "
        f"({_number(check.predicted - check.measured, '+.4f')})"
    )


def gain_and_tokens(value: Multiplier) -> Cell:
    """The gain in nats and the multiplier of tokens."""
    gain, times = signed_cell(value.gain).value, times_cell(value.tokens)
    mark = "*" if value.extrapolated else " "
    return Cell(f"{gain} {times.value:>5}{mark}", f"{times.note} ".lstrip())


def ratio_cell(measure: str) -> Callable[[Multiplier], Cell]:
    """The multiplier of another measure."""
    return lambda m: times_cell(getattr(m, measure), m.extrapolated and measure != "parameters")


def times_cell(value: Interval | None, extrapolated: bool = False) -> Cell:
    """A multiplier with its interval; an asterisk marks extrapolation."""
    if value is None:
        return Cell(MISSING)
    shown = _spanned(value, ".2f")
    return Cell(f"{shown.value}×{'*' if extrapolated else ''}", shown.note)


def signed_cell(value: Interval) -> Cell:
    """A gain in nats with its interval."""
    return _spanned(value, "+.3f")


def _checked(check: Check | None, digits: str) -> Cell:
    if check is None:
        return Cell("not tested")
    value = _spanned(check.value, digits)
    return Cell(f"{in_words(check.passed)}  {value}", check.where)


def _spanned(value: Interval, digits: str) -> Cell:
    """A value and its interval; one seed spans none, and an end that no law gives is a dot."""
    if value.low == value.high:
        return Cell(_number(value.mean, digits))
    ends = ["…" if end is None else _number(end, digits) for end in (value.low, value.high)]
    return Cell(_number(value.mean, digits), in_brackets(ends))


def _number(value: float, digits: str) -> str:
    return f"{value:{digits}}".replace("-", "−")


def _chosen(search: RateSearch) -> str:
    return f"{search.chosen:g}{'*' if search.at_end_of_grid else ''}"
