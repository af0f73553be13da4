"""The command line `latentwave`: parses arguments, runs commands, and reports their errors."""

import codecs
import contextlib
import inspect
import itertools
import re
import shlex
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path

import docstring_parser
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from transformers.utils import logging

from latentwave.bench import comparison, data, training
from latentwave.bench.cli import corpora, evaluation, generate, runs
from latentwave.bench.cli.shared import tell
from latentwave.bench.data.download import CATALOGUE
from latentwave.bench.training.progress import show_warning
from latentwave.errors import UserError

Command = Callable[..., None]

# In the order of the help.
COMMANDS: dict[str, Command] = {
    "download": corpora.download,
    "prepare": corpora.prepare,
    "train": runs.train,
    "compare": runs.compare,
    "ladder": runs.ladder,
    "search": runs.search,
    "evaluate": evaluation.evaluate,
    "generate": generate.generate,
    "inspect": evaluation.inspect,
    "harness": evaluation.harness,
    "report": runs.report,
}
# Commands that take the fields of a configuration as options.
_FIELDS: dict[str, type[data.CorpusConfig | training.Recipe]] = {
    "prepare": data.CorpusConfig,
    "train": training.Recipe,
    "compare": training.Recipe,
}
# Listed in the help of commands that take one.
_NAMES: dict[str, Iterable[str]] = {"download": CATALOGUE, "prepare": data.CORPORA}
_LATER_SECONDS = 3.0
_AGAIN_SECONDS = 0.1
# What consoles print that cannot encode a character.
_PLAIN = {"×": "x", "÷": "/", "−": "-", "–": "-", "—": "-", "’": "'", "…": "...", "→": "->"}

# Parts of the parser's messages about values of a wrong type.
_KEY = re.compile(r'Parser key "([\w.]+)"')
_TYPE = re.compile(r"Expected (?:a )?(?:<class '(\w+)'>|typing.Literal\[(.+?)\])")
_NO_MAPPING = re.compile("Not a valid subclass|Unable to load config|dot import path string")
_VALUE = re.compile(r"(?:(?:Got|Given) value|import path string): (.+)|load config '(.+?)'")
_NO_OPTION = re.compile("Option '(.+?)' is not accepted")
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list, such as '[{value}]'",
    "dict": "a mapping of names to values",
    "NoneType": "null",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, by default with the arguments of the process.

    Returns:
        The exit code: 0; 2 after a mistake, explained in one line on standard error; 130 when
        interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="latentwave.plain")
    try:
        options = _parser().parse_args(_with_recipe_option(arguments))
        with warnings.catch_warnings(), _interrupts_repeated():
            warnings.showwarning = show_warning
            _run(options.subcommand, options[options.subcommand], arguments)
    except ArgumentError as error:
        name = arguments[0] + " " if arguments and arguments[0] in COMMANDS else ""
        return _fail(f"{_in_words(str(error))} (see latentwave {name}--help)")
    except UserError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}")
    except (ValueError, RuntimeError) as error:
        # From a path, and from a machine without HOME.
        if "null byte" in str(error) or "home directory" in str(error):
            return _fail(str(error))
        raise
    except KeyboardInterrupt:
        command = COMMANDS.get("".join(arguments[:1]), main)
        resumes = "resume" in inspect.signature(command).parameters
        how = "; run the same command with --resume to go on" if resumes else ""
        tell(f"latentwave: interrupted{how}")
        return 130
    return 0


@contextlib.contextmanager
def _interrupts_repeated() -> Iterator[None]:
    """Send Ctrl-C again if it came during a destructor or the callback of a weak reference.

    Python prints exceptions there and goes on, and torch's callbacks are called all the time.
    """
    previous_hook = sys.unraisablehook

    def repeat(ignored: "sys.UnraisableHookArgs") -> None:
        if ignored.exc_type is not KeyboardInterrupt:
            previous_hook(ignored)
            return
        main_thread = threading.main_thread().ident
        timer = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, (main_thread, signal.SIGINT))
        timer.daemon = True
        timer.start()

    sys.unraisablehook = repeat
    try:
        yield
    finally:
        sys.unraisablehook = previous_hook


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="latentwave",
        description="Signal processing inside language models.",
        exit_on_error=False,
    )
    commands = parser.add_subcommands(metavar="COMMAND")
    for name, function in COMMANDS.items():
        command = _command_parser(name, function)
        commands.add_subcommand(name, command, help=str(command.description).partition(".")[0])
    return parser


def _command_parser(name: str, function: Command) -> ArgumentParser:
    """Turn a function's parameters into arguments; those before the * are positional."""
    parameters = inspect.signature(function).parameters.values()
    helps = {
        each.arg_name: each.description
        for each in docstring_parser.parse_from_object(function).params
    }
    fields = _FIELDS.get(name)
    by_position = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    shown = ["RECIPE"] if fields is training.Recipe else [each.upper() for each in by_position]
    description = (inspect.getdoc(function) or "").partition("\n\nArgs:")[0]
    if name in _NAMES:
        description += f" Names: {', '.join(_NAMES[name])}."
    parser = ArgumentParser(
        usage=" ".join(["latentwave", name, *shown, "[options]"]),
        description=description,
        exit_on_error=False,
    )
    if fields is training.Recipe:
        parser.add_argument(
            "--recipe",
            action="config",
            help="YAML file; if it stands first, --recipe may be omitted",
        )
    skipped: set[str | int] = {"fields", "workers", "command"}
    for each in parameters:
        if each.default is False:
            skipped.add(each.name)
            parser.add_argument(f"--{each.name}", action="store_true", help=helps[each.name])
        elif each.annotation == str | None:
            # Verbatim: the parser would read "# Title" and "~" as YAML, which is null.
            skipped.add(each.name)
            flag, nargs = (each.name, "?") if each.name in by_position else (f"--{each.name}", None)
            parser.add_argument(flag, type=str, nargs=nargs, help=helps[each.name])
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip=skipped)
    if "workers" in inspect.signature(function).parameters:
        parser.add_class_arguments(comparison.Workers)
    if fields is training.Recipe:
        parser.add_class_arguments(fields)
    elif fields is not None:
        parser.add_class_arguments(fields, skip={"name"}, as_group=False)
    return parser


def _run(name: str, options: Namespace, arguments: list[str]) -> None:
    function, values = COMMANDS[name], options.as_dict()
    parameters = inspect.signature(function).parameters
    keywords = {key: value for key, value in values.items() if key in parameters}
    for group, schema in (("fields", _FIELDS.get(name)), ("workers", comparison.Workers)):
        if schema is not None and group in parameters:
            known = schema.__dataclass_fields__
            keywords[group] = {key: value for key, value in values.items() if key in known}
    if "command" in parameters:
        keywords["command"] = shlex.join(["latentwave", *arguments])
    function(**keywords)


def _with_recipe_option(arguments: list[str]) -> list[str]:
    """Turn `compare RECIPE` into `compare --recipe RECIPE`, as the parser wants it."""
    if not arguments or _FIELDS.get(arguments[0]) is not training.Recipe:
        return arguments
    command, *rest = arguments
    if not rest:
        raise UserError(f"{command} needs a recipe, e.g. latentwave {command} recipes/demo.yaml")
    if rest[0][:1] != "-":
        rest = ["--recipe", *rest]
    # --recipe=FILE is --recipe FILE.
    rest = [part for word in rest for part in re.split("(?<=^--recipe)=", word)]
    for option, path in itertools.pairwise(rest):
        if option == "--recipe":
            training.read_recipe_file(Path(path))  # with clearer errors than the parser's
    return [command, *rest]


def _in_words(message: str) -> str:
    """A message of the parser without the names of Python's types."""
    keys = dict.fromkeys(_KEY.findall(message))
    key = "--" + ": ".join(keys)
    if keys and (unknown := _NO_OPTION.search(message)):
        return f"{key} has no option {unknown[1]!r}"
    types = [
        f"one of {values}" if values else _TYPES.get(name, name)
        for name, values in _TYPE.findall(message)
    ]
    if _NO_MAPPING.search(message):
        types.append(_TYPES["dict"])
    found = _VALUE.search(message)
    if not (keys and types and found):
        return message
    value = found[1] or found[2]
    return f"{key} must be {' or '.join(dict.fromkeys(types)).format(value=value)}, got {value}"


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replace a character that a console cannot encode."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _PLAIN.get(error.object[error.start], "?"), error.start + 1


codecs.register_error("latentwave.plain", _plain)


def _fail(message: str) -> int:
    if not training.is_main():
        # Most mistakes are made by all processes: the first one reports them, and the launcher ends
        # the others. A mistake of this process alone is reported a little later.
        time.sleep(_LATER_SECONDS)
        message = f"process {training.rank()}: {message}"
    tell(f"latentwave: error: {' '.join(message.split())}")
    return 2
