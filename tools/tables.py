"""The columns of a table, and what stands in their cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from latentwave.bench.comparison import ContestantResults, Estimate, Results
from latentwave.bench.comparison.results import METRICS
from latentwave.bench.report.formats import (
    MISSING,
    format_count,
    format_share,
    format_speedup,
    format_whole,
)
from tools.directives import Directive

Row = tuple[str, Results, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """A column that a directive can name.

    Attributes:
        title: its head; {unit} stands for what losses are means over.
        cell: what it says of a contestant.
        key: what a table is sorted by; None goes last.
    """

    title: str
    cell: Callable[[Results, ContestantResults], str]
    key: Callable[[Results, ContestantResults], float | None] = lambda results, own: None


def _with_interval(value: Estimate) -> str:
    if value.mean is None:
        return MISSING
    shown = f"{value.mean:.3f}"
    if value.low is not None and value.high is not None:
        shown += f" [{value.low:.3f}, {value.high:.3f}]"
    return shown.replace("-", "−")


def _speedup(measure: str, words: str) -> Column:
    def found(results: Results, own: ContestantResults) -> Estimate:
        value: Estimate = getattr(own.speedup, measure)
        return value

    def cell(results: Results, own: ContestantResults) -> str:
        value = found(results, own)
        if own is results.contestants[own.baseline]:
            return "1×"
        if value.mean is None:
            return MISSING
        shown = " ".join(format_speedup(value.mean, value.low, value.high)).strip()
        return shown if own.reached else f"{shown}, not reached"

    return Column(
        title=f"speed-up in {words}", cell=cell, key=lambda results, own: found(results, own).mean
    )


def _parameters(results: Results, own: ContestantResults) -> str:
    shown, of_mixers = format_count(own.num_parameters), own.num_mixer_parameters
    share = format_share(of_mixers / own.num_parameters)
    return f"{shown} (mixer {share})" if of_mixers else shown


def _bits(results: Results, own: ContestantResults) -> str:
    values = {_with_interval(value): unit for unit, value in reversed(list(own.bits_per.items()))}
    return "; ".join(f"{shown} per {unit}" for shown, unit in values.items()) or MISSING


def _metric(name: str, words: str) -> Column:
    nothing = Estimate(mean=None)

    def cell(results: Results, own: ContestantResults) -> str:
        shown = _with_interval(own.metrics.get(name, nothing))
        return shown if shown == MISSING else f"{shown} ({results.metrics_split})"

    return Column(
        title=words, cell=cell, key=lambda results, own: own.metrics.get(name, nothing).mean
    )


def _bin_up_to(last: int) -> Column:
    """The loss of the tokens whose positions end there, in a context longer than in training."""

    def found(results: Results, own: ContestantResults) -> Estimate:
        for measured in own.contexts.values():
            for edge, value in zip(measured.edges[1:], measured.loss, strict=True):
                if edge == last - 1:
                    return value
        return Estimate(mean=None)

    return Column(
        title=f"loss up to token {last:,}",
        cell=lambda results, own: _with_interval(found(results, own)),
        key=lambda results, own: found(results, own).mean,
    )


def _counted(title: str, number: Callable[[ContestantResults], float | None]) -> Column:
    return Column(
        title=title,
        cell=lambda results, own: format_count(number(own)),
        key=lambda results, own: number(own),
    )


COLUMNS: Mapping[str, Column] = {
    "loss": Column(
        title="final loss, nats per {unit}",
        cell=lambda results, own: _with_interval(own.final_loss),
        key=lambda results, own: own.final_loss.mean,
    ),
    "gain": Column(
        title="gain, nats",
        cell=lambda results, own: (
            MISSING if own is results.contestants[own.baseline] else _with_interval(own.gain)
        ),
        key=lambda results, own: own.gain.mean,
    ),
    "baseline": Column(
        title="measured against",
        cell=lambda results, own: (
            MISSING if own is results.contestants[own.baseline] else f"`{own.baseline}`"
        ),
    ),
    "steps": _speedup("steps", "steps"),
    "flops": _speedup("flops", "FLOPs"),
    "seconds": _speedup("seconds", "seconds"),
    "bits": Column(title="bits", cell=_bits, key=lambda results, own: own.final_loss.mean),
    **{name: _metric(name, words) for name, words in METRICS.items()},
    "parameters": Column(
        title="parameters", cell=_parameters, key=lambda results, own: own.num_parameters
    ),
    "cost": _counted("FLOPs per token", lambda own: own.flops_per_token),
    "rate": _counted("tokens/s", lambda own: own.tokens_per_second),
    **{f"context-{last}": _bin_up_to(last) for last in (256, 512, 1024, 2048, 4096)},
    "trained": Column(
        title="steps trained",
        cell=lambda results, own: format_whole(own.num_steps),
        key=lambda results, own: own.num_steps,
    ),
    "learning-rate": Column(
        title="learning rate",
        cell=lambda results, own: f"{own.learning_rate:g}",
        key=lambda results, own: own.learning_rate,
    ),
}
DEFAULT_COLUMNS = ("loss", "steps", "flops", "seconds", "parameters")


def table(directive: Directive, comparisons: Mapping[str, Results]) -> str:
    """A table in Markdown: a row for each contestant, with several folders of all of them.

    Args:
        directive: with contestants, columns and order.
        comparisons: its sources, by name.

    Raises:
        UserError: for a contestant or column that there is not.
    """
    columns = directive.list_of("columns") or list(DEFAULT_COLUMNS)
    for name in columns:
        column_named(directive, name)
    rows = _sorted(directive, _rows(directive, comparisons))
    several = len(comparisons) > 1
    units = dict.fromkeys(results.loss_unit for results in comparisons.values())
    heads = [*(["comparison"] if several else []), "contestant"]
    lines = [
        heads + [COLUMNS[name].title.format(unit=" or ".join(units)) for name in columns],
        ["---"] * len(heads) + ["---:"] * len(columns),
    ]
    for folder, results, name in rows:
        own = results.contestants[name]
        first = [f"`{folder}`"] if several else []
        lines.append(
            [*first, f"`{name}`", *(COLUMNS[column].cell(results, own) for column in columns)]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def value(directive: Directive, results: Results) -> str:
    """One cell, for a sentence.

    Raises:
        UserError: for a contestant or column that there is not.
    """
    name = directive.options["contestant"]
    if name not in results.contestants:
        raise _no_contestant(directive, name, [results])
    column = column_named(directive, directive.arguments[0])
    return column.cell(results, results.contestants[name])


def column_named(directive: Directive, name: str) -> Column:
    """The column, or an error that lists all."""
    if name not in COLUMNS:
        raise directive.error(f"there is no column {name!r}; choose {', '.join(COLUMNS)}")
    return COLUMNS[name]


def _rows(directive: Directive, comparisons: Mapping[str, Results]) -> list[Row]:
    wanted = directive.list_of("contestants")
    for name in wanted:
        if not any(name in results.contestants for results in comparisons.values()):
            raise _no_contestant(directive, name, list(comparisons.values()))
    return [
        (folder, results, name)
        for folder, results in comparisons.items()
        for name in (wanted or results.contestants)
        if name in results.contestants
    ]


def _sorted(directive: Directive, rows: list[Row]) -> list[Row]:
    order = directive.options.get("sort")
    if order is None:
        return rows
    sign = -1 if order.startswith("-") else 1
    key = column_named(directive, order.removeprefix("-")).key

    def rank(row: Row) -> tuple[bool, float]:
        _, results, name = row
        number = key(results, results.contestants[name])
        return number is None, sign * (number or 0.0)

    return sorted(rows, key=rank)


def _no_contestant(directive: Directive, name: str, comparisons: Sequence[Results]) -> Exception:
    known = dict.fromkeys(name for each in comparisons for name in each.contestants)
    return directive.error(f"there is no contestant {name!r}; choose {', '.join(known)}")
