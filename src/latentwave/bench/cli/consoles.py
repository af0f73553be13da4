"""Where commands write: results to standard output, progress and faults to standard error."""

from __future__ import annotations

from rich.console import Console

# What is printed has paths and names in it, whose brackets are no markup.
OUT = Console(highlight=False, markup=False)
ERR = Console(stderr=True, highlight=False, markup=False)
