"""The commands of the command line, one file each."""

from latentwave.commands.command import Command
from latentwave.commands.consoles import ERR, OUT
from latentwave.commands.table import COMMANDS

__all__ = ["COMMANDS", "ERR", "OUT", "Command"]
