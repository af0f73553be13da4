"""Published sets of labelled sound, read by their own tables."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from latentwave.bench.data.tasks.clips import Clip, LabelledClips
from latentwave.bench.data.tasks.trees import FileTree
from latentwave.errors import UserError

_SPOKEN = re.compile(r"(\d)_([A-Za-z]+)_(\d+)\.wav$")


def fsd50k(folder: Path, sample_rate: int) -> LabelledClips:
    """FSD50K: 200 classes, several per clip, with its published splits.

    Args:
        folder: holds FSD50K.ground_truth (dev.csv, eval.csv, vocabulary.csv),
            FSD50K.dev_audio and FSD50K.eval_audio.
        sample_rate: in Hz.

    Raises:
        UserError: if a table is missing or names an unknown class or split.
    """
    truth = folder / "FSD50K.ground_truth"
    vocabulary = truth / "vocabulary.csv"
    names = [row[1] for row in _rows(vocabulary, header=False, columns=2)]
    classes = {name: index for index, name in enumerate(names)}
    clips = []
    for part, published in (("dev", {"train": "train", "val": "validation"}), ("eval", {})):
        table = truth / f"{part}.csv"
        for row in _named_rows(table, ["fname", "labels", *(["split"] if published else [])]):
            split = published.get(row["split"]) if published else "test"
            if split is None:
                raise UserError(
                    f"{table}: clip {row['fname']} has an unknown split {row['split']!r}"
                )
            labels = tuple(
                sorted(
                    _class(classes, label, table, row["fname"])
                    for label in row["labels"].split(",")
                )
            )
            name = f"FSD50K.{part}_audio/{row['fname']}.wav"
            clips.append(Clip(name=name, split=split, label=labels))
    return LabelledClips(
        FileTree(folder),
        clips,
        tuple(names),
        sample_rate,
        multi_label=True,
        tables=[truth / f"{name}.csv" for name in ("dev", "eval", "vocabulary")],
    )


def esc(folder: Path, sample_rate: int, fold: int) -> LabelledClips:
    """ESC-50, or ESC-10, with its five published folds.

    One fold is the test, the next one (1 after 5) validates, three are trained on; the published
    figure is the mean over the five choices of `fold`.

    Args:
        folder: holds meta/esc50.csv and audio/, or labels.csv (file, fold, label, class) beside
            the files.
        sample_rate: in Hz.
        fold: the test fold, 1 to 5.

    Raises:
        UserError: if the table is missing or damaged, or the fold is not one of the five.
    """
    if fold not in range(1, 6):
        raise UserError(f"fold must be 1 to 5, got {fold}")
    published, table = folder / "meta" / "esc50.csv", folder / "labels.csv"
    if published.is_file():
        table, above = published, "audio/"
        columns = {"file": "filename", "label": "target", "class": "category"}
    elif table.is_file():
        above, columns = "", {"file": "file", "label": "label", "class": "class"}
    else:
        raise UserError(f"{folder} holds neither meta/esc50.csv nor labels.csv")
    splits = dict.fromkeys(range(1, 6), "train") | {fold: "test", fold % 5 + 1: "validation"}
    rows: list[tuple[str, str, int]] = []
    names: dict[int, str] = {}
    for row in _named_rows(table, [*columns.values(), "fold"]):
        number, label = _whole(row, "fold", table), _whole(row, columns["label"], table)
        if number not in splits or label < 0:
            raise UserError(f"{table}: fold {number} or label {label} is out of range")
        name = row[columns["class"]]
        if names.setdefault(label, name) != name:
            raise UserError(f"{table}: label {label} is called {names[label]!r} and {name!r}")
        rows.append((above + row[columns["file"]], splits[number], label))
    # The ten classes of ESC-10 have scattered numbers in the table of ESC-50.
    order = {label: place for place, label in enumerate(sorted(names))}
    clips = [Clip(name=name, split=split, label=order[label]) for name, split, label in rows]
    class_names = tuple(names[label] for label in sorted(names))
    return LabelledClips(FileTree(folder), clips, class_names, sample_rate, tables=[table])


def spoken_digits(path: Path, sample_rate: int) -> LabelledClips:
    """The free spoken digits: DIGIT_SPEAKER_TAKE.wav in a folder or a zip archive.

    Takes 0 to 4 of every speaker and digit are the published test; takes 5 to 9 validate.

    Args:
        path: the folder or archive.
        sample_rate: in Hz; the recordings have 8,000.

    Raises:
        UserError: if there are no such recordings.
    """
    tree = FileTree(path)
    clips = []
    for name in tree.names:
        match = _SPOKEN.fullmatch(PurePosixPath(name).name)
        if match:
            take = int(match[3])
            split = "test" if take < 5 else "validation" if take < 10 else "train"
            clips.append(Clip(name=name, split=split, label=int(match[1])))
    if not clips:
        raise UserError(f"{path} holds no recordings named like 7_jackson_32.wav")
    return LabelledClips(tree, clips, tuple("0123456789"), sample_rate)


def _class(classes: dict[str, int], name: str, table: Path, clip: str) -> int:
    if name not in classes:
        raise UserError(f"{table}: clip {clip} has a class {name!r} that vocabulary.csv lacks")
    return classes[name]


def _whole(row: dict[str, str], column: str, table: Path) -> int:
    try:
        return int(row[column])
    except ValueError as error:
        raise UserError(f"{table}: {column} {row[column]!r} is not a whole number") from error


def _named_rows(table: Path, columns: list[str]) -> Iterable[dict[str, str]]:
    head, *rows = _rows(table, header=True, columns=len(columns))
    missing = [column for column in columns if column not in head]
    if missing:
        raise UserError(f"{table} has no column {missing[0]!r}, only {', '.join(head)}")
    for row in rows:
        yield dict(zip(head, row, strict=True))


def _rows(table: Path, *, header: bool, columns: int) -> list[list[str]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"there is no table {table}: check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the table {table}: {error}") from error
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if len(rows) <= header:
        raise UserError(f"the table {table} is empty")
    width = len(rows[0])
    for number, row in enumerate(rows, start=1):
        if len(row) != width or width < columns:
            raise UserError(
                f"{table}, row {number}: expected {max(width, columns)} columns, got {len(row)}"
            )
    return rows
