"""Tokens per second of our training loop beside nanoGPT's `train.py`, on the same text.

    git clone https://github.com/karpathy/nanoGPT
    python benchmarks/beside_nanogpt.py --nanogpt nanoGPT --corpus TEXT_FILE

Both train a GPT-2 of the same size on the same tokens with AdamW and clipped gradients, in turn and
in processes of their own. The copy of nanoGPT that runs computes GELU by tanh, as GPT-2 and ours
do: its own, by erf, takes less time on a CPU. The clocks count training steps with their
batches and logging, from the first evaluation on, when everything is compiled.

Another run of ours, with a recipe's default evaluations and checkpoints, says what all that is not
forward, backward, clipping or the optimizer adds to a step, and a last one what it saves to keep
freed memory (`keep_freed_memory`).
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
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from measure import Benchmarks, Row, compare, printer
from rich.console import Console

from latentwave.bench.data import CorpusConfig, TokenStore, prepare
from latentwave.bench.training import describe_environment, recipe_from_dict, train
from latentwave.bench.training.trainer import RunTrainer

# Layers, D, heads, tokens per window, windows, by parameters; the larger one is the papers' size.
SHAPES = {"0.2M": (4, 64, 2, 256, 16), "2M": (10, 128, 8, 512, 8)}
INTERVAL, WARMUP = 100, 100  # steps between evaluations, and of warm-up
# The command line without `keep_freed_memory`.
GIVING_BACK = """
import runpy
from latentwave.bench.training import engine
engine.keep_freed_memory = bool
runpy.run_module("latentwave", run_name="__main__")
"""


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
    folder: Path,
    corpus: CorpusConfig,
    shape: tuple[int, ...],
    steps: int,
    compiled: bool,
    program: tuple[str, ...] = ("-m", "latentwave"),
) -> float:
    """Tokens per second of `latentwave train`."""
    recipe = our_recipe(
        corpus, shape, steps, compiled, num_evaluation_windows=1, save_every_steps=steps
    )
    path, output = folder / "loop.yaml", folder / "run"
    path.write_text(yaml.safe_dump(recipe))
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, *program, "train", str(path), "--output", str(output)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    curve = json.loads((output / "result.json").read_text())["curve"]
    first, last = curve[1], curve[-1]
    return float((last["tokens"] - first["tokens"]) / (last["seconds"] - first["seconds"]))


def our_recipe(
    corpus: CorpusConfig, shape: tuple[int, ...], steps: int, compiled: bool, **training: int
) -> dict[str, Any]:
    """A recipe of one plain decoder, evaluated every `INTERVAL` steps."""
    layers, width, heads, window, windows = shape
    return {
        "name": "loop",
        "corpus": {"name": corpus.name, "path": corpus.path},
        "backbone": {
            "architecture": "gpt2", "num_layers": layers, "hidden_size": width,
            "num_heads": heads, "intermediate_size": 4 * width, "context_length": window,
        },
        "training": {
            "num_steps": steps, "batch_size": windows, "num_warmup_steps": WARMUP,
            "compile": compiled, "evaluate_every_steps": INTERVAL, **training,
        },
        "contestants": {"none": {}},
    }  # fmt: skip


def whole_and_steps(
    folder: Path, corpus: CorpusConfig, shape: tuple[int, ...], steps: int, compiled: bool
) -> tuple[float, float]:
    """Milliseconds per step of a whole run, and of what its steps compute, after `INTERVAL`."""
    inside: list[float] = []
    begun: list[float] = []
    ended: list[float] = []

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            result = method(*arguments, **options)
            if len(begun) > INTERVAL:
                inside.append(time.perf_counter() - start)
            return result

        return call

    class Clocked(RunTrainer):
        def training_step(self, *arguments: Any, **options: Any) -> Any:
            if not begun:
                this: Any = self
                this.accelerator.clip_grad_norm_ = timed(this.accelerator.clip_grad_norm_)
                this.optimizer.step = timed(this.optimizer.step)
            begun.append(time.perf_counter())
            return timed(super().training_step)(*arguments, **options)

        def _save_checkpoint(self, *arguments: Any) -> None:
            super()._save_checkpoint(*arguments)
            ended.append(time.perf_counter())

    values = our_recipe(corpus, shape, steps, compiled, save_every_steps=INTERVAL)
    shutil.rmtree(folder / "run", ignore_errors=True)
    with mock.patch("latentwave.bench.training.run.RunTrainer", Clocked):
        recipe = recipe_from_dict(values)
        train(recipe, "none", 0, prepare(corpus), folder / "run", console=Console(quiet=True))
    count = (steps - INTERVAL) / 1e3
    return (ended[-1] - begun[INTERVAL]) / count, sum(inside) / count


def use_gpt2_gelu(checkout: Path) -> None:
    """Have nanoGPT's model compute the GELU of GPT-2, which transformers' GPT-2 has too."""
    path = checkout / "model.py"
    own, wanted = "nn.GELU()", 'nn.GELU(approximate="tanh")'
    source = path.read_text()
    if source.count(own) != 1:
        raise SystemExit(f"{path} must have one {own}, found {source.count(own)}")
    path.write_text(source.replace(own, wanted))


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
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=[*SHAPES])
    parser.add_argument("--output", type=Path, help="JSON, written after each row")
    options = parser.parse_args()
    for name in ("train.py", "model.py"):
        if not (options.nanogpt / name).is_file():
            parser.error(
                f"--nanogpt must be a checkout of nanoGPT, there is no {name} in {options.nanogpt}"
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
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        checkout = folder / "nanoGPT"
        shutil.copytree(options.nanogpt, checkout, ignore=shutil.ignore_patterns(".git", "data"))
        use_gpt2_gelu(checkout)
        write_bins(checkout, prepare(corpus))
        for shape in (SHAPES[size] for size in options.sizes):
            layers, width, _, window, windows = shape
            for compiled in (False, True):
                ours, theirs, clocks, giving = [], [], [], []
                for _ in range(options.rounds):
                    theirs.append(nanogpt(checkout, shape, options.steps, compiled))
                    what = folder, corpus, shape, options.steps, compiled
                    ours.append(latentwave(*what))
                    giving.append(latentwave(*what, program=("-c", GIVING_BACK)))
                    clocks.append(whole_and_steps(*what))
                setting = f"{layers} layers, D {width}, {windows}×{window} tokens"
                place, name = ("training loop", setting), "compiled" if compiled else "eager"
                whole, alone = ([pair[i] for pair in clocks] for i in (0, 1))
                loops = (*place, name, "tokens/s", ours, theirs)
                memory = (*place, f"{name}, memory kept", "tokens/s", ours, giving)
                runs = (*place, f"{name}, a whole run", "ms", whole, alone)
                for row in (
                    compare(*loops, against="nanoGPT", at_least=1.0),
                    compare(*memory, against="given back"),
                    compare(*runs, against="its steps alone", at_most=1.03),
                ):
                    rows.append(row)
                    show(row)
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
