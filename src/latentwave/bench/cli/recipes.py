"""What commands that read a recipe share."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from latentwave.bench import training

OVERRIDES = "Any value of the recipe can be overridden, e.g. --training.num_steps 200."


def add_recipe_arguments(parser: ArgumentParser) -> None:
    """The recipe with all its values, the output folder, and whether to go on in it."""
    parser.add_argument(
        "--recipe", action="config", help="YAML file; may stand first without --recipe"
    )
    parser.add_argument("--output", type=Path | None, help="folder (default: runs/NAME…)")
    parser.add_argument("--resume", action="store_true", help="go on in a folder that exists")
    parser.add_class_arguments(training.Recipe)


def chosen_recipe(options: Namespace) -> training.Recipe:
    """The recipe's own part of a command's options."""
    fields = training.Recipe.__dataclass_fields__
    return training.recipe_from_dict(
        {name: value for name, value in options.as_dict().items() if name in fields}
    )
