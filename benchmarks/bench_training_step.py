"""Training steps with mixers beside those of the plain decoder, eager and compiled.

Each round times a step of every contestant; a ratio is the median over rounds.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from measure import Row, compare, main

from latentwave.bench.comparison.clock import take_clock
from latentwave.bench.data import CorpusConfig, prepare
from latentwave.bench.training import BackboneConfig, ContestantConfig, Recipe, TrainingConfig

PLAIN = "none"
CONTESTANTS = {
    PLAIN: ContestantConfig(),
    "best": ContestantConfig(kind="best"),
    "wavelet": ContestantConfig(kind="wavelet"),
    "short_conv": ContestantConfig(kind="short_conv", points=["mlp"]),
}
# Layers, D, heads, MLP width, batch, tokens: the papers' size, then GPT-2 small's width.
SIZES = [(10, 128, 8, 344, 8, 512), (4, 768, 12, 2048, 4, 256)]
QUICK = [(2, 16, 2, 32, 2, 32), (2, 32, 2, 32, 2, 16)]


def rows(quick: bool) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words.txt"
        path.write_text("the quick brown fox jumps over the lazy dog " * 4000)
        corpus = CorpusConfig(name="text", path=str(path))
        store = prepare(corpus, Path(folder) / "store")
        for layers, D, heads, width, B, T in QUICK if quick else SIZES:
            backbone = BackboneConfig(
                architecture="llama",
                num_layers=layers,
                hidden_size=D,
                num_heads=heads,
                intermediate_size=width,
                context_length=T,
            )
            for how in ("eager", "compiled"):
                training = TrainingConfig(batch_size=B, compile=how == "compiled")
                fixed: dict[str, Any] = {
                    "name": "step",
                    "corpus": corpus,
                    "contestants": CONTESTANTS,
                }
                recipe = Recipe(backbone=backbone, training=training, **fixed)
                with torch.compiler.set_stance("force_eager" if quick else "default"):
                    seconds = take_clock(recipe, store, rounds=2 if quick else 9).step_seconds
                ms = {name: [1e3 * value for value in own] for name, own in seconds.items()}
                setting = f"{layers} layers, D {D}, {B}×{T} tokens"
                for name in [*ms][1:]:
                    ours = ("training step", setting, f"{name}, {how}", "ms", ms[name])
                    yield compare(*ours, ms[PLAIN], against="plain", at_most=1.03)


if __name__ == "__main__":
    main(rows)
