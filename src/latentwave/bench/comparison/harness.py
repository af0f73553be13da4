"""Evaluates trained models with EleutherAI's lm-evaluation-harness."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from latentwave.bench.data.codec import optional_package
from latentwave.bench.training.processes import device
from latentwave.bench.training.progress import quiet_transformers
from latentwave.errors import UserError
from latentwave.hub import from_pretrained


def run_harness(
    folder: Path,
    tasks: Sequence[str],
    *,
    include_path: Path | None = None,
    limit: int | None = None,
    batch_size: int = 8,
) -> dict[str, Any]:
    """Evaluate a saved model on tasks of the harness, through its Hugging Face backend.

    The folder holds a model as `save_pretrained` writes it, and its tokenizer. `include_path`, a
    folder of your own task files, replaces the harness's tasks, and nothing is looked up
    elsewhere. `limit` is the most documents per task, for a trial.

    Returns:
        What the harness's `simple_evaluate` returns: "results" by task, versions, samples.

    Raises:
        UserError: if the harness is not installed, the folder holds no model with a tokenizer,
            or a task is unknown.
    """
    optional_package("lm_eval.models.huggingface", "evaluation", "evaluating with the harness")
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    with quiet_transformers():
        model = from_pretrained(folder).to(device())
    if not (folder / "tokenizer_config.json").is_file():
        raise UserError(f"{folder} has no tokenizer: the harness evaluates models of text")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"cannot load the tokenizer of {folder} ({reason:.300})") from error
    start = _start_token(tokenizer)
    if tokenizer.pad_token_id is None:  # the harness would add one that the model does not know
        tokenizer.pad_token_id = start
    if include_path is not None and not include_path.is_dir():
        raise UserError(f"there is no folder {include_path} with task files")
    manager = TaskManager(
        include_path=None if include_path is None else str(include_path),
        include_defaults=include_path is None,
    )
    unknown = [task for task in tasks if task not in manager.all_tasks]
    if unknown:
        known = ", ".join(manager.all_tasks[:20]) if include_path else "see `lm-eval ls tasks`"
        raise UserError(f"the harness knows no task {', '.join(unknown)}; known are: {known}")
    results: dict[str, Any] = lm_eval.simple_evaluate(
        model=HFLM(
            pretrained=model, tokenizer=tokenizer, batch_size=batch_size, prefix_token_id=start
        ),
        tasks=list(tasks),
        task_manager=manager,
        limit=limit,
    )
    return results


def _start_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token before the first one of a document: a special one, or else a line break."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    for text in ("\n", " "):
        ids = tokenizer(text, add_special_tokens=False).input_ids
        if len(ids) == 1:
            return int(ids[0])
    return 0
