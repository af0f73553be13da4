"""Progress and warnings on the terminal, safe for text that tries to control it."""

import contextlib
import re
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from transformers import TrainerCallback, TrainerState
from transformers.utils import logging

from latentwave.bench.training.processes import is_main

# Control characters but for tabs and newlines: file names and texts may contain them.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def without_controls(text: str) -> str:
    r"""Escape a text's control characters, so that the terminal shows them.

    Example:
        >>> print(without_controls("a" + chr(27) + "[2Jb"))
        a\x1b[2Jb
    """
    return _CONTROLS.sub(lambda found: ascii(found.group())[1:-1], text)


class PlainConsole(Console):
    """A console for untrusted text: control characters are escaped, brackets are not markup."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, **options})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Escape all control characters but rich's own."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else without_controls(text), style, control)


# Shared, because what another console prints would tear the progress bar.
ERR = PlainConsole(stderr=True)


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A `warnings.showwarning` that prints one line, in the first process only."""
    if is_main():
        ERR.print(f"latentwave: warning: {' '.join(str(message).split())}", soft_wrap=True)


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' progress bars and log lines below errors."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


class ProgressCallback(TrainerCallback):
    """A bar with loss, tokens/s and time left; without a terminal a line per evaluation."""

    def __init__(self, console: Console, label: str, tokens_per_step: int) -> None:
        self._console = console
        self._label = label
        self._tokens_per_step = tokens_per_step
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(label, total=None, figures="")
        self._first_step = 0
        self._started = 0.0
        self._losses: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Show the bar."""
        self._first_step, self._started = state.global_step, time.monotonic()
        self._bar.reset(self._task, total=state.max_steps, completed=state.global_step)
        self._bar.start()

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=state.global_step, figures=self._figures(state))

    def on_log(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Remember the losses; without a terminal print a line for each evaluation."""
        logs: dict[str, float] = kwargs.get("logs") or {}
        for name, shown in (("loss", "loss"), ("eval_loss", "validation")):
            if name in logs:
                self._losses[shown] = logs[name]
        if "eval_loss" in logs and not self._console.is_terminal:
            step = f"{self._label}: step {state.global_step}/{state.max_steps}"
            self._console.print(f"{step}, {self._figures(state)}", highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Stop the bar, also after an error."""
        self._bar.stop()

    def _figures(self, state: TrainerState) -> str:
        parts = [f"{name} {value:.3f}" for name, value in sorted(self._losses.items())]
        steps, seconds = state.global_step - self._first_step, time.monotonic() - self._started
        if steps:
            parts.append(f"{steps * self._tokens_per_step / seconds:,.0f} tokens/s")
        return ", ".join(parts)
