"""What all commands share: what a command is, where it writes, and how it reads a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from latentwave.bench import training
from latentwave.bench.training.progress import PlainConsole

# Results go to standard output, progress and faults to standard error.
OUT = PlainConsole()
ERR = PlainConsole(stderr=True)
OVERRIDES = "Any value of the recipe can be overridden, e.g. --training.num_steps 200."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """One command.

    Attributes:
        name: what is typed.
        arguments: positional ones, as the usage line shows them.
        summary: one line without a full stop, in small letters.
        details: more sentences for its own help.
        add_arguments: adds them to the command's parser.
        run: does it; gets the parsed options and everything that was typed after `latentwave`.
        reads_recipe: the first argument may be a recipe without `--recipe`.
    """

    name: str
    arguments: str
    summary: str
    details: str = ""
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, list[str]], None]
    reads_recipe: bool = False

    def parser(self) -> ArgumentParser:
        """The parser of the command's own arguments."""
        summary = f"{self.summary[0].upper()}{self.summary[1:]}."
        parser = ArgumentParser(
            usage=f"latentwave {self.name} {self.arguments} [options]",
            description=f"{summary} {self.details}".strip(),
            exit_on_error=False,
        )
        self.add_arguments(parser)
        return parser


def add_recipe_arguments(parser: ArgumentParser) -> None:
    """The recipe with all its values, the output folder, and whether to go on in it."""
    parser.add_argument(
        "--recipe", action="config", help="YAML file; may stand first without --recipe"
    )
    parser.add_argument("--output", type=Path | None, help="folder (default: runs/NAME…)")
    parser.add_argument("--resume", action="store_true", help="continue in an existing folder")
    parser.add_class_arguments(training.Recipe)


def chosen_recipe(options: Namespace) -> training.Recipe:
    """The recipe's own part of a command's options."""
    fields = training.Recipe.__dataclass_fields__
    return training.recipe_from_dict(
        {name: value for name, value in options.as_dict().items() if name in fields}
    )
