"""All kinds of corpora and codecs."""

from __future__ import annotations

import json
from pathlib import Path

from latentwave.bench.data import audio, music, tasks, text
from latentwave.bench.data.codec import Codec
from latentwave.bench.data.config import CORPORA
from latentwave.errors import UserError

CODEC_FILE = "codec.json"

_PARTS = (text, audio, music, tasks)
CORPORA.update({kind.name: kind for part in _PARTS for kind in part.KINDS})
CODECS: dict[str, type[Codec]] = {codec.kind: codec for part in _PARTS for codec in part.CODECS}


def guess_corpus(path: Path) -> str:
    """The kind of corpus that a file or folder is: its name in `CORPORA`, "text" if in doubt."""
    kinds = (kind for kind in CORPORA.values() if kind.recognises is not None)
    return next((kind.name for kind in kinds if kind.recognises and kind.recognises(path)), "text")


def save_codec(codec: Codec, folder: Path) -> None:
    """Write a codec's files, and which kind it is."""
    codec.save(folder)
    (folder / CODEC_FILE).write_text(json.dumps({"kind": codec.kind}) + "\n", encoding="utf-8")


def load_codec(folder: Path) -> Codec:
    """Read what `save_codec` wrote into the folder of a store or of a model.

    Raises:
        UserError: if it is missing, damaged, or of an unknown kind.
    """
    path = folder / CODEC_FILE
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["kind"]
    except FileNotFoundError as error:
        raise UserError(f"{folder} does not say what its tokens are: it has no {CODEC_FILE}") from (
            error
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error})") from error
    if kind not in CODECS:
        raise UserError(f"{path} names an unknown codec {kind!r}; known are: {', '.join(CODECS)}")
    try:
        return CODECS[kind].load(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the {kind!r} codec in {folder} is damaged: {error}") from error
