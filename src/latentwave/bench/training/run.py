"""Trains one contestant with one seed into a run folder, or resumes it there."""

import contextlib
import dataclasses
import math
import shutil
import warnings
from pathlib import Path
from typing import Any

from rich.console import Console
from safetensors import SafetensorError
from transformers import TrainerCallback, TrainerState
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_callback import PrinterCallback

from latentwave.bench.data import TokenStore, save_codec
from latentwave.bench.data.folders import whole_folder
from latentwave.bench.training.checkpoint import (
    checkpoint_step,
    list_checkpoints,
    newest_checkpoint,
    resume_hint,
    whole_weights,
)
from latentwave.bench.training.engine import expected_wrapper, prepare_model, shard_model
from latentwave.bench.training.environment import crowded_cores, describe_environment
from latentwave.bench.training.files import MODEL, RESULT, TENSORBOARD, find_fault, seal_folder
from latentwave.bench.training.objective import (
    Objective,
    check_fits,
    open_objective,
    settle_compilation,
)
from latentwave.bench.training.optimizers import check_warmup
from latentwave.bench.training.processes import (
    explained_ends,
    is_main,
    num_processes,
    on_main,
    start_processes,
)
from latentwave.bench.training.progress import ERR, ProgressCallback, quiet_transformers
from latentwave.bench.training.recipe import Recipe
from latentwave.bench.training.result import (
    CurvePoint,
    RunResult,
    open_folder,
    owned_folder,
    read_result,
    write_result,
)
from latentwave.bench.training.snapshots import SnapshotCallback
from latentwave.bench.training.trainer import RunTrainer, logged_curve, training_arguments
from latentwave.errors import UserError


def train(
    recipe: Recipe,
    contestant: str,
    seed: int,
    store: TokenStore,
    folder: Path,
    *,
    resume: bool = False,
    console: Console | None = None,
    start_from: Path | None = None,
) -> RunResult:
    """Train one contestant with one seed, or go on where an interrupted run stopped.

    The folder gets run.json (what the run is), checkpoints/, tensorboard/, mixers/ (see
    `SnapshotCallback`), and at the end model/ (weights, configuration, tokenizer) and result.json.
    A resumed run has the loss curve of an uninterrupted one, and a finished run is returned as it
    is. A run ends when its loss is no longer finite, without a model, see `RunResult.diverged_at`.

    Under `torchrun` or `accelerate launch` all processes train one model. They share batch_size, so
    the curve does not depend on their number. Only the first one writes and prints.

    A run may `start_from` a checkpoint of another run of this contestant and seed: weights,
    optimizer and batches go on from there, the learning rate follows this recipe's schedule.
    Progress goes to the console, by default standard error.

    Raises:
        UserError: if the folder exists (without `resume`) or holds another run, another process
            dies, the disk is full, all checkpoints are damaged, or the corpus or a mixer refuses
            the recipe.
        SystemExit: after SIGTERM, if there are other processes.
    """
    start_processes(recipe.training.timeout_seconds)
    recipe = settle_compilation(recipe, store)
    record = describe_run(recipe, contestant, seed, store, start_from)
    try:
        with explained_ends(lambda: resume_hint(folder)):
            # Everything that can be refused is built before the folder is touched.
            objective = open_objective(recipe.as_seen_by(contestant), store)
            check_fits(objective)
            run = _Run(objective, contestant, seed, folder, console or ERR)
            on_main(lambda: open_folder(folder, record, resume))
            return on_main(run.finished) or run.train(start_from)
    except (OSError, SafetensorError) as error:
        path = getattr(error, "filename", None) or folder
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: {reason}; {resume_hint(folder)}") from error


def describe_run(
    recipe: Recipe, contestant: str, seed: int, store: TokenStore, start_from: Path | None = None
) -> dict[str, Any]:
    """The content of run.json, which says what a run is; see `check_folder`.

    Raises:
        UserError: for a warm-up that is too long for the run.
    """
    recipe = recipe.as_seen_by(contestant)
    check_warmup(recipe.training)
    return {
        "contestant": contestant,
        "seed": seed,
        "mixers": recipe.contestants[contestant].describe_mixers(),
        "backbone": dataclasses.asdict(recipe.backbone),
        "training": dataclasses.asdict(recipe.training),
        "task": recipe.task,
        "corpus": {"config": dataclasses.asdict(recipe.corpus), "sha256": store.metadata.sha256},
    } | ({} if start_from is None else {"first_step": checkpoint_step(start_from)})


class _Run:
    def __init__(
        self, objective: Objective, contestant: str, seed: int, folder: Path, console: Console
    ) -> None:
        self.objective, self.contestant, self.seed = objective, contestant, seed
        self.folder, self.console = folder, console
        self.settings = objective.recipe.training
        limit = self.settings.num_evaluation_windows
        self.validation = objective.evaluation_set("validation", limit)
        self.model = objective.build(objective.recipe.contestants[contestant], seed)
        self.arguments = training_arguments(objective.recipe, seed, folder)
        self.wrapper = expected_wrapper(self.settings)

    def finished(self) -> RunResult | None:
        """The result, unless there is none or the model is damaged and can be made again."""
        if not (self.folder / RESULT).exists():
            return None
        result = read_result(self.folder)
        model = self.folder / MODEL
        removed = not model.exists() and not list_checkpoints(self.folder)
        if removed or result.diverged_at is not None or not (fault := find_fault(model)):
            return result
        remedy = "it is made again from the last checkpoint"
        warnings.warn(f"{model} is damaged ({fault}): {remedy}", stacklevel=2)
        return None

    def train(self, start_from: Path | None) -> RunResult:
        """Train from the newest checkpoint, `start_from` or the first step to the end."""
        with contextlib.ExitStack() as stack:
            on_main(lambda: stack.enter_context(owned_folder(self.folder)))
            checkpoint = on_main(lambda: newest_checkpoint(self.folder))
            if checkpoint is None and start_from is not None:
                if fault := on_main(lambda: find_fault(start_from)):
                    raise UserError(
                        f"cannot start from {start_from}: it is damaged or missing ({fault})"
                    )
                checkpoint = start_from
            self.arguments.eval_on_start = checkpoint is None
            execution = {
                "num_processes": num_processes(),
                "wrapper": self.wrapper,
                "compiled": prepare_model(self.model, self.settings),
                "device": str(self.arguments.device),
            }
            # Only our progress bar prints during a run.
            stack.enter_context(quiet_transformers())
            stack.enter_context(warnings.catch_warnings())
            # It warns of in-place operations on a layer's output, which no backbone does.
            warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
            model: Any = self.model
            model.to(self.arguments.device)
            if self.wrapper == "FSDPModule (fully_shard)":
                shard_model(self.model)
            trainer = RunTrainer(
                self.folder,
                objective=self.objective,
                seed=self.seed,
                wrapper=self.wrapper,
                model=self.model,
                args=self.arguments,
                eval_dataset=self.validation,
                callbacks=self._callbacks(stack, checkpoint),
            )
            trainer.remove_callback(PrinterCallback)
            if is_main():
                self._announce(execution)
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            result = on_main(lambda: self._result(trainer.state, start_from, execution))
            if result.diverged_at is None:
                if split := self.objective.final_split:
                    metrics = trainer.measure(self.objective.evaluation_set(split, None))
                    result = dataclasses.replace(result, metrics=metrics, metrics_split=split)
                weights = whole_weights(self.model)
                on_main(lambda: self._save_model(weights))
            on_main(lambda: write_result(self.folder, result))
            return result

    def _callbacks(
        self, stack: contextlib.ExitStack, checkpoint: Path | None
    ) -> list[TrainerCallback]:
        """Snapshots in every process, TensorBoard and progress in the first one."""
        callbacks: list[TrainerCallback] = []
        if self.settings.snapshots:
            callbacks.append(SnapshotCallback(self.folder))
        if not is_main():
            return callbacks
        label = f"{self.contestant}, seed {self.seed}"
        progress = ProgressCallback(self.console, label, self.objective.tokens_per_step)
        stack.callback(progress.close)
        if self.settings.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            # An interrupted run may have logged steps after its checkpoint.
            first = 0 if checkpoint is None else checkpoint_step(checkpoint) + 1
            logs = SummaryWriter(self.folder / TENSORBOARD, purge_step=first)
            writer = stack.enter_context(logs)
            callbacks.append(TensorBoardCallback(writer))  # type: ignore[no-untyped-call]
        return [*callbacks, progress]

    def _announce(self, execution: dict[str, Any]) -> None:
        line = crowded_cores() if execution["device"] == "cpu" and num_processes() == 1 else None
        if num_processes() > 1:
            line = (
                f"{num_processes()} processes on {execution['device']}, model wrapped by "
                f"{self.wrapper}, {self.arguments.per_device_train_batch_size} windows each, "
                f"{self.settings.gradient_accumulation_steps} passes per step, "
                f"{self.settings.precision}{', compiled' if execution['compiled'] else ''}"
            )
        if line:
            self.console.print(line, highlight=False, soft_wrap=True)

    def _result(
        self, state: TrainerState, start_from: Path | None, execution: dict[str, Any]
    ) -> RunResult:
        first = -1 if start_from is None else checkpoint_step(start_from)
        tokens, every = self.objective.tokens_per_step, self.settings.evaluate_every_steps
        reached = logged_curve(state, tokens, after=first)
        # A diverged run does not reach the other evaluations.
        curve = reached + [
            CurvePoint(step=step, tokens=step * tokens, seconds=math.nan, loss=math.nan)
            for step in range(reached[-1].step + every, self.settings.num_steps + 1, every)
        ]
        return RunResult(
            contestant=self.contestant,
            seed=self.seed,
            final_loss=curve[-1].loss,
            tokens=reached[-1].tokens,
            seconds=reached[-1].seconds,
            curve=curve,
            environment=describe_environment() | execution,
        )

    def _save_model(self, weights: dict[str, Any]) -> None:
        """Save the model and its codec, free of wrappers."""
        folder = self.folder / MODEL
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        folder.unlink(missing_ok=True)
        with whole_folder(folder) as partial:
            self.model.save_pretrained(partial, state_dict=weights)
            save_codec(self.objective.store.codec, partial)
            seal_folder(partial)
