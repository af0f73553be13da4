"""A comparison as a page, and in a terminal."""

from __future__ import annotations

import yaml
from rich.console import Console

from latentwave.bench.comparison.results import MEASURES, ContestantResults, Estimate, Results
from latentwave.bench.report.charts import colour_name
from latentwave.bench.report.comparison_charts import comparison_charts
from latentwave.bench.report.comparison_tables import cost_table, summary_table, tuning_table
from latentwave.bench.report.formats import (
    MISSING,
    format_loss,
    format_speedup,
    format_whole,
    in_words,
)
from latentwave.bench.report.headline import cautions, write_headline
from latentwave.bench.report.page import Page, Section
from latentwave.bench.report.ranking import slots
from latentwave.bench.report.tables import print_table, print_text
from latentwave.bench.training import BASELINE

_MEASURES = dict(zip(MEASURES, ("steps", "FLOPs", "seconds"), strict=True))
_BUDGETS = {
    "tokens": "Every contestant trains for as many steps as its baseline, on the same tokens.",
    "flops": "Every contestant trains for as many steps as its baseline’s FLOPs pay for.",
    "seconds": "Every contestant trains for as many steps as its baseline’s seconds pay for.",
}
_METHOD = (
    "The speed-up is what the baseline needs for its final validation loss, divided by what the "
    "contestant needs to reach that same loss for the first time, in optimizer steps, in FLOPs and "
    "in seconds, interpolated between evaluations. Runs are paired: with the same seed, every "
    "contestant starts from the same backbone weights and reads the same batches."
)


def print_summary(results: Results, console: Console | None = None) -> None:
    """Print headline, cautions and tables; a narrow terminal gets each table in parts.

    Args:
        results: of a comparison.
        console: where to; None means standard output.
    """
    console = console or Console()
    headline = write_headline(results)
    console.print()
    print_text(console, headline.lead, "bold")
    print_text(console, f"{headline.speedups} {headline.details}".strip())
    for caution in cautions(results):
        print_text(console, caution, "yellow")
    console.print()
    table = summary_table(results)
    print_table(console, table, [column.title for column in table.columns].index("gain"))
    costs = cost_table(results)
    memory = [i for i, column in enumerate(costs.columns) if column.group == "memory"]
    console.print()
    print_table(console, costs, memory[0] if memory else None)


def comparison_page(results: Results) -> Page:
    """Finding, tables, figures, method, and how to run it again.

    Args:
        results: of a comparison.
    """
    headline = write_headline(results)
    grids = {grid.name: grid for grid in comparison_charts(results)}
    swatches = {name: colour_name(slot) for name, slot in slots(results).items()}
    mixers = [
        f"{name}: {added}" for name, own in results.contestants.items() if (added := what(own))
    ]
    missing = [
        words
        for measure, words in _MEASURES.items()
        if all(getattr(own.curve[-1], measure) is None for own in results.contestants.values())
    ]
    curves = [grids[name] for name in ("loss", "gap") if name in grids]
    pareto = grids.get("pareto")
    recipe = yaml.safe_dump(results.recipe, sort_keys=False, allow_unicode=True)
    sections = [
        Section(
            title="Contestants",
            table=summary_table(results),
            swatches=swatches,
            parts=[Section(title="What they are", items=mixers)] if mixers else (),
        ),
        *(Section(title=grid.title, text=grid.note, charts=grid.charts) for grid in curves),
        Section(
            title="What it costs",
            text=(pareto.note if pareto else "")
            + (f" Not measured: {', '.join(missing)}." if missing else ""),
            charts=pareto.charts if pareto else (),
            table=cost_table(results),
            swatches=swatches,
        ),
        _method(results),
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
        tiles=_tiles(results, headline.subject),
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
    words = f"{_BUDGETS[results.budget]} "
    clock = results.clock
    if clock is None:
        return words + "Seconds are those that the runs took, without evaluations."
    load = clock.busy_cores
    busy = "" if load is None else f"; others kept {load:.2f} cores busy"
    return (
        f"{words}Seconds are steps times the duration of a step: the median of {clock.rounds} "
        "rounds in which one step of each contestant was timed in turn, while nothing was "
        f"trained{busy}."
    )


def _method(results: Results) -> Section:
    num_seeds = len(results.seeds)
    intervals = "There was one seed, so there is no interval: another seed may give other numbers."
    if num_seeds > 1:
        intervals = (
            f"Intervals are percentile bootstrap confidence intervals over the {num_seeds} seeds, "
            "of differences and ratios that are paired seed by seed."
        )
    budget = f"{budget_in_words(results)} They hold for the machine below only."
    search = Section(title="Search for learning rates", table=tuning_table(results), unfolded=True)
    return Section(
        title="How it was measured",
        text="\n\n".join((_METHOD, budget, intervals)),
        parts=[search] if results.tuning else (),
    )


def _tiles(results: Results, subject: str) -> list[tuple[str, str, str]]:
    """Label, value and note of the large numbers; none where only the baseline ran."""
    if subject == BASELINE:
        return []
    own, baseline = results.contestants[subject], results.baseline_of(subject)
    without = "one seed" if len(results.seeds) == 1 else ""
    tiles = []
    for measure, words in _MEASURES.items():
        value: Estimate = getattr(own.speedup, measure)
        factor, interval = format_speedup(value.mean, value.low, value.high)
        if not own.reached:
            note = "not reached" if factor == MISSING else "to its own lowest loss"
        else:
            note = "not measured" if factor == MISSING else interval or without
        tiles.append((f"speed-up in {words}", factor, note))
    theirs = format_loss(baseline.final_loss.mean)
    tiles.append(("final loss", format_loss(own.final_loss.mean), f"against {theirs}"))
    return tiles


def _facts(results: Results) -> dict[str, str]:
    """Where and on what it ran; what was not recorded is left out."""
    environment, corpus = results.environment, results.corpus
    vocabulary = "raw samples"
    if corpus.vocab_size:
        vocabulary = f"vocabulary of {format_whole(corpus.vocab_size)} symbols"
    provenance = corpus.provenance.model_dump()
    sources = provenance.pop("sources")
    facts = {
        "Corpus": f"{corpus.name}: {format_whole(corpus.num_tokens)} tokens, {vocabulary}",
        **{f"{unit.capitalize()}s per token": f"{rate:.4g}"
           for unit, rate in corpus.units_per_token.items()},
        "Classes": corpus.num_classes,
        "Seeds": ", ".join(map(str, results.seeds)),
        "CPU": environment.cpu,
        "Accelerator": environment.accelerator,
        "Threads": environment.threads,
        "Platform": environment.platform,
        "Commit": environment.commit,
        "Versions": in_words(environment.versions),
        "Corpus SHA-256": corpus.sha256,
        "Corpus files": in_words(sources) or None,
        "Corpus provenance": in_words(provenance),
    }  # fmt: skip
    return {label: str(value) for label, value in facts.items() if value is not None}
