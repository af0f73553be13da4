"""Labelled sound clips as samples: FSD50K, ESC-50 and spoken digits, by their own tables."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from latentwave.bench.data.audio.files import SUFFIXES, AudioFiles, soundfile
from latentwave.bench.data.files import find_files
from latentwave.bench.data.metadata import SkippedFile
from latentwave.bench.data.tasks.labelled import Label, LabelledFiles
from latentwave.bench.data.tasks.tables import find_file, read_csv
from latentwave.errors import UserError

_SPOKEN = re.compile(r"(\d)_[A-Za-z]+_(\d{1,9})\.wav")
_Row = tuple[str, str, Label]  # file, split, label


def fsd50k(root: Path, sample_rate: int) -> LabelledClips:
    """FSD50K: 200 classes, several per clip, with its published splits.

    Args:
        root: holds FSD50K.ground_truth, FSD50K.dev_audio and FSD50K.eval_audio.
        sample_rate: in Hz.

    Raises:
        UserError: if a table is missing, damaged, or names an unknown class or split.
    """
    truth = root / "FSD50K.ground_truth"
    tables = [truth / f"{name}.csv" for name in ("vocabulary", "dev", "eval")]
    vocabulary = read_csv(tables[0], ["index", "name", "mid"], heading=False)
    names = [row["name"] for row in vocabulary]
    classes = {name: index for index, name in enumerate(names)}
    if len(classes) < len(names):
        raise UserError(f"{tables[0]} names a class twice")
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


def esc(root: Path, sample_rate: int, fold: int) -> LabelledClips:
    """ESC-50, or ESC-10, with its five published folds.

    One fold is the test, the next one (1 after 5) validates, three are trained on; the published
    figure is the mean over the five choices of `fold`.

    Args:
        root: holds meta/esc50.csv and audio/, or labels.csv (file, fold, label, class) beside
            the files.
        sample_rate: in Hz.
        fold: the test fold, 1 to 5.

    Raises:
        UserError: if the table is missing or damaged, or there is no such fold.
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
        known = number in splits and re.fullmatch(r"\d{1,9}", label)
        if not known or names.setdefault(label, name) != name:
            raise UserError(
                f"{table}: {file!r} has fold {number!r}, label {label!r} and class {name!r}, but "
                "folds are 1 to 5, and labels are whole numbers that stand for one class each"
            )
        found.append((above + file, splits[number], label))
    # The ten classes of ESC-10 have scattered numbers in the table of ESC-50.
    order = sorted(names, key=int)
    rows = [(name, split, order.index(label)) for name, split, label in found]
    return _clips(root, rows, [names[label] for label in order], sample_rate, [table])


def spoken_digits(root: Path, sample_rate: int) -> LabelledClips:
    """The free spoken digits: DIGIT_SPEAKER_TAKE.wav, in any sub-folder.

    Takes 0 to 4 of every speaker and digit are the published test; takes 5 to 9 validate.

    Raises:
        UserError: if there are no such recordings.
    """
    rows = []
    for name in find_files(root, (".wav",), "recordings named like 7_jackson_32.wav").files:
        match = _SPOKEN.fullmatch(name.rpartition("/")[2])
        if match:
            take = int(match[2])
            split = "test" if take < 5 else "validation" if take < 10 else "train"
            rows.append((name, split, int(match[1])))
    if not rows:
        raise UserError(f"{root} holds no recordings named like 7_jackson_32.wav")
    return _clips(root, rows, "0123456789", sample_rate)


class LabelledClips(LabelledFiles, AudioFiles):
    """Sound files with labels, as samples in [−1, 1] of one channel at one rate."""


def _clips(
    root: Path,
    rows: Sequence[_Row],
    class_names: Collection[str],
    sample_rate: int,
    tables: Sequence[Path] = (),
) -> LabelledClips:
    """Sound files by the rows of a table; what only one of the two knows is skipped and counted."""
    soundfile()
    found = find_files(root, SUFFIXES, "sound files")
    splits = {name: split for name, split, _ in rows if name in found.files}
    for split in ("train", "validation"):
        if split not in splits.values():
            count = sum(row[1] == split for row in rows)
            raise UserError(f"{root} holds none of its {count} labelled {split} clips")
    labels = {name: label for name, _, label in rows}
    found.skipped += [
        SkippedFile(name=name, reason=f"{name} has a label but is missing")
        for name in labels
        if name not in found.files
    ]
    found.skipped += [
        SkippedFile(name=name, reason=f"{name} has no label")
        for name in found.files
        if name not in labels
    ]
    by_name = {path.relative_to(root).as_posix(): path for path in tables}
    found.splits = splits | dict.fromkeys(by_name, "train")
    found.files = {name: found.files[name] for name in splits} | by_name
    corpus = LabelledClips(found, sample_rate)
    corpus.set_labels(labels, class_names)
    return corpus
