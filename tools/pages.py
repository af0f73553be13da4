"""What the cog blocks of README.md and docs/ call: tables, figures and texts from `results/`.

    make results         # write the blocks
    make results-check   # fail, with the difference, where a page says something else

A block is a comment with a call of one of these functions, and what it wrote:

    <!-- [[[cog table("best", "loss gain steps", by_loss=True) ]]] -->
    ...
    <!-- [[[end]]] -->

Every number of a comparison's table is first computed again from the loss curves in its
`results.json`.
"""

from __future__ import annotations

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
    format_share,
    in_brackets,
    in_words,
    speedup_cell,
)
from latentwave.bench.training import BASELINE
from latentwave.errors import UserError
from tools.comparisons import read_checked

if TYPE_CHECKING:  # where types are checked, as where benchmarks run, their folder is on the path
    from measure import TITLES, Benchmarks
else:
    from benchmarks.measure import TITLES, Benchmarks

__all__ = ["benchmarks", "figure", "folds", "searched", "table", "text"]

FOLDER = Path("results")
Cell = Callable[[Results, ContestantResults], str]


def table(name: str, columns: str, *, by_loss: bool = False) -> None:
    """A row for each contestant of a comparison, and below the table where it comes from.

    Args:
        name: of its folder in `results/`.
        columns: keys of `COLUMNS`, and `context-N` for the loss up to token N in a context longer
            than in training; separated by spaces.
        by_loss: the lowest final loss first; else in the recipe's order.
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
    """Accuracies of a comparison for each fold, their mean, and the gain with folds as pairs.

    Args:
        name: of the folder in `results/` that holds fold-1, fold-2, …
    """
    paths = sorted((FOLDER / name).glob("fold-*/results.json"))
    found = {path.parent.name: read_checked(path.parent) for path in paths}
    if not found:
        raise UserError(f"{FOLDER / name} holds no fold-1/results.json")
    first, *_ = found

    def accuracies(who: str) -> list[float]:
        means = (each.contestants[who].metrics["accuracy"].mean for each in found.values())
        return [math.nan if mean is None else mean for mean in means]  # a run that diverged

    rows = []
    for who in found[first].contestants:
        values = accuracies(who)
        gain = [own - plain for own, plain in zip(values, accuracies(BASELINE), strict=True)]
        estimates = [*(Estimate(mean=value) for value in values), estimate(values), estimate(gain)]
        *cells, gained = map(_interval, estimates)
        rows.append([f"`{who}`", *cells, MISSING if who == BASELINE else gained])
    titles = ["contestant", *(fold.replace("-", " ") for fold in found), "mean", "gain"]
    origin = _origin(f"{name}/{first}", found[first], f"{found[first].command}, and so on")
    _write(_markdown(titles, rows), origin)


def benchmarks(*groups: str) -> None:
    """What `make bench` measured: a table for each group, of all groups if none is named."""
    path = FOLDER / "benchmarks.json"
    if not path.is_file():
        _write(f"*Not yet run: `make bench` writes `{path}`.*")
        return
    found = Benchmarks.read(path)
    known = {row.group for row in found.rows}
    if missing := set(groups) - known:
        raise UserError(f"{path} has no group {', '.join(missing)}, only {', '.join(known)}")
    rows = [row for row in found.rows if row.group in (groups or known)]
    parts = []
    for group, own in itertools.groupby(rows, lambda row: row.group):
        lines = [row.cells() for row in own]
        parts.append(
            f"**{group}**\n\n{_markdown(TITLES, lines)}".replace("missed |", "**missed** |")
        )
    facts = ["`make bench`", *_machine([str(found.environment["commit"])], found.environment)]
    facts += ["small sizes, which say nothing"] if found.quick else []
    facts += [f"{name} failed" for name in found.failed]
    _write(*parts, _source(path, facts))


def figure(name: str, file: str, caption: str, *, command: str | None = None) -> None:
    """A picture from the folder of a comparison.

    Args:
        name: of its folder in `results/`.
        file: of the picture.
        caption: what it shows.
        command: that drew it, where it is not that of the comparison but of one run.
    """
    picture = f"![{caption}]({_link(FOLDER / name / file)})"
    _write(picture, _origin(name, read_checked(FOLDER / name), command))


def searched(name: str, command: str) -> None:
    """Settings of a search for the best plain decoder, the best first.

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
        if own  # without finalists until they have ended
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
    """What a command printed.

    Args:
        file: in `results/`.
        command: that printed it.
        section: show only this one, from its head "# …" to the next.
    """
    shown = (FOLDER / file).read_text(encoding="utf-8").strip()
    if section is not None:
        parts = re.split(r"^(?=# )", shown, flags=re.M)
        found = [part for part in parts if part.startswith(f"# {section}\n")]
        if not found:
            raise UserError(f"results/{file} has no section {section!r}")
        shown = found[0].strip()
    _write(f"```text\n{shown}\n```", f"<sub>`{command}`: {_named_link(FOLDER / file)}</sub>")


def _mean(losses: Collection[float | None]) -> str:
    finite = [loss for loss in losses if loss is not None]
    if len(finite) < len(losses):
        return "diverged"
    return f"{sum(finite) / len(finite):.4f}" if finite else MISSING


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---", *("---:" for _ in titles[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _write(*parts: str) -> None:
    import cog  # type: ignore[import-not-found]  # there while a page is processed

    cog.outl("\n" + "\n\n".join(parts) + "\n")


def _link(path: Path) -> str:
    import cog

    if not path.is_file():
        raise UserError(f"there is no {path}")
    return Path(os.path.relpath(path, Path(cog.inFile).parent)).as_posix()


def _named_link(path: Path) -> str:
    return f"[{path.parent.name}/{path.name}]({_link(path)})"


def _origin(name: str, results: Results, command: str | None = None) -> str:
    """Where numbers come from, in one line: command, commits, seeds, hardware, versions."""
    seeds = ", ".join(map(str, results.seeds))
    over_seeds = f"seeds {seeds}, brackets: bootstrap intervals over them"
    if len(results.seeds) == 1:
        over_seeds = f"one seed ({seeds}), no interval"
    commits, machine = _machine(results.commits, results.environment.model_dump())
    seeds_used = [over_seeds] if command is None else []
    facts = [f"`{command or results.command}`", commits, *seeds_used, machine]
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
    interval = in_brackets([f"{end:.3f}" for end in value.interval or ()])
    return f"{value.mean:.3f} {interval}".rstrip().replace("-", "−")


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
    # A byte that is a character is named once.
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
        found = (
            value
            for measured in own.contexts
            for edge, value in zip(measured.edges[1:], measured.loss, strict=True)
            if edge == int(last) - 1
        )
        return _interval(next(found, None))

    return f"loss up to token {int(last):,}", cell
