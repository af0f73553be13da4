"""What a ladder found: its page, and its tables in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import yaml
from rich.console import Console

from latentwave.bench.ladder import RungPlan
from latentwave.bench.ladder.results import (
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
    labelled,
)
from latentwave.bench.report.ladder_charts import ends_of, ladder_charts, mean_loss, of_the_headline
from latentwave.bench.report.page import Page, Section, Table, make_table, print_table

_METHOD = (
    "Every point is the end of a training run whose learning rate was annealed to zero. Intervals "
    "are 95 %, from the spread over seeds pooled over the ladder. An asterisk, and a hollow point, "
    "mark losses below every run of the plain decoder at that size: there its law is extrapolated."
)

_RULE = (
    "what a mixer saves, gains over a control, and keeps from the smallest size to the largest, "
    "where each is least"
)

_FACTORS = "factor of the setting's learning rates that ended lowest in the search"
_AT_END = "* an end of the grid: a better one may lie beyond it"

_RATIOS = (  # of a multiplier, beside tokens: its field, its title, and what it divides
    ("seconds", "in seconds", "seconds it needs for that loss ÷ seconds used"),
    (
        "parameters",
        "as larger plain decoders",
        "size of the plain decoder that has that loss after the same tokens ÷ size used",
    ),
)


def ladder_page(results: LadderResults) -> Page:
    """Figures, tables and the recipe."""
    sections = [Section(title=grid.title, charts=grid.charts) for grid in ladder_charts(results)]
    sections += [_setting(results, name) for name in _settings(results)]
    costs = make_table(
        {
            "size": c.size,
            "contestant": c.contestant,
            "setting": c.setting,
            "parameters": format_count(c.num_parameters),
            "mixers": format_share(c.num_mixer_parameters / c.num_parameters),
            "tokens/s": format_count(c.tokens_per_second),
        }
        for c in results.costs
    )
    predicted = "The largest budget of each size, predicted from a law of all smaller ones."
    checks = [_held_out(each) for each in results.held_out]
    recipe = yaml.safe_dump(results.recipe, sort_keys=False, allow_unicode=True)
    parts = [
        *(
            Section(title=f"Runs of commit {each.get('commit') or 'unknown'}", facts=labelled(each))
            for each in results.environments
        ),
        Section(title="Recipe", code=recipe),
    ]
    sections += [
        Section(title="Diverged", items=_diverged(results)),
        Section(title="Costs", table=costs),
        *(
            Section(title=title, text=_RULE, table=table)
            for title, table in _verdicts(results).items()
        ),
        Section(title="Check of the law", text=predicted, items=checks),
        Section(title="Learning rates", text=_FACTORS, table=_searches(results.searches)),
        Section(title="How it was made", code=results.command, parts=parts),
    ]
    return Page(
        title=f"{results.recipe['name']} – ladder",
        lead=headline(results),
        details=_METHOD,
        sections=[
            each
            for each in sections
            if each.items or each.charts or each.code or (each.table and each.table.rows)
        ],
    )


def headline(results: LadderResults) -> str:
    """One sentence: what the contestant that gains most at the largest size buys there."""
    own = of_the_headline(results)
    if not own:
        return "No contestant has been trained beside the plain decoder yet."
    sizes = list(results.recipe["sizes"])
    best = max(own, key=lambda m: (sizes.index(m.size), m.budget, m.gain.mean))
    beyond = ", by extrapolation" if best.extrapolated else ""
    return (
        f"At {best.size} parameters and {best.budget:g} tokens per parameter, the plain decoder "
        f"needs {_times(best.tokens)} the tokens to match {best.contestant}{beyond} "
        f"({_signed(best.gain)} nats)."
    )


def print_ladder(results: LadderResults, console: Console) -> None:
    """Gains and token multipliers of every setting, one row for a contestant at a size."""
    for setting in _settings(results):
        own = [m for m in results.multipliers if m.setting == setting]
        if not own:
            continue
        console.print(f"# {setting}")
        console.print(
            "by tokens per parameter: gain over the plain decoder in nats, tokens it needs for "
            "that loss ÷ tokens used [95 %]"
        )
        _print_by_budget(own, _cell, console)
        if any(m.extrapolated for m in own):
            console.print(
                "* extrapolated: below the loss of every run of the plain decoder at that size"
            )
        for measure, title, ratio in _RATIOS:
            known = [m for m in own if getattr(m, measure) is not None]
            if known:
                console.print(f"# {setting}, {title}")
                console.print(f"by tokens per parameter: {ratio} [95 %]")
                _print_by_budget(known, _ratio_cell(measure), console)
    for place in _diverged(results):
        console.print(f"diverged: {place}")
    for check in results.held_out:
        console.print(f"held out: {_held_out(check)}")
    for title, table in _verdicts(results).items():
        console.print(f"# {title}\n{_RULE}")
        print_table(console, table)
    for setting in dict.fromkeys(each.setting for each in results.searches):
        _print_rates([s for s in results.searches if s.setting == setting], console)


def _print_by_budget(
    own: Sequence[Multiplier], cell: Callable[[Multiplier], Cell], console: Console
) -> None:
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
    print_table(console, make_table(rows))


def _print_rates(searches: Sequence[RateSearch], console: Console) -> None:
    """The factors that the searches of one setting chose."""
    budgets = sorted({each.budget for each in searches})
    rows = []
    for contestant, size in dict.fromkeys((each.contestant, each.size) for each in searches):
        own = {s.budget: s for s in searches if (s.contestant, s.size) == (contestant, size)}
        row: dict[str, str | Cell] = {"contestant": contestant, "size": size}
        rows.append(row | {f"{b:g}": _chosen(own[b]) if b in own else "" for b in budgets})
    console.print(f"# {searches[0].setting}, learning rates\nby tokens per parameter: {_FACTORS}")
    if any(each.at_end_of_grid for each in searches):
        console.print(_AT_END)
    print_table(console, make_table(rows))


def print_plan(rungs: Sequence[RungPlan], console: Console) -> None:
    """What a ladder would cost, one row for a size on a setting."""
    rows = (
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
    )
    print_table(console, make_table(rows))
    hours = sum(each.hours for each in rungs)
    console.print(f"{hours:.1f} hours in one process; parallel runs divide them")


def _settings(results: LadderResults) -> Iterable[str]:
    return dict.fromkeys(point.setting for point in results.points)


def _diverged(results: LadderResults) -> list[str]:
    """The cells with runs that diverged; tables have the others alone."""
    cells: dict[str, list[bool]] = {}
    for p in results.points:
        where = f"{p.setting} {p.contestant} {p.size} at {p.budget:g} tokens per parameter"
        cells.setdefault(where, []).append(p.loss is None)
    return [
        f"{where}: {sum(lost)} of {len(lost)} seeds" for where, lost in cells.items() if any(lost)
    ]


def _setting(results: LadderResults, setting: str) -> Section:
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
        row["gain\nnats"] = _signed(found.gain) if found else MISSING
        for unit in ("tokens", "flops", "seconds"):
            times = _times(getattr(found, unit), found.extrapolated) if found else MISSING
            row[unit.replace("flops", "FLOPs")] = times
        row["parameters"] = _times(found.parameters if found else None)
        rows.append(row)
    caption = (
        "Multipliers: what the plain decoder needs for the same loss ÷ what was used; parameters: "
        "after the same tokens, inside the sizes measured there."
    )
    return Section(title=f"Setting “{setting}”", table=make_table(rows, caption))


def _verdicts(results: LadderResults) -> dict[str, Table]:
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


def _checked(check: Check | None, digits: str) -> Cell:
    if check is None:
        return Cell("not tested")
    value = _spanned(check.value, digits)
    return Cell(f"{in_words(check.passed)}  {value}", check.where)


def _ratio_cell(measure: str) -> Callable[[Multiplier], Cell]:
    return lambda m: _times(getattr(m, measure), m.extrapolated and measure != "parameters")


def _cell(value: Multiplier) -> Cell:
    times, mark = _times(value.tokens), "*" if value.extrapolated else " "
    return Cell(f"{_signed(value.gain).value} {times.value:>5}{mark}", f"{times.note} ".lstrip())


def _times(value: Interval | None, extrapolated: bool = False) -> Cell:
    """A multiplier with its interval; an asterisk marks extrapolation."""
    if value is None:
        return Cell(MISSING)
    shown = _spanned(value, ".2f")
    return Cell(f"{shown.value}×{'*' if extrapolated else ''}", shown.note)


def _signed(value: Interval) -> Cell:
    return _spanned(value, "+.3f")


def _spanned(value: Interval, digits: str) -> Cell:
    """A value and its interval; one seed spans none, and an end that no law gives is a dot."""
    if value.low == value.high:
        return Cell(_number(value.mean, digits))
    ends = ["…" if end is None else _number(end, digits) for end in (value.low, value.high)]
    return Cell(_number(value.mean, digits), in_brackets(ends))


def _number(value: float, digits: str) -> str:
    return f"{value:{digits}}".replace("-", "−")


def _searches(searches: Sequence[RateSearch]) -> Table:
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
    return make_table(rows, "" if not any(each.at_end_of_grid for each in searches) else _AT_END)


def _chosen(search: RateSearch) -> str:
    return f"{search.chosen:g}{'*' if search.at_end_of_grid else ''}"


def _held_out(check: HeldOut) -> str:
    return (
        f"{check.setting} {check.size} at {check.budget:g} tokens per parameter: predicted "
        f"{check.predicted:.4f}, measured {check.measured:.4f} "
        f"({_number(check.predicted - check.measured, '+.4f')})"
    )
