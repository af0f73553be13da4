"""The columns of a table, and what stands in their cells."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from latentwave.bench.comparison import Estimate
from latentwave.bench.report.formats import (
    MISSING,
    format_count,
    format_share,
    format_speedup,
    format_whole,
)
from latentwave.bench.report.results import METRICS, loss_unit
from tools.comparisons import Comparison, Contestant
from tools.directives import Directive

Row = tuple[Comparison, Contestant]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """A column that a directive can name.

    Attributes:
        title: its head; {unit} stands for what losses are means over.
        cell: what it says of a contestant.
        key: what a table is sorted by; NaN goes last.
    """

    title: str
    cell: Callable[[Comparison, Contestant], str]
    key: Callable[[Comparison, Contestant], float]


def _with_interval(value: Estimate, digits: int = 3) -> str:
    if math.isnan(value.mean):
        return MISSING
    shown = f"{value.mean:.{digits}f}"
    if value.low is not None and value.high is not None:
        shown += f" [{value.low:.{digits}f}, {value.high:.{digits}f}]"
    return shown.replace("-", "−")


def _baseline(comparison: Comparison, own: Contestant) -> Contestant:
    return comparison.contestants[own.baseline]


def _loss(comparison: Comparison, own: Contestant) -> str:
    return _with_interval(own.final_loss)


def _gain(comparison: Comparison, own: Contestant) -> str:
    return MISSING if own.name == own.baseline else _with_interval(own.gain)


def _speedup(measure: str) -> Column:
    def cell(comparison: Comparison, own: Contestant) -> str:
        if own.name == own.baseline:
            return "1×"
        value = own.speedup[measure]
        if math.isnan(value.mean):
            return MISSING
        shown = " ".join(format_speedup(value.mean, value.low, value.high)).strip()
        return shown if own.reached else f"{shown}, not reached"

    words = {"steps": "steps", "flops": "FLOPs", "seconds": "seconds"}[measure]
    return Column(
        title=f"speed-up in {words}",
        cell=cell,
        key=lambda comparison, own: own.speedup[measure].mean,
    )


def _parameters(comparison: Comparison, own: Contestant) -> str:
    number, of_mixers = (own.recorded[key] for key in ("num_parameters", "num_mixer_parameters"))
    shown = format_count(number)
    return f"{shown} (mixer {format_share(of_mixers / number)})" if of_mixers else shown


def _bits(comparison: Comparison, own: Contestant) -> str:
    values = {_with_interval(value): unit for unit, value in reversed(list(own.bits_per.items()))}
    return "; ".join(f"{shown} per {unit}" for shown, unit in values.items()) or MISSING


def _metric(name: str, words: str) -> Column:
    def mean(comparison: Comparison, own: Contestant) -> float:
        value = own.recorded["metrics"].get(name, {}).get("mean")
        return math.nan if value is None else float(value)

    def cell(comparison: Comparison, own: Contestant) -> str:
        value = own.recorded["metrics"].get(name)
        if value is None or value["mean"] is None:
            return MISSING
        split = comparison.recorded.get("metrics_split")
        return f"{_with_interval(Estimate(**value))}{f' ({split})' if split else ''}"

    return Column(title=words, cell=cell, key=mean)


def _number(key: str) -> Callable[[Comparison, Contestant], float]:
    def number(comparison: Comparison, own: Contestant) -> float:
        value = own.recorded.get(key)
        return math.nan if value is None else float(value)

    return number


def _trained(comparison: Comparison, own: Contestant) -> float:
    return float(own.recorded["curve"][-1]["steps"])


def _bin_up_to(last: int) -> Column:
    """The loss of the tokens whose positions end there, in a context longer than in training."""

    def found(comparison: Comparison, own: Contestant) -> Estimate:
        for measured in own.recorded.get("contexts", {}).values():
            for edge, value in zip(measured["edges"][1:], measured["loss"], strict=True):
                if edge == last - 1:
                    return Estimate(**value)
        return Estimate(mean=math.nan, low=None, high=None)

    return Column(
        title=f"loss up to token {last:,}",
        cell=lambda comparison, own: _with_interval(found(comparison, own)),
        key=lambda comparison, own: found(comparison, own).mean,
    )


def _inside(group: str, key: str) -> Callable[[Comparison, Contestant], float]:
    def number(comparison: Comparison, own: Contestant) -> float:
        value = (own.recorded.get(group) or {}).get(key)
        return math.nan if value is None else float(value)

    return number


def _counted(title: str, number: Callable[[Comparison, Contestant], float]) -> Column:
    def cell(comparison: Comparison, own: Contestant) -> str:
        value = number(comparison, own)
        return MISSING if math.isnan(value) else format_count(value)

    return Column(title=title, cell=cell, key=number)


COLUMNS: Mapping[str, Column] = {
    "loss": Column(
        title="final loss, nats per {unit}",
        cell=_loss,
        key=lambda comparison, own: own.final_loss.mean,
    ),
    "gain": Column(title="gain, nats", cell=_gain, key=lambda comparison, own: own.gain.mean),
    "baseline": Column(
        title="measured against",
        cell=lambda comparison, own: MISSING if own.name == own.baseline else f"`{own.baseline}`",
        key=lambda comparison, own: math.nan,
    ),
    "baseline-loss": Column(
        title="baseline's final loss",
        cell=lambda comparison, own: _loss(comparison, _baseline(comparison, own)),
        key=lambda comparison, own: _baseline(comparison, own).final_loss.mean,
    ),
    "steps": _speedup("steps"),
    "flops": _speedup("flops"),
    "seconds": _speedup("seconds"),
    "bits": Column(title="bits", cell=_bits, key=lambda comparison, own: own.final_loss.mean),
    **{name: _metric(name, words) for name, words in METRICS.items()},
    "parameters": Column(title="parameters", cell=_parameters, key=_number("num_parameters")),
    "cost": Column(
        title="FLOPs per token",
        cell=lambda comparison, own: format_count(own.recorded["flops_per_token"]),
        key=_number("flops_per_token"),
    ),
    "rate": Column(
        title="tokens/s",
        cell=lambda comparison, own: format_count(own.recorded["tokens_per_second"]),
        key=_number("tokens_per_second"),
    ),
    **{f"context-{last}": _bin_up_to(last) for last in (256, 512, 1024, 2048, 4096)},
    "memory": _counted("peak memory of training, bytes", _inside("memory", "peak_training_bytes")),
    "decoding": _counted("FLOPs per generated token", _inside("decoding", "flops_per_token")),
    "cache": _counted("cache, bytes", _inside("decoding", "cache_bytes")),
    "trained": Column(
        title="steps trained",
        cell=lambda comparison, own: format_whole(_trained(comparison, own)),
        key=_trained,
    ),
    "learning-rate": Column(
        title="learning rate",
        cell=lambda comparison, own: f"{_number('learning_rate')(comparison, own):g}".replace(
            "nan", MISSING
        ),
        key=_number("learning_rate"),
    ),
}
DEFAULT_COLUMNS = ("loss", "steps", "flops", "seconds", "parameters")


def table(directive: Directive, comparisons: Sequence[Comparison]) -> tuple[str, set[str]]:
    """A table in Markdown: a row for each contestant, with several folders of all of them.

    Args:
        directive: with contestants, columns and order.
        comparisons: its sources.

    Returns:
        The table, and the names of its columns.

    Raises:
        UserError: for a contestant or column that there is not.
    """
    columns = directive.list_of("columns") or list(DEFAULT_COLUMNS)
    for name in columns:
        column_named(directive, name)
    rows = _sorted(directive, _rows(directive, comparisons))
    several = len(comparisons) > 1
    units = dict.fromkeys(loss_unit(dict(comparison.recorded)) for comparison in comparisons)
    heads = [*(["comparison"] if several else []), "contestant"]
    lines = [
        heads + [COLUMNS[name].title.format(unit=" or ".join(units)) for name in columns],
        ["---"] * len(heads) + ["---:"] * len(columns),
    ]
    for comparison, own in rows:
        first = [f"`{comparison.name}`"] if several else []
        lines.append(
            [*first, f"`{own.name}`", *(COLUMNS[name].cell(comparison, own) for name in columns)]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines), set(columns)


def value(directive: Directive, comparison: Comparison) -> str:
    """One cell, for a sentence.

    Raises:
        UserError: for a contestant or column that there is not.
    """
    name = directive.options["contestant"]
    if name not in comparison.contestants:
        raise _no_contestant(directive, name, [comparison])
    column = column_named(directive, directive.arguments[0])
    return column.cell(comparison, comparison.contestants[name])


def column_named(directive: Directive, name: str) -> Column:
    """The column, or an error that lists all."""
    if name not in COLUMNS:
        raise directive.error(f"there is no column {name!r}; choose {', '.join(COLUMNS)}")
    return COLUMNS[name]


def _rows(directive: Directive, comparisons: Sequence[Comparison]) -> list[Row]:
    wanted = directive.list_of("contestants")
    for name in wanted:
        if not any(name in comparison.contestants for comparison in comparisons):
            raise _no_contestant(directive, name, comparisons)
    return [
        (comparison, comparison.contestants[name])
        for comparison in comparisons
        for name in (wanted or comparison.contestants)
        if name in comparison.contestants
    ]


def _sorted(directive: Directive, rows: list[Row]) -> list[Row]:
    order = directive.options.get("sort")
    if order is None:
        return rows
    sign = -1 if order.startswith("-") else 1
    key = column_named(directive, order.removeprefix("-")).key

    def rank(row: Row) -> tuple[bool, float]:
        number = key(*row)
        return math.isnan(number), sign * number

    return sorted(rows, key=rank)


def _no_contestant(directive: Directive, name: str, comparisons: Sequence[Comparison]) -> Exception:
    known = dict.fromkeys(name for each in comparisons for name in each.contestants)
    return directive.error(f"there is no contestant {name!r}; choose {', '.join(known)}")
