"""The table of a comparison, once for the console and once for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from latentwave.report.formats import (
    format_count,
    format_loss,
    format_range,
    format_share,
    format_speedup,
)
from latentwave.report.headline import write_headline
from latentwave.report.results import BASELINE, MEASURES, estimate, shown_metrics


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


_LONGEST_NAME = 20
_SPEEDUP = "speed-up"
_SHORT = {"character": "char"}
_FIRST_COLUMNS = (Column("contestant"), Column("loss", "nats"))
_LAST_COLUMNS = (
    Column("params", "(mixer)"),
    Column("FLOPs", "/token"),
    Column("tokens", "/s"),
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
        parameters with the mixers' share, FLOPs per token, tokens per second, and the speed-ups
        over the baseline in steps, FLOPs and seconds.
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


def print_summary(results: dict[str, Any], console: Console | None = None) -> None:
    """Print headline and table; a narrow terminal gets the speed-ups as a table of their own.

    Args:
        results: as `load_results` returns them.
        console: where to; None means standard output.
    """
    console = console or Console()
    table = summary_table(results)
    headline = write_headline(results)
    console.print()
    console.print(Text(headline.lead, style="bold"))
    console.print(Text(f"{headline.speedups} {headline.details}".strip()))
    console.print()
    everything = range(len(table.columns))
    speedups = [i for i in everything if table.columns[i].group]
    rest = [i for i in everything if i not in speedups]
    for gap in (2, 1):
        whole = _rich_table(table, everything, gap)
        if _width(console, whole) <= console.width:
            console.print(whole)
            break
    else:
        console.print(_rich_table(table, rest, 2))
        console.print()
        console.print(_rich_table(table, [0, *speedups], 2))
    console.print(Text(table.caption, style="dim"))


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
    share = ""
    if contestant["mixer"] is not None and contestant["num_parameters"]:
        of_mixers = contestant["num_mixer_parameters"] or 0
        share = f"({format_share(of_mixers / contestant['num_parameters'])})"
    return (
        Cell(name, "baseline" if name == BASELINE else ""),
        Cell(format_loss(loss), format_range(low, high)),
        *(_metric_cell(contestant["metrics"][metric]) for metric in metrics),
        *(Cell(format_loss(contestant["bits_per"][unit]["mean"])) for unit in units),
        Cell(format_count(contestant["num_parameters"]), share),
        Cell(format_count(contestant["flops_per_token"])),
        Cell(format_count(contestant["tokens_per_second"])),
        *(_speedup_cell(name, contestant, measure) for measure in MEASURES),
    )


def _metric_cell(value: dict[str, Any]) -> Cell:
    mean, low, high = estimate(value)
    return Cell(format_loss(mean), format_range(low, high))


def _speedup_cell(name: str, contestant: dict[str, Any], measure: str) -> Cell:
    if name == BASELINE:
        return Cell("1×")
    mean, low, high = estimate(contestant["speedup"][measure])
    factor, interval = format_speedup(mean, low, high)
    if contestant["reached"]:
        return Cell(factor, interval)
    return Cell(factor, "not reached")


def _caption(results: dict[str, Any]) -> str:
    num_seeds = len(results["seeds"])
    seeds = (
        "one seed: no interval"
        if num_seeds == 1
        else f"{num_seeds} seeds; intervals: bootstrap over seeds"
    )
    return (
        "Speed-up: what the baseline needs for its final validation loss ÷ what the contestant "
        "needs for that loss, or where it never gets there, both for its own lowest "
        f"loss ({seeds})."
    )


def _rich_table(table: SummaryTable, chosen: Sequence[int], gap: int) -> Table:
    shown = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False)
    for i in chosen:
        column = table.columns[i]
        head = (column.group, column.title) if column.group else (column.title, column.unit)
        shown.add_column(
            Text("\n".join(head), style="bold"),
            justify="left" if i == 0 else "right",
            no_wrap=i > 0,
            max_width=_LONGEST_NAME if i == 0 else None,
            overflow="fold",
        )
    for row in table.rows:
        shown.add_row(*(_rich_cell(row[i]) for i in chosen))
    return shown


def _rich_cell(cell: Cell) -> Text:
    return Text.assemble(cell.value, *([("\n" + cell.note, "dim")] if cell.note else []))


def _width(console: Console, table: Table) -> int:
    """Columns that the table takes when nothing limits it."""
    return Measurement.get(console, console.options.update(width=10_000), table).maximum
