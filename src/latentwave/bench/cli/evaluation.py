"""The commands `evaluate`, `harness` and `inspect`, which look at a trained run."""

import json
import math
from pathlib import Path

from latentwave.bench import comparison, data, report, training
from latentwave.bench.cli.shared import (
    Split,
    check_at_least,
    check_writable,
    corpus_config,
    in_tokens_of,
    keeps_documents_apart,
    say,
    store_of_run,
    tell,
    verified,
)
from latentwave.bench.data.folders import write_durably
from latentwave.bench.inspection import InspectedRun, inspect_runs
from latentwave.errors import UserError


def evaluate(
    run: Path, *, split: Split = "validation", corpus: str | None = None, batch_size: int = 16
) -> None:
    """Measure the loss of a trained run over a whole split.

    Args:
        run: folder of a run
        split: of the corpus
        corpus: another corpus, read as the run's tokens (default: the one it was trained on)
        batch_size: windows or documents in a forward pass
    """
    check_at_least(1, batch_size=batch_size)
    model, codec = training.load_run(run)
    if corpus is None:
        store = store_of_run(run, codec)
    else:
        config = in_tokens_of(run, codec, corpus_config(corpus))
        store = verified(data.prepare(config))
        if config.tokenizer_name != "pretrained" and not store.codec.same_tokens(codec):
            raise UserError(
                f"the model reads {codec.vocab_size} different tokens ({codec.kind}), "
                f"{config.name} has {store.metadata.vocab_size} others "
                f"({store.metadata.tokenizer}): it was trained on another corpus"
            )
    if training.is_classifier(model):
        measured, count = training.evaluate_on_split(model, store, split, batch_size)
        shown = ", ".join(f"{name} {value:.4f}" for name, value in measured.items())
        say(f"{split}: {shown}, over {count:,} documents")
        return
    context = model.config.max_position_embeddings
    borders = store.borders(split) if keeps_documents_apart(run) else None
    windows = data.GridWindows(store.split(split), context, borders=borders, split=split)
    loss = training.evaluate_loss(model, windows, batch_size)
    if not math.isfinite(loss):
        raise UserError(f"the loss of {run} is {loss}: its weights are damaged, or it diverged")
    predicted = sum(int((windows[i]["labels"][1:] != -100).sum()) for i in range(len(windows)))
    bits = ", ".join(
        f"{value:.4f} bits per {unit}" for unit, value in store.bits_per_unit(loss, split).items()
    )
    say(
        f"{split}: {loss:.4f} nats per token, {bits}, over {predicted:,} tokens in windows of "
        f"{context}"
    )


def harness(
    run: Path,
    *,
    tasks: list[str] | None = None,
    include_path: Path | None = None,
    limit: int | None = None,
    batch_size: int = 8,
    output: Path | None = None,
) -> None:
    """Evaluate a trained run on tasks of lm-evaluation-harness.

    Args:
        run: folder of a run, or of any saved model
        tasks: their names, e.g. '[a, b]'
        include_path: folder with your own task files
        limit: documents per task, for a trial (default: all)
        batch_size: requests in a forward pass
        output: JSON file to write the figures to
    """
    if not tasks:
        raise UserError("name the tasks, e.g. --tasks '[prose]'")
    check_at_least(1, limit=limit, batch_size=batch_size)
    if output is not None:
        if output.is_dir():
            raise UserError(f"{output} is a folder: name a JSON file with --output")
        check_writable(output)
    results = comparison.run_harness(
        training.model_folder(run),
        tasks,
        include_path=include_path,
        limit=limit,
        batch_size=batch_size,
    )
    from lm_eval.utils import make_table

    say(make_table(results))
    if output is not None:
        figures = {name: results[name] for name in ("results", "versions", "n-samples")}
        write_durably(output, json.dumps(figures, indent=2, default=str))
        say(f"figures: {output}")


def inspect(
    run: Path,
    *,
    command: str,
    against: Path | None = None,
    output: Path | None = None,
    text: str | None = None,
    split: Split = "validation",
    num_windows: int = 128,
    svg: bool = False,
) -> None:
    """Show what a run learned: kernels, masks, paths, losses by position and by repeats.

    Args:
        run: folder of a finished run, or of a saved model
        command: as it was typed
        against: another run on the same corpus, such as the baseline
        output: folder for the page and its figures (default: RUN/inspect)
        text: text to show masks and paths for (default: the start of the split); for sound and
            music a file
        split: of the corpus
        num_windows: windows of the split that losses are measured on
        svg: also write every figure as SVG
    """
    folders = [run] if against is None else [run, against]
    models = [training.load_run(folder) for folder in folders]
    runs = [
        InspectedRun(name=name, folder=folder, model=model, codec=codec)
        for name, folder, (model, codec) in zip(_names(folders), folders, models, strict=True)
    ]
    tokens = None if text is None else runs[0].codec.encode_prompt(text)
    if tokens is not None and len(tokens) < 2:
        raise UserError(f"the text has {len(tokens)} tokens: at least 2 make a path")
    store = None
    if not training.is_classifier(runs[0].model) and training.read_record(run):
        store = store_of_run(run, runs[0].codec)
    folder = output or run / "inspect"

    def begin(stage: str) -> None:
        report.make_folder(folder)  # now that nothing is refused any more
        tell(f"looking at: {stage}")

    inspection = inspect_runs(
        runs,
        store,
        split=split,
        text=tokens,
        num_windows=num_windows,
        separate_documents=keeps_documents_apart(run),
        on_stage=begin,
    )
    tell("drawing")
    page, *figures = report.write_inspection(inspection, folder, svg=svg, command=command)
    for note in inspection.notes:
        say(note)
    say(f"figures: {', '.join(str(path) for path in figures)}")
    say(f"page:    {page}")


def _names(folders: list[Path]) -> list[str]:
    """The runs' names: of their contestants, or of their folders if those are the same."""
    contestants = [training.read_record(folder).get("contestant") for folder in folders]
    if all(contestants) and len(set(contestants)) == len(folders):
        return [str(name) for name in contestants]
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(folders) else [str(folder) for folder in folders]
