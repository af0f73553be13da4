"""All commands, in the order of the help."""

from __future__ import annotations

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
from latentwave.bench.cli.command import Command

COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        download.COMMAND,
        prepare.COMMAND,
        train.COMMAND,
        compare.COMMAND,
        ladder.COMMAND,
        search.COMMAND,
        evaluate.COMMAND,
        generate.COMMAND,
        inspect.COMMAND,
        harness.COMMAND,
        report.COMMAND,
    )
}
