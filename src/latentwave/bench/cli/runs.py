"""The commands `train`, `compare`, `ladder` and `search`, which train, and `report`."""

from pathlib import Path
from typing import Any

from latentwave.bench import comparison, training
from latentwave.bench import ladder as ladders
from latentwave.bench import report as reports
from latentwave.bench.cli.shared import OUT, say, tell, verified
from latentwave.bench.data.checks import check_seeds
from latentwave.bench.training.progress import ERR
from latentwave.errors import UserError


def train(
    *,
    fields: dict[str, Any],
    contestant: str | None = None,
    seed: int | None = None,
    output: Path | None = None,
    resume: bool = False,
) -> None:
    """Train one contestant of a recipe with one seed.

    Any value of the recipe can be overridden, e.g. --training.num_steps 200.

    Args:
        fields: of the recipe
        contestant: which one (default: the first with a mixer)
        seed: of weights and batches (default: the recipe's first)
        output: folder of the run (default: runs/NAME-CONTESTANT-seedN)
        resume: continue the run in an existing folder
    """
    recipe = training.recipe_from_dict(fields)
    if not recipe.contestants:
        raise UserError("the recipe has no contestants: give it some, such as {none: {}}")
    mixed = [name for name, each in recipe.contestants.items() if each.placed]
    contestant = contestant or next(iter(mixed or recipe.contestants))
    seed = recipe.seeds[0] if seed is None else seed
    check_seeds("seed", [seed])
    folder = output or Path("runs") / f"{recipe.name}-{contestant}-seed{seed}"
    training.start_processes(recipe.training.timeout_seconds)
    store = verified(training.prepared_store(recipe.corpus))
    result = training.train(recipe, contestant, seed, store, folder, resume=resume, console=ERR)
    if not training.is_main():
        return
    if result.diverged_at is not None:
        raise UserError(
            f"{contestant}, seed {seed}: the loss was no longer finite at step "
            f"{result.diverged_at}, so training stopped: choose a lower training.learning_rate or "
            f"a longer num_warmup_steps, and another --output than {folder}"
        )
    unit = training.open_objective(recipe, store).loss_unit
    measured = ", ".join(f"{name} {value:.4f}" for name, value in result.metrics.items())
    say(
        f"{contestant}, seed {seed}: validation loss {result.final_loss:.4f} nats per {unit} "
        f"{f'({result.metrics_split}: {measured}) ' if measured else ''}after "
        f"{result.tokens:,} tokens in {result.seconds:,.0f} s; saved in {folder}"
    )


def compare(
    *,
    fields: dict[str, Any],
    workers: dict[str, Any],
    command: str,
    output: Path | None = None,
    resume: bool = False,
    time_again: bool = False,
) -> None:
    """Train all contestants of a recipe, paired by seed, and measure their speed-ups.

    Any value of the recipe can be overridden, e.g. --training.num_steps 200.

    Args:
        fields: of the recipe
        workers: fields of `comparison.Workers`
        command: as it was typed
        output: folder of the comparison (default: runs/NAME)
        resume: continue the comparison in an existing folder
        time_again: measure the duration of a training step again
    """
    recipe = training.recipe_from_dict(fields)
    folder = output or Path("runs") / recipe.name
    training.start_processes(recipe.training.timeout_seconds)
    comparison.compare(
        recipe,
        verified(training.prepared_store(recipe.corpus)),
        folder,
        resume=resume,
        workers=comparison.Workers(**workers),
        time_again=time_again,
        command=command,
        console=ERR,
    )
    if training.is_main():
        report(folder)


def report(folder: Path) -> None:
    """Print a comparison's tables and draw its figures and HTML report again.

    Args:
        folder: folder of a comparison, or its results.json
    """
    results = comparison.read_results(folder)
    folder = folder if folder.is_dir() else folder.parent
    reports.print_summary(results, OUT)
    figures = reports.write_figures(results, folder)
    page = reports.write_report(results, folder)
    say(f"figures: {', '.join(str(path) for path in figures)}")
    say(f"report:  {page}")


def ladder(
    recipe: Path,
    *,
    command: str,
    workers: dict[str, Any],
    output: Path | None = None,
    resume: bool = False,
    only: list[str] | None = None,
    limit_minutes: float | None = None,
    plan: bool = False,
    time: bool = False,
) -> None:
    """Train contestants over sizes and budgets and fit their compute multipliers.

    Args:
        recipe: YAML file of a ladder
        command: as it was typed
        workers: fields of `comparison.Workers`
        output: folder of the ladder (default: runs/NAME)
        resume: continue the ladder in an existing folder
        only: sizes or settings to train, plan or time, e.g. '[s, m]' (default: all)
        limit_minutes: start no new run after this many minutes
        plan: only say what the rest of the ladder would cost on this machine
        time: only time training steps; for multipliers in seconds, on an otherwise idle machine
    """
    loaded = ladders.load_ladder(recipe)
    store = verified(training.prepared_store(loaded.corpus))
    folder = output or Path("runs") / loaded.name
    planned = ladders.Ladder(loaded, store, folder)
    if plan:
        reports.print_plan(ladders.plan_ladder(planned, store, only=only, console=ERR), OUT)
        return
    left = 0
    if time:
        ladders.time_steps(planned, store, only, ERR)
    else:
        left = ladders.run_ladder(
            planned,
            store,
            workers=comparison.Workers(**workers),
            resume=resume,
            only=only,
            limit_minutes=limit_minutes,
            console=ERR,
        )
    if folder.is_dir():  # or the time limit left no time to begin
        results = ladders.assemble(planned, store, command=command)
        results.write(folder)
        reports.print_ladder(results, OUT)
        say(f"page: {reports.write_ladder(results, folder)[0]}")
    if left:
        tell(f"{left} trunks are left: go on with --resume")


def search(recipe: Path, *, workers: dict[str, Any], output: Path | None = None) -> None:
    """Search for the best settings of the plain decoder, the baseline of ladders.

    A search that was interrupted continues.

    Args:
        recipe: YAML file with a recipe and groups of settings
        workers: fields of `comparison.Workers`
        output: folder of the search (default: runs/NAME)
    """
    loaded = ladders.load_search(recipe)
    ladders.run_search(
        loaded,
        verified(training.prepared_store(loaded.base.corpus)),
        output or Path("runs") / loaded.base.name,
        workers=comparison.Workers(**workers),
        console=ERR,
    )
