"""Corpora: preparation beside plain reading, windows beside plain copies, and waiting for data."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import header, paired_seconds, verdict
from torch.utils.data import DataLoader

from latentwave.bench.data import CorpusConfig, GridWindows, RandomWindows, TokenStore, prepare
from latentwave.bench.training import BackboneConfig, ContestantConfig, build_model

MB = 1e6
NUM_BYTES = 20_000_000
CONTEXT, BATCH, WINDOWS = 256, 16, 4096


def main() -> None:
    header("corpora, stores and windows")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write_text(folder / "text.txt")
        preparation(path, folder)
        store = prepare(CorpusConfig(name="text", path=str(path)), folder / "store")
        windows(store)
        waiting(store)


def write_text(path: Path) -> Path:
    """Made-up words with the letter and word statistics of nothing in particular."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("etaoinshrdlu"), rng.integers(1, 10))) for _ in range(5000)]
    chosen = rng.zipf(1.3, NUM_BYTES // 4) % len(words)
    text = " ".join(words[index] for index in chosen)
    path.write_text(text[:NUM_BYTES])
    return path


def preparation(path: Path, folder: Path) -> None:
    """MB of source per second, page cache warm, the checks and digests included."""

    def read() -> None:
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass

    def copy() -> None:
        with path.open("rb") as source, (folder / "copy").open("wb") as target:
            while chunk := source.read(1 << 20):
                target.write(chunk)

    stores = iter(range(10**6))

    def store(tokenizer: str) -> Callable[[], object]:
        config = CorpusConfig(name="text", path=str(path), tokenizer=tokenizer)
        return lambda: prepare(config, folder / f"{tokenizer}-{next(stores)}")

    size = path.stat().st_size / MB
    functions: dict[str, Callable[[], object]] = {
        "plain reading": read,
        "reading and writing": copy,
        "characters": store("characters"),
        "bytes": store("bytes"),
    }
    seconds = paired_seconds(functions, repeats=5)
    seconds["bpe"] = time_once(store("bpe"))
    print(f"\n## preparation of {size:.0f} MB of text")
    for name, value in seconds.items():
        share = seconds["reading and writing"] / value
        print(f"{name:20} {size / value:8,.0f} MB/s  {share:6.1%} of reading and writing")


def time_once(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def windows(store: TokenStore) -> None:
    """Windows per second beside copies of the same bytes out of the same memory map."""
    tokens = store.split("train")
    sets = {
        "random windows": RandomWindows(tokens, CONTEXT, WINDOWS, seed=0),
        "grid windows": GridWindows(tokens, CONTEXT, WINDOWS),
        "documents apart": RandomWindows(
            tokens, CONTEXT, WINDOWS, seed=0, borders=store.borders("train")
        ),
    }
    starts = np.random.default_rng(0).integers(0, len(tokens) - CONTEXT, WINDOWS)

    def copies() -> None:
        for start in starts:
            torch.from_numpy(tokens[start : start + CONTEXT].astype(np.int64))

    def through(loader: DataLoader[dict[str, torch.Tensor]]) -> Callable[[], None]:
        def run() -> None:
            for _ in loader:
                pass

        return run

    functions: dict[str, Callable[[], object]] = {"plain copies": copies}
    for name, items in sets.items():
        functions[name] = through(DataLoader(items, batch_size=BATCH))
    seconds = paired_seconds(functions, repeats=5)
    print(f"\n## windows of {CONTEXT} tokens, batches of {BATCH}, no workers")
    for name, value in seconds.items():
        rate = WINDOWS / value
        print(f"{name:20} {rate:10,.0f} windows/s  {rate * CONTEXT / 1e6:7.1f} M tokens/s")


def waiting(store: TokenStore) -> None:
    """The share of a training step that goes into fetching its batch, for the small recipes."""
    backbone = BackboneConfig(num_layers=4, context_length=CONTEXT)
    vocab_size = store.metadata.vocab_size
    model = build_model(backbone, ContestantConfig(), vocab_size=vocab_size, seed=0)
    optimizer = torch.optim.AdamW(model.parameters())
    items = RandomWindows(store.split("train"), CONTEXT, 12 * BATCH, seed=0)
    loader = iter(DataLoader(items, batch_size=BATCH))
    fetching, steps = [], []
    for _ in range(12):
        start = time.perf_counter()
        batch = next(loader)
        fetched = time.perf_counter()
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        fetching.append(fetched - start)
        steps.append(time.perf_counter() - start)
    share = sorted(fetching[2:])[5] / sorted(steps[2:])[5]
    print("\n## waiting for data, 4 layers, D = 128, no workers")
    print(f"{share:.2%} of a step; {verdict(share, 0.02, at_least=False)}")


if __name__ == "__main__":
    main()
