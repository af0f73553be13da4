"""Tokens per second of our training loop beside nanoGPT's `train.py`, on the same text.

    git clone https://github.com/karpathy/nanoGPT
    python benchmarks/beside_nanogpt.py --nanogpt nanoGPT --corpus TEXT_FILE

Both train a GPT-2 of the same size on the same tokens with AdamW and clipped gradients, in turn and
in processes of their own. The clocks count training steps with their batches and logging, from the
first evaluation on, when everything is compiled.
"""

import argparse
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from measure import Benchmarks, Row, compare, printer

from latentwave.bench.data import CorpusConfig, TokenStore, prepare
from latentwave.bench.training import describe_environment

# Layers, D, heads, tokens per window, windows, by parameters; the larger one is the papers' size.
SHAPES = {"0.2M": (4, 64, 2, 256, 16), "2M": (10, 128, 8, 512, 8)}
INTERVAL, WARMUP = 50, 100  # steps between evaluations, and of warm-up


def nanogpt(checkout: Path, shape: tuple[int, ...], steps: int, compiled: bool) -> float:
    """Tokens per second of nanoGPT's `train.py`, in a checkout with data/corpus."""
    layers, width, heads, window, windows = shape
    options = {
        "dataset": "corpus", "device": "cpu", "dtype": "float32", "compile": compiled,
        "n_layer": layers, "n_embd": width, "n_head": heads, "block_size": window, "bias": True,
        "batch_size": windows, "gradient_accumulation_steps": 1, "max_iters": steps,
        "lr_decay_iters": steps, "warmup_iters": WARMUP, "learning_rate": 1e-3, "min_lr": 1e-4,
        "eval_interval": steps + 1, "eval_iters": 1, "log_interval": 1, "out_dir": "out",
    }  # fmt: skip
    command = [
        sys.executable,
        "train.py",
        *(f"--{name}={value}" for name, value in options.items()),
    ]
    printed = subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.PIPE, text=True)
    found = re.findall(r"^iter (\d+): .* time ([\d.]+)ms", printed.stdout, re.MULTILINE)
    seconds = [float(ms) / 1e3 for step, ms in found if int(step) > INTERVAL]
    return len(seconds) * window * windows / sum(seconds)


def latentwave(
    folder: Path, corpus: CorpusConfig, shape: tuple[int, ...], steps: int, compiled: bool
) -> float:
    """Tokens per second of `latentwave train`."""
    layers, width, heads, window, windows = shape
    recipe = {
        "name": "loop",
        "corpus": {"name": corpus.name, "path": corpus.path},
        "backbone": {
            "architecture": "gpt2", "num_layers": layers, "hidden_size": width,
            "num_heads": heads, "intermediate_size": 4 * width, "context_length": window,
        },
        "training": {
            "num_steps": steps, "batch_size": windows, "num_warmup_steps": WARMUP,
            "compile": compiled, "evaluate_every_steps": INTERVAL, "num_evaluation_windows": 1,
            "save_every_steps": steps,
        },
        "contestants": {"none": {}},
    }  # fmt: skip
    path, output = folder / "loop.yaml", folder / "run"
    path.write_text(yaml.safe_dump(recipe))
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "latentwave", "train", str(path), "--output", str(output)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    curve = json.loads((output / "result.json").read_text())["curve"]
    first, last = curve[1], curve[-1]
    return float((last["tokens"] - first["tokens"]) / (last["seconds"] - first["seconds"]))


def write_bins(checkout: Path, store: TokenStore) -> None:
    """Write the store's tokens where nanoGPT looks for them."""
    folder = checkout / "data" / "corpus"
    folder.mkdir(parents=True)
    for split, name in (("train", "train.bin"), ("validation", "val.bin")):
        store.split(split).astype("uint16").tofile(folder / name)
    # Without this file it takes GPT-2's vocabulary.
    (folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": store.metadata.vocab_size}))


def main() -> int:
    """Parse, train in turn, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--nanogpt", type=Path, required=True, help="a checkout")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=[*SHAPES])
    parser.add_argument("--output", type=Path, help="JSON, written after each row")
    options = parser.parse_args()
    if not (options.nanogpt / "train.py").is_file():
        parser.error(
            f"--nanogpt must be a checkout of nanoGPT, there is no train.py in {options.nanogpt}"
        )
    if not options.corpus.is_file():
        parser.error(f"--corpus must be a text file, got {options.corpus}")
    if options.steps <= WARMUP or options.steps % INTERVAL or options.rounds < 1:
        parser.error(
            f"--steps must be a multiple of {INTERVAL} above {WARMUP} and --rounds at least 1, got "
            f"{options.steps} and {options.rounds}"
        )
    if options.output and (options.output.is_dir() or not options.output.parent.is_dir()):
        parser.error(f"--output must be a file in an existing folder, got {options.output}")
    environment, load, began = describe_environment(), os.getloadavg()[0], time.perf_counter()
    corpus = CorpusConfig(name="text", path=str(options.corpus.resolve()))
    rows: list[Row] = []
    show = printer()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkout = folder / "nanoGPT"
        shutil.copytree(options.nanogpt, checkout, ignore=shutil.ignore_patterns(".git", "data"))
        write_bins(checkout, prepare(corpus))
        for shape in (SHAPES[size] for size in options.sizes):
            layers, width, _, window, windows = shape
            for compiled in (False, True):
                ours, theirs = [], []
                for _ in range(options.rounds):
                    theirs.append(nanogpt(checkout, shape, options.steps, compiled))
                    ours.append(latentwave(folder, corpus, shape, options.steps, compiled))
                setting = f"{layers} layers, D {width}, {windows}×{window} tokens"
                what = "compiled" if compiled else "eager"
                row = ("training loop", setting, what, "tokens/s", ours, theirs)
                rows.append(compare(*row, against="nanoGPT", at_least=1.0))
                show(rows[-1])
                if options.output:
                    Benchmarks(
                        environment=environment,
                        load=load,
                        quick=False,
                        seconds=round(time.perf_counter() - began),
                        failed=[],
                        rows=rows,
                    ).write(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
