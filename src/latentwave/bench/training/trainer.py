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

from latentwave.bench.data import RandomWindows, TokenBatches
from latentwave.bench.training.checkpoint import load_checkpoint, load_rng, save_checkpoint
from latentwave.bench.training.engine import Wrapper, found_wrapper, reshard
from latentwave.bench.training.objective import Objective
from latentwave.bench.training.optimizers import make_optimizer, make_schedule
from latentwave.bench.training.processes import num_processes, rank
from latentwave.bench.training.settings import TrainingConfig


class EngineTrainer(Trainer):
    """Trains as the Trainer does, with the optimizer, schedule and batches of a recipe.

    The Trainer's own checkpoints differ from engine to engine, and its evaluation counts windows
    twice that do not divide by the processes.

    Args:
        run: folder of the run.
        objective: what is trained and measured.
        settings: of the recipe.
        seed: of the batches.
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
        settings: TrainingConfig,
        seed: int,
        wrapper: Wrapper,
        precision: str,
        **options: Any,
    ) -> None:
        super().__init__(
            data_collator=objective.collate, train_dataset=objective.training_set(seed), **options
        )
        if objective.mean_loss:
            # Otherwise the Trainer takes the loss for a sum over all tokens of a step.
            self.model_accepts_loss_kwargs = False
        self._run = run
        self._objective = objective
        self._settings = settings
        self._batches: TokenBatches | None = None
        self.add_callback(_EngineCheck(self, wrapper, precision))
        if wrapper != "DistributedDataParallel":
            # Accelerate knows no FSDP2 on the CPU and would take the model for one that needs DDP,
            # as it does that of one process under a launcher. In evaluation mode it adds precision
            # only; the model stands on its device already.
            prepare = self.accelerator.prepare_model

            def prepare_model(model: nn.Module, **_: Any) -> Any:
                return prepare(model, device_placement=False, evaluation_mode=True)

            self.accelerator.prepare_model = prepare_model

    def create_optimizer(self, model: Any = None) -> Optimizer:
        """The recipe's, see `make_optimizer`."""
        if self.optimizer is None:
            trained: Any = self.model
            decayed = set(self.get_decay_parameter_names(trained))
            self.optimizer = make_optimizer(trained, self._settings, decayed)
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: Optimizer | None = None
    ) -> LRScheduler:
        """The recipe's, see `make_schedule`."""
        if self.lr_scheduler is None:
            prepared: Any = self.optimizer if optimizer is None else optimizer
            plain = getattr(prepared, "optimizer", prepared)
            self.lr_scheduler = make_schedule(plain, self._settings)
        return self.lr_scheduler

    def get_train_dataloader(self) -> Any:
        """Batches made on the training device where the objective can, else the Trainer's own."""
        windows: Any = self.train_dataset
        if not isinstance(windows, RandomWindows) or windows.borders is not None:
            return super().get_train_dataloader()
        self.args.ignore_data_skip = True  # they begin where they are told to
        self._batches = TokenBatches(
            windows,
            windows_per_pass=self.args.per_device_train_batch_size,
            passes_per_step=self.args.gradient_accumulation_steps,
            device=self.args.device,
            rank=rank(),
            num_processes=num_processes(),
        )
        return self._batches

    def _init_training_state(self, max_steps: int, *arguments: Any, **options: Any) -> Any:
        found = super()._init_training_state(max_steps, *arguments, **options)
        # A checkpoint brings the distances of the run that wrote it, which may be another one.
        self.state.compute_steps(self.args, max_steps)  # type: ignore[no-untyped-call]
        if self._batches is not None:
            self._batches.start_at(self.state.global_step)
        return found

    def floating_point_ops(self, inputs: Any) -> int:
        """None: costs are counted once per contestant, and counting here takes time every step."""
        return 0

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
        save_checkpoint(self._run, *self._trained(), self.state, keep=self._settings.save_at_steps)

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
