"""Where commands write: results to standard output, progress and faults to standard error."""

from __future__ import annotations

from rich.console import Console

OUT, ERR = Console(highlight=False), Console(stderr=True, highlight=False)
