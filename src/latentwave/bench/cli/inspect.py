"""`latentwave inspect`: what is inside a trained run, as figures and a page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser, Namespace
from numpy.typing import NDArray

from latentwave.bench import data, report, training
from latentwave.bench.cli.command import ERR, OUT, Command
from latentwave.bench.cli.corpora import corpus_of_run, keeps_documents_apart
from latentwave.bench.inspection import InspectedRun, inspect_runs
from latentwave.errors import UserError


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="folder of a finished run, or of a saved model")
    parser.add_argument(
        "--against", type=Path | None, help="another run on the same corpus, such as the baseline"
    )
    parser.add_argument(
        "--output", type=Path | None, help="folder of page and figures (default: RUN/inspect)"
    )
    parser.add_argument(
        "--text",
        type=str | None,
        help="whose masks and paths are shown (default: the beginning of the split); for sound "
        "and music a file",
    )
    parser.add_argument("--text_file", type=Path | None, help="the same from a file of text")
    parser.add_argument(
        "--split", type=Literal["train", "validation", "test"], default="validation"
    )
    parser.add_argument(
        "--num_windows", type=int, default=128, help="of the split, that losses are measured on"
    )
    parser.add_argument(
        "--num_new_tokens", type=int, default=200, help="of each generated sample; 0: no samples"
    )
    parser.add_argument("--svg", action="store_true", help="also write every figure as SVG")


def _run(options: Namespace, arguments: list[str]) -> None:
    report.check_extra()
    runs = _load_runs([options.run] + ([options.against] if options.against else []))
    text = _read_text(options, runs[0].codec)
    folder = report.make_folder(options.output or options.run / "inspect")
    store = None
    if not training.is_classifier(runs[0].model) and training.read_record(options.run):
        store = data.prepare(corpus_of_run(options.run))
        if not store.codec.same_tokens(runs[0].codec):
            raise UserError(f"the corpus of {options.run} has other tokens now: train again")
    inspection = inspect_runs(
        runs,
        store,
        split=options.split,
        text=text,
        num_windows=options.num_windows,
        num_new_tokens=options.num_new_tokens,
        separate_documents=keeps_documents_apart(options.run),
        on_stage=lambda stage: ERR.print(f"looking at: {stage}", soft_wrap=True),
    )
    ERR.print("drawing", soft_wrap=True)
    page, *figures = report.write_inspection(
        inspection, folder, svg=options.svg, command=shlex.join(["latentwave", *arguments])
    )
    for note in inspection.notes:
        OUT.print(note, soft_wrap=True)
    OUT.print(f"figures: {', '.join(str(path) for path in figures)}", soft_wrap=True)
    OUT.print(f"page:    {page}", soft_wrap=True)


def _load_runs(folders: list[Path]) -> list[InspectedRun]:
    runs = []
    for folder, name in zip(folders, _names(folders), strict=True):
        if training.read_record(folder) and not (folder / "model").is_dir():
            raise UserError(
                f"the run {folder} is not finished: go on with latentwave train … --output "
                f"{folder} --resume"
            )
        model, codec = training.load_run(folder)
        runs.append(InspectedRun(name=name, folder=folder, model=model, codec=codec))
    return runs


def _names(folders: list[Path]) -> list[str]:
    """Those of the contestants, where that tells the runs apart; else those of the folders."""
    contestants = [training.read_record(folder).get("contestant") for folder in folders]
    if all(contestants) and len(set(contestants)) == len(folders):
        return [str(name) for name in contestants]
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(folders) else [str(folder) for folder in folders]


def _read_text(options: Namespace, codec: data.Codec) -> NDArray[Any] | None:
    text = options.text
    if options.text_file is not None:
        if text is not None:
            raise UserError("give --text or --text_file, not both")
        try:
            text = options.text_file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{options.text_file} is not UTF-8 text: {error}") from error
    if text is None:
        return None
    tokens = codec.encode_prompt(text)
    if len(tokens) < 2:
        raise UserError(f"the text has {len(tokens)} tokens: at least 2 make a path")
    return tokens


COMMAND = Command(
    name="inspect",
    arguments="RUN",
    summary="show what a run learned: kernels, masks, paths, losses by position, samples",
    add_arguments=_add_arguments,
    run=_run,
)
