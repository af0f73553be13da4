"""One training run: a contestant, a seed, a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from safetensors import SafetensorError, safe_open
from torch.utils.tensorboard import SummaryWriter
from transformers import PreTrainedModel, Trainer, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_callback import PrinterCallback
from transformers.utils import SAFE_WEIGHTS_NAME, logging

from latentwave.data import GridWindows, RandomWindows, TokenStore, save_codec
from latentwave.errors import UserError
from latentwave.training.curve import CurveCallback, CurvePoint, read_curve, write_durably
from latentwave.training.environment import describe_environment
from latentwave.training.models import build_model
from latentwave.training.progress import ProgressCallback
from latentwave.training.recipe import Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunResult:
    """A finished run.

    Attributes:
        contestant: its name in the recipe.
        seed: of initial weights and batches.
        final_loss: validation loss at the last step, nats per token.
        tokens: trained on.
        seconds: spent training, without evaluations and checkpoints.
        curve: all evaluations, step 0 included.
        environment: what it ran on, see `describe_environment`.
    """

    contestant: str
    seed: int
    final_loss: float
    tokens: int
    seconds: float
    curve: list[CurvePoint]
    environment: dict[str, Any]


def train(
    recipe: Recipe,
    contestant: str,
    seed: int,
    store: TokenStore,
    folder: Path,
    *,
    resume: bool = False,
    console: Console | None = None,
) -> RunResult:
    """Train one contestant with one seed, or go on where an interrupted run stopped.

    The folder gets run.json (what it is), curve.jsonl, checkpoints/, tensorboard/, and at the
    end model/ (weights, configuration, tokenizer) and result.json. A resumed run gives the loss
    curve of an uninterrupted one.

    Args:
        recipe: the experiment.
        contestant: one of its contestants.
        seed: of initial backbone weights and batches.
        store: the corpus of the recipe.
        folder: of the run.
        resume: go on in an existing folder; a finished run is returned as it is.
        console: where progress is shown; default: standard error.

    Returns:
        The finished run.

    Raises:
        UserError: if the folder exists (without resume) or holds a run of another recipe, and
            for what corpus and mixers refuse.
    """
    console = console or Console(stderr=True)
    config = recipe.contestant(contestant)
    record = {
        "contestant": contestant,
        "seed": seed,
        "mixer": dataclasses.asdict(config),
        "backbone": dataclasses.asdict(recipe.backbone),
        "training": dataclasses.asdict(recipe.training),
        "corpus": {
            "config": dataclasses.asdict(recipe.corpus),
            "sha256": store.metadata.sha256,
        },
    }
    window = recipe.backbone.context_length
    settings = recipe.training
    # Everything that can be refused is built before the folder is touched.
    validation = GridWindows(store.split("validation"), window, settings.num_evaluation_windows)
    batches = RandomWindows(
        store.split("train"), window, settings.num_steps * settings.batch_size, seed
    )
    model = build_model(recipe.backbone, config, vocab_size=store.metadata.vocab_size, seed=seed)
    _open_folder(folder, record, resume)
    if (folder / "result.json").is_file():
        return read_result(folder)

    tokens_per_step = settings.batch_size * window
    progress = ProgressCallback(console, f"{contestant}, seed {seed}", tokens_per_step)
    with SummaryWriter(folder / "tensorboard") as writer, _quiet_transformers():
        trainer = Trainer(
            model=model,
            args=_arguments(recipe, seed, folder),
            train_dataset=batches,
            eval_dataset=validation,
            callbacks=[
                TensorBoardCallback(writer),  # type: ignore[no-untyped-call]
                CurveCallback(folder / "curve.jsonl", tokens_per_step),
                progress,
            ],
        )
        trainer.remove_callback(PrinterCallback)
        checkpoint = last_checkpoint(folder)
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        finally:
            progress.close()
        _save_model(model, store, folder / "model")
    return _finish(folder, record)


def read_result(folder: Path) -> RunResult:
    """Read a finished run.

    Raises:
        UserError: if the folder holds none.
    """
    path = folder / "result.json"
    if not path.is_file():
        raise UserError(f"{folder} holds no finished run: it has no result.json")
    values = json.loads(path.read_text())
    curve = [CurvePoint(**point) for point in values.pop("curve")]
    return RunResult(curve=curve, **values)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run that was written completely."""
    found = sorted(
        (folder / "checkpoints").glob("checkpoint-*"),
        key=lambda path: int(path.name.rpartition("-")[2]),
        reverse=True,
    )
    return next((path for path in found if _is_complete(path)), None)


def _is_complete(checkpoint: Path) -> bool:
    # The Trainer writes its state last.
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
        with safe_open(checkpoint / SAFE_WEIGHTS_NAME, framework="pt") as weights:
            return bool(weights.keys())
    except (OSError, json.JSONDecodeError, SafetensorError):
        return False


def _arguments(recipe: Recipe, seed: int, folder: Path) -> TrainingArguments:
    settings = recipe.training
    return TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        max_steps=settings.num_steps,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=settings.num_warmup_steps,
        weight_decay=settings.weight_decay,
        adam_beta2=settings.adam_beta2,
        max_grad_norm=settings.max_grad_norm,
        seed=seed,
        train_sampling_strategy="sequential",  # the dataset itself is in random order
        eval_strategy="steps",
        eval_steps=settings.evaluate_every_steps,
        eval_on_start=True,
        prediction_loss_only=True,
        logging_steps=min(10, settings.evaluate_every_steps),
        save_strategy="steps",
        save_steps=settings.save_every_steps,
        save_total_limit=2,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        label_names=["labels"],
        disable_tqdm=True,
        report_to="none",
    )


def _open_folder(folder: Path, record: dict[str, Any], resume: bool) -> None:
    path = folder / "run.json"
    if not folder.exists() or not any(folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(path, json.dumps(record | {"environment": describe_environment()}, indent=2))
        return
    if not resume:
        raise UserError(
            f"the run folder {folder} exists: choose another with --output, or go on with --resume"
        )
    if not path.is_file():
        raise UserError(f"{folder} exists and is not a run of latentwave: choose another --output")
    before = json.loads(path.read_text())
    changed = [key for key, value in record.items() if before.get(key) != value]
    if changed:
        raise UserError(
            f"{folder} holds a run with another {' and '.join(changed)}: choose another --output, "
            "or resume with the recipe that started it"
        )


def _save_model(model: PreTrainedModel, store: TokenStore, folder: Path) -> None:
    model.save_pretrained(folder)
    save_codec(store.codec, folder)


def _finish(folder: Path, record: dict[str, Any]) -> RunResult:
    curve = read_curve(folder / "curve.jsonl")
    last = curve[-1]
    result = RunResult(
        contestant=record["contestant"],
        seed=record["seed"],
        final_loss=last.loss,
        tokens=last.tokens,
        seconds=last.seconds,
        curve=curve,
        environment=describe_environment(),
    )
    write_durably(folder / "result.json", json.dumps(dataclasses.asdict(result), indent=2))
    return result


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Our progress bar alone speaks during a run."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
