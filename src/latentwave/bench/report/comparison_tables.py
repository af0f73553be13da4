"""The tables of a comparison: what was found, what it costs, which learning rates were tried."""

from __future__ import annotations

from latentwave.bench.comparison.results import (
    MEASURES,
    ContestantResults,
    Estimate,
    RateSearch,
    Results,
)
from latentwave.bench.report.formats import (
    MISSING,
    format_bytes,
    format_count,
    format_gain,
    format_gains,
    format_loss,
    format_range,
    format_share,
    format_speedup,
)
from latentwave.bench.report.headline import seeds_caution
from latentwave.bench.report.ranking import baseline_first
from latentwave.bench.report.tables import Cell, Column, Table
from latentwave.bench.training import BASELINE

_SHORT = {"character": "char"}
# By the column that each is about.
_COSTS = {
    ("FLOPs/token", "training"): "Training FLOPs: forward and backward pass.",
    ("FLOPs/token", "decoding"): "Decoding FLOPs: of one more token, a full context in the cache.",
    ("memory", "training"): "Training memory: tensors that live at once in a forward and a "
    "backward pass over one item, without the optimizer’s moments.",
    ("memory", "cache"): "Cache: what a full context takes in it: keys, values and the mixers’ "
    "state.",
}


def summary_table(results: Results) -> Table:
    """The comparison as strings, one row per contestant, the baseline first.

    Args:
        results: of a comparison.

    Returns:
        Final validation loss in nats per token or document, the accuracy or mean average
        precision of classifiers, bits per character, byte, sample or event, parameters with the
        mixers' share, FLOPs per token, tokens per second, and over the contestant's baseline the
        gain in final loss and the speed-ups in steps, FLOPs and seconds.
    """
    bits = list(results.contestants[BASELINE].bits_per)
    plain = results.contestants[BASELINE].bits_per
    if len({format_loss(each.mean) for each in plain.values()}) == 1:
        bits = bits[:1]  # a byte that is a character needs no column of its own
    split = results.metrics_split or ""
    columns = [
        Column("contestant"),
        Column("loss", "nats"),
        *(Column(words, split) for words in results.metrics.values()),
        *(Column("bits", f"/{_SHORT.get(unit, unit)}") for unit in bits),
        Column("params", "(mixer)"),
        Column("FLOPs", "/token"),
        Column("tokens", "/s"),
        Column("gain", "nats"),
        Column("in steps", "", "speed-up"),
        Column("in FLOPs", "", "speed-up"),
        Column("in seconds", "", "speed-up"),
    ]
    rows = [
        [
            Cell(name, _measured_against(name, own.baseline)),
            _interval(own.final_loss),
            *(_interval(own.metrics[metric]) for metric in results.metrics),
            *(Cell(format_loss(own.bits_per[unit].mean)) for unit in bits),
            _parameters(own),
            Cell(format_count(own.flops_per_token)),
            Cell(format_count(own.tokens_per_second)),
            *_over_baseline(name, own),
        ]
        for name, own in baseline_first(results).items()
    ]
    return Table(columns, rows, _caption(results))


def cost_table(results: Results) -> Table:
    """Costs as strings, one row per contestant, the baseline first.

    Args:
        results: of a comparison.

    Returns:
        Parameters with the mixers' share, FLOPs per token in training and in decoding, the
        duration of a step with the shortest and the longest that was timed, memory, and with what
        learning rate and for how many steps each was trained. A column without values is left out.
    """
    seconds = {} if results.clock is None else results.clock.step_seconds

    def row(name: str, own: ContestantResults) -> list[Cell]:
        step, decoding = seconds.get(name), own.decoding
        timed, cache = Cell(MISSING), Cell(MISSING)
        if step is not None:
            median, shortest, longest = (
                f"{1000 * value:,.3g}" if value < 1 else f"{1000 * value:,.0f}"
                for value in (step.median, step.shortest, step.longest)
            )
            timed = Cell(median, f"{shortest}–{longest}")
        if decoding is not None:
            state = decoding.mixer_state_bytes
            note = f"(mixer {format_bytes(state)})" if state else ""
            cache = Cell(format_bytes(decoding.cache_bytes), note)
        return [
            Cell(name),
            _parameters(own),
            Cell(format_count(own.flops_per_token)),
            Cell(format_count(None if decoding is None else decoding.flops_per_token)),
            timed,
            Cell(format_bytes(own.peak_memory_bytes)),
            cache,
            Cell(f"{own.learning_rate:g}"),
            Cell(f"{own.num_steps:,}"),
        ]

    columns = [
        Column("contestant"),
        Column("params", "(mixer)"),
        Column("training", "", "FLOPs/token"),
        Column("decoding", "", "FLOPs/token"),
        Column("step", "ms"),
        Column("training", "", "memory"),
        Column("cache", "", "memory"),
        Column("learning", "rate"),
        Column("steps"),
    ]
    rows = [row(name, own) for name, own in baseline_first(results).items()]
    shown = [i for i in range(len(columns)) if any(row[i].value != MISSING for row in rows)]
    columns = [columns[i] for i in shown]
    heads = [(column.group, column.title) for column in columns]
    caption = " ".join(words for about, words in _COSTS.items() if about in heads)
    return Table(columns, [[row[i] for i in shown] for row in rows], caption)


def tuning_table(results: Results) -> Table:
    """Final losses of the search for learning rates, one column per rate."""
    rates = sorted({rate for own in results.tuning.values() for rate in own.losses}, key=float)
    return Table(
        [Column("contestant"), *(Column(rate, "", "learning rate") for rate in rates)],
        [
            [
                Cell(name, "chosen at an end of the grid" if own.at_end_of_grid else ""),
                *(_tried(own, rate) for rate in rates),
            ]
            for name, own in results.tuning.items()
        ],
        "Final validation loss in nats of a run with each rate, with a seed of its own.",
    )


def _tried(own: RateSearch, rate: str) -> Cell:
    if rate not in own.losses:
        return Cell("")
    loss = own.losses[rate]
    chosen = "chosen" if float(rate) == float(f"{own.chosen:g}") else ""
    return Cell("diverged" if loss is None else format_loss(loss), chosen)


def _interval(value: Estimate) -> Cell:
    return Cell(format_loss(value.mean), format_range(value.low, value.high))


def _parameters(own: ContestantResults) -> Cell:
    """Parameters with the mixers' share."""
    share = ""
    if own.mixers and own.num_parameters:
        share = f"({format_share(own.num_mixer_parameters / own.num_parameters)})"
    return Cell(format_count(own.num_parameters), share)


def _measured_against(name: str, baseline: str) -> str:
    if name in (BASELINE, baseline):
        return "baseline"
    return "" if baseline == BASELINE else f"vs {baseline}"


def _over_baseline(name: str, own: ContestantResults) -> list[Cell]:
    """Gain and speed-ups."""
    if name in (BASELINE, own.baseline):
        return [Cell("0"), *(Cell("1×") for _ in MEASURES)]
    cells = [Cell(format_gain(own.gain.mean), format_gains(own.gain.low, own.gain.high))]
    for measure in MEASURES:
        value: Estimate = getattr(own.speedup, measure)
        factor, interval = format_speedup(value.mean, value.low, value.high)
        cells.append(Cell(factor, interval if own.reached else "not reached"))
    return cells


def _caption(results: Results) -> str:
    num_seeds = len(results.seeds)
    words = (
        "Gain: the baseline’s final validation loss minus the contestant’s. Speed-up: what the "
        "baseline needs for its final validation loss ÷ what the contestant needs for that loss, "
        "or where it never gets there, both for its own lowest loss. "
    )
    if num_seeds > 1:
        words += (
            f"Both are means over {num_seeds} seeds, paired; of speed-ups the "
            f"{results.statistics.mean_of_ratios} mean. Intervals: bootstrap over seeds. "
        )
    return f"{words}{seeds_caution(num_seeds)}".strip()
