"""Images as sequences of pixels, row by row: MNIST, CIFAR-10, and a small stand-in."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentwave.bench.data.tasks.labelled import Example, LabelledRows
from latentwave.bench.data.tasks.tables import find_file, opened, require_files
from latentwave.errors import UserError

DIGITS = tuple("0123456789")
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
# Weights of the luma of ITU-R BT.601, which make grey of red, green and blue.
_LUMA = np.array([0.299, 0.587, 0.114])
_RECORD_BYTES = 1 + 3 * 1024
_MOST_BYTES = 1 << 30


def mnist(folder: Path, validation: float, test: float) -> LabelledRows:
    """MNIST, or a set in its form, from {train,t10k}-{images-idx3,labels-idx1}-ubyte.

    Without the training files the test files are dealt to all three splits by shares: a smaller
    stand-in, not the published task.

    Raises:
        UserError: if files are missing; while examples are read, if they are damaged.
    """
    parts = {}
    for split, part in (("train", "train"), ("test", "t10k")):
        names = [f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"]
        if split == "test" or any(find_file(folder, name) for name in names):
            parts[split] = require_files(folder, names, "name the folder of the MNIST files")
    alone = len(parts) == 1

    def examples() -> Iterator[Example]:
        for split, (images, labels) in parts.items():
            for image, label in _read_pair(images, labels):
                yield Example(image.reshape(-1), int(label), "train" if alone else split)

    files = {path.name: path for paths in parts.values() for path in paths}
    return LabelledRows(examples, DIGITS, files, validation=validation, test=test if alone else 0.0)


def cifar10(folder: Path, validation: float) -> LabelledRows:
    """CIFAR-10 in grey, as in the Long Range Arena, from data_batch_1.bin … 5 and test_batch.bin.

    A record is one label byte and 1,024 bytes each of red, green and blue. The Python version is
    pickled and is not read: unpickling runs what the file says.

    Raises:
        UserError: if files are missing; while examples are read, if they are damaged.
    """
    pickled = (folder / "data_batch_1").is_file()
    paths = require_files(
        folder,
        [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"],
        "this is the pickled Python version of CIFAR-10, get the binary one"
        if pickled
        else "name the folder cifar-10-batches-bin",
    )

    def examples() -> Iterator[Example]:
        for path in paths:
            split = "test" if path is paths[-1] else "train"
            with opened(path) as file:
                size = 0
                while record := file.read(_RECORD_BYTES):
                    size += len(record)
                    if len(record) < _RECORD_BYTES:
                        raise UserError(
                            f"{path} has {size:,} bytes, not a multiple of {_RECORD_BYTES:,}: it "
                            "is damaged"
                        )
                    yield Example(_grey(record[1:]), record[0], split)

    files = {path.name: path for path in paths}
    return LabelledRows(examples, CIFAR10, files, validation=validation)


def small_digits(validation: float, test: float) -> LabelledRows:
    """The 1,797 digits of 8×8 pixels that scikit-learn ships: a quick, small stand-in.

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

    def examples() -> Iterator[Example]:
        digits: Any = load_digits()
        grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
        for image, label in zip(grey, digits.target, strict=True):
            yield Example(image.reshape(-1), int(label))

    file = Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz"
    return LabelledRows(examples, DIGITS, {file.name: file}, validation=validation, test=test)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An idx file of bytes: two zero bytes, type 8, the number of axes, their sizes, the values.

    Raises:
        UserError: if it is no such file, or too short or long for its sizes.
    """
    with opened(path) as file:
        start = file.read(4)
        if len(start) < 4 or start[:3] != b"\0\0\x08":
            raise UserError(f"{path} is no idx file of bytes: it starts with {start!r}")
        sizes = file.read(4 * start[3])
        shape = struct.unpack(f">{len(sizes) // 4}I", sizes[: len(sizes) // 4 * 4])
        expected = math.prod(shape)
        content = file.read(min(expected, _MOST_BYTES) + 1)
    if len(shape) != start[3] or len(content) != expected:
        raise UserError(
            f"{path} is damaged: it says that it holds {shape} bytes, {expected:,} in all, but "
            f"has {'more' if len(content) > expected else f'{len(content):,}'}"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _read_pair(images: Path, labels: Path) -> Iterator[tuple[NDArray[np.uint8], np.uint8]]:
    pixels, classes = read_idx(images), read_idx(labels)
    if pixels.ndim != 3 or classes.shape != pixels.shape[:1]:
        raise UserError(
            f"{images} has images of shape {pixels.shape} and {labels.name} labels of shape "
            f"{classes.shape}, which do not belong together"
        )
    return zip(pixels, classes, strict=True)


def _grey(colours: bytes) -> NDArray[np.uint8]:
    planes = np.frombuffer(colours, dtype=np.uint8).reshape(3, -1)
    grey: NDArray[np.uint8] = np.round(_LUMA @ planes).astype(np.uint8)
    return grey
