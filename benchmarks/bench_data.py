"""Data: preparing corpora and reading windows beside plain copies, and waiting for batches."""

import itertools
import os
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measure import Row, compare, main, paired
from torch.utils.data import DataLoader

from latentwave.bench.data import CorpusConfig, GridWindows, RandomWindows, TokenStore, prepare
from latentwave.bench.data.audio import CODECS
from latentwave.bench.data.music.codec import TOKENIZERS
from latentwave.bench.data.music.midi import symusic
from latentwave.bench.training import BackboneConfig, ContestantConfig, build_model

T, B = 256, 16  # tokens of a window, windows of a batch


def rows(quick: bool) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        os.environ["LATENTWAVE_HOME"] = name
        text = made_text(home / "text", 200_000 if quick else 20_000_000)
        sounds = made_sounds(home / "audio", 2 if quick else 240)
        music = made_music(home / "music", 4 if quick else 60)
        yield from preparation(text, ("characters", "bytes", "bpe"))
        yield from preparation(sounds, [codec.kind for codec in CODECS])
        yield from preparation(music, TOKENIZERS)
        store = prepare(CorpusConfig(name="text", path=str(text)), home / "store")
        yield from windows(store, 64 if quick else 4096)
        yield waiting(store, num_layers=1 if quick else 4, steps=4 if quick else 12)


def made_text(folder: Path, num_bytes: int) -> Path:
    """Made-up words, distributed like no language in particular."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("etaoinshrdlu"), rng.integers(1, 10))) for _ in range(5000)]
    chosen = rng.zipf(1.3, num_bytes // 4) % len(words)
    folder.mkdir()
    (folder / "text.txt").write_text(" ".join(words[index] for index in chosen)[:num_bytes])
    return folder


def made_sounds(folder: Path, seconds: int) -> Path:
    """Noise at 44.1 kHz in stereo, as 16-bit WAV."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(2):
        frames = rng.normal(0, 3000, (seconds * 44100 // 2, 2)).astype("<i2")
        with wave.open(str(folder / f"{number}.wav"), "wb") as file:
            file.setparams((2, 2, 44100, 0, "NONE", ""))
            file.writeframes(frames.tobytes())
    return folder


def made_music(folder: Path, num_files: int) -> Path:
    """Random notes, as dense as fast piano music."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    package, N = symusic(), 3000
    for number in range(num_files):
        score, track = package.Score(480), package.Track()
        track.notes = package.Note.from_numpy(
            np.cumsum(rng.integers(0, 120, N)).astype(np.int32),
            rng.integers(40, 400, N).astype(np.int32),
            rng.integers(30, 90, N).astype(np.int8),
            rng.integers(1, 128, N).astype(np.int8),
        )
        score.tracks.append(track)
        score.dump_midi(str(folder / f"{number:03}.mid"))
    return folder


def preparation(folder: Path, kinds: tuple[str, ...] | list[str]) -> Iterator[Row]:
    """MB of files prepared per second, checks and digests included, with a warm page cache."""
    numbers, files = itertools.count(), list(folder.iterdir())

    def copy() -> None:
        for path in files:
            (folder.parent / "copy").write_bytes(path.read_bytes())

    def store(kind: str) -> object:
        config = CorpusConfig(name=folder.name, path=str(folder), tokenizer=kind)
        return prepare(config, folder.parent / f"{folder.name}-store-{next(numbers)}")

    size = sum(path.stat().st_size for path in files) / 1e6
    calls = {kind: partial(store, kind) for kind in kinds}
    rates = paired({**calls, "copy": copy}, unit="MB/s", work=size, repeats=3)
    row = partial(compare, "data", f"{size:.3g} MB", against="copying")
    for kind in kinds:
        yield row(f"{folder.name} to {kind}", "MB/s", rates[kind], rates["copy"])


def windows(store: TokenStore, count: int) -> Iterator[Row]:
    """Windows per second, beside copies of as many tokens from the same memory map."""
    tokens, borders = store.split("train"), store.borders("train")
    starts = np.random.default_rng(0).integers(0, len(tokens) - T, count)
    sets = {
        "random windows": RandomWindows(tokens, T, count, seed=0),
        "grid windows": GridWindows(tokens, T, count),
        "documents apart": RandomWindows(tokens, T, count, seed=0, borders=borders),
    }

    def copies() -> None:
        for start in starts:
            torch.from_numpy(tokens[start : start + T].astype(np.int64))

    def through(loader: DataLoader[dict[str, torch.Tensor]]) -> Callable[[], object]:
        return lambda: sum(1 for _ in loader)

    calls = {name: through(DataLoader(items, batch_size=B)) for name, items in sets.items()}
    rates = paired({**calls, "copies": copies}, unit="windows/s", work=count, repeats=5)
    row = partial(compare, "data", f"{T} tokens, batches of {B}", against="copying")
    for name in sets:
        yield row(name, "windows/s", rates[name], rates["copies"])


def waiting(store: TokenStore, *, num_layers: int, steps: int) -> Row:
    """The share of a small recipe's training step that goes into fetching its batch."""
    backbone = BackboneConfig(num_layers=num_layers, context_length=T)
    vocab_size = store.metadata.vocab_size
    model = build_model(backbone, ContestantConfig(), vocab_size=vocab_size, seed=0)
    optimizer = torch.optim.AdamW(model.parameters())
    loader = iter(DataLoader(RandomWindows(store.split("train"), T, steps * B, seed=0), B))
    fetching, whole = [], []
    for _ in range(steps):
        start = time.perf_counter()
        batch = next(loader)
        fetching.append(1e3 * (time.perf_counter() - start))
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        whole.append(1e3 * (time.perf_counter() - start))
    row = partial(compare, "data", f"{num_layers} layers, D 128, {B}×{T} tokens", at_most=0.02)
    return row("waiting for a batch", "ms", fetching[2:], whole[2:], against="training step")


if __name__ == "__main__":
    main(rows)
