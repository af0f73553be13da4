"""Reports a comparison: its tables, its page, and the summary in a terminal."""

from rich.console import Console

from latentwave.bench.comparison.results import ContestantResults, Results
from latentwave.bench.report.comparison_charts import comparison_charts
from latentwave.bench.report.formats import (
    MEASURE_WORDS,
    Cell,
    Row,
    format_bytes,
    format_count,
    format_loss,
    format_share,
    gain_cell,
    in_words,
    labelled,
    loss_cell,
    speedup_cell,
)
from latentwave.bench.report.headline import baseline_first, cautions, seeds_caution, write_headline
from latentwave.bench.report.page import Page, Section, Table, make_table, print_table, recipe_part
from latentwave.bench.training import BASELINE

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
_COST_NOTES = {  # by the column that each explains
    "decoding\nFLOPs": "Decoding FLOPs: of one more token, a full context in the cache.",
    "training\nmemory": "Training memory: tensors that live at once in a forward and a backward "
    "pass over one item, without the optimizer’s moments.",
    "cache": "Cache: what a full context takes in it: keys, values and the mixers’ state.",
}


def print_summary(results: Results, console: Console) -> None:
    """Print headline, cautions and tables, and split tables that are too wide for the terminal."""
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
    """Build the page: finding, tables, figures, method, and how to run it again."""
    headline = write_headline(results)
    mixers = [
        f"{name}: {added}"
        for name, contestant in results.contestants.items()
        if (added := additions(contestant))
    ]
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
            parts=[recipe_part(results.recipe)],
        ),
    ]
    return Page(
        title=f"{results.name} – comparison",
        lead=headline.lead,
        details=headline.details,
        cautions=cautions(results),
        sections=sections,
    )


def additions(contestant: ContestantResults) -> str:
    """What a contestant adds to the backbone and changes in it."""
    parts = []
    for mixer in contestant.mixers:
        parts += [mixer.kind, in_words(mixer.options)]
        if mixer.points:
            parts.append(f"at {', '.join(mixer.points)}")
        if mixer.placement not in (None, "between"):
            parts.append(f"placement {in_words(mixer.placement)}")
    return ", ".join(filter(None, [*parts, in_words(contestant.backbone)]))


def budget_in_words(results: Results) -> str:
    """Say which budget all contestants share, and how seconds were measured."""
    words = f"Every contestant trains for as many steps {_BUDGETS[results.budget]}. "
    clock = results.clock
    if clock is None:
        return words + "Seconds are those that the runs took, without evaluations."
    load = clock.busy_cores
    busy = "" if load is None else f"; others kept {load:.2f} cores busy"
    return (
        f"{words}Seconds are steps times the duration of a step: its median share of a round, "
        f"times the median of {clock.rounds} rounds. In each of them one step of each contestant "
        f"was timed in turn, while nothing was trained{busy}. They hold for the machine below only."
    )


def _facts(results: Results) -> dict[str, str]:
    """Describe data, seeds and machine, without what was not recorded."""
    corpus = results.corpus.model_dump()
    sha256, provenance = corpus.pop("sha256"), corpus.pop("provenance")
    files = provenance.pop("sources")
    facts = {
        "Corpus": corpus,
        "Corpus SHA-256": sha256,
        "Corpus files": files,
        "Corpus provenance": provenance,
        "Seeds": ", ".join(map(str, results.seeds)),
    }
    known = {label: in_words(value) for label, value in facts.items() if value}
    return known | labelled(results.environment.model_dump())


def summary_table(results: Results) -> Table:
    """Tabulate a comparison, one row per contestant, the baseline first.

    Columns: final validation loss in nats per token or document; accuracy or mean average precision
    of classifiers; bits per character, byte, sample or event; parameters and the mixers' share;
    FLOPs per token; tokens per second; and against the contestant's baseline, the gain in final
    loss and the speed-ups in steps, FLOPs and seconds.
    """
    plain = results.contestants[BASELINE].bits_per
    units = list(plain)
    if len({format_loss(each.mean) for each in plain.values()}) == 1:
        units = units[:1]  # where every character is a byte, one column says it
    rows = []
    for name, contestant in baseline_first(results).items():
        is_baseline = name in (BASELINE, contestant.baseline)
        against = "" if contestant.baseline == BASELINE else f"vs {contestant.baseline}"
        row: Row = {
            "contestant": Cell(name, "baseline" if is_baseline else against),
            "loss\nnats": loss_cell(contestant.final_loss),
        }
        for metric, words in results.metrics.items():
            row[f"{words}\n{results.metrics_split or ''}"] = loss_cell(contestant.metrics[metric])
        for unit in units:
            head = f"bits\n/{unit.replace('character', 'char')}"
            row[head] = format_loss(contestant.bits_per[unit].mean)
        parameters, mixers = contestant.num_parameters, contestant.num_mixer_parameters
        share = f"({format_share(mixers / parameters)})" if contestant.mixers else ""
        row |= {
            "params\n(mixer)": Cell(format_count(parameters), share),
            "FLOPs\n/token": format_count(contestant.flops_per_token),
            "tokens\n/s": format_count(contestant.tokens_per_second),
            "gain\nnats": Cell("0") if is_baseline else gain_cell(contestant.gain),
        }
        for measure, words in MEASURE_WORDS.items():
            speedup = speedup_cell(getattr(contestant.speedup, measure))
            if not contestant.reached:
                speedup = Cell(speedup.value, "not reached")
            row[f"speed-up\nin {words}"] = Cell("1×") if is_baseline else speedup
        rows.append(row)
    num_seeds = len(results.seeds)
    caption = (
        "FLOPs: forward and backward pass. Gain: the baseline’s final validation loss minus the "
        "contestant’s. Speed-up: what the baseline needs for its final validation loss ÷ what the "
        "contestant needs for that loss, or where it never gets there, both for its own lowest "
        "loss. "
    )
    if num_seeds > 1:
        caption += (
            f"Both are means over {num_seeds} seeds, paired; of speed-ups the "
            f"{results.statistics.mean_of_ratios} mean. Intervals: bootstrap over seeds. "
        )
    return make_table(rows, f"{caption}{seeds_caution(num_seeds)}".strip())


def cost_table(results: Results) -> Table:
    """Tabulate costs, one row per contestant, the baseline first, without unmeasured columns.

    Columns: FLOPs per decoded token; duration of a step, its median and range; memory; learning
    rate; and number of training steps.
    """
    rows = []
    for name, contestant in baseline_first(results).items():
        row: Row = {"contestant": name}
        if contestant.decoding is not None:
            row["decoding\nFLOPs"] = format_count(contestant.decoding.flops_per_token)
        if results.clock is not None:
            step = results.clock.step_seconds[name]
            shortest, longest = (_milliseconds(each) for each in (step.shortest, step.longest))
            row["step\nms"] = Cell(_milliseconds(step.median), f"{shortest}–{longest}")
        if contestant.peak_memory_bytes is not None:
            row["training\nmemory"] = format_bytes(contestant.peak_memory_bytes)
        if contestant.decoding is not None:
            state = contestant.decoding.mixer_state_bytes
            note = f"(mixer {format_bytes(state)})" if state else ""
            row["cache"] = Cell(format_bytes(contestant.decoding.cache_bytes), note)
        row["learning\nrate"] = f"{contestant.learning_rate:g}"
        row["steps"] = f"{contestant.num_steps:,}"
        rows.append(row)
    notes = [words for head, words in _COST_NOTES.items() if head in rows[0]]
    return make_table(rows, " ".join(notes))


def tuning_table(results: Results) -> Table:
    """Tabulate the search for learning rates: final losses, one column per rate."""
    rates = sorted({rate for each in results.tuning.values() for rate in each.losses}, key=float)
    rows = []
    for name, search in results.tuning.items():
        note = "chosen at an end of the grid" if search.at_end_of_grid else ""
        row: Row = {"contestant": Cell(name, note)}
        for rate in rates:
            diverged = rate in search.losses and search.losses[rate] is None
            loss = "diverged" if diverged else format_loss(search.losses.get(rate))
            row[rate] = Cell(loss, "chosen" if float(rate) == search.chosen else "")
        rows.append(row)
    caption = (
        "Final validation loss in nats with each learning rate, of the worst seed of the search; "
        "none of its seeds is the comparison’s."
    )
    return make_table(rows, caption)


def _milliseconds(seconds: float) -> str:
    milliseconds = 1000 * seconds
    return f"{milliseconds:.3g}" if milliseconds < 100 else f"{milliseconds:,.0f}"
