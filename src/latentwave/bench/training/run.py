"""One training run: a contestant, a seed, a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors import SafetensorError
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_callback import PrinterCallback

from latentwave.bench.data import TokenStore, save_codec
from latentwave.bench.data.folders import whole_folder
from latentwave.bench.training.checkpoint import (
    check_checkpoint,
    checkpoint_step,
    newest_checkpoint,
    resume_hint,
)
from latentwave.bench.training.curve import CurveCallback
from latentwave.bench.training.engine import (
    expected_wrapper,
    prepare_model,
    shard_model,
    windows_per_process,
)
from latentwave.bench.training.objective import Objective
from latentwave.bench.training.ownership import owned_folder
from latentwave.bench.training.processes import (
    explained_ends,
    is_main,
    num_processes,
    on_cpu,
    on_main,
    rank,
    start_processes,
)
from latentwave.bench.training.progress import ProgressCallback
from latentwave.bench.training.quiet import quiet_transformers
from latentwave.bench.training.recipe import Recipe
from latentwave.bench.training.result import (
    RESULT,
    RunResult,
    open_folder,
    read_result,
    write_result,
)
from latentwave.bench.training.settings import TrainingConfig
from latentwave.bench.training.snapshots import SnapshotCallback
from latentwave.bench.training.tasks import open_objective
from latentwave.bench.training.trainer import EngineTrainer
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

    The folder gets run.json (what it is), curve.jsonl, checkpoints/, tensorboard/, mixers/ (their
    parameters at some evaluations, see `SnapshotCallback`), and at the end model/ (weights,
    configuration, tokenizer) and result.json. A resumed run gives the loss curve of an
    uninterrupted one.

    Under `torchrun` or `accelerate launch` all processes train one model; batch_size is that of
    all together, so the curve does not depend on their number. Only the first one writes and
    speaks.

    Args:
        recipe: the experiment.
        contestant: one of its contestants.
        seed: of initial backbone weights and batches.
        store: the corpus of the recipe.
        folder: of the run.
        resume: go on in an existing folder; a finished run is returned as it is.
        console: where progress is shown; default: standard error.
        start_from: a checkpoint of another run with this contestant and seed, from which this one
            branches off: weights, optimizer and batches go on from there, the learning rate
            follows this recipe's schedule.

    Returns:
        The finished run.

    Raises:
        UserError: if the folder exists (without resume) or holds a run of another recipe, if
            another process dies, the disk is full, a checkpoint is damaged and none is left, and
            for what corpus and mixers refuse.
        SystemExit: after SIGTERM, if there are other processes.
    """
    console = console or Console(stderr=True)
    start_processes(recipe.training.timeout_seconds)
    with explained_ends(lambda: resume_hint(folder)):
        return _train(
            recipe,
            contestant,
            seed,
            store,
            folder,
            resume=resume,
            console=console,
            start_from=start_from,
        )


def describe_run(
    recipe: Recipe,
    contestant: str,
    seed: int,
    store: TokenStore,
    start_from: Path | None = None,
) -> dict[str, Any]:
    """What a run is, as its run.json records it: folders that hold another are refused.

    Args:
        recipe: the experiment.
        contestant: one of its contestants.
        seed: of initial backbone weights and batches.
        store: the corpus of the recipe.
        start_from: the checkpoint that it branches off from.

    Returns:
        Plain values.
    """
    recipe = recipe.as_seen_by(contestant)
    return {
        "contestant": contestant,
        "seed": seed,
        "mixer": recipe.contestants[contestant].describe_mixer(),
        "backbone": dataclasses.asdict(recipe.backbone),
        "training": dataclasses.asdict(recipe.training),
        "task": recipe.task,
        "corpus": {
            "config": dataclasses.asdict(recipe.corpus),
            "sha256": store.metadata.sha256,
        },
    } | ({} if start_from is None else {"first_step": checkpoint_step(start_from)})


def _train(
    recipe: Recipe,
    contestant: str,
    seed: int,
    store: TokenStore,
    folder: Path,
    *,
    resume: bool,
    console: Console,
    start_from: Path | None,
) -> RunResult:
    record = describe_run(recipe, contestant, seed, store, start_from)
    recipe = recipe.as_seen_by(contestant)
    config = recipe.contestants[contestant]
    settings = recipe.training
    # Everything that can be refused is built before the folder is touched.
    objective = open_objective(recipe, store)
    validation = objective.evaluation_set("validation", settings.num_evaluation_windows)
    model = objective.build(config, seed)
    arguments = training_arguments(recipe, seed, folder, windows_per_process(settings))
    arguments.eval_on_start = start_from is None  # a trunk has measured what it hands on
    on_main(lambda: open_folder(folder, record, resume))
    if (folder / RESULT).is_file():
        return read_result(folder)
    with contextlib.ExitStack() as stack:
        on_main(lambda: stack.enter_context(owned_folder(folder)))
        checkpoint = on_main(lambda: newest_checkpoint(folder)) or start_from
        if checkpoint == start_from and start_from is not None:
            on_main(lambda: check_checkpoint(start_from))
        wrapper = expected_wrapper(settings)
        execution = {
            "num_processes": num_processes(),
            "wrapper": wrapper,
            "compiled": prepare_model(model, settings),
            "device": str(arguments.device),
        }
        if num_processes() > 1:
            # Dropout must differ from process to process.
            torch.manual_seed(seed + 1_000_003 * rank())
        stack.enter_context(_quiet())
        trainer = EngineTrainer(
            folder,
            objective=objective,
            settings=settings,
            seed=seed,
            wrapper=wrapper,
            precision=_PRECISIONS[settings.precision],
            model=model,
            args=arguments,
            eval_dataset=validation,
            callbacks=_reports(stack, objective, f"{contestant}, seed {seed}", folder, console),
        )
        trainer.remove_callback(PrinterCallback)
        if wrapper == "FSDPModule (fully_shard)":
            shard_model(model)
        if is_main() and num_processes() > 1:
            console.print(_described(execution, settings), highlight=False, soft_wrap=True)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        metrics = trainer.final_metrics()
        weights = get_model_state_dict(
            model, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
        )

        def finish() -> RunResult:
            # Plain and whole, whatever it was trained in.
            plain = objective.build(config, seed)
            plain.load_state_dict(weights)
            try:
                with _quiet(), whole_folder(folder / "model") as partial:
                    plain.save_pretrained(partial)
                    save_codec(store.codec, partial)
            except (OSError, SafetensorError) as error:
                raise UserError(
                    f"cannot write {folder / 'model'} ({error}); {resume_hint(folder)}"
                ) from error
            return write_result(folder, record, execution, metrics)

        return on_main(finish)


def _reports(
    stack: contextlib.ExitStack, objective: Objective, label: str, folder: Path, console: Console
) -> list[TrainerCallback]:
    """What the first process writes and shows while it trains; snapshots need all of them."""
    settings = objective.recipe.training
    callbacks: list[TrainerCallback] = [_KeptCheckpoints(settings.save_at_steps)]
    if settings.snapshots:  # before the curve, whose clock stands still meanwhile
        callbacks.append(SnapshotCallback(folder))
    if not is_main():
        return callbacks
    progress = ProgressCallback(console, label, objective.tokens_per_step)
    stack.callback(progress.close)
    if settings.tensorboard:
        from torch.utils.tensorboard import SummaryWriter

        writer = stack.enter_context(SummaryWriter(folder / "tensorboard"))
        callbacks.append(TensorBoardCallback(writer))  # type: ignore[no-untyped-call]
    curve = CurveCallback(folder / "curve.jsonl", objective.tokens_per_step)
    return [*callbacks, curve, progress]


class _KeptCheckpoints(TrainerCallback):
    """Asks for checkpoints at given steps."""

    def __init__(self, steps: Sequence[int]) -> None:
        self._steps = frozenset(steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step in self._steps:
            control.should_save = True


def _described(execution: dict[str, Any], settings: TrainingConfig) -> str:
    """How a run is executed, for people."""
    return (
        f"{execution['num_processes']} processes on {execution['device']}, model wrapped by "
        f"{execution['wrapper']}, {windows_per_process(settings)} windows each, "
        f"{settings.gradient_accumulation_steps} passes per step, {settings.precision}"
        + (", compiled" if execution["compiled"] else "")
    )


_PRECISIONS = {"float32": "no", "bfloat16": "bf16"}


def training_arguments(recipe: Recipe, seed: int, folder: Path, windows: int) -> TrainingArguments:
    """What transformers' Trainer is told.

    Args:
        recipe: as the contestant sees it.
        seed: of the run.
        folder: of the run.
        windows: of one forward pass of one process.
    """
    settings = recipe.training
    arguments = TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        max_steps=settings.num_steps,
        per_device_train_batch_size=windows,
        per_device_eval_batch_size=windows,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        learning_rate=settings.learning_rate,
        max_grad_norm=settings.max_grad_norm,
        seed=seed,
        train_sampling_strategy="sequential",  # the dataset itself is in random order
        eval_strategy="steps",
        eval_steps=settings.evaluate_every_steps,
        eval_on_start=True,
        prediction_loss_only=True,
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
        label_names=["labels"],
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
        report_to="none",
    )
    # Of several accelerators, one process uses one: torch's DataParallel would multiply the batch.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    # The recipe says the precision, not the configuration of accelerate.
    arguments.mixed_precision = _PRECISIONS[settings.precision]
    return arguments


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Our progress bar alone speaks during a run."""
    with quiet_transformers(), warnings.catch_warnings():
        # It warns of operations in place on what a layer returns, which no backbone does.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
        yield
