"""The commands of the command line, one file each."""

from latentwave.bench.cli.command import Command
from latentwave.bench.cli.consoles import ERR, OUT
from latentwave.bench.cli.table import COMMANDS

__all__ = ["COMMANDS", "ERR", "OUT", "Command"]
