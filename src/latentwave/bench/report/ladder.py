"""What a ladder found: its page, and its tables in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import yaml
from rich.console import Console

from latentwave.bench.ladder import RungPlan
from latentwave.bench.ladder.results import LadderResults
from latentwave.bench.report.formats import format_count, labelled
from latentwave.bench.report.ladder_charts import ladder_charts, of_the_headline
from latentwave.bench.report.ladder_tables import (
    AT_END,
    FACTORS,
    by_budget,
    check_in_words,
    costs_table,
    diverged_cells,
    gain_and_tokens,
    rates_table,
    ratio_cell,
    searches_table,
    setting_section,
    settings_of,
    signed_cell,
    times_cell,
    verdict_tables,
)
from latentwave.bench.report.page import Page, Section, make_table, print_table
from latentwave.bench.training import BASELINE

_METHOD = (
    "Every point is the end of a training run whose learning rate was annealed to zero. Intervals "
    "are 95 %, from the spread over seeds pooled over the ladder. An asterisk, and a hollow point, "
    "mark losses below every run of the plain decoder at that size: there its law is extrapolated."
)

_RULE = (
    "what a mixer saves, gains over a control, and keeps from the smallest size to the largest, "
    "where each is least"
)

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
    sections += [setting_section(results, name) for name in settings_of(results)]
    predicted = "The largest budget of each size, predicted from a law of all smaller ones."
    checks = [check_in_words(each) for each in results.held_out]
    recipe = yaml.safe_dump(results.recipe, sort_keys=False, allow_unicode=True)
    parts = [
        *(
            Section(title=f"Runs of commit {each.get('commit') or 'unknown'}", facts=labelled(each))
            for each in results.environments
        ),
        Section(title="Recipe", code=recipe),
    ]
    sections += [
        Section(title="Diverged", items=diverged_cells(results)),
        Section(title="Costs", table=costs_table(results.costs)),
        *(
            Section(title=title, text=_RULE, table=table)
            for title, table in verdict_tables(results).items()
        ),
        Section(title="Check of the law", text=predicted, items=checks),
        Section(title="Learning rates", text=FACTORS, table=searches_table(results.searches)),
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


def _without_multipliers(results: LadderResults) -> str:
    setting = next(iter(results.recipe["settings"]))
    if any(each.setting == setting for each in results.multipliers):
        return (
            "No multiplier can be given: the plain decoder’s ends of training are too few for a "
            "law, or fit none."
        )
    if any(each.setting == setting and each.contestant != BASELINE for each in results.points):
        return (
            "No contestant can be compared: its runs or the plain decoder’s diverged or are left."
        )
    return "No contestant has been trained beside the plain decoder yet."


def headline(results: LadderResults) -> str:
    """One sentence: what the contestant that gains most at the largest size buys there."""
    own = of_the_headline(results)
    if not own:
        return _without_multipliers(results)
    sizes = list(results.recipe["sizes"])
    best = max(own, key=lambda m: (sizes.index(m.size), m.budget, m.gain.mean))
    beyond = ", by extrapolation" if best.extrapolated else ""
    return (
        f"At {best.size} parameters and {best.budget:g} tokens per parameter, the plain decoder "
        f"needs {times_cell(best.tokens)} the tokens to match {best.contestant}{beyond} "
        f"({signed_cell(best.gain)} nats)."
    )


def print_ladder(results: LadderResults, console: Console) -> None:
    """Gains and token multipliers of every setting, one row for a contestant at a size."""
    for setting in settings_of(results):
        own = [m for m in results.multipliers if m.setting == setting]
        if not own:
            continue
        console.print(f"# {setting}")
        console.print(
            "by tokens per parameter: gain over the plain decoder in nats, tokens it needs for "
            "that loss ÷ tokens used [95 %]"
        )
        print_table(console, by_budget(own, gain_and_tokens))
        if any(m.extrapolated for m in own):
            console.print(
                "* extrapolated: below the loss of every run of the plain decoder at that size"
            )
        for measure, title, ratio in _RATIOS:
            known = [m for m in own if getattr(m, measure) is not None]
            if known:
                console.print(f"# {setting}, {title}")
                console.print(f"by tokens per parameter: {ratio} [95 %]")
                print_table(console, by_budget(known, ratio_cell(measure)))
    for place in diverged_cells(results):
        console.print(f"diverged: {place}")
    for check in results.held_out:
        console.print(f"held out: {check_in_words(check)}")
    for title, table in verdict_tables(results).items():
        console.print(f"# {title}\n{_RULE}")
        print_table(console, table)
    for setting in dict.fromkeys(each.setting for each in results.searches):
        searches = [s for s in results.searches if s.setting == setting]
        console.print(f"# {setting}, learning rates\nby tokens per parameter: {FACTORS}")
        if any(each.at_end_of_grid for each in searches):
            console.print(AT_END)
        print_table(console, rates_table(searches))


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
