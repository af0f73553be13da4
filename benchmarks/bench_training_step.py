"""Training steps with mixers ÷ those of the plain decoder, eager and compiled, in one run.

    python benchmarks/bench_training_step.py

At the papers' size and at GPT-2 small's width with four layers. Steps of all contestants are timed
in turn, round by round; a ratio is the median over rounds of the ratios inside a round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from measure import header

from latentwave.bench.comparison.clock import measure_step_seconds
from latentwave.bench.data import CorpusConfig, prepare
from latentwave.bench.training import BackboneConfig, ContestantConfig, Recipe, TrainingConfig

CONTESTANTS = {
    "none": ContestantConfig(),
    "wavelet": ContestantConfig(kind="wavelet"),
    "short_conv-mlp": ContestantConfig(kind="short_conv", points=["mlp"]),
    "dynamic_conv-mlp": ContestantConfig(kind="dynamic_conv", points=["mlp"]),
}
SIZES = {
    "10 layers, D = 128, 8 x 512 tokens": (
        BackboneConfig(architecture="llama", num_layers=10, intermediate_size=344),
        8,
    ),
    "4 layers, D = 768, 4 x 256 tokens": (
        BackboneConfig(
            architecture="llama",
            num_layers=4,
            hidden_size=768,
            num_heads=12,
            intermediate_size=2048,
            context_length=256,
        ),
        4,
    ),
}
TARGET = 1.03  # of compiled steps with the default and wavelets


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    header("training steps with mixers")
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "words.txt"
        corpus.write_text("the quick brown fox jumps over the lazy dog " * 4000)
        store = prepare(CorpusConfig(name="text", path=str(corpus)), Path(folder) / "store")
        for label, (backbone, batch_size) in SIZES.items():
            for compiled in (False, True):
                recipe = Recipe(
                    name="step",
                    corpus=CorpusConfig(name="text", path=str(corpus)),
                    backbone=backbone,
                    contestants=CONTESTANTS,
                    training=TrainingConfig(batch_size=batch_size, compile=compiled),
                )
                seconds = measure_step_seconds(recipe, store, rounds=rounds)
                way = "compiled" if compiled else "eager"
                for name, own in seconds.items():
                    ratios = [a / b for a, b in zip(own, seconds["none"], strict=True)]
                    ratio = statistics.median(ratios)
                    aim = f" (aim {TARGET})" if name in ("dynamic_conv-mlp", "wavelet") else ""
                    print(
                        f"{label}, {way}: {name:18} {statistics.median(own) * 1e3:8.1f} ms, "
                        f"{ratio:.3f} of plain{aim}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
