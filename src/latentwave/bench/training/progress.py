"""What a person sees of a run while it lasts."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class ProgressCallback(TrainerCallback):
    """A bar with loss, tokens/s and time left; lines instead where there is no terminal.

    Args:
        console: where to.
        label: the run's name.
        tokens_per_step: of the training.
    """

    def __init__(self, console: Console, label: str, tokens_per_step: int) -> None:
        self._console = console
        self._label = label
        self._tokens_per_step = tokens_per_step
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._first_step = 0
        self._started = 0.0
        self._loss = float("nan")
        self._validation = float("nan")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Show the bar."""
        self._first_step, self._started = state.global_step, time.monotonic()
        if self._console.is_terminal:
            self._progress = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                TextColumn("left"),
                console=self._console,
            )
            self._task = self._progress.add_task(
                self._label, total=state.max_steps, completed=state.global_step, figures=""
            )
            self._progress.start()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Move the bar."""
        if self._progress is not None:
            self._progress.update(
                self._task, completed=state.global_step, figures=self._figures(state)
            )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Remember the losses; print a line for each evaluation where there is no bar."""
        logs = logs or {}
        self._loss = logs.get("loss", self._loss)
        if "eval_loss" in logs:
            self._validation = logs["eval_loss"]
            if self._progress is None:
                self._console.print(
                    f"{self._label}: step {state.global_step}/{state.max_steps}, "
                    f"{self._figures(state)}, {self._left(state)} left",
                    highlight=False,
                    soft_wrap=True,
                )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was, also after an error."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _figures(self, state: TrainerState) -> str:
        parts = []
        if self._loss == self._loss:
            parts.append(f"loss {self._loss:.3f}")
        if self._validation == self._validation:
            parts.append(f"validation {self._validation:.3f}")
        steps, seconds = state.global_step - self._first_step, time.monotonic() - self._started
        if steps:
            parts.append(f"{steps * self._tokens_per_step / seconds:,.0f} tokens/s")
        return ", ".join(parts)

    def _left(self, state: TrainerState) -> str:
        steps = state.global_step - self._first_step
        if not steps:
            return "?"
        left = (time.monotonic() - self._started) / steps * (state.max_steps - state.global_step)
        return f"{int(left) // 60}:{int(left) % 60:02d}"
