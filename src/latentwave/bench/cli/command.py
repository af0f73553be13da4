"""What a command is to the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from jsonargparse import ArgumentParser, Namespace


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
