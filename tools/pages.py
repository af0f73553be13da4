"""Writes tables, figures and texts from `results/` into the cog blocks of README.md and docs/.

    make results         # write the blocks
    make results-check   # fail if a page differs, and show the difference

A block is a comment that calls one of these functions, followed by their output:

    <!-- [[[cog table("best", "loss gain steps", by_loss=True) ]]] -->
    ...
    <!-- [[[end]]] -->

The numbers in a comparison's `results.json` are first checked against its loss curves.
"""

import itertools
import json
import math
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentwave.bench.comparison import ContestantResults, Estimate, Results
from latentwave.bench.comparison.statistics import estimate
from latentwave.bench.ladder.search import SEARCH
from latentwave.bench.report.formats import (
    MEASURE_WORDS,
    MISSING,
    format_count,
    format_number,
    format_share,
    in_brackets,
    in_words,
    speedup_cell,
)
from latentwave.bench.training import BASELINE
from latentwave.errors import UserError
from tools.comparisons import read_checked

if TYPE_CHECKING:  # the type checker, like the benchmarks, has their folder on its path
    from measure import TITLES, Benchmarks
else:
    from benchmarks.measure import TITLES, Benchmarks

__all__ = ["benchmarks", "figure", "folds", "searched", "table", "text"]

FOLDER = Path("results")
Cell = Callable[[Results, ContestantResults], str]


def table(name: str, columns: str, *, by_loss: bool = False) -> None:
    """Write a comparison's table, one row per contestant, and its origin.

    Args:
        name: of its folder in `results/`.
        columns: keys of `COLUMNS`, separated by spaces; `context-N` is the loss up to token N in
            a context longer than in training.
        by_loss: sort by final loss, lowest first, instead of keeping the recipe's order.
    """
    results = read_checked(FOLDER / name)
    chosen = [_column(column) for column in columns.split()]
    contestants = list(results.contestants.items())
    if by_loss:
        contestants.sort(key=lambda item: math.inf if (x := item[1].final_loss.mean) is None else x)
    titles = ["contestant", *(title.format(unit=results.loss_unit) for title, _ in chosen)]
    rows = [[f"`{who}`", *(cell(results, own) for _, cell in chosen)] for who, own in contestants]
    _write(_markdown(titles, rows), _origin(name, results))


def folds(name: str) -> None:
    """Write accuracies by fold, their mean, and the gain over the baseline with folds as pairs.

    Args:
        name: of the folder in `results/` that holds fold-1, fold-2, …
    """
    paths = sorted((FOLDER / name).glob("fold-*/results.json"))
    comparisons = {path.parent.name: read_checked(path.parent) for path in paths}
    if not comparisons:
        raise UserError(f"{FOLDER / name} holds no fold-1/results.json")
    first, results = next(iter(comparisons.items()))

    def accuracies(who: str) -> list[float]:
        means = (each.contestants[who].metrics["accuracy"].mean for each in comparisons.values())
        return [math.nan if mean is None else mean for mean in means]  # NaN: the run diverged

    rows = []
    for who in results.contestants:
        values = accuracies(who)
        gain = [own - plain for own, plain in zip(values, accuracies(BASELINE), strict=True)]
        estimates = [*(Estimate(mean=value) for value in values), estimate(values), estimate(gain)]
        *cells, gained = map(_interval, estimates)
        rows.append([f"`{who}`", *cells, MISSING if who == BASELINE else gained])
    titles = ["contestant", *(fold.replace("-", " ") for fold in comparisons), "mean", "gain"]
    origin = _origin(f"{name}/{first}", results, f"{results.command}, and so on")
    _write(_markdown(titles, rows), origin)


def benchmarks(*groups: str, file: str = "benchmarks.json", command: str = "make bench") -> None:
    """Write what a benchmark measured, a table for each of these groups, by default for all."""
    path = FOLDER / file
    if not path.is_file():
        _write(f"*Not yet run: `{command}` writes `{path}`.*")
        return
    found = Benchmarks.read(path)
    known = {row.group for row in found.rows}
    if missing := set(groups) - known:
        raise UserError(f"{path} has no group {', '.join(missing)}, only {', '.join(known)}")
    parts = []
    for group, rows in itertools.groupby(found.rows, lambda row: row.group):
        if group in (groups or known):
            lines = _markdown(TITLES, [row.cells() for row in rows])
            parts.append(f"**{group}**\n\n{lines}".replace("missed |", "**missed** |"))
    facts = [f"`{command}`", *_machine([str(found.environment["commit"])], found.environment)]
    facts += ["small sizes, which say nothing"] if found.quick else []
    facts += [f"{name} failed" for name in found.failed]
    _write(*parts, _source(path, facts))


def figure(name: str, file: str, caption: str, *, command: str | None = None) -> None:
    """Write a link to a picture in the folder of a comparison.

    Args:
        name: of its folder in `results/`.
        file: of the picture.
        caption: what it shows.
        command: that drew it, if it shows one run instead of the comparison.
    """
    picture = f"![{caption}]({_link(FOLDER / name / file)})"
    _write(picture, _origin(name, read_checked(FOLDER / name), command))


def searched(name: str, command: str) -> None:
    """Write the settings of a search for the best plain decoder, best first.

    Args:
        name: of its folder in `results/`.
        command: that searched.
    """
    path = FOLDER / name / SEARCH
    if not path.is_file():
        raise UserError(f"there is no {path}")
    found = json.loads(path.read_text(encoding="utf-8"))
    stages = [
        {
            re.sub(r"\b(training|backbone)\.", "", in_words(each["setting"])): each["losses"]
            for each in own
        }
        for own in (found["tried"], found["finalists"])
        if own  # there are no finalists until the search has ended
    ]
    titles = [f"loss, seed {', '.join(next(iter(stage.values())))}" for stage in stages]
    rows = [
        [setting, *(_mean(stage.get(setting, {}).values()) for stage in stages)]
        for setting in dict.fromkeys(itertools.chain(*reversed(stages)))
    ]
    environment = found["environment"]
    facts = [f"`{command}`", *_machine([environment["commit"]], environment)]
    _write(_markdown(["changed", *titles], rows), _source(path, facts))


def text(file: str, command: str, *, section: str | None = None) -> None:
    """Write what a command printed.

    Args:
        file: in `results/`.
        command: that printed it.
        section: the only one to show, from its head "# …" to the next.
    """
    origin = f"<sub>`{command}`: {_named_link(FOLDER / file)}</sub>"
    shown = (FOLDER / file).read_text(encoding="utf-8").strip()
    if section is not None:
        parts = re.split(r"^(?=# )", shown, flags=re.M)
        found = [part for part in parts if part.startswith(f"# {section}\n")]
        if not found:
            raise UserError(f"results/{file} has no section {section!r}")
        shown = found[0].strip()
    _write(f"```text\n{shown}\n```", origin)


def _mean(losses: Collection[float | None]) -> str:
    finite = [loss for loss in losses if loss is not None]
    if len(finite) < len(losses):
        return "diverged"
    return f"{sum(finite) / len(finite):.4f}" if finite else MISSING


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---", *("---:" for _ in titles[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _write(*parts: str) -> None:
    import cog  # type: ignore[import-not-found]  # exists while a page is processed

    cog.outl("\n" + "\n\n".join(parts) + "\n")


def _link(path: Path) -> str:
    import cog

    if not path.is_file():
        raise UserError(f"there is no {path}")
    return Path(os.path.relpath(path, Path(cog.inFile).parent)).as_posix()


def _named_link(path: Path) -> str:
    return f"[{path.parent.name}/{path.name}]({_link(path)})"


def _origin(name: str, results: Results, command: str | None = None) -> str:
    """Say in one line where numbers come from: command, commits, seeds, hardware, versions."""
    facts = [f"`{command or results.command}`"]
    facts += _machine(results.commits, results.environment.model_dump())
    if command is None:
        seeds, single = ", ".join(map(str, results.seeds)), len(results.seeds) == 1
        many = f"seeds {seeds}, brackets: bootstrap intervals over them"
        facts.insert(2, f"one seed ({seeds}), no interval" if single else many)
    return _source(FOLDER / name / "results.json", facts)


def _source(path: Path, facts: Sequence[str]) -> str:
    return f"<sub>{_named_link(path)}: {' · '.join(facts)}</sub>"


def _machine(commits: Sequence[str], environment: Mapping[str, Any]) -> tuple[str, str]:
    short = [re.sub(r"^(.{7})[^-]*", r"\1", commit) for commit in commits]
    where = f"{environment['accelerator'] or environment['cpu']}, {environment['cores']} cores, "
    where += f"{environment['threads']} threads, torch {environment['versions']['torch']}"
    return f"commit{'s' if len(short) > 1 else ''} {', '.join(short)}", where


def _interval(value: Estimate | None) -> str:
    if value is None or value.mean is None:
        return MISSING
    mean, *ends = (format_number(each, ".3f") for each in (value.mean, *(value.interval or ())))
    return f"{mean} {in_brackets(ends)}".rstrip()


def _unless_baseline(cell: Cell, otherwise: str = MISSING) -> Cell:
    return lambda results, own: (
        otherwise if own is results.contestants[own.baseline] else cell(results, own)
    )


def _speedup(measure: str) -> Cell:
    def cell(results: Results, own: ContestantResults) -> str:
        shown = str(speedup_cell(getattr(own.speedup, measure)))
        return shown if own.reached or shown == MISSING else f"{shown}, not reached"

    return _unless_baseline(cell, "1×")


def _parameters(results: Results, own: ContestantResults) -> str:
    share = format_share(own.num_mixer_parameters / own.num_parameters)
    mixer = f" (mixer {share})" if own.num_mixer_parameters else ""
    return format_count(own.num_parameters) + mixer


def _bits(results: Results, own: ContestantResults) -> str:
    # Units with the same value, as characters of one byte have it, are named once.
    values = {_interval(value): unit for unit, value in reversed(list(own.bits_per.items()))}
    return "; ".join(f"{shown} per {unit}" for shown, unit in values.items())


def _accuracy(results: Results, own: ContestantResults) -> str:
    return f"{_interval(own.metrics.get('accuracy'))} ({results.metrics_split})"


COLUMNS: Mapping[str, tuple[str, Cell]] = {
    "loss": ("final loss, nats per {unit}", lambda results, own: _interval(own.final_loss)),
    "gain": ("gain, nats", _unless_baseline(lambda results, own: _interval(own.gain))),
    "baseline": ("measured against", _unless_baseline(lambda results, own: f"`{own.baseline}`")),
    **{
        measure: (f"speed-up in {words}", _speedup(measure))
        for measure, words in MEASURE_WORDS.items()
    },
    "bits": ("bits", _bits),
    "accuracy": ("accuracy", _accuracy),
    "parameters": ("parameters", _parameters),
    "cost": ("FLOPs per token", lambda results, own: format_count(own.flops_per_token)),
    "trained": ("steps trained", lambda results, own: f"{own.num_steps:,}"),
    "learning-rate": ("learning rate", lambda results, own: f"{own.learning_rate:g}"),
}


def _column(name: str) -> tuple[str, Cell]:
    if name in COLUMNS:
        return COLUMNS[name]
    kind, _, last = name.partition("context-")
    if kind or not last.isdigit():
        raise UserError(f"there is no column {name!r}; choose {', '.join(COLUMNS)} or context-N")

    def cell(results: Results, own: ContestantResults) -> str:
        losses = (
            loss
            for measured in own.contexts
            for edge, loss in zip(measured.edges[1:], measured.loss, strict=True)
            if edge == int(last) - 1
        )
        return _interval(next(losses, None))

    return f"loss up to token {int(last):,}", cell
