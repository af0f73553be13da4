"""Builds the page of a ladder."""

from latentwave.bench.ladder.results import LadderResults
from latentwave.bench.report import ladder_tables as tables
from latentwave.bench.report.formats import labelled
from latentwave.bench.report.ladder_charts import first_multipliers, first_setting, ladder_charts
from latentwave.bench.report.page import Page, Section, recipe_part
from latentwave.bench.training import BASELINE

_METHOD = (
    "Every point is the final loss of runs whose learning rate was annealed to zero. Intervals are "
    "95 %, from the spread over seeds, pooled over the ladder. Asterisks and hollow points mark "
    "losses below every mean loss of the plain decoder at that size: there its law is extrapolated."
)


def ladder_page(results: LadderResults) -> Page:
    """Build the page: figures, tables and the recipe."""
    sections = [Section(title=grid.title, charts=grid.charts) for grid in ladder_charts(results)]
    sections += [tables.setting_section(results, name) for name in tables.settings_of(results)]
    predicted = "The largest budget of each size, predicted by a law fitted to all smaller ones."
    checks = [tables.check_in_words(each) for each in results.held_out]
    parts = [
        Section(title=f"Runs of commit {each.get('commit') or 'unknown'}", facts=labelled(each))
        for each in results.environments
    ]
    parts.append(recipe_part(results.recipe))
    sections += [
        Section(title="Diverged", items=tables.diverged_cells(results)),
        Section(title="Costs", table=tables.costs_table(results.costs)),
        *(
            Section(title=title, text=tables.RULE, table=table)
            for title, table in tables.verdict_tables(results).items()
        ),
        Section(title="Check of the law", text=predicted, items=checks),
        Section(
            title="Learning rates",
            text=tables.FACTORS,
            table=tables.searches_table(results.searches),
        ),
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
    """Say what the contestant with the largest gain saves at the largest size and budget."""
    setting, sizes = first_setting(results), list(results.recipe["sizes"])
    if multipliers := first_multipliers(results):
        best = max(multipliers, key=lambda m: (sizes.index(m.size), m.budget, m.gain.mean))
        beyond = ", by extrapolation" if best.extrapolated else ""
        return (
            f"At {best.size} parameters and {best.budget:g} tokens per parameter, the plain "
            f"decoder needs {tables.times_cell(best.tokens)} the tokens to match {best.contestant}"
            f"{beyond} ({tables.signed_cell(best.gain)} nats)."
        )
    if any(each.setting == setting for each in results.multipliers):
        return f"No multiplier can be given: {tables.NO_LAW}."
    if any(each.setting == setting and each.contestant != BASELINE for each in results.points):
        return "No contestant can be compared: runs diverged or have not finished."
    return "Only the plain decoder has been trained yet."
