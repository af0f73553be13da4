"""The loss curve of a run: one line per evaluation, on disk as soon as it is known."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from latentwave.bench.training.files import write_durably


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One evaluation.

    Attributes:
        step: optimizer steps so far.
        tokens: tokens trained on so far.
        seconds: time spent training so far, without evaluations and checkpoints.
        loss: validation loss, nats per token or per labelled document.
        metrics: what else was measured, such as "accuracy".
    """

    step: int
    tokens: int
    seconds: float
    loss: float
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)


def read_curve(path: Path) -> list[CurvePoint]:
    """Read the points of a curve; a last line that was cut off in writing is left out."""
    points = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            points.append(CurvePoint(**json.loads(line)))
        except json.JSONDecodeError:
            break
    return points


class CurveCallback(TrainerCallback):
    """Writes the curve and keeps the clock, which stands still during evaluations and saves.

    A resumed run goes on from the point of its checkpoint; later points are written anew.
    """

    def __init__(self, path: Path, tokens_per_step: int) -> None:
        self._path = path
        self._tokens_per_step = tokens_per_step
        self._points: list[CurvePoint] = []
        self._seconds = 0.0
        self._mark = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Take up the curve where the checkpoint left it."""
        self._points = [p for p in read_curve(self._path) if p.step <= state.global_step]
        self._seconds = self._points[-1].seconds if self._points else 0.0
        self._mark = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Count the time since the last step, or since the evaluation or save after it."""
        if (control.should_evaluate or control.should_save) and torch.accelerator.is_available():
            torch.accelerator.synchronize()  # the steps up to here, not those still under way
        now = time.perf_counter()
        self._seconds += now - self._mark
        self._mark = now

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Add a point."""
        point = CurvePoint(
            step=state.global_step,
            tokens=state.global_step * self._tokens_per_step,
            seconds=self._seconds,
            loss=kwargs["metrics"]["eval_loss"],
            metrics={
                name.removeprefix("eval_"): value
                for name, value in kwargs["metrics"].items()
                if name.startswith("eval_") and name != "eval_loss"
            },
        )
        if not self._points or self._points[-1].step < point.step:
            self._points.append(point)
            lines = (json.dumps(dataclasses.asdict(p)) + "\n" for p in self._points)
            write_durably(self._path, "".join(lines))
        self._mark = time.perf_counter()

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Let the clock go on after the checkpoint is written."""
        self._mark = time.perf_counter()
