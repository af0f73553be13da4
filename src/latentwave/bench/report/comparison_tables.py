"""The tables of a comparison: what was found, what it costs, which learning rates were tried."""

from __future__ import annotations

from latentwave.bench.comparison.results import MEASURES, ContestantResults, Estimate, Results
from latentwave.bench.report.formats import (
    MEASURE_WORDS,
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
from latentwave.bench.report.headline import baseline_first, seeds_caution
from latentwave.bench.report.tables import Cell, Table
from latentwave.bench.training import BASELINE

# By the column that each is about.
_COSTS = {
    "training\nFLOPs": "Training FLOPs: forward and backward pass.",
    "decoding\nFLOPs": "Decoding FLOPs: of one more token, a full context in the cache.",
    "training\nmemory": "Training memory: tensors that live at once in a forward and a backward "
    "pass over one item, without the optimizer’s moments.",
    "cache": "Cache: what a full context takes in it: keys, values and the mixers’ state.",
}


def summary_table(results: Results) -> Table:
    """The comparison as strings, one row per contestant, the baseline first.

    Final validation loss in nats per token or document, the accuracy or mean average precision of
    classifiers, bits per character, byte, sample or event, parameters with the mixers' share, FLOPs
    per token, tokens per second, and over the contestant's baseline the gain in final loss and the
    speed-ups in steps, FLOPs and seconds.
    """
    plain = results.contestants[BASELINE].bits_per
    bits = list(plain)
    if len({format_loss(each.mean) for each in plain.values()}) == 1:
        bits = bits[:1]  # a byte that is a character needs no column of its own
    heads = [
        "contestant",
        "loss\nnats",
        *(f"{words}\n{results.metrics_split or ''}" for words in results.metrics.values()),
        *(f"bits\n/{unit.replace('character', 'char')}" for unit in bits),
        "params\n(mixer)",
        "FLOPs\n/token",
        "tokens\n/s",
        "gain\nnats",
        *(f"speed-up\nin {words}" for words in MEASURE_WORDS.values()),
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
    num_seeds = len(results.seeds)
    caption = (
        "Gain: the baseline’s final validation loss minus the contestant’s. Speed-up: what the "
        "baseline needs for its final validation loss ÷ what the contestant needs for that loss, "
        "or where it never gets there, both for its own lowest loss. "
    )
    if num_seeds > 1:
        caption += (
            f"Both are means over {num_seeds} seeds, paired; of speed-ups the "
            f"{results.statistics.mean_of_ratios} mean. Intervals: bootstrap over seeds. "
        )
    return Table(heads, rows, f"{caption}{seeds_caution(num_seeds)}".strip())


def cost_table(results: Results) -> Table:
    """Costs as strings, one row per contestant, the baseline first.

    Parameters with the mixers' share, FLOPs per token in training and in decoding, the duration of
    a step with the shortest and the longest that was timed, memory, and with what learning rate and
    for how many steps each was trained. A column without values is left out.
    """
    rows = {name: _costs(name, own, results) for name, own in baseline_first(results).items()}
    heads = [
        head for head in rows[BASELINE] if any(row[head].value != MISSING for row in rows.values())
    ]
    return Table(
        ["contestant", *heads],
        [[Cell(name), *(row[head] for head in heads)] for name, row in rows.items()],
        " ".join(words for about, words in _COSTS.items() if about in heads),
    )


def _costs(name: str, own: ContestantResults, results: Results) -> dict[str, Cell]:
    """By the head of the column."""
    timed = decoding = cache = Cell(MISSING)
    if results.clock is not None:
        step = results.clock.step_seconds[name]
        median, shortest, longest = (
            f"{1000 * value:,.3g}" if value < 1 else f"{1000 * value:,.0f}"
            for value in (step.median, step.shortest, step.longest)
        )
        timed = Cell(median, f"{shortest}–{longest}")
    if own.decoding is not None:
        state = own.decoding.mixer_state_bytes
        note = f"(mixer {format_bytes(state)})" if state else ""
        cache = Cell(format_bytes(own.decoding.cache_bytes), note)
        decoding = Cell(format_count(own.decoding.flops_per_token))
    return {
        "params\n(mixer)": _parameters(own),
        "training\nFLOPs": Cell(format_count(own.flops_per_token)),
        "decoding\nFLOPs": decoding,
        "step\nms": timed,
        "training\nmemory": Cell(format_bytes(own.peak_memory_bytes)),
        "cache": cache,
        "learning\nrate": Cell(f"{own.learning_rate:g}"),
        "steps": Cell(f"{own.num_steps:,}"),
    }


def tuning_table(results: Results) -> Table:
    """Final losses of the search for learning rates, one column per rate."""
    rates = sorted({rate for own in results.tuning.values() for rate in own.losses}, key=float)
    rows = []
    for name, own in results.tuning.items():
        row = [Cell(name, "chosen at an end of the grid" if own.at_end_of_grid else "")]
        for rate in rates:
            loss = format_loss(own.losses.get(rate))
            if rate in own.losses and own.losses[rate] is None:
                loss = "diverged"
            chosen = rate in own.losses and float(rate) == float(f"{own.chosen:g}")
            row.append(Cell(loss, "chosen" if chosen else ""))
        rows.append(row)
    caption = "Final validation loss in nats of a run with each learning rate, with its own seed."
    return Table(["contestant", *rates], rows, caption)


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
