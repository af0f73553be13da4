"""The Trainer of transformers with our evaluation, checkpoints and sharding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from latentwave.bench.training.checkpoint import load_checkpoint, load_rng, save_checkpoint
from latentwave.bench.training.engine import Wrapper, found_wrapper, reshard
from latentwave.bench.training.objective import Objective


class EngineTrainer(Trainer):
    """Trains as the Trainer does; reads and writes as every number of processes can.

    The Trainer's own checkpoints differ from engine to engine, and its evaluation counts windows
    twice that do not divide by the processes.

    Args:
        run: folder of the run.
        objective: what is trained and measured.
        wrapper: what must wrap the model in training; checked before the first step. A model for
            FSDP2 is sharded already.
        precision: of accelerate's autocast, "no" or "bf16"; checked too.
        **options: of the Trainer.

    Raises:
        RuntimeError: at the start of training, if it is not so.
    """

    def __init__(
        self,
        run: Path,
        *,
        objective: Objective,
        wrapper: Wrapper,
        precision: str,
        **options: Any,
    ) -> None:
        super().__init__(data_collator=objective.collate, **options)
        if objective.mean_loss:
            # Otherwise the Trainer takes the loss for a sum over all tokens of a step.
            self.model_accepts_loss_kwargs = False
        self._run = run
        self._objective = objective
        self.add_callback(_EngineCheck(self, wrapper, precision))
        if wrapper != "DistributedDataParallel":
            # Accelerate knows no FSDP2 on the CPU and would take the model for one that needs DDP,
            # as it does that of one process under a launcher. In evaluation mode it adds precision
            # only; the model stands on its device already.
            prepare = self.accelerator.prepare_model

            def prepare_model(model: nn.Module, **_: Any) -> Any:
                return prepare(model, device_placement=False, evaluation_mode=True)

            self.accelerator.prepare_model = prepare_model

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Loss and metrics, every item counted once, whatever the number of processes."""
        model: Any = self.model_wrapped
        items: Any = self.eval_dataset if eval_dataset is None else eval_dataset
        measured = self._objective.evaluate(model, items, self.args.per_device_eval_batch_size)
        reshard(model)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in measured.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def final_metrics(self) -> tuple[dict[str, float], str | None]:
        """See `Objective.final_metrics`."""
        model: Any = self.model_wrapped
        found = self._objective.final_metrics(model, self.args.per_device_eval_batch_size)
        reshard(model)
        return found

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        save_checkpoint(self._run, *self._trained(), self.state)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        """Nothing yet: weights come with the optimizer, when both are where they train."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_checkpoint(Path(checkpoint), *self._trained())

    def _trained(self) -> tuple[nn.Module, Optimizer, LRScheduler]:
        """The model without wrappers, its optimizer without accelerate's, the scheduler."""
        optimizer: Any = self.optimizer
        return self.model, optimizer.optimizer, self.lr_scheduler  # type: ignore[return-value]

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_rng(Path(checkpoint), self.args.seed)


class _EngineCheck(TrainerCallback):
    """Some combinations of options make libraries fall back to another engine in silence."""

    def __init__(self, trainer: Trainer, wrapper: Wrapper, precision: str) -> None:
        self._trainer = trainer
        self._expected = (wrapper, precision)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        trainer = self._trainer
        found = (found_wrapper(trainer.model_wrapped), trainer.accelerator.mixed_precision)
        if found != self._expected:
            raise RuntimeError(
                "the model's wrapper and its mixed precision must be "
                f"{' and '.join(self._expected)}, but are {' and '.join(found)}"
            )
