"""The tables of a comparison: what was found, what it costs, which learning rates were tried."""

from __future__ import annotations

from latentwave.bench.comparison.results import ContestantResults, Results
from latentwave.bench.report.formats import (
    MEASURE_WORDS,
    Cell,
    format_bytes,
    format_count,
    format_loss,
    format_share,
    gain_cell,
    loss_cell,
    speedup_cell,
)
from latentwave.bench.report.headline import baseline_first, seeds_caution
from latentwave.bench.report.tables import Table, make_table
from latentwave.bench.training import BASELINE

# By the column that each is about.
_COSTS = {
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
    rows = []
    for name, own in baseline_first(results).items():
        row: dict[str, str | Cell] = {
            "contestant": Cell(name, _measured_against(name, own.baseline)),
            "loss\nnats": loss_cell(own.final_loss),
        }
        for metric, words in results.metrics.items():
            row[f"{words}\n{results.metrics_split or ''}"] = loss_cell(own.metrics[metric])
        for unit in bits:
            head = f"bits\n/{unit.replace('character', 'char')}"
            row[head] = format_loss(own.bits_per[unit].mean)
        row |= {
            "params\n(mixer)": _parameters(own),
            "FLOPs\n/token": format_count(own.flops_per_token),
            "tokens\n/s": format_count(own.tokens_per_second),
            **_over_baseline(name, own),
        }
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
    """Costs as strings, one row per contestant, the baseline first.

    FLOPs per token in decoding, the duration of a step with the shortest and the longest that was
    timed, memory, and with what learning rate and for how many steps each was trained. A column
    that no contestant has is left out.
    """
    rows = []
    for name, own in baseline_first(results).items():
        row: dict[str, str | Cell] = {"contestant": name}
        if own.decoding is not None:
            row["decoding\nFLOPs"] = format_count(own.decoding.flops_per_token)
        if results.clock is not None:
            step = results.clock.step_seconds[name]
            shortest, longest = (_milliseconds(each) for each in (step.shortest, step.longest))
            row["step\nms"] = Cell(_milliseconds(step.median), f"{shortest}–{longest}")
        if own.peak_memory_bytes is not None:
            row["training\nmemory"] = format_bytes(own.peak_memory_bytes)
        if own.decoding is not None:
            state = own.decoding.mixer_state_bytes
            note = f"(mixer {format_bytes(state)})" if state else ""
            row["cache"] = Cell(format_bytes(own.decoding.cache_bytes), note)
        row["learning\nrate"] = f"{own.learning_rate:g}"
        row["steps"] = f"{own.num_steps:,}"
        rows.append(row)
    return make_table(rows, " ".join(words for head, words in _COSTS.items() if head in rows[0]))


def tuning_table(results: Results) -> Table:
    """Final losses of the search for learning rates, one column per rate."""
    rates = sorted({rate for own in results.tuning.values() for rate in own.losses}, key=float)
    rows = []
    for name, own in results.tuning.items():
        row: dict[str, str | Cell] = {}
        row["contestant"] = Cell(name, "chosen at an end of the grid" * own.at_end_of_grid)
        for rate in rates:
            diverged = rate in own.losses and own.losses[rate] is None
            loss = "diverged" if diverged else format_loss(own.losses.get(rate))
            row[rate] = Cell(loss, "chosen" if rate == f"{own.chosen:g}" else "")
        rows.append(row)
    caption = (
        "Final validation loss in nats with each learning rate, of the worst seed of the search; "
        "none of its seeds is the comparison’s."
    )
    return make_table(rows, caption)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.3g}" if seconds < 1 else f"{1000 * seconds:,.0f}"


def _parameters(own: ContestantResults) -> Cell:
    """Parameters with the mixers' share."""
    share = format_share(own.num_mixer_parameters / own.num_parameters)
    return Cell(format_count(own.num_parameters), f"({share})" if own.mixers else "")


def _measured_against(name: str, baseline: str) -> str:
    if name in (BASELINE, baseline):
        return "baseline"
    return "" if baseline == BASELINE else f"vs {baseline}"


def _over_baseline(name: str, own: ContestantResults) -> dict[str, Cell]:
    """Gain and speed-ups."""
    is_baseline = name in (BASELINE, own.baseline)
    cells = {"gain\nnats": Cell("0") if is_baseline else gain_cell(own.gain)}
    for measure, words in MEASURE_WORDS.items():
        speedup = speedup_cell(getattr(own.speedup, measure))
        if not own.reached:
            speedup = Cell(speedup.value, "not reached")
        cells[f"speed-up\nin {words}"] = Cell("1×") if is_baseline else speedup
    return cells
