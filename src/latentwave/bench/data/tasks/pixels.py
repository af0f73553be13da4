"""Images as sequences of pixels, row by row."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.corpus import SPLITS, Corpus, Document
from latentwave.bench.data.tasks.shares import deal_splits
from latentwave.bench.data.tasks.trees import file_source
from latentwave.errors import UserError

# Weights of the luma of ITU-R BT.601, which make grey of red, green and blue.
_LUMA = np.array([0.299, 0.587, 0.114])


Split = tuple[NDArray[np.uint8], NDArray[Any]]


class Pixels(Corpus):
    """Grey images with a class each.

    Args:
        paths: the files.
        class_names: what the labels stand for.
        load: reads for each split images (n, height, width) and labels (n,).
    """

    def __init__(
        self,
        paths: Sequence[Path],
        class_names: tuple[str, ...],
        load: Callable[[], dict[str, Split]],
    ) -> None:
        super().__init__()
        self.files = {path.name: path for path in paths}
        self.class_names = class_names
        self._load = load

    def documents(self) -> Iterator[Document]:
        """One image each.

        Raises:
            UserError: if a file is damaged or has a label that stands for nothing.
        """
        splits = self._load()
        num_classes = len(self.class_names or ())
        for split in SPLITS:
            for image, label in zip(*splits[split], strict=True):
                if label >= num_classes:
                    raise UserError(
                        f"{', '.join(self.files)}: there is a label {label}, but the classes are "
                        f"0 to {num_classes - 1}"
                    )
                yield Document(pieces=[image.reshape(-1)], split=split, label=int(label))
        self.sources = [file_source(path) for path in self.files.values()]


def mnist_pixels(folder: Path, validation: float, test: float) -> Pixels:
    """MNIST, or a set in its form, from its idx files, packed or not.

    With the training files (train-…) the published test set is the test and a share of the
    training images is dealt to validation. With the test files (t10k-…) alone, these are dealt to
    all three splits by shares: a smaller stand-in, not the published task.

    Args:
        folder: holds {train,t10k}-images-idx3-ubyte and -labels-idx1-ubyte, with .gz or without.
        validation: share that is dealt to validation.
        test: share that is dealt to the test, where the training files are missing.

    Raises:
        UserError: if files are missing or damaged.
    """
    parts = {part: _find_pair(folder, part) for part in ("train", "t10k")}
    published, rest = parts["t10k"], parts["train"]
    if published is None:
        raise UserError(
            f"{folder} lacks t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (or the same with "
            ".gz): name the folder of the MNIST files"
        )

    def load() -> dict[str, Split]:
        if rest is None:
            return _dealt(_read_pair(published), validation, test)
        return _dealt(_read_pair(rest), validation, 0.0) | {"test": _read_pair(published)}

    return Pixels([*(rest or ()), *published], tuple("0123456789"), load)


def cifar10_pixels(folder: Path, validation: float) -> Pixels:
    """CIFAR-10 in grey, as the Long Range Arena has it, from the binary version.

    A record is one label byte and 1,024 bytes each of red, green and blue. (The Python version is
    pickled and is not read: unpickling runs what the file says.)

    Args:
        folder: cifar-10-batches-bin, with data_batch_1.bin … 5 and test_batch.bin.
        validation: share of the training images that is dealt to validation.

    Raises:
        UserError: if files are missing or damaged.
    """
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        pickled = (folder / "data_batch_1").is_file()
        hint = "this is the pickled Python version, get the binary one" if pickled else "check it"
        raise UserError(f"{folder} lacks {', '.join(missing)} of CIFAR-10: {hint}")
    paths = [folder / name for name in names]

    def load() -> dict[str, Split]:
        *read, test = (_read_cifar(path) for path in paths)
        images, labels = (np.concatenate(parts) for parts in zip(*read, strict=True))
        return _dealt((images, labels), validation, 0.0) | {"test": test}

    classes = "airplane automobile bird cat deer dog frog horse ship truck"
    return Pixels(paths, tuple(classes.split()), load)


def small_digits_pixels(validation: float, test: float) -> Pixels:
    """The 1,797 digits of 8×8 pixels that scikit-learn ships: a quick, small stand-in.

    Args:
        validation: share that is dealt to validation.
        test: share that is dealt to the test.

    Raises:
        UserError: if scikit-learn is not installed.
    """
    try:
        import sklearn
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UserError(
            "the corpus digits-pixels needs scikit-learn: pip install scikit-learn"
        ) from error

    def load() -> dict[str, Split]:
        digits: Any = load_digits()
        grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
        return _dealt((grey, digits.target), validation, test)

    file = Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz"
    return Pixels([file], tuple("0123456789"), load)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An idx file of bytes: two zero bytes, type 8, the number of axes, their sizes, the values.

    Args:
        path: the file, gzip-packed if its name ends in .gz.

    Raises:
        UserError: if it is no such file, or too short or long for its sizes.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise UserError(f"{path} is no idx file of bytes: it starts with {content[:4]!r}")
    axes = content[3]
    start = 4 + 4 * axes
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], dtype=">u4"))
    expected = int(np.prod(shape, dtype=np.int64))
    if len(shape) != axes or len(content) - start != expected:
        raise UserError(
            f"{path} says that it holds {shape} bytes, {expected} in all, but has "
            f"{max(len(content) - start, 0)}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _find_pair(folder: Path, part: str) -> tuple[Path, Path] | None:
    def find(kind: str) -> Path | None:
        candidates = (folder / f"{part}-{kind}-ubyte{packed}" for packed in ("", ".gz"))
        return next((path for path in candidates if path.is_file()), None)

    images, labels = find("images-idx3"), find("labels-idx1")
    return None if images is None or labels is None else (images, labels)


def _read_pair(paths: tuple[Path, Path]) -> Split:
    images, labels = (read_idx(path) for path in paths)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise UserError(
            f"{paths[0]} has images of shape {images.shape} and {paths[1].name} labels of shape "
            f"{labels.shape}, which do not belong together"
        )
    return images, labels


def _read_cifar(path: Path) -> Split:
    content = np.fromfile(path, dtype=np.uint8)
    if not len(content) or len(content) % 3073:
        raise UserError(f"{path} has {len(content)} bytes, not a multiple of 3,073: it is damaged")
    records = content.reshape(-1, 3073)
    if records[:, 0].max() > 9:
        raise UserError(f"{path} has a label {records[:, 0].max()}, CIFAR-10 has 0 to 9")
    colours = records[:, 1:].reshape(-1, 3, 32, 32)
    grey = np.round(np.einsum("c,nchw->nhw", _LUMA, colours)).astype(np.uint8)
    return grey, records[:, 0].copy()


def _dealt(examples: Split, validation: float, test: float) -> dict[str, Split]:
    images, labels = examples
    splits = np.array(deal_splits(len(images), validation, test))
    return {split: (images[splits == split], labels[splits == split]) for split in SPLITS}
