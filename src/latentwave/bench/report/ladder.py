"""What a ladder found: its figures, its page and its tables in a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import yaml
from rich.console import Console

from latentwave.bench.ladder import RungPlan
from latentwave.bench.ladder.promotion import describe_promotion
from latentwave.bench.ladder.results import HeldOut, Interval, LadderResults, Multiplier, RateSearch
from latentwave.bench.report.charts import BASELINE_SLOT, Axis, Chart, ChartGrid, Series, shorten
from latentwave.bench.report.formats import (
    MISSING,
    format_count,
    format_loss,
    format_share,
    format_whole,
    in_words,
)
from latentwave.bench.report.page import Page, Section
from latentwave.bench.report.tables import make_table, print_table, print_text
from latentwave.bench.training import BASELINE

_AT = 20.0  # tokens per parameter of the figure against size, where a ladder has it
_METHOD = (
    "Every point is the end of a training run whose learning rate was annealed to zero. Intervals "
    "are 95 %, from the spread over seeds pooled over the ladder. An asterisk, and a hollow point, "
    "mark losses below every run of the plain decoder at that size: there its law is extrapolated."
)


def ladder_charts(results: LadderResults) -> list[ChartGrid]:
    """`multipliers`, `sizes` and `losses` of the setting that stands first in the recipe."""
    own = _of_the_headline(results)
    names = list(dict.fromkeys(m.contestant for m in own))
    budgets = sorted({m.budget for m in own})
    parameters = {c.size: c.num_parameters for c in results.costs if c.contestant == BASELINE}
    at = _AT if _AT in budgets else max(budgets, default=_AT)
    at_size = [m for m in own if m.budget == at and m.size in parameters]
    by_budget = []
    for name in names:
        mine = [m for m in own if m.contestant == name]
        chart = _multipliers(
            own,
            Axis(
                "tokens per parameter",
                scale="log2",
                ticks={budget: f"{budget:g}" for budget in budgets},
                window=(0.9 * budgets[0], 1.1 * budgets[-1]),
            ),
            {size: [m for m in mine if m.size == size] for size in results.recipe["sizes"]},
            lambda m: m.budget,
            title=shorten(name, 40),
            alt=f"Multiplier of {name} against tokens per parameter, a line for each size.",
        )
        by_budget.append(chart)
    by_size = _multipliers(
        at_size,
        Axis(
            "parameters of the plain decoder",
            scale="log",
            ticks={float(count): size for size, count in parameters.items()},
        ),
        {name: [m for m in at_size if m.contestant == name] for name in names},
        lambda m: parameters[m.size],
        alt=f"Multipliers at {at:g} tokens per parameter against size.",
    )
    needed = "Tokens the plain decoder needs for the same loss ÷ tokens used"
    same = f"The same at {at:g} tokens per parameter, against size"
    lines = "Loss against compute, one line for each contestant and size"
    grids = [
        ChartGrid("multipliers", needed, by_budget, columns=min(3, len(names))),
        ChartGrid("sizes", same, [by_size] if at_size else []),
        ChartGrid("losses", lines, [_losses_chart(results)]),
    ]
    return [grid for grid in grids if grid.charts]


def ladder_page(results: LadderResults) -> Page:
    """Figures, tables and the recipe."""
    sections = [Section(title=grid.title, charts=grid.charts) for grid in ladder_charts(results)]
    sections += [_setting(results, name) for name in _settings(results)]
    costs = make_table(
        ("size", "contestant", "setting", "parameters", "mixers", "tokens/s"),
        [
            (
                c.size,
                c.contestant,
                c.setting,
                format_count(c.num_parameters),
                format_share(c.num_mixer_parameters / c.num_parameters),
                format_whole(c.tokens_per_second),
            )
            for c in results.costs
        ],
    )
    predicted = "The largest budget of each size, predicted from a law of all smaller ones."
    verdicts = [describe_promotion(each) for each in results.promotions]
    checks, searches = map(_held_out, results.held_out), map(_searched, results.searches)
    machines = []
    for each in results.environments:
        versions = each.get("versions", {})
        machines.append(
            f"{each.get('accelerator') or each.get('cpu')}, torch {versions.get('torch')}, "
            f"transformers {versions.get('transformers')}, commit {each.get('commit')}"
        )
    recipe = yaml.safe_dump(results.recipe, sort_keys=False, allow_unicode=True)
    parts = [Section(title="Recipe", code=recipe)]
    sections += [
        Section(title="Costs", table=costs),
        Section(title="The rule for a default", items=verdicts),
        Section(title="Check of the law", text=predicted, items=list(checks)),
        Section(title="Learning rates", items=list(searches)),
        Section(title="How it was made", items=machines, code=results.command, parts=parts),
    ]
    return Page(
        title=f"{results.recipe['name']} – ladder",
        lead=headline(results),
        details=_METHOD,
        sections=[
            each for each in sections if each.items or each.charts or each.table or each.code
        ],
    )


def headline(results: LadderResults) -> str:
    """One sentence: what the contestant that gains most at the largest size buys there."""
    own = _of_the_headline(results)
    sizes = [size for size in results.recipe["sizes"] if any(m.size == size for m in own)]
    if not own:
        return "No contestant has been trained beside the plain decoder yet."
    last = [m for m in own if m.size == sizes[-1]]
    longest = max(m.budget for m in last)
    best = max((m for m in last if m.budget == longest), key=lambda m: m.gain.mean)
    beyond = ", by extrapolation" if best.extrapolated else ""
    return (
        f"At {best.size} parameters and {longest:g} tokens per parameter, the plain decoder needs "
        f"{_times(best.tokens)} the tokens to match {best.contestant}{beyond} "
        f"({_signed(best.gain)} nats)."
    )


def print_ladder(results: LadderResults, console: Console) -> None:
    """Gains and token multipliers of every setting, one row for a contestant at a size."""
    for setting in _settings(results):
        own = [m for m in results.multipliers if m.setting == setting]
        if not own:
            continue
        print_text(console, f"# {setting}")
        print_text(
            console,
            "by tokens per parameter: gain in nats over the plain decoder; tokens the plain "
            "decoder needs for that loss ÷ tokens used",
        )
        budgets = sorted({m.budget for m in own})
        rows = []
        for contestant, size in dict.fromkeys((m.contestant, m.size) for m in own):
            cells = {m.budget: m for m in own if (m.contestant, m.size) == (contestant, size)}
            seeds = max(m.num_seeds for m in cells.values())
            shown = [_cell(cells.get(budget)) for budget in budgets]
            rows.append([contestant, size, str(seeds), *shown])
        heads = ["contestant", "size", "seeds", *(f"{budget:g}" for budget in budgets)]
        print_table(console, make_table(heads, rows))
    if any(m.extrapolated for m in results.multipliers):
        print_text(
            console, "* extrapolated: below the loss of every run of the plain decoder at that size"
        )
    for check in results.held_out:
        print_text(console, f"held out: {_held_out(check)}")
    for each in results.promotions:
        print_text(console, describe_promotion(each))


def print_plan(rungs: Sequence[RungPlan], console: Console) -> None:
    """What a ladder would cost, one row for a size on a setting."""
    heads = ("setting", "size", "parameters", "contestants", "runs", "tokens", "FLOPs", "hours")
    rows = [
        (
            each.setting,
            each.size,
            format_count(each.num_parameters),
            str(each.num_contestants),
            str(each.num_runs),
            format_count(each.tokens),
            f"{each.flops:.1e}",
            f"{each.hours:.2f}",
        )
        for each in rungs
    ]
    print_table(console, make_table(heads, rows))
    hours = sum(each.hours for each in rungs)
    print_text(console, f"{hours:.1f} hours in one process; parallel runs divide them")


def _settings(results: LadderResults) -> Iterable[str]:
    return dict.fromkeys(point.setting for point in results.points)


def _of_the_headline(results: LadderResults) -> list[Multiplier]:
    """The token multipliers of the setting that stands first in the recipe."""
    setting = next(iter(results.recipe["settings"]))
    return [m for m in results.multipliers if m.setting == setting and m.tokens is not None]


def _multipliers(
    shown: Sequence[Multiplier],
    x: Axis,
    lines: dict[str, list[Multiplier]],
    place: Callable[[Multiplier], float],
    *,
    title: str = "",
    alt: str,
) -> Chart:
    """Token multipliers with their intervals, a line for each name; hollow where extrapolated."""
    series = []
    for slot, (name, own) in enumerate(lines.items()):
        line = sorted(own, key=place)
        values = [m.tokens for m in line if m.tokens is not None]
        series.append(
            Series(
                [place(m) for m in line],
                [value.mean for value in values],
                low=[math.nan if value.low is None else value.low for value in values],
                high=[math.nan if value.high is None else value.high for value in values],
                bars=True,
                points=True,
                hollow=[i for i, m in enumerate(line) if m.extrapolated],
                name=shorten(name) if line else "",
                slot=slot,
            )
        )
    # Long intervals of extrapolations reach out of the frame.
    means = [m.tokens.mean for m in shown if m.tokens is not None]
    window = min([0.8, *means]) * 0.95, max([1.2, *means]) * 1.2
    width, height = (300.0, 220.0) if title else (460.0, 290.0)
    return Chart(
        title,
        x=x,
        y=Axis(grid=True, window=window),
        series=series,
        level=1.0,
        alt=alt,
        width=width,
        height=height,
    )


def _losses(results: LadderResults, setting: str) -> dict[tuple[str, str, float], list[float]]:
    """Final losses of all seeds by contestant, size and budget."""
    found: dict[tuple[str, str, float], list[float]] = {}
    for p in results.points:
        if p.setting == setting and p.loss is not None:
            found.setdefault((p.contestant, p.size, p.budget), []).append(p.loss)
    return found


def _losses_chart(results: LadderResults) -> Chart:
    setting = next(iter(results.recipe["settings"]))
    costs = {(c.contestant, c.size): c for c in results.costs if c.setting == setting}
    points = [p for p in results.points if p.setting == setting]
    tokens = {(p.contestant, p.size, p.budget): p.tokens for p in points}
    found = _losses(results, setting)
    others = [name for name in dict.fromkeys(name for name, *_ in found) if name != BASELINE]
    series = []
    for name, size in dict.fromkeys((name, size) for name, size, _ in found):
        own = sorted(key for key in found if key[:2] == (name, size))
        spent = [tokens[key] * costs[name, size].flops_per_token for key in own]
        means = [sum(found[key]) / len(found[key]) for key in own]
        slot = BASELINE_SLOT if name == BASELINE else others.index(name)
        series.append(Series(spent, means, name=shorten(name), slot=slot, points=True))
    return Chart(
        "validation loss [nats per token]",
        x=Axis("FLOPs of training", scale="log"),
        series=series,
        alt="Validation loss against FLOPs of training; the tables below have the numbers.",
        width=460.0,
        height=320.0,
    )


def _setting(results: LadderResults, setting: str) -> Section:
    multipliers = [
        (
            m.contestant,
            m.size,
            f"{m.budget:g}",
            str(m.num_seeds),
            _signed(m.gain),
            *(_times(each, m.extrapolated) for each in (m.tokens, m.flops, m.seconds)),
        )
        for m in results.multipliers
        if m.setting == setting
    ]
    losses = [
        (name, size, f"{budget:g}", format_loss(sum(own) / len(own)), str(len(own)))
        for (name, size, budget), own in _losses(results, setting).items()
    ]
    first = ("contestant", "size", "tokens/parameter")
    caption = "Multipliers: what the plain decoder needs for the same loss ÷ what was used."
    heads = (*first, "seeds", "gain, nats", "tokens", "FLOPs", "seconds")
    table = make_table((*first, "loss, nats", "seeds"), losses)
    return Section(
        title=f"Setting “{setting}”",
        table=make_table(heads, multipliers, caption),
        parts=[Section(title="Losses", table=table)],
    )


def _cell(value: Multiplier | None) -> str:
    if value is None:
        return ""
    mark = "*" if value.extrapolated else " "
    times = _times(value.tokens).partition(" ")[0]
    return f"{_signed(value.gain).partition(' ')[0]} {times:>5}{mark}"


def _times(value: Interval | None, extrapolated: bool = False) -> str:
    """A multiplier with its interval; an asterisk marks extrapolation."""
    if value is None:
        return MISSING
    low, high = ("…" if end is None else f"{end:.2f}" for end in (value.low, value.high))
    return f"{value.mean:.2f}× [{low}, {high}]{'*' if extrapolated else ''}"


def _signed(value: Interval) -> str:
    """A gain in nats with its interval."""
    ends = ""
    if value.low is not None and value.high is not None:
        ends = f" [{value.low:+.3f}, {value.high:+.3f}]"
    return f"{value.mean:+.3f}{ends}".replace("-", "−")


def _searched(search: RateSearch) -> str:
    losses = {k: "diverged" if v is None else f"{v:.4f}" for k, v in search.losses.items()}
    end = ", an end of the grid" if search.at_end_of_grid else ""
    where = f"{search.setting}, {search.size}, {search.contestant}"
    return f"{where}: factor {search.chosen:g}{end} (of {in_words(losses)})"


def _held_out(check: HeldOut) -> str:
    return (
        f"{check.setting} {check.size} at {check.budget:g} tokens per parameter: predicted "
        f"{check.predicted:.4f}, measured {check.measured:.4f} "
        f"({check.predicted - check.measured:+.4f})"
    )
