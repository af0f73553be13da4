"""A comparison as a page, and in a terminal."""

from __future__ import annotations

import yaml
from rich.console import Console

from latentwave.bench.comparison.results import ContestantResults, Results
from latentwave.bench.report.comparison_charts import comparison_charts
from latentwave.bench.report.comparison_tables import cost_table, summary_table, tuning_table
from latentwave.bench.report.formats import in_words
from latentwave.bench.report.headline import cautions, write_headline
from latentwave.bench.report.page import Page, Section
from latentwave.bench.report.tables import print_table

_BUDGETS = {
    "tokens": "as its baseline, on the same tokens",
    "flops": "as its baseline’s FLOPs pay for",
    "seconds": "as its baseline’s seconds pay for",
}
_METHOD = (
    "The speed-up is what the baseline needs for its final validation loss, divided by what the "
    "contestant needs to reach that same loss for the first time, in optimizer steps, in FLOPs and "
    "in seconds, interpolated between evaluations. Runs are paired: with the same seed, every "
    "contestant starts from the same backbone weights and reads the same batches."
)


def print_summary(results: Results, console: Console) -> None:
    """Print headline, cautions and tables; a narrow terminal gets each table in parts."""
    headline = write_headline(results)
    console.print()
    console.print(headline.lead, style="bold")
    console.print(headline.details)
    for caution in cautions(results):
        console.print(caution, style="yellow")
    for table in (summary_table(results), cost_table(results)):
        console.print()
        print_table(console, table)


def comparison_page(results: Results) -> Page:
    """Finding, tables, figures, method, and how to run it again."""
    headline = write_headline(results)
    mixers = [
        f"{name}: {added}" for name, own in results.contestants.items() if (added := what(own))
    ]
    recipe = yaml.safe_dump(results.recipe, sort_keys=False, allow_unicode=True)
    search = Section(title="Search for learning rates", table=tuning_table(results), unfolded=True)
    sections = [
        Section(
            title="Contestants",
            table=summary_table(results),
            parts=[Section(title="What they are", items=mixers)] if mixers else (),
        ),
        *(
            Section(title=grid.title, text=grid.note, charts=grid.charts)
            for grid in comparison_charts(results)
        ),
        Section(title="What it costs", table=cost_table(results)),
        Section(
            title="How it was measured",
            text=f"{_METHOD}\n\n{budget_in_words(results)}",
            parts=[search] if results.tuning else (),
        ),
        Section(
            title="Run it again",
            code=results.command,
            facts=_facts(results),
            parts=[Section(title="Recipe", code=recipe)],
        ),
    ]
    return Page(
        title=f"{results.name} – comparison",
        lead=headline.lead,
        details=headline.details,
        cautions=cautions(results),
        sections=sections,
    )


def what(own: ContestantResults) -> str:
    """What a contestant adds to the backbone and changes in it."""
    parts = []
    for mixer in own.mixers:
        options = {key: value for key, value in mixer.options.items() if value is not None}
        parts += [mixer.kind, in_words(options)]
        if mixer.points:
            parts.append(f"at {', '.join(mixer.points)}")
        if mixer.placement not in (None, "between"):
            parts.append(f"placement {in_words(mixer.placement)}")
    return ", ".join(filter(None, [*parts, in_words(own.backbone)]))


def budget_in_words(results: Results) -> str:
    """What all contestants spend the same of, and where the seconds come from."""
    words = f"Every contestant trains for as many steps {_BUDGETS[results.budget]}. "
    clock = results.clock
    if clock is None:
        return words + "Seconds are those that the runs took, without evaluations."
    load = clock.busy_cores
    busy = "" if load is None else f"; others kept {load:.2f} cores busy"
    return (
        f"{words}Seconds are steps times the duration of a step: the median of {clock.rounds} "
        "rounds in which one step of each contestant was timed in turn, while nothing was "
        f"trained{busy}. They hold for the machine below only."
    )


def _facts(results: Results) -> dict[str, str]:
    """Where and on what it ran; what was not recorded is left out."""
    corpus = results.corpus.model_dump()
    sha256, provenance = corpus.pop("sha256"), corpus.pop("provenance")
    files = provenance.pop("sources")
    facts = {
        "Corpus": corpus,
        "Corpus SHA-256": sha256,
        "Corpus files": files or None,
        "Corpus provenance": provenance,
        "Seeds": ", ".join(map(str, results.seeds)),
    }
    for key, value in results.environment.model_dump().items():
        facts[key.replace("_", " ").capitalize().replace("Cpu", "CPU")] = value
    return {label: in_words(value) for label, value in facts.items() if value is not None}
