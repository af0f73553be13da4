"""The table of a comparison, for the console and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from latentwave.bench.report.cautions import seeds_caution
from latentwave.bench.report.formats import (
    format_count,
    format_gain,
    format_gains,
    format_loss,
    format_range,
    format_share,
    format_speedup,
)
from latentwave.bench.report.results import MEASURES, estimate, shown_metrics
from latentwave.bench.training import BASELINE


@dataclass(frozen=True)
class Column:
    """The head of a column.

    Attributes:
        title: what it holds.
        unit: in what unit, or what the note in its cells is; may be empty.
        group: words above several columns; empty where it stands alone.
    """

    title: str
    unit: str = ""
    group: str = ""


@dataclass(frozen=True)
class Cell:
    """One value and what stands with it in smaller type.

    Example:
        >>> str(Cell("1.9×", "[1.7, 2.1]"))
        '1.9× [1.7, 2.1]'
    """

    value: str
    note: str = ""

    def __str__(self) -> str:
        """Value and note on one line."""
        return f"{self.value} {self.note}".strip()


@dataclass(frozen=True)
class SummaryTable:
    """What `summary_table` found: a row per contestant, a cell per column.

    Attributes:
        columns: the first holds the contestants' names.
        rows: as long as `columns`, each.
        caption: how many seeds, and what the brackets are.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str


_SPEEDUP = "speed-up"
_SHORT = {"character": "char"}
_FIRST_COLUMNS = (Column("contestant"), Column("loss", "nats"))
_LAST_COLUMNS = (
    Column("params", "(mixer)"),
    Column("FLOPs", "/token"),
    Column("tokens", "/s"),
    Column("gain", "nats"),
    Column("in steps", "", _SPEEDUP),
    Column("in FLOPs", "", _SPEEDUP),
    Column("in seconds", "", _SPEEDUP),
)


def summary_table(results: dict[str, Any]) -> SummaryTable:
    """The comparison as strings, one row per contestant, the baseline first.

    Args:
        results: as `load_results` returns them.

    Returns:
        Final validation loss in nats per token or document, the accuracy or mean average
        precision of classifiers, bits per character, byte, sample or event,
        parameters with the mixers' share, FLOPs per token, tokens per second, and over the
        contestant's baseline the gain in final loss and the speed-ups in steps, FLOPs and seconds.
    """
    contestants = results["contestants"]
    names = sorted(contestants, key=lambda name: name != BASELINE)
    units = _units(contestants[BASELINE]["bits_per"])
    bits = tuple(Column("bits", f"/{_SHORT.get(unit, unit)}") for unit in units)
    metrics = shown_metrics(results)
    split = str(results.get("metrics_split") or "")
    measured = tuple(Column(words, split) for words in metrics.values())
    return SummaryTable(
        columns=_FIRST_COLUMNS + measured + bits + _LAST_COLUMNS,
        rows=tuple(_row(name, contestants[name], units, list(metrics)) for name in names),
        caption=_caption(results),
    )


def parameters_cell(contestant: dict[str, Any]) -> Cell:
    """Parameters with the mixers' share."""
    share = ""
    if contestant["mixer"] is not None and contestant["num_parameters"]:
        of_mixers = contestant["num_mixer_parameters"] or 0
        share = f"({format_share(of_mixers / contestant['num_parameters'])})"
    return Cell(format_count(contestant["num_parameters"]), share)


def _units(bits_per: dict[str, Any]) -> list[str]:
    """What bits are counted per; a byte that is a character needs no column of its own."""
    units = list(bits_per)
    if len({format_loss(bits_per[unit]["mean"]) for unit in units}) == 1:
        return units[:1]
    return units


def _row(
    name: str, contestant: dict[str, Any], units: Sequence[str], metrics: Sequence[str]
) -> tuple[Cell, ...]:
    loss, low, high = estimate(contestant["final_loss"])
    return (
        Cell(name, _measured_against(name, contestant["baseline"])),
        Cell(format_loss(loss), format_range(low, high)),
        *(_metric_cell(contestant["metrics"][metric]) for metric in metrics),
        *(Cell(format_loss(contestant["bits_per"][unit]["mean"])) for unit in units),
        parameters_cell(contestant),
        Cell(format_count(contestant["flops_per_token"])),
        Cell(format_count(contestant["tokens_per_second"])),
        _gain_cell(name, contestant),
        *(_speedup_cell(name, contestant, measure) for measure in MEASURES),
    )


def _metric_cell(value: dict[str, Any]) -> Cell:
    mean, low, high = estimate(value)
    return Cell(format_loss(mean), format_range(low, high))


def _measured_against(name: str, baseline: str) -> str:
    if name in (BASELINE, baseline):
        return "baseline"
    return "" if baseline == BASELINE else f"vs {baseline}"


def _gain_cell(name: str, contestant: dict[str, Any]) -> Cell:
    if name in (BASELINE, contestant["baseline"]):
        return Cell("0")
    gain, low, high = estimate(contestant["gain"])
    return Cell(format_gain(gain), format_gains(low, high))


def _speedup_cell(name: str, contestant: dict[str, Any], measure: str) -> Cell:
    if name in (BASELINE, contestant["baseline"]):
        return Cell("1×")
    mean, low, high = estimate(contestant["speedup"][measure])
    factor, interval = format_speedup(mean, low, high)
    if contestant["reached"]:
        return Cell(factor, interval)
    return Cell(factor, "not reached")


def _caption(results: dict[str, Any]) -> str:
    num_seeds = len(results["seeds"])
    kind = results["statistics"].get("mean_of_ratios", "geometric")
    words = (
        "Gain: the baseline’s final validation loss less the contestant’s. Speed-up: what the "
        "baseline needs for its final validation loss ÷ what the contestant needs for that loss, "
        "or where it never gets there, both for its own lowest loss. "
    )
    if num_seeds > 1:
        words += (
            f"Both are means over {num_seeds} seeds, paired; of speed-ups the {kind} mean. "
            "Intervals: bootstrap over seeds."
        )
    return f"{words} {seeds_caution(num_seeds)}".strip()
