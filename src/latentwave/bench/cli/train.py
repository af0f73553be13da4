"""`latentwave train`: one contestant, one seed."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt

from latentwave.bench import training
from latentwave.bench.cli.command import (
    ERR,
    OUT,
    OVERRIDES,
    Command,
    add_recipe_arguments,
    chosen_recipe,
)
from latentwave.errors import UserError


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--contestant", type=str | None, help="default: the first one with a mixer")
    parser.add_argument(
        "--seed", type=NonNegativeInt | None, help="default: the recipe's first one"
    )
    add_recipe_arguments(parser)


def _run(options: Namespace, _: list[str]) -> None:
    recipe = chosen_recipe(options)
    if not recipe.contestants:
        raise UserError("the recipe has no contestants: give it some, such as {none: {}}")
    mixed = [name for name, each in recipe.contestants.items() if each.placed]
    contestant = options.contestant or next(iter(mixed or recipe.contestants))
    seed = recipe.seeds[0] if options.seed is None else options.seed
    folder = options.output or Path("runs") / f"{recipe.name}-{contestant}-seed{seed}"
    training.start_processes(recipe.training.timeout_seconds)
    store = training.prepared_store(recipe.corpus)
    result = training.train(
        recipe, contestant, seed, store, folder, resume=options.resume, console=ERR
    )
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
    OUT.print(
        f"{contestant}, seed {seed}: validation loss {result.final_loss:.4f} nats per {unit} "
        f"{f'({result.metrics_split}: {measured}) ' if measured else ''}after "
        f"{result.tokens:,} tokens in {result.seconds:,.0f} s; saved in {folder}",
        soft_wrap=True,
    )


COMMAND = Command(
    name="train",
    arguments="RECIPE",
    summary="train one contestant of a recipe with one seed",
    details=OVERRIDES,
    add_arguments=_add_arguments,
    run=_run,
    reads_recipe=True,
)
