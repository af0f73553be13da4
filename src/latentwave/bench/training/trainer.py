"""Transformers' Trainer with a recipe's batches, optimizer, evaluation and checkpoints."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerState, TrainingArguments

from latentwave.bench.data import RandomWindows, TokenBatches
from latentwave.bench.training.checkpoint import load_checkpoint, save_checkpoint
from latentwave.bench.training.engine import Wrapper, found_wrapper, reshard, windows_per_process
from latentwave.bench.training.files import CHECKPOINTS
from latentwave.bench.training.objective import Objective
from latentwave.bench.training.optimizers import make_optimizer, make_schedule
from latentwave.bench.training.processes import num_processes, on_cpu, rank
from latentwave.bench.training.recipe import Recipe
from latentwave.bench.training.result import CurvePoint

_PRECISIONS = {"float32": "no", "bfloat16": "bf16"}


class RunTrainer(Trainer):
    """The Trainer, with the optimizer, schedule and batches of a recipe.

    Evaluation is ours, as the Trainer counts windows twice if processes cannot share them evenly.
    Training ends at the first evaluation whose loss is not finite.

    Raises:
        RuntimeError: at the start of training, if the model's wrapper or precision is not the one
            expected: some combinations of options make libraries silently use another engine.
    """

    def __init__(
        self,
        run: Path,
        *,
        objective: Objective,
        seed: int,
        wrapper: Wrapper,
        model: PreTrainedModel,
        **options: Any,
    ) -> None:
        optimizer = make_optimizer(model, objective.recipe.training)
        super().__init__(
            model=model,
            data_collator=objective.collate,
            train_dataset=objective.training_set(seed),
            optimizers=(optimizer, make_schedule(optimizer, objective.recipe.training)),
            **options,
        )
        if objective.mean_loss:
            # Otherwise the Trainer takes the loss for a sum over all tokens of a step.
            self.model_accepts_loss_kwargs = False
        self._run = run
        self._objective = objective
        self._settings = objective.recipe.training
        self._stopwatch = _Stopwatch()
        self.add_callback(_EveryStep(self._settings.save_at_steps, seed))
        self.add_callback(self._stopwatch)  # last: what others do at evaluations is not training
        self._batches: TokenBatches | None = None
        self._expected = (wrapper, _PRECISIONS[self._settings.precision])
        if wrapper != "DistributedDataParallel":
            # Accelerate has no FSDP2 on the CPU and would wrap the model with DDP, also that of
            # one process under a launcher. In evaluation mode it only sets the precision.
            prepare = self.accelerator.prepare_model
            self.accelerator.prepare_model = lambda model, **_: prepare(
                model, device_placement=False, evaluation_mode=True
            )

    def get_train_dataloader(self) -> Any:
        """Batches made on the training device if the data allow it, else the Trainer's own."""
        windows: Any = self.train_dataset
        if not isinstance(windows, RandomWindows) or windows.borders is not None:
            return super().get_train_dataloader()
        self.args.ignore_data_skip = True  # `start_at` skips
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
        result = super()._init_training_state(max_steps, *arguments, **options)
        # A checkpoint brings the intervals of the run that wrote it, which may be another one.
        self.state.compute_steps(self.args, max_steps)  # type: ignore[no-untyped-call]
        if self._batches is not None:
            self._batches.start_at(self.state.global_step)
        return result

    def _prepare_for_training(self, *arguments: Any, **options: Any) -> Any:
        prepared = super()._prepare_for_training(*arguments, **options)  # type: ignore[no-untyped-call]
        found = (found_wrapper(self.model_wrapped), self.accelerator.mixed_precision)
        if found != self._expected:
            raise RuntimeError(
                "the model's wrapper and its mixed precision must be "
                f"{' and '.join(self._expected)}, but are {' and '.join(found)}"
            )
        return prepared

    def floating_point_ops(self, inputs: Any) -> int:
        """Zero: comparisons count once per contestant, counting here would cost every step."""
        return 0

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Log loss and metrics, every item counted once, whatever the number of processes."""
        measured = self.measure(self.eval_dataset if eval_dataset is None else eval_dataset)
        measured |= {"seconds": self._stopwatch.seconds}
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in measured.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        if not math.isfinite(measured["loss"]):
            self.control.should_training_stop, self.control.should_save = True, False
        return metrics

    def measure(self, items: Any) -> dict[str, float]:
        """The objective's loss and metrics over items."""
        model: Any = self.model_wrapped
        measured = self._objective.evaluate(model, items, self.args.per_device_eval_batch_size)
        reshard(model)
        return measured

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        this: Any = self  # its attributes are annotated as optional; accelerate wraps the optimizer
        keep = self._settings.save_at_steps
        save_checkpoint(self._run, this.model, this.optimizer.optimizer, self.state, keep=keep)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        """Weights are restored together with the optimizer, once both are on their device."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            this: Any = self
            optimizer = this.optimizer.optimizer
            load_checkpoint(Path(checkpoint), this.model, optimizer, this.lr_scheduler)


def training_arguments(recipe: Recipe, seed: int, folder: Path) -> TrainingArguments:
    """The Trainer's arguments, by a recipe as the contestant sees it."""
    settings = recipe.training
    windows = windows_per_process(settings)
    arguments = TrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        max_steps=settings.num_steps,
        per_device_train_batch_size=windows,
        per_device_eval_batch_size=windows,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        learning_rate=settings.learning_rate,
        max_grad_norm=settings.max_grad_norm,
        seed=seed,
        train_sampling_strategy="sequential",  # the dataset is in random order
        eval_strategy="steps",
        eval_steps=settings.evaluate_every_steps,
        logging_steps=min(50, settings.evaluate_every_steps),
        logging_nan_inf_filter=False,  # it would wait for the accelerator at every step
        save_strategy="steps",
        save_steps=settings.save_every_steps,
        bf16=settings.precision == "bfloat16",
        use_cpu=on_cpu(),
        ddp_find_unused_parameters=False,
        ddp_timeout=settings.timeout_seconds,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
        report_to="none",
    )
    # One accelerator per process: torch's DataParallel would multiply the batch.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    # The recipe sets the precision, not accelerate's configuration.
    arguments.mixed_precision = _PRECISIONS[settings.precision]
    return arguments


def logged_curve(state: TrainerState, tokens_per_step: int, after: int = -1) -> list[CurvePoint]:
    """The evaluations after a step, from the Trainer's log, which its checkpoints keep."""
    points = []
    for entry in state.log_history:
        step = int(entry["step"])
        evaluated = [name for name in entry if name.startswith("eval_")]
        if evaluated and step > after:
            measured = {name.removeprefix("eval_"): entry[name] for name in evaluated}
            seconds, loss = measured.pop("seconds"), measured.pop("loss")
            tokens = step * tokens_per_step
            points.append(
                CurvePoint(step=step, tokens=tokens, seconds=seconds, loss=loss, metrics=measured)
            )
    return points


class _EveryStep(TrainerCallback):
    """Seeds dropout by run, step and process, and asks for checkpoints at given steps.

    So a resumed run draws what an uninterrupted one draws.
    """

    def __init__(self, save_at_steps: list[int], seed: int) -> None:
        self._save_at_steps = save_at_steps
        self._seed = seed

    def on_step_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        # Without an accelerator, torch.manual_seed formats the whole stack for accelerators.
        seed = torch.default_generator.manual_seed if on_cpu() else torch.manual_seed
        seed(self._seed + 1_000_003 * state.global_step + 7919 * rank())

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        if state.global_step in self._save_at_steps:
            control.should_save = True


class _Stopwatch(TrainerCallback):
    """Counts the seconds of training, without evaluations and saves.

    A resumed run goes on from the last evaluation before its checkpoint.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._mark = 0.0

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        before = logged_curve(state, 1)
        self.seconds = before[-1].seconds if before else 0.0
        self._mark = time.perf_counter()

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        if (control.should_evaluate or control.should_save) and torch.accelerator.is_available():
            torch.accelerator.synchronize()  # count steps that are still being computed
        now = time.perf_counter()
        self.seconds += now - self._mark
        self._mark = now

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        self._mark = time.perf_counter()

    on_save = on_evaluate
