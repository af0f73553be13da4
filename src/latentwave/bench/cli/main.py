"""The command line: the parser of all commands, and what becomes of their errors."""

from __future__ import annotations

import itertools
import os
import sys
import time
import warnings
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser
from transformers.utils import logging

from latentwave.bench.cli import (
    compare,
    download,
    evaluate,
    generate,
    harness,
    inspect,
    ladder,
    prepare,
    report,
    search,
    train,
)
from latentwave.bench.cli.command import ERR
from latentwave.bench.training import is_main, rank, read_recipe_file
from latentwave.errors import UserError

# In the order of the help.
COMMANDS = {
    module.COMMAND.name: module.COMMAND
    for module in (
        download,
        prepare,
        train,
        compare,
        ladder,
        search,
        evaluate,
        generate,
        inspect,
        harness,
        report,
    )
}
_LATER_SECONDS = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; default: those of the process.

    Returns:
        The exit code: 0, 2 for a mistake that one line on standard error explains, 130 when
        interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    os.environ["MPLBACKEND"] = "agg"  # figures are files; a notebook's backend may not be there
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console may lack characters
    try:
        options = _parser().parse_args(_with_recipe_option(arguments))
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            COMMANDS[options.subcommand].run(options[options.subcommand], arguments)
    except ArgumentError as error:
        command = arguments[0] + " " if arguments and arguments[0] in COMMANDS else ""
        return _fail(f"{error} (see latentwave {command}--help)")
    except UserError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}")
    except (ValueError, RuntimeError) as error:
        # Of a path; of a machine without HOME.
        if "null byte" in str(error) or "home directory" in str(error):
            return _fail(str(error))
        raise
    except KeyboardInterrupt:
        how = "; run the same command with --resume to go on" if _reads_recipe(arguments) else ""
        ERR.print(f"latentwave: interrupted{how}")
        return 130
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="latentwave",
        description="Signal processing inside language models.",
        exit_on_error=False,
    )
    commands = parser.add_subcommands(metavar="COMMAND")
    for name, command in COMMANDS.items():
        commands.add_subcommand(name, command.parser(), help=command.summary)
    return parser


def _reads_recipe(arguments: list[str]) -> bool:
    return any(COMMANDS[name].reads_recipe for name in arguments[:1] if name in COMMANDS)


def _with_recipe_option(arguments: list[str]) -> list[str]:
    """Let the recipe stand as `compare RECIPE`; configuration files must be options."""
    if not _reads_recipe(arguments):
        return arguments
    command, *rest = arguments
    if not rest:
        raise UserError(f"{command} needs a recipe, e.g. latentwave {command} recipes/demo.yaml")
    if rest[0][:1] != "-":
        rest = ["--recipe", *rest]
    for option, path in itertools.pairwise(rest):
        if option == "--recipe":
            read_recipe_file(Path(path))  # files that the parser would stumble over are refused
    return [command, *rest]


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    if is_main():
        ERR.print(f"latentwave: warning: {' '.join(str(message).split())}", soft_wrap=True)


def _fail(message: str) -> int:
    if not is_main():
        # Most mistakes are made by all processes; the launcher ends this one when the first has
        # spoken. What happened here alone is said a little later.
        time.sleep(_LATER_SECONDS)
        message = f"process {rank()}: {message}"
    ERR.print(f"latentwave: error: {' '.join(message.split())}", soft_wrap=True)
    return 2
