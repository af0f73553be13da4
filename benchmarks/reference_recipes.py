"""Public recipes for small models on our tokens, which our plain decoder has to match.

Trains nanoGPT and nanochat (github.com/karpathy) from their checkouts, with their models,
initialisations, optimizers and schedules, on the windows that our runs with the same seed read, and
measures the loss on the windows that ours are measured on:

    git clone https://github.com/karpathy/nanoGPT && git clone https://github.com/karpathy/nanochat
    python benchmarks/reference_recipes.py --nanogpt nanoGPT --nanochat nanochat --sizes 4x64
        --corpus ../shared/data/text/wikipedia-27.txt --tokens 4194304 --output references.jsonl

Learning rates are those of their configurations times each of --factors: recipes tuned at other
sizes get the search that ours had. A line of JSON is written as each run ends.
"""

import argparse
import dataclasses
import importlib
import itertools
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentwave.bench.data import CorpusConfig, GridWindows, RandomWindows, TokenStore, prepare
from latentwave.bench.training import describe_environment

SIZES = {"4x64": (4, 64, 2), "4x96": (4, 96, 3), "4x128": (4, 128, 4), "10x128": (10, 128, 8)}
_REFERENCE_BATCH_TOKENS = 2**19  # nanochat's rates are stated for this batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One reference at one size, and how it is trained."""

    reference: str
    size: str
    batch_size: int
    factor: float
    context_length: int
    num_steps: int


Schedule = Callable[[int], None]


def nanogpt(run: Run, vocab_size: int, device: str) -> tuple[nn.Module, Any, Schedule]:
    """The character-level configuration: AdamW, 100 steps of warm-up, cosine to a tenth."""
    module = importlib.import_module("model")
    num_layers, width, num_heads = SIZES[run.size]
    config = module.GPTConfig(
        block_size=run.context_length,
        vocab_size=vocab_size,
        n_layer=num_layers,
        n_head=num_heads,
        n_embd=width,
        dropout=0.0,
        bias=False,
    )
    model = module.GPT(config).to(device)
    peak, warmup = 1e-3 * run.factor, 100
    optimizer = model.configure_optimizers(0.1, peak, (0.9, 0.99), device)

    def schedule(step: int) -> None:
        if step < warmup:
            share = (step + 1) / (warmup + 1)
        else:
            done = (step - warmup) / max(run.num_steps - warmup, 1)
            share = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = peak * share

    return model, optimizer, schedule


def nanochat(run: Run, vocab_size: int, device: str) -> tuple[nn.Module, Any, Schedule]:
    """Its base training: Muon for the layers, AdamW for the rest, a long linear warm-down."""
    module = importlib.import_module("nanochat.gpt")
    num_layers, width, num_heads = SIZES[run.size]
    config = module.GPTConfig(
        sequence_len=run.context_length,
        vocab_size=vocab_size,
        n_layer=num_layers,
        n_head=num_heads,
        n_kv_head=num_heads,
        n_embd=width,
        window_pattern="L",
    )
    with torch.device("meta"):
        model = module.GPT(config)
    model.to_empty(device=device)
    model.init_weights()
    batch_tokens = run.batch_size * run.context_length
    scale = run.factor * math.sqrt(batch_tokens / _REFERENCE_BATCH_TOKENS)
    optimizer = model.setup_optimizer(
        unembedding_lr=0.008 * scale,
        embedding_lr=0.3 * scale,
        scalar_lr=0.5 * scale,
        matrix_lr=0.02 * scale,
        weight_decay=0.0,  # theirs is meant for horizons a thousand times as long
    )
    warmup, warmdown = 40, round(0.65 * run.num_steps)

    def schedule(step: int) -> None:
        left = run.num_steps - step
        share = min((step + 1) / warmup, 1.0)
        momentum = 0.85 + 0.12 * min(step / 400, 1.0)
        if left < warmdown:
            share = min(share, 0.05 + 0.95 * left / warmdown)
            momentum = 0.90 + 0.07 * left / warmdown
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * share
            if group["kind"] == "muon":
                group["momentum"] = momentum

    return model, optimizer, schedule


REFERENCES = {"nanogpt": nanogpt, "nanochat": nanochat}


def _loss(reference: str, model: nn.Module, ids: Tensor) -> Tensor:
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    if reference == "nanogpt":
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=ids.is_cuda):
            logits = model(inputs, targets)[0]
    else:
        logits = model(inputs)
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def _batch(windows: Any, first: int, count: int, device: str) -> Tensor:
    ids = [windows[index]["input_ids"] for index in range(first, min(first + count, len(windows)))]
    return torch.stack(ids).to(device, non_blocking=True)


def train(run: Run, store: TokenStore, *, seed: int, num_windows: int, device: str) -> float:
    """Train one reference; returns its validation loss, nats per token."""
    torch.manual_seed(seed)
    model, optimizer, schedule = REFERENCES[run.reference](
        run, store.metadata.vocab_size or 0, device
    )
    compiled: Any = torch.compile(model, dynamic=False) if device != "cpu" else model
    window = run.context_length
    windows = RandomWindows(store.split("train"), window, run.num_steps * run.batch_size, seed)
    for step in range(run.num_steps):
        schedule(step)
        loss = _loss(
            run.reference, compiled, _batch(windows, step * run.batch_size, run.batch_size, device)
        )
        loss.backward()  # type: ignore[no-untyped-call]
        if run.reference == "nanogpt":
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.zero_grad(set_to_none=True)
    model.eval()
    grid = GridWindows(store.split("validation"), window, num_windows)
    total = 0.0
    with torch.no_grad():
        for first in range(0, len(grid), run.batch_size):
            ids = _batch(grid, first, run.batch_size, device)
            total += float(_loss(run.reference, compiled, ids)) * len(ids)
    return total / len(grid)


def main() -> None:
    """Run what has no line in the output yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nanogpt", type=Path, help="a checkout")
    parser.add_argument("--nanochat", type=Path, help="a checkout")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["4x64", "4x96"])
    parser.add_argument("--tokens", type=int, nargs="+", required=True, help="one for each size")
    parser.add_argument("--context_length", type=int, default=256)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--factors", type=float, nargs="+", default=[1.0, 4.0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num_windows", type=int, default=512)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    corpus = CorpusConfig(name="text", path=str(options.corpus))
    store = prepare(corpus)
    lines = options.output.read_text().splitlines() if options.output.exists() else []
    done = [json.loads(line)["run"] for line in lines]
    checkouts = {"nanogpt": options.nanogpt, "nanochat": options.nanochat}
    sys.path[:0] = [str(path) for path in checkouts.values() if path]
    chosen = itertools.product(
        zip(options.sizes, options.tokens, strict=True),
        [name for name, path in checkouts.items() if path],
        options.batch_sizes,
        options.factors,
    )
    for (size, tokens), reference, batch_size, factor in chosen:
        run = Run(
            reference=reference,
            size=size,
            batch_size=batch_size,
            factor=factor,
            context_length=options.context_length,
            num_steps=tokens // (batch_size * options.context_length),
        )
        if dataclasses.asdict(run) in done:
            continue
        start = time.perf_counter()
        loss = train(run, store, seed=options.seed, num_windows=options.num_windows, device=device)
        seconds = time.perf_counter() - start
        print(f"{run} {loss:.4f} in {seconds:.0f} s", flush=True)
        record = {
            "run": dataclasses.asdict(run),
            "seed": options.seed,
            "final_loss": loss,
            "seconds": seconds,
            "environment": describe_environment(),
        }
        with options.output.open("a") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
