"""Labelled sound clips as samples: FSD50K, ESC-50 and spoken digits, by their own tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from latentwave.bench.data.audio.files import SILENCE, SUFFIXES, read_audio, soundfile
from latentwave.bench.data.corpus import SPLITS
from latentwave.bench.data.media import UnusableFileError
from latentwave.bench.data.metadata import SkippedFile
from latentwave.bench.data.tasks.labelled import Example, LabelledCorpus
from latentwave.bench.data.tasks.tables import find_file, read_csv
from latentwave.bench.data.text.files import find_files
from latentwave.errors import UserError

_SPOKEN = re.compile(r"(\d)_[A-Za-z]+_(\d{1,9})\.wav")
_Row = tuple[str, str, int | tuple[int, ...]]  # file, split, label


def fsd50k(root: Path, sample_rate: int) -> LabelledCorpus:
    """FSD50K: 200 classes, several per clip, with its published splits.

    Args:
        root: holds FSD50K.ground_truth (dev.csv, eval.csv, vocabulary.csv),
            FSD50K.dev_audio and FSD50K.eval_audio.
        sample_rate: in Hz.

    Raises:
        UserError: if a table is missing, damaged, or names an unknown class or split.
    """
    truth = root / "FSD50K.ground_truth"
    tables = [truth / f"{name}.csv" for name in ("vocabulary", "dev", "eval")]
    vocabulary = read_csv(tables[0], ["index", "name", "mid"], heading=False)
    names = [row["name"] for row in vocabulary]
    classes = {name: index for index, name in enumerate(names)}
    rows: list[_Row] = []
    for part, table in zip(("dev", "eval"), tables[1:], strict=True):
        columns = ["fname", "labels", *(["split"] if part == "dev" else [])]
        for row in read_csv(table, columns):
            split = {"train": "train", "val": "validation"}.get(row.get("split", ""), "test")
            own = row["labels"].split(",")
            unknown = [name for name in own if name not in classes]
            if unknown or (part == "dev") != (split != "test"):
                what = f"class {unknown[0]!r}" if unknown else f"split {row.get('split')!r}"
                raise UserError(f"{table}: clip {row['fname']!r} has an unknown {what}")
            label = tuple(sorted({classes[name] for name in own}))
            rows.append((f"FSD50K.{part}_audio/{row['fname']}.wav", split, label))
    return _clips(root, rows, names, sample_rate, tables)


def esc(root: Path, sample_rate: int, fold: int) -> LabelledCorpus:
    """ESC-50, or ESC-10, with its five published folds.

    One fold is the test, the next one (1 after 5) validates, three are trained on; the published
    figure is the mean over the five choices of `fold`.

    Args:
        root: holds meta/esc50.csv and audio/, or labels.csv (file, fold, label, class) beside
            the files.
        sample_rate: in Hz.
        fold: the test fold, 1 to 5.

    Raises:
        UserError: if the table is missing or damaged, or the fold is not one of the five.
    """
    if fold not in range(1, 6):
        raise UserError(f"fold must be 1 to 5, got {fold}")
    above, columns = "audio/", ["filename", "target", "category", "fold"]
    table = find_file(root / "meta", "esc50.csv")
    if table is None:
        above, columns = "", ["file", "label", "class", "fold"]
        table = find_file(root, "labels.csv")
    if table is None:
        raise UserError(f"{root} holds neither meta/esc50.csv nor labels.csv")
    splits = dict.fromkeys("12345", "train") | {str(fold): "test", str(fold % 5 + 1): "validation"}
    found: list[tuple[str, str, str]] = []
    names: dict[str, str] = {}
    for row in read_csv(table, columns):
        file, label, name, number = (row[column] for column in columns)
        if number not in splits or not label.isdecimal() or names.setdefault(label, name) != name:
            raise UserError(
                f"{table}: {file!r} has fold {number!r}, label {label!r} and class {name!r}, but "
                "folds are 1 to 5, and labels are whole numbers that stand for one class each"
            )
        found.append((above + file, splits[number], label))
    # The ten classes of ESC-10 have scattered numbers in the table of ESC-50.
    order = sorted(names, key=int)
    rows = [(name, split, order.index(label)) for name, split, label in found]
    return _clips(root, rows, [names[label] for label in order], sample_rate, [table])


def spoken_digits(root: Path, sample_rate: int) -> LabelledCorpus:
    """The free spoken digits: DIGIT_SPEAKER_TAKE.wav, in any sub-folder.

    Takes 0 to 4 of every speaker and digit are the published test; takes 5 to 9 validate.

    Args:
        root: the folder.
        sample_rate: in Hz; the recordings have 8,000.

    Raises:
        UserError: if there are no such recordings.
    """
    rows = []
    for path in find_files(root) if root.is_dir() else ():
        match = _SPOKEN.fullmatch(path.name)
        if match:
            take = int(match[2])
            split = "test" if take < 5 else "validation" if take < 10 else "train"
            rows.append((path.relative_to(root).as_posix(), split, int(match[1])))
    if not rows:
        raise UserError(f"{root} holds no recordings named like 7_jackson_32.wav")
    return _clips(root, rows, "0123456789", sample_rate)


def _clips(
    root: Path,
    rows: Sequence[_Row],
    class_names: Iterable[str],
    sample_rate: int,
    tables: Sequence[Path] = (),
) -> LabelledCorpus:
    """Sound files by the rows of a table; what only one of the two knows is skipped and counted."""
    soundfile()
    paths = {path.relative_to(root).as_posix(): path for path in find_files(root)}
    sounds = {name for name, path in paths.items() if path.suffix.lower() in SUFFIXES}
    labelled = {name for name, *_ in rows}
    used = sorted((r for r in rows if r[0] in sounds), key=lambda row: SPLITS.index(row[1]))
    for split in ("train", "validation"):
        if not any(row[1] == split for row in used):
            raise UserError(
                f"{root} holds none of its {sum(row[1] == split for row in rows)} labelled "
                f"{split} clips"
            )
    left_out = [
        *((name, "has a label but is missing") for name in sorted(labelled - sounds)),
        *((name, "has no label") for name in sorted(sounds - labelled)),
    ]
    files = {name: paths[name] for name, *_ in used}

    def examples() -> Iterator[Example]:
        return (
            Example(_read_clip(files[name], sample_rate), label, split, name)
            for name, split, label in used
        )

    return LabelledCorpus(
        examples,
        class_names,
        files | {path.relative_to(root).as_posix(): path for path in tables},
        multi_label=any(isinstance(row[2], tuple) for row in rows),
        skipped=[SkippedFile(name=name, reason=f"{name} {why}") for name, why in left_out],
    )


def _read_clip(path: Path, sample_rate: int) -> Iterator[Float32[np.ndarray, " _"]]:
    peak = 0.0
    for block in read_audio(path, sample_rate):
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        yield block
    # Also the difference of two channels that cancel each other.
    if peak < SILENCE:
        raise UnusableFileError("is silent")
