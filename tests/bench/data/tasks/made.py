"""Every labelled corpus in its own layout, small."""

import functools
import gzip
import io
import itertools
import struct
import zipfile

import numpy as np

RATE = 8000


def write(folder, files):
    """Files by their names below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def tone(frequency=440.0, seconds=0.05, rate=RATE, channels=1):
    wave = 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)
    return np.stack([wave] * channels, axis=1)


def sound(wave=None, rate=RATE, form="WAV"):
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, tone() if wave is None else wave, rate, format=form)
    return buffer.getvalue()


def idx(values):
    values = np.asarray(values, dtype=np.uint8)
    start = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return start + values.tobytes()


def mnist(folder, **counts):
    files = {}
    for part, count in (counts or {"train": 20, "t10k": 8}).items():
        images = np.arange(count * 6).reshape(count, 2, 3) % 251
        files[f"{part}-images-idx3-ubyte"] = idx(images)
        files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(count) % 10)
    return write(folder, files)


mnist_test = functools.partial(mnist, t10k=30)


def cifar10(folder, count=4):
    for index, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
        records = np.repeat(np.array([[0] + [100] * 1024 + [200] * 1024 + [50] * 1024]), count, 0)
        records[:, 0] = (np.arange(count) + index) % 10
        records[:, 1] = 0
        write(folder, {name: records.astype(np.uint8).tobytes()})
    return folder


def acl_imdb(folder, count=10):
    labels = itertools.product(("train", "test"), ("pos", "neg", "unsup"), range(count))
    names = [f"{split}/{label}/{n}_7.txt" for split, label, n in labels]
    return write(folder, {name: name for name in names} | {"imdb.vocab": "the\n", "README": "!"})


def imdb_tables(folder):
    """One of them packed; a text may hold quotes, tabs and bytes beyond ASCII."""
    lines = [f'{n % 2}\t{n}\t{n}\t"{n}\t é' for n in range(8)]
    return write(
        folder,
        {
            "train.tsv.gz": gzip.compress("\n".join(lines).encode()),
            "test.tsv": "".join(f"{line}\r\n" for line in lines[:4]),
        },
    )


def movie_reviews(folder, count=15):
    names = [f"movies/{label}/{n}.txt" for label in ("pos", "neg") for n in range(count)]
    return zipped(folder / "movies.zip", {name: name for name in (*names, "movies/README")})


def zipped(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def fsd50k(folder):
    truth, clips = "FSD50K.ground_truth", {"dev": (10, 11, 12), "eval": (20, 21)}
    tables = {
        "vocabulary": "0,Bark,/m/05tny_\n1,Meow,/m/07qrkrw\n2,Rain,/m/06mb1\n",
        "dev": 'fname,labels,mids,split\n10,Bark,/m/1,train\n11,"Rain,Meow","/m/2,/m/3",train\n'
        "12,Meow,/m/3,val\n",
        "eval": 'fname,labels,mids\n20,"Bark,Rain",/m/1\n21,Rain,/m/2\n',
    }
    sounds = {f"FSD50K.{p}_audio/{n}.wav": sound() for p, own in clips.items() for n in own}
    return write(folder, {f"{truth}/{name}.csv": t for name, t in tables.items()} | sounds)


def esc50(folder):
    files, rows = {}, ["filename,fold,target,category,esc10,src_file,take"]
    for fold in range(1, 6):
        for target, category in ((0, "dog"), (7, "rain"), (40, "clock")):
            name = f"{fold}-{target}-A-{target}.wav"
            rows.append(f"{name},{fold},{target},{category},True,{fold},A")
            files[f"audio/{name}"] = sound(tone(seconds=0.01 * fold))
    return write(folder, files | {"meta/esc50.csv": "\n".join(rows) + "\n"})


def esc10(folder):
    pairs = [(fold, label) for fold in range(1, 6) for label in (0, 1)]
    rows = "".join(f"{f}-{c}.wav,{f},{c},class {c},400\n" for f, c in pairs)
    sounds = {f"{fold}-{label}.wav": sound() for fold, label in pairs}
    return write(folder, {"labels.csv": "file,fold,label,class,samples\n" + rows} | sounds)


def spoken_digits(folder, content=None):
    names = [f"rec/{digit}_ann_{n}.wav" for digit in range(10) for n in (0, 4, 5, 9, 10, 49)]
    return zipped(folder / "digits.zip", {name: sound() for name in names} | (content or {}))


DRAWN = {"num_train": 40, "num_validation": 4, "num_test": 6, "min_length": 10, "max_length": 60}
# Name of the corpus, how its files are written, options, documents of the three splits.
CORPORA = {
    "listops": ("listops", None, DRAWN, (40, 4, 6)),
    "imdb": ("imdb", acl_imdb, {"validation": 0.25}, (15, 5, 20)),
    "imdb-tables": ("imdb", imdb_tables, {"validation": 0.25}, (6, 2, 4)),
    "movie-reviews": ("movie-reviews", movie_reviews, {"validation": 0.1, "test": 0.2}, (21, 3, 6)),
    "mnist": ("mnist-pixels", mnist, {"validation": 0.25}, (15, 5, 8)),
    "mnist-test": ("mnist-pixels", mnist_test, {"validation": 0.1, "test": 0.2}, (21, 3, 6)),
    "cifar10": ("cifar10-pixels", cifar10, {"validation": 0.2}, (16, 4, 4)),
    "digits": ("digits-pixels", None, {"validation": 0.1, "test": 0.1}, (1437, 180, 180)),
    "fsd50k": ("fsd50k", fsd50k, {"sample_rate": RATE}, (2, 1, 2)),
    "esc50": ("esc", esc50, {"sample_rate": RATE, "fold": 2}, (9, 3, 3)),
    "esc10": ("esc", esc10, {"sample_rate": RATE}, (6, 2, 2)),
    "spoken-digits": ("spoken-digits", spoken_digits, {}, (20, 20, 20)),
}
