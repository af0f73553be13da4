"""Whole files, or whole folders of files, to splits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from latentwave.errors import UserError


def group_of(name: str, by: str) -> str:
    """What must stay together: the file itself, or the folder that it lies in.

    Args:
        name: of a file, relative to its corpus, with forward slashes.
        by: "file" or "folder".

    Example:
        >>> group_of("Bach/Fugue/bwv_846/Shi05M.mid", "folder")
        'Bach/Fugue/bwv_846'
    """
    return name if by == "file" else PurePosixPath(name).parent.as_posix()


def assign_splits(sizes: Mapping[str, int], *, validation: float, test: float) -> dict[str, str]:
    """Give every group to one split, so that the splits come close to their shares.

    The groups are taken in the order of the SHA-256 of their names, which has nothing to do with
    their content and is the same everywhere; the first fill the test split, the next the
    validation split, the rest is for training. A group that would overfill a split by more than
    it lacks is passed over; if all would, the smallest is taken.

    Args:
        sizes: of each group, in bytes, tokens or seconds.
        validation: wanted share of the sum of sizes.
        test: wanted share of the sum of sizes.

    Returns:
        "train", "validation" or "test" for each group. A split with a share above 0 has at least
        one group.

    Raises:
        UserError: if there are too few groups.

    Example:
        >>> splits = assign_splits(dict.fromkeys("abcdefghij", 5), validation=0.1, test=0.2)
        >>> [list(splits.values()).count(name) for name in ("train", "validation", "test")]
        [7, 1, 2]
    """
    wanted = {"test": test, "validation": validation}
    wanted = {split: share for split, share in wanted.items() if share > 0}
    if len(sizes) < len(wanted) + 1:
        raise UserError(
            f"{len(sizes)} files or folders are too few for {len(wanted) + 1} splits of whole "
            'ones: add some, or set split_by to "tokens"'
        )
    waiting = sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest())
    total = sum(sizes.values())
    result: dict[str, str] = {}
    for needed_later, (split, share) in zip(
        range(len(wanted) - 1, -1, -1), wanted.items(), strict=True
    ):
        lacking = share * total
        for name in list(waiting):
            if 2 * lacking >= sizes[name] and len(waiting) > needed_later + 1:
                result[name] = split
                waiting.remove(name)
                lacking -= sizes[name]
        if split not in result.values():  # every group is larger than the share
            smallest = min(waiting, key=sizes.__getitem__)
            result[smallest] = split
            waiting.remove(smallest)
    return {name: result.get(name, "train") for name in sizes}


def whole_splits(
    files: Mapping[str, Path], by: str, *, validation: float, test: float
) -> dict[str, str] | None:
    """The split of every file, where files or folders shall stay whole.

    Args:
        files: by their names relative to the corpus.
        by: "tokens", "file" or "folder".
        validation: wanted share of the bytes.
        test: wanted share of the bytes.

    Returns:
        None for "tokens": then the store is cut by shares of its tokens.

    Raises:
        UserError: if there are too few files or folders, or for another word.
    """
    if by == "tokens":
        return None
    if by not in ("file", "folder"):
        raise UserError(f'split_by must be "tokens", "file" or "folder", got {by!r}')
    sizes: dict[str, int] = {}
    for name, path in files.items():
        group = group_of(name, by)
        sizes[group] = sizes.get(group, 0) + path.stat().st_size
    splits = assign_splits(sizes, validation=validation, test=test)
    return {name: splits[group_of(name, by)] for name in files}
