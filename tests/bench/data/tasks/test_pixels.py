import gzip
import pickle
import struct

import numpy as np
import pytest

from latentwave.bench.data.tasks.codecs import PixelCodec
from latentwave.bench.data.tasks.pixels import (
    cifar10_pixels,
    mnist_pixels,
    read_idx,
    small_digits_pixels,
)
from latentwave.errors import UserError


def write_idx(path, values):
    values = np.asarray(values, dtype=np.uint8)
    content = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    content += values.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_mnist(folder, part, count, end=""):
    images = np.arange(count * 6).reshape(count, 2, 3) % 251
    write_idx(folder / f"{part}-images-idx3-ubyte{end}", images)
    write_idx(folder / f"{part}-labels-idx1-ubyte{end}", np.arange(count) % 10)
    return images


def splits(corpus):
    found = {}
    for d in corpus.documents():
        found.setdefault(d.split, []).append((d.pieces[0].tolist(), d.label))
    return found


def test_mnist_with_its_published_test(tmp_path):
    write_mnist(tmp_path, "train", 20)
    images = write_mnist(tmp_path, "t10k", 8, ".gz")
    corpus = mnist_pixels(tmp_path, 0.25, 0.5)
    found = splits(corpus)
    assert {split: len(rows) for split, rows in found.items()} == {
        "train": 15,
        "validation": 5,
        "test": 8,
    }
    assert found["test"][7] == (images[7].reshape(-1).tolist(), 7)
    assert all(row[0] // 6 % 10 == label for row, label in found["train"] if row[0] < 120)
    assert [source.name for source in corpus.sources] == list(corpus.files)
    assert len(corpus.sources) == 4


def test_the_test_files_alone_are_split(tmp_path):
    write_mnist(tmp_path, "t10k", 20, ".gz")
    found = splits(mnist_pixels(tmp_path, 0.1, 0.2))
    assert {s: len(rows) for s, rows in found.items()} == {"train": 14, "validation": 2, "test": 4}
    assert found == splits(mnist_pixels(tmp_path, 0.1, 0.2))
    assert len({tuple(row) for rows in found.values() for row, _ in rows}) == 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\x08\x01\0\0\0\x05abc", r"says that it holds \(5,\) bytes, 5 in all, but has 3"),
        (b"\0\0\x08\x02\0\0\0\x05", "but has 0"),
        (b"PK\x03\x04", "is no idx file"),
        (b"", "is no idx file"),
    ],
)
def test_damaged_idx_files(tmp_path, content, message):
    path = tmp_path / "labels"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_idx(path)


def test_a_cut_off_packed_file(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcde")[:-9])
    with pytest.raises(UserError, match="cannot read"):
        read_idx(path)


def test_images_and_labels_must_belong_together(tmp_path):
    write_mnist(tmp_path, "t10k", 20)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(19))
    with pytest.raises(UserError, match="do not belong together"):
        splits(mnist_pixels(tmp_path, 0.1, 0.2))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.full(20, 11))
    with pytest.raises(UserError, match="a label 11, but the classes are 0 to 9"):
        splits(mnist_pixels(tmp_path, 0.1, 0.2))
    with pytest.raises(UserError, match="lacks t10k-images"):
        mnist_pixels(tmp_path / "missing", 0.1, 0.2)


def write_cifar(folder, count=4):
    for index, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
        records = np.zeros((count, 3073), dtype=np.uint8)
        records[:, 0] = (np.arange(count) + index) % 10
        records[:, 1:1025], records[:, 1025:2049], records[:, 2049:] = 100, 200, 50
        records[:, 1] = 0
        records.tofile(folder / name)
    return folder


def test_cifar_in_grey(tmp_path):
    found = splits(cifar10_pixels(write_cifar(tmp_path), 0.2))
    assert {s: len(rows) for s, rows in found.items()} == {"train": 16, "validation": 4, "test": 4}
    row, label = found["test"][1]
    assert (len(row), label) == (1024, 6)
    # 0.299 · red + 0.587 · green + 0.114 · blue
    assert row[0] == round(0.587 * 200 + 0.114 * 50)
    assert row[1] == round(0.299 * 100 + 0.587 * 200 + 0.114 * 50)
    assert cifar10_pixels(tmp_path, 0.2).class_names[9] == "truck"


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def test_pickles_are_never_read(tmp_path):
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="pickled Python version, get the binary one"):
        cifar10_pixels(tmp_path, 0.1)


def test_damaged_cifar(tmp_path):
    write_cifar(tmp_path)
    (tmp_path / "data_batch_2.bin").write_bytes(b"\0" * 3072)
    with pytest.raises(UserError, match="not a multiple of 3,073"):
        splits(cifar10_pixels(tmp_path, 0.1))
    (tmp_path / "data_batch_2.bin").write_bytes(b"\x0a" + b"\0" * 3072)
    with pytest.raises(UserError, match="has a label 10"):
        splits(cifar10_pixels(tmp_path, 0.1))


def test_the_digits_of_scikit_learn():
    pytest.importorskip("sklearn")
    found = splits(small_digits_pixels(0.1, 0.2))
    assert {s: len(r) for s, r in found.items()} == {"train": 1258, "validation": 180, "test": 359}
    assert {label for rows in found.values() for _, label in rows} == set(range(10))
    assert max(max(row) for row, _ in found["test"]) == 255


def test_an_image_can_be_looked_at(tmp_path):
    PixelCodec().write(np.arange(9), tmp_path / "a.pgm")
    assert (tmp_path / "a.pgm").read_bytes() == b"P5\n3 3\n255\n" + bytes(range(9))
