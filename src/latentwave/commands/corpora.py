"""What commands that read a corpus share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from latentwave import data
from latentwave.errors import UserError


def corpus_config(corpus: str, **options: Any) -> data.CorpusConfig:
    """The corpus that a name, a file or a folder means.

    Args:
        corpus: one of `data.CORPORA`, or a path; a path wins where both are there.
        **options: further fields of the configuration, None where not given.

    Raises:
        UserError: if there is neither, or an option does not fit.
    """
    given = {name: value for name, value in options.items() if value is not None}
    path = Path(corpus).expanduser()
    if path.exists():
        if "path" in given:
            raise UserError(f"{corpus} is a path already: leave --path out")
        return data.CorpusConfig(name=data.guess_corpus(path), path=corpus, **given)
    if corpus in data.CORPORA:
        return data.CorpusConfig(name=corpus, **given)
    raise UserError(
        f"there is no file or folder {corpus}, and no corpus of that name; known are: "
        f"{', '.join(data.CORPORA)}"
    )


def corpus_of_run(folder: Path) -> data.CorpusConfig:
    """The corpus that a run was trained on.

    Raises:
        UserError: if its folder does not say.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise UserError(f"{folder} does not say what it was trained on: it has no {path.name}")
    return data.CorpusConfig(**json.loads(path.read_text(encoding="utf-8"))["corpus"]["config"])
