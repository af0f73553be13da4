"""`latentwave evaluate`: the loss of a trained run over a whole split."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt

from latentwave.bench import data, training
from latentwave.bench.cli.command import OUT, Command
from latentwave.bench.cli.corpora import (
    corpus_config,
    corpus_of_run,
    in_tokens_of,
    keeps_documents_apart,
)
from latentwave.errors import UserError


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument(
        "--split", type=Literal["train", "validation", "test"], default="validation"
    )
    parser.add_argument(
        "--corpus", type=str | None, help="another corpus, read in the tokens of the run"
    )
    parser.add_argument("--batch_size", type=PositiveInt, default=16)


def _run(options: Namespace, _: list[str]) -> None:
    model, codec = training.load_run(options.run)
    if options.corpus is not None:
        config = in_tokens_of(options.run, codec, corpus_config(options.corpus))
    else:
        config = corpus_of_run(options.run)
    store = data.prepare(config)
    if config.tokenizer_name != "pretrained" and not store.codec.same_tokens(codec):
        raise UserError(
            f"the model reads {codec.vocab_size} different tokens ({codec.kind}), {config.name} "
            f"has {store.metadata.vocab_size} others ({store.metadata.tokenizer}): it was trained "
            "on another corpus"
        )
    if training.is_classifier(model):
        measured, count = training.evaluate_on_split(
            model, store, options.split, options.batch_size
        )
        shown = ", ".join(f"{name} {value:.4f}" for name, value in measured.items())
        OUT.print(f"{options.split}: {shown}, over {count:,} documents", soft_wrap=True)
        return
    context = model.config.max_position_embeddings
    borders = store.borders(options.split) if keeps_documents_apart(options.run) else None
    windows = data.GridWindows(store.split(options.split), context, borders=borders)
    loss = training.evaluate_loss(model, windows, options.batch_size)
    if not math.isfinite(loss):
        raise UserError(
            f"the loss of {options.run} is {loss}: its weights are damaged, or it diverged"
        )
    labels = (windows[i]["labels"][1:] for i in range(len(windows)))
    predicted = sum(int((each != -100).sum()) for each in labels)
    bits = ", ".join(
        f"{value:.4f} bits per {unit}"
        for unit, value in store.bits_per_unit(loss, options.split).items()
    )
    OUT.print(
        f"{options.split}: {loss:.4f} nats per token, {bits}, over "
        f"{predicted:,} tokens in windows of {context}",
        soft_wrap=True,
    )


COMMAND = Command(
    name="evaluate",
    arguments="RUN",
    summary="loss of a trained run over a whole split",
    add_arguments=_add_arguments,
    run=_run,
)
