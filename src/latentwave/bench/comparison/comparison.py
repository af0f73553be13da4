"""Train contestants side by side and measure what each bought."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path

from pydantic import PositiveInt
from rich.console import Console

from latentwave.bench.comparison.clock import Clock, read_measured, take_clock, write_measured
from latentwave.bench.comparison.cost import contestant_cost
from latentwave.bench.comparison.planning import (
    check_baselines,
    choose_rates,
    match_budget,
    rates_beyond,
    searched_rates,
    tuning_recipes,
)
from latentwave.bench.comparison.positions import check_longer_contexts, measure_longer_contexts
from latentwave.bench.comparison.results import RESULTS, ModelCost, Results, write_results
from latentwave.bench.comparison.summary import summarize
from latentwave.bench.comparison.workers import Job, Workers
from latentwave.bench.data import TokenStore
from latentwave.bench.data.folders import PARTIAL
from latentwave.bench.data.json_files import read_json
from latentwave.bench.training import (
    Recipe,
    check_folder,
    describe_run,
    on_main,
    open_objective,
    read_result,
    settle_compilation,
    start_processes,
)
from latentwave.bench.training.files import RECORD, write_json
from latentwave.bench.training.optimizers import check_warmup
from latentwave.bench.training.processes import is_main, num_processes
from latentwave.bench.training.progress import ERR
from latentwave.bench.training.result import differences, read_record
from latentwave.errors import UserError

# Of the training, what a step takes its time for.
_TIMED = (
    *("batch_size", "gradient_accumulation_steps", "gradient_checkpointing", "separate_documents"),
    *("optimizer", "precision", "compile"),
)
_BUDGET, _CLOCK, _TUNING = "budget.json", "clock.json", "tuning"


def compare(
    recipe: Recipe,
    store: TokenStore,
    folder: Path,
    *,
    resume: bool = False,
    workers: Workers | None = None,
    time_again: bool = False,
    command: str = "",
    console: Console | None = None,
) -> Results:
    """Train every contestant with every seed and write results.json.

    Runs are paired: contestants of one seed and one backbone start from the same weights and see
    the same batches. Each run has a folder, CONTESTANT-seedN; those of the search for learning
    rates are under tuning/. With `resume` finished runs are reused and an interrupted one goes on,
    so contestants and seeds can be added to a finished comparison.

    `workers` says where the runs are executed (default: one after the other, here), `time_again`
    times the training steps again, for a comparison that was first timed while the machine was
    busy, and `command` is what was typed, for the record.

    Raises:
        UserError: without a baseline, for an existing folder (without resume) or one of something
            else, and for what `train` refuses.
    """
    workers = workers or Workers()
    check_baselines(recipe)
    check_longer_contexts(recipe, store)
    start_processes(recipe.training.timeout_seconds)
    if num_processes() > 1 and not workers.here:
        raise UserError(
            "under a launcher all processes train one model: leave out --jobs and --ray_address"
        )
    on_main(lambda: _check_folder(folder, resume))
    on_main(lambda: _check_runs(recipe, store, folder))
    console = console or ERR
    if is_main():
        count = len(recipe.contestants)
        console.print(f"counting costs of {count} contestants and timing their training steps …")
    # Build every contestant before the first one trains, so that mistakes show now, not in hours.
    costs = {
        name: contestant_cost(recipe.as_seen_by(name), name, store) for name in recipe.contestants
    }
    budget = on_main(lambda: _read_budget(recipe, folder))
    alike = settle_compilation(recipe, store)
    clock = on_main(lambda: _clock(alike, store, folder, time_again))
    planned = on_main(lambda: _with_budgets(alike, store, costs, clock, budget, folder=folder))
    # Runs of the search may be shorter, and nothing of them is timed.
    searched = dataclasses.replace(planned, training=recipe.training)
    losses: dict[tuple[str, float], list[float]] = {}
    wanted = searched_rates(planned)
    # The search alone may take hours: what it or the runs after it would refuse is refused now.
    for name in recipe.contestants:
        check_warmup(planned.as_seen_by(name).training)
    for (name, _), own in tuning_recipes(searched, wanted).items():
        check_warmup(own.as_seen_by(name).training)
    while wanted:
        jobs = {
            (name, rate): [
                Job(
                    recipe=own,
                    contestant=name,
                    seed=seed,
                    folder=folder / _TUNING / f"{name}-lr{rate:g}-seed{seed}",
                )
                for seed in own.seeds
            ]
            for (name, rate), own in tuning_recipes(searched, wanted).items()
        }
        workers.run(list(itertools.chain(*jobs.values())), store, console)
        losses |= {
            key: [read_result(j.folder).final_loss for j in own] for key, own in jobs.items()
        }
        wanted = rates_beyond(planned, losses)
    planned, tuning = choose_rates(planned, losses)
    folders = {
        name: [folder / f"{name}-seed{seed}" for seed in recipe.seeds]
        for name in recipe.contestants
    }
    # Seed by seed, so that an interrupted comparison still has complete pairs.
    runs = [
        Job(recipe=planned, contestant=name, seed=seed, folder=folders[name][index])
        for index, seed in enumerate(recipe.seeds)
        for name in recipe.contestants
    ]
    workers.run(runs, store, console)
    results = summarize(
        recipe,
        {name: [read_result(path) for path in own] for name, own in folders.items()},
        planned=planned,
        store=store,
        costs=costs,
        clock=clock,
        tuning=tuning,
        contexts=on_main(lambda: measure_longer_contexts(recipe, store, folders)),
        command=command,
    )
    on_main(lambda: write_results(results, folder))
    return results


def _check_folder(folder: Path, resume: bool) -> None:
    """Refuse a folder that cannot be written to, or gone on in."""
    if not folder.exists():
        return
    inside = {path.name for path in folder.iterdir()} if folder.is_dir() else None
    if inside is not None and inside <= {_CLOCK + PARTIAL}:  # no more than a kill left
        return
    runs = [*folder.glob(f"*-seed*/{RECORD}"), *folder.glob(f"{_TUNING}/*-seed*/{RECORD}")]
    if inside is None or not (runs or inside & {_CLOCK, _BUDGET, RESULTS}):
        raise UserError(
            f"{folder} exists and is not a comparison of latentwave: choose another --output"
        )
    if not resume:
        raise UserError(
            f"the folder {folder} exists: choose another with --output, or go on with --resume"
        )


def _check_runs(recipe: Recipe, store: TokenStore, folder: Path) -> None:
    """Refuse runs of another recipe before anything in their folder is written again.

    Of searched rates, and of steps that costs decide, any will do here.
    """
    searched = {name for name, _ in searched_rates(recipe)}
    if recipe.budget == "tokens":
        recipe = match_budget(recipe, dict.fromkeys(recipe.contestants, 1.0))
    for (name, own), seed in itertools.product(recipe.contestants.items(), recipe.seeds):
        run = folder / f"{name}-seed{seed}"
        if not (run / RECORD).is_file():
            continue
        record, known = describe_run(recipe, name, seed, store), read_record(run)["training"]
        chosen = ["learning_rate", "muon_learning_rate"] if name in searched else []
        if own.num_steps is None:
            chosen.append("num_steps")
        record["training"] |= {key: known[key] for key in chosen}
        check_folder(run, record)


def _clock(recipe: Recipe, store: TokenStore, folder: Path, again: bool) -> Clock | None:
    """Durations of steps, from the folder where it has them; None under a launcher."""
    if num_processes() > 1:
        return None
    seen = {name: recipe.as_seen_by(name) for name in recipe.contestants}
    setting = {
        "contestants": {
            name: [dataclasses.asdict(own.backbone), own.contestants[name].describe_mixers()]
            for name, own in seen.items()
        },
        "training": {name: getattr(recipe.training, name) for name in _TIMED},
    }
    clock: Clock | None = None if again else read_measured(folder / _CLOCK, setting, Clock)
    if clock is None or clock.step_seconds.keys() != seen.keys():
        clock = take_clock(recipe, store)
        write_measured(folder / _CLOCK, setting, dataclasses.asdict(clock))
    return clock


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Budget:
    """The schema of budget.json: what steps were matched for, and the steps by contestant."""

    budget: str
    num_steps: int
    evaluate_every_steps: int
    steps: dict[str, PositiveInt] = dataclasses.field(default_factory=dict)


def _read_budget(recipe: Recipe, folder: Path) -> _Budget:
    """Steps that were matched before; another budget is refused before they are lost."""
    training = recipe.training
    own = _Budget(
        budget=recipe.budget,
        num_steps=training.num_steps,
        evaluate_every_steps=training.evaluate_every_steps,
    )
    if not (folder / _BUDGET).exists():
        return own
    known = read_json(folder / _BUDGET, "remove it and go on with --resume", _Budget)
    now = dataclasses.replace(own, steps=known.steps)
    if known != now:
        raise UserError(
            f"{folder} holds a comparison with another budget{differences(vars(known), vars(now))}"
            ": choose another --output, or resume with the recipe that started it"
        )
    return known


def _with_budgets(
    recipe: Recipe,
    store: TokenStore,
    costs: Mapping[str, ModelCost],
    clock: Clock | None,
    budget: _Budget,
    *,
    folder: Path,
) -> Recipe:
    """The recipe with num_steps for each contestant, the same ones when it is resumed."""
    if recipe.budget == "tokens":
        return match_budget(recipe, dict.fromkeys(recipe.contestants, 1.0))
    if recipe.budget == "flops":
        cost = {
            name: own.flops_per_token
            * open_objective(recipe.as_seen_by(name), store).tokens_per_step
            for name, own in costs.items()
        }
    elif clock is not None:
        cost = {name: clock.seconds_per_step(name) for name in recipe.contestants}
    else:
        raise UserError(
            'budget "seconds" is measured on one process: run compare without a launcher'
        )
    contestants = {
        name: dataclasses.replace(own, num_steps=own.num_steps or budget.steps.get(name))
        for name, own in recipe.contestants.items()
    }
    matched = match_budget(dataclasses.replace(recipe, contestants=contestants), cost)
    steps = {name: own.num_steps for name, own in matched.contestants.items()}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _BUDGET, vars(budget) | {"steps": budget.steps | steps})
    return matched
