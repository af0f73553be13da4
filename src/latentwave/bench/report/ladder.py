"""The page of a ladder."""

from __future__ import annotations

import yaml

from latentwave.bench.ladder.results import LadderResults
from latentwave.bench.report.formats import labelled
from latentwave.bench.report.ladder_charts import ladder_charts, of_the_headline
from latentwave.bench.report.ladder_tables import (
    FACTORS,
    RULE,
    check_in_words,
    costs_table,
    diverged_cells,
    searches_table,
    setting_section,
    settings_of,
    signed_cell,
    times_cell,
    verdict_tables,
)
from latentwave.bench.report.page import Page, Section
from latentwave.bench.training import BASELINE

_METHOD = (
    "Every point is the end of a training run whose learning rate was annealed to zero. Intervals "
    "are 95 %, from the spread over seeds pooled over the ladder. An asterisk, and a hollow point, "
    "mark losses below every run of the plain decoder at that size: there its law is extrapolated."
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
            Section(title=title, text=RULE, table=table)
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
