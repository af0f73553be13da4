"""nanoGPT's `train.py` on Shakespeare, as it is and with the two lines of our documentation.

    git clone https://github.com/karpathy/nanoGPT
    python benchmarks/nanogpt_two_lines.py --nanogpt nanoGPT --corpus tinyshakespeare.txt

The settings are those of its README for a CPU: 4 layers × 128, 64 characters, 2,000 steps of 12
windows; evaluations take 200 batches, not 20. Every run trains in a copy of the checkout with
`lw.attach(model, layers="transformer.h")` added or not. A line of JSON is written as it ends; a
run that has its line is not run again.
"""

import argparse
import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from latentwave.bench.training import describe_environment

OUTPUT = Path(__file__).parent.parent / "results" / "nanogpt.jsonl"
ADDED = {
    "import torch\n": "import latentwave as lw\n",
    "model.to(device)\n": 'lw.attach(model, layers="transformer.h")\n',
}
OPTIONS = {
    "device": "cpu", "compile": False, "eval_iters": 200, "eval_interval": 500, "block_size": 64,
    "batch_size": 12, "n_layer": 4, "n_head": 4, "n_embd": 128, "max_iters": 2000,
    "lr_decay_iters": 2000, "dropout": 0.0,
}  # fmt: skip


def train(checkout: Path, corpus: Path, seed: int, mixed: bool) -> list[dict[str, float]]:
    """The training and validation losses of a run at each of its evaluations."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "nanoGPT"
        shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git"))
        data = copy / "data" / "shakespeare_char"
        shutil.copy(corpus, data / "input.txt")
        subprocess.run([sys.executable, "prepare.py"], cwd=data, check=True)
        script = copy / "train.py"
        changes = {"manual_seed(1337 ": f"manual_seed({seed} "}
        changes |= {line: added + line for line, added in ADDED.items()} if mixed else {}
        text = script.read_text()
        for old, new in changes.items():
            if old not in text:
                raise SystemExit(f"train.py of this checkout has no {old!r}: take commit 3adf61e")
            text = text.replace(old, new, 1)
        script.write_text(text)
        options = [f"--{name}={value}" for name, value in OPTIONS.items()]
        command = [sys.executable, "train.py", "config/train_shakespeare_char.py", *options]
        printed = subprocess.run(command, cwd=copy, check=False, stdout=subprocess.PIPE, text=True)
    if printed.returncode:
        raise SystemExit(f"train.py ended with {printed.returncode}: see its error above")
    found = re.findall(
        r"^step (\d+): train loss (\S+), val loss (\S+)$", printed.stdout, re.MULTILINE
    )
    if not found or int(found[-1][0]) != OPTIONS["max_iters"]:
        raise SystemExit(f"train.py did not evaluate after step {OPTIONS['max_iters']}")
    return [
        {"step": int(step), "train": float(train), "validation": float(validation)}
        for step, train, validation in found
    ]


def main() -> None:
    """Train what has no line yet and print its last losses."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--nanogpt", type=Path, required=True, help="a checkout")
    parser.add_argument("--corpus", type=Path, required=True, help="its input.txt")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1337, 1338])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="a line of JSON for each run")
    options = parser.parse_args()
    if not (options.nanogpt / "train.py").is_file():
        parser.error(
            f"--nanogpt must be a checkout of nanoGPT, there is no train.py in {options.nanogpt}"
        )
    if not options.corpus.is_file():
        parser.error(f"--corpus must be a text file, got {options.corpus}")
    if options.output.is_dir() or not options.output.parent.is_dir():
        parser.error(f"--output must be a file in an existing folder, got {options.output}")
    lines = options.output.read_text().splitlines() if options.output.exists() else []
    try:
        done = {(run["mixer"], run["seed"]) for run in map(json.loads, lines)}
    except ValueError as error:
        parser.error(f"a line of {options.output} is damaged ({error}): remove it")
    if not (options.nanogpt / ".git").exists():
        parser.error(f"--nanogpt must be a git checkout, which tells its commit: {options.nanogpt}")
    asked = ["git", "-C", str(options.nanogpt), "rev-parse", "HEAD"]
    commit = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    for seed, mixer in itertools.product(options.seeds, (None, "best")):
        if (mixer, seed) in done:
            print(
                f"{mixer or 'plain'} {seed} is in {options.output}: name another to train it again"
            )
            continue
        losses = train(options.nanogpt, options.corpus, seed, mixer is not None)
        record = {"mixer": mixer, "seed": seed, "losses": losses, "nanogpt": commit}
        record["environment"] = describe_environment()
        with options.output.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(mixer or "plain", seed, losses[-1], flush=True)


if __name__ == "__main__":
    main()
