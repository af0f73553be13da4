"""Assigns files and examples to the training, validation and test splits."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from latentwave.errors import UserError

_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_ABOUT = (
    *("readme", "license", "licence", "copying", "changelog", "citation"),
    *("dataset_info", "dataset_dict", "state.json"),
)


def split_of(name: str) -> str | None:
    """The split that a file name or the name of a split stands for."""
    words = re.split(r"[^a-z]+", re.sub(r"\d+", " ", name.lower()))
    found = {_SPLIT_NAMES[word] for word in words if word in _SPLIT_NAMES}
    return found.pop() if len(found) == 1 else None


def is_about_others(name: str) -> bool:
    """Whether a file describes the others, as a README does; never one named after a split."""
    file = PurePosixPath(name).name.lower()
    return file.startswith(_ABOUT) and split_of(file) is None


def choose_splits(
    files: Mapping[str, Path],
    by: str | None,
    *,
    default: str = "tokens",
    validation: float,
    test: float,
) -> dict[str, str] | None:
    """The split of every file of a corpus; None if the store is to be cut by shares.

    `by` is as in `CorpusConfig.split_by`; with None the names decide if they can, else `default`.
    If names decide, READMEs and the like are left out. A UserError tells if only most of the names
    decide, or if there are too few files or folders for the shares.
    """
    if by in (None, "name"):
        named = _by_name(
            [name for name in files if not is_about_others(name)], demanded=by == "name"
        )
        if named is not None:
            return named
    by = by or default
    if by == "tokens":
        return None
    groups = {name: name if by == "file" else str(PurePosixPath(name).parent) for name in files}
    sizes = dict.fromkeys(groups.values(), 0)
    for name, path in files.items():
        sizes[groups[name]] += path.stat().st_size if path.is_file() else 0
    splits = deal(sizes, validation=validation, test=test)
    return {name: splits[group] for name, group in groups.items()}


def _by_name(files: Sequence[str], *, demanded: bool) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for name in files:
        path = PurePosixPath(name)
        # The nearest name decides; that of a folder only as a whole word.
        above = (_SPLIT_NAMES.get(folder.lower()) for folder in reversed(path.parent.parts))
        split = next(filter(None, (split_of(path.name), *above)), None)
        if split is not None:
            found[name] = split
    unnamed = [name for name in files if name not in found]
    is_published = "train" in found.values() and len(set(found.values())) > 1
    if is_published and not unnamed:
        return found
    if demanded or (is_published and 2 * len(found) >= len(files)):
        first = unnamed[0] if unnamed else files[0] if files else "others"
        raise UserError(
            f"{len(found)} of {len(files)} files are named after a split such as train or test, "
            f"but not {first}: leave it out, or set split_by to split by names "
            '("name") or otherwise ("tokens", "file", "folder")'
        )
    return None


def deal(sizes: Mapping[str, int], *, validation: float, test: float) -> dict[str, str]:
    """Assign every group of documents to one split, close to the shares.

    The groups, given by name and size, are taken in the order of the SHA-256 of their names, the
    same everywhere: the first fill the test split, the next the validation split, and the rest is
    for training. A group is skipped if it would overfill a split by more than is missing; if all
    would, the smallest is taken. Empty groups go to training. A UserError tells if there are too
    few groups.
    """
    wanted = {"test": test, "validation": validation}
    wanted = {split: share for split, share in wanted.items() if share > 0}
    waiting = [name for name, size in sizes.items() if size]
    if len(waiting) <= len(wanted):
        raise UserError(
            f"{len(waiting)} files or folders with content are too few for {len(wanted) + 1} "
            'splits of whole ones: add some, or set split_by to "tokens"'
        )
    waiting.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
    result: dict[str, str] = {}
    for later, (split, share) in zip(range(len(wanted) - 1, -1, -1), wanted.items(), strict=True):
        missing = share * sum(sizes.values())
        for name in list(waiting):
            if 2 * missing >= sizes[name] and len(waiting) > later + 1:
                result[name] = split
                waiting.remove(name)
                missing -= sizes[name]
        if split not in result.values():  # every group is larger than the share
            smallest = min(waiting, key=sizes.__getitem__)
            result[smallest] = split
            waiting.remove(smallest)
    return {name: result.get(name, "train") for name in sizes}


def deal_examples(num_examples: int, validation: float, test: float) -> list[str]:
    """Assign examples to splits at random, always in the same way."""
    # Raw bits are the same in every version of NumPy.
    order = np.argsort(np.random.Philox(key=0).random_raw(num_examples), kind="stable")
    num_validation = round(num_examples * validation)
    splits = np.full(num_examples, "train", dtype=object)
    splits[order[: num_validation + round(num_examples * test)]] = "test"
    splits[order[:num_validation]] = "validation"
    return list(splits)
