"""The loss curve of a run, and the clock beside it."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import torch
from transformers import TrainerCallback, TrainerState


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One evaluation.

    Attributes:
        step: optimizer steps so far.
        tokens: tokens trained on so far.
        seconds: time spent training so far, without evaluations and checkpoints; nan where a run
            that diverged did not come to.
        loss: validation loss, nats per token or per labelled document; nan from the step on at
            which a run diverged.
        metrics: what else was measured, such as "accuracy".
    """

    step: int
    tokens: int
    seconds: float
    loss: float
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)


def logged_curve(state: TrainerState, tokens_per_step: int, after: int = -1) -> list[CurvePoint]:
    """The evaluations after a step that the Trainer has logged: they are in its checkpoints."""
    points = []
    for entry in state.log_history:
        measured = {
            name.removeprefix("eval_"): value
            for name, value in entry.items()
            if name.startswith("eval_")
        }
        step = int(entry["step"])
        if measured and step > after:
            seconds, loss = measured.pop("seconds"), measured.pop("loss")
            tokens = step * tokens_per_step
            points.append(
                CurvePoint(step=step, tokens=tokens, seconds=seconds, loss=loss, metrics=measured)
            )
    return points


class Stopwatch(TrainerCallback):
    """Counts the seconds of training; it stands still during evaluations and saves.

    A resumed run goes on from the last evaluation before its checkpoint.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._mark = 0.0

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Go on where the checkpoint stands."""
        before = logged_curve(state, 1)
        self.seconds = before[-1].seconds if before else 0.0
        self._mark = time.perf_counter()

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Count the time since the last step, or since the evaluation or save after it."""
        if (control.should_evaluate or control.should_save) and torch.accelerator.is_available():
            torch.accelerator.synchronize()  # the steps up to here, not those still under way
        now = time.perf_counter()
        self.seconds += now - self._mark
        self._mark = now

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        """Go on after an evaluation."""
        self._mark = time.perf_counter()

    on_save = on_evaluate
