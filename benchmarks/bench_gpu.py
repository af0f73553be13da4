"""Filterbanks, mixers and training steps on a GPU, beside the limits of the hardware.

python benchmarks/bench_gpu.py results.jsonl
python benchmarks/bench_gpu.py --tiny results.jsonl    # the same rows, small, on a CPU

Each row is printed and appended to the file as soon as it is measured. Its floor is the time that
its bytes take at the copy bandwidth or its operations at the rate of bfloat16 matrix products,
whichever is longer; both limits are measured first. Times are medians of forward + backward. Rows
that would start after `--seconds` are left out and named at the end.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from measure import KERNEL_SIZE, NUM_FILTERS, forward_backward
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

import latentwave as lw
from latentwave.functional import causal_filterbank, filterbank_ops, naive_filterbank
from latentwave.hub import decoder_layers
from latentwave.mixers import build_mixer, list_mixers

TRAINED: dict[str, dict[str, Any] | None] = {
    "none": None,
    "best": {},
    "wavelet": {"mixer": "wavelet"},
    "short_conv": {"mixer": "short_conv"},
    "dynamic_conv": {"mixer": "dynamic_conv"},
}


class Decoder(NamedTuple):
    """A decoder's sizes, and those of its batches."""

    layers: int
    width: int
    heads: int
    batch: int
    tokens: int


class Sizes(NamedTuple):
    """The sizes to measure: (B, T, D) of single operators, and whole decoders."""

    copy_bytes: int
    matrix: int
    filterbank: tuple[int, int, int]
    mixers: list[tuple[int, int, int]]
    decoders: dict[str, Decoder]


LARGE = Sizes(
    copy_bytes=2**31,
    matrix=8192,
    filterbank=(64, 512, 128),
    mixers=[(16, 2048, 768), (32, 512, 128)],
    decoders={
        "papers' size": Decoder(layers=10, width=128, heads=8, batch=64, tokens=512),
        "GPT-2 small's width": Decoder(layers=4, width=768, heads=12, batch=16, tokens=1024),
    },
)
TINY = Sizes(
    copy_bytes=2**20,
    matrix=128,
    filterbank=(2, 40, 8),
    mixers=[(2, 40, 16)],
    decoders={"tiny": Decoder(layers=2, width=16, heads=2, batch=2, tokens=32)},
)


class Bench:
    """Times calls and writes rows."""

    def __init__(self, device: torch.device, output: Path, seconds: float) -> None:
        self.device, self.output = device, output
        self.bandwidth = self.flops = float("inf")
        self.left_out: list[str] = []
        self._stop = time.perf_counter() + seconds

    def wait(self) -> None:
        """Wait until the device has finished."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, call: Callable[[], object], rounds: int = 7) -> float:
        """The median time of a call, with the device kept busy as in training."""
        calls = 5 if self.device.type == "cuda" else 1
        for _ in range(3):
            call()
        times = []
        for _ in range(rounds):
            self.wait()
            began = time.perf_counter()
            for _ in range(calls):
                call()
            self.wait()
            times.append((time.perf_counter() - began) / calls)
        return statistics.median(times)

    def row(
        self,
        group: str,
        name: str,
        call: Callable[[], object],
        *,
        moved_bytes: float = 0.0,
        flops: float = 0.0,
        **more: Any,
    ) -> float | None:
        """Measure and write one row; None if time is up or the call fails."""
        if time.perf_counter() > self._stop:
            self.left_out.append(f"{group}: {name}")
            return None
        began = time.perf_counter()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        try:
            seconds = self.seconds(call)
        except Exception as error:
            self.write(group=group, name=name, error=f"{type(error).__name__}: {error}"[:500])
            return None
        floor = max(moved_bytes / self.bandwidth, flops / self.flops)
        if self.device.type == "cuda":
            more["peak_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
        self.write(
            group=group,
            name=name,
            milliseconds=1e3 * seconds,
            floor_milliseconds=1e3 * floor,
            share=floor / seconds,
            spent_seconds=round(time.perf_counter() - began, 1),
            **more,
        )
        return seconds

    def write(self, **row: Any) -> None:
        """Write one row to the screen and to the file."""
        with self.output.open("a") as file:
            file.write(json.dumps(row) + "\n")
        label = f"{row.pop('group')}: {row.pop('name')}"
        shown = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
        print(f"{label:<60} {', '.join(shown)}", flush=True)


def ceilings(bench: Bench, sizes: Sizes) -> None:
    """The limits: bytes read and written per second, and bfloat16 matrix products."""
    source = torch.empty(sizes.copy_bytes, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    copying = bench.row("ceiling", "copy", lambda: target.copy_(source))
    a, b = torch.randn(
        2, sizes.matrix, sizes.matrix, device=bench.device, dtype=torch.float32
    ).bfloat16()
    product = bench.row("ceiling", "bf16 matrix product", lambda: a @ b)
    if copying is None or product is None:
        raise SystemExit("the ceilings could not be measured, see the rows above")
    bench.bandwidth = 2 * sizes.copy_bytes / copying
    bench.flops = 2 * sizes.matrix**3 / product
    bench.write(
        group="ceiling",
        name="in all",
        terabytes_per_second=bench.bandwidth / 1e12,
        teraflops_per_second=bench.flops / 1e12,
    )


def filterbanks(bench: Bench, sizes: Sizes) -> None:
    """The naive form, the fused one, and the one that `causal_filterbank` chooses here."""
    (B, T, D), M, K = sizes.filterbank, NUM_FILTERS, KERNEL_SIZE

    def plain(x: Tensor, analysis: Tensor, weights: Tensor) -> Tensor:
        return PlainFilterbank.apply(x, analysis, weights)  # type: ignore[no-any-return, no-untyped-call]

    for weighting, shape in (("weights", (M,)), ("tf_mask", (B, T, M))):
        forms: dict[str, tuple[Callable[..., Tensor], list[torch.dtype]]] = {
            "chosen": (causal_filterbank, [torch.bfloat16, torch.float32]),
            "fused, matrix products": (plain, [torch.float32]),
            "naive": (naive_filterbank, [torch.bfloat16]),
        }
        for form, (function, dtypes) in forms.items():
            for dtype in dtypes:
                x, dy = torch.randn(2, B, T, D, device=bench.device, dtype=dtype)
                analysis = torch.randn(M, K, device=bench.device, dtype=dtype) / K**0.5
                weights = torch.randn(shape, device=bench.device, dtype=dtype) / M
                inputs = [tensor.requires_grad_() for tensor in (x, analysis, weights)]
                group = f"filterbank {B}x{T}x{D}, M {M}, K {K}, {weighting}, {str(dtype)[6:]}"
                moved = 5 * x.nbytes + 3 * weights.nbytes
                # z, z again for the backward pass, and the two products of its adjoint.
                work = 4 * 2 * M * K * B * T * D
                with torch.no_grad():
                    bench.row(
                        group,
                        f"{form}, forward",
                        partial(function, *inputs),
                        moved_bytes=2 * x.nbytes + weights.nbytes,
                        flops=work / 4,
                    )
                call = forward_backward(function, *inputs, weights=dy)
                bench.row(group, form, call, moved_bytes=moved, flops=work)


class PlainFilterbank(torch.autograd.Function):
    """The fused form without Triton kernels, even where there are some."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, analysis: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(x, analysis, weights)
        sizes = [analysis.shape[1]]
        return filterbank_ops.plain_filterbank(x, analysis, weights, None, sizes, 0, True)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, analysis, weights = ctx.saved_tensors
        sizes = [analysis.shape[1]]
        return filterbank_ops.plain_filterbank_backward(
            grads[0], x, analysis, weights, None, sizes, 0, True
        )


def mixers(bench: Bench, sizes: Sizes) -> None:
    """One mixer of each kind, and a decoder layer of the same width."""
    dtype = torch.bfloat16
    for B, T, D in sizes.mixers:
        group = f"mixer {B}x{T}x{D}, bf16"
        x = torch.randn(B, T, D, device=bench.device, dtype=dtype, requires_grad=True)
        dy = torch.randn_like(x)
        layer = _decoder_layer(D, T).to(bench.device, dtype)
        bench.row(
            group,
            "plain decoder layer, eager",
            forward_backward(layer, x, weights=dy),
            moved_bytes=5 * x.nbytes,
            flops=3 * (2 * 12 * D**2 + 2 * T * D) * B * T,
        )
        for kind in list_mixers():
            mixer = build_mixer(kind, channels=D, context_length=T).to(bench.device, dtype)
            work = {
                # Read x and dy, write y and dx; parameters read x once more.
                "moved_bytes": (4 + (mixer.num_parameters > 0)) * x.nbytes,
                "flops": 4 * B * mixer.flops(T) if "filterbank" in kind else 0.0,
            }
            bench.row(group, f"{kind}, eager", forward_backward(mixer, x, weights=dy), **work)
            torch.compiler.reset()
            compiled = torch.compile(mixer, dynamic=False)
            bench.row(group, f"{kind}, compiled", forward_backward(compiled, x, weights=dy), **work)


def training(bench: Bench, sizes: Sizes) -> None:
    """A step of AdamW under bfloat16, each contestant beside the plain decoder."""
    for title, size in sizes.decoders.items():
        num_tokens = size.batch * size.tokens
        for how in ("eager", "compiled layers"):
            group, reference = f"training step, {title}, {how}", None
            for name, options in TRAINED.items():
                step, work = _training_step(bench.device, size, options, how != "eager")
                seconds = bench.row(group, name, step, flops=work, tokens=num_tokens)
                if name == "none":
                    reference = seconds
                if seconds and reference:
                    bench.write(
                        group=group,
                        name=f"{name} / none",
                        ratio=seconds / reference,
                        tokens_per_second=round(num_tokens / seconds),
                    )


def _training_step(
    device: torch.device, size: Decoder, options: dict[str, Any] | None, compiled: bool
) -> tuple[Callable[[], object], float]:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(_config(size.width, size.tokens, size.layers, size.heads))
    if options is not None:
        lw.attach(model, **options)
    nn.Module.to(model, device).train()
    if compiled:
        torch.compiler.reset()
        for layer in decoder_layers(model):
            layer.compile(dynamic=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=device.type == "cuda")
    ids = torch.randint(model.config.vocab_size, (size.batch, size.tokens), device=device)

    def step() -> object:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    matrices = sum(p.numel() for p in model.parameters() if p.dim() > 1)
    attention = 2 * size.layers * size.tokens * size.width
    return step, 3 * (2 * matrices + attention) * size.batch * size.tokens


def _decoder_layer(width: int, tokens: int) -> nn.Module:
    model = GPT2LMHeadModel(_config(width, tokens, 1, max(1, width // 64)))

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = decoder_layers(model)[0]

        def forward(self, x: Tensor) -> Tensor:
            y = self.block(x)
            first: Tensor = y[0] if isinstance(y, tuple) else y
            return first

    return Layer()


def _config(width: int, tokens: int, layers: int, heads: int) -> GPT2Config:
    return GPT2Config(
        vocab_size=512,
        n_positions=tokens,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        bos_token_id=0,
        eos_token_id=0,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        activation_function="gelu_pytorch_tanh",
    )


PHASES = {"filterbanks": filterbanks, "training": training, "mixers": mixers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", type=Path, nargs="?", default=Path("runs/bench-gpu.jsonl"))
    parser.add_argument("--tiny", action="store_true", help="small sizes, on the CPU")
    parser.add_argument("--seconds", type=float, default=165.0, help="start no row after so many")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=[*PHASES])
    options = parser.parse_args()
    if not options.tiny and not torch.cuda.is_available():
        print("GPU benchmark: no CUDA GPU here; --tiny shows on a CPU that it runs")
        return
    device = torch.device("cpu" if options.tiny else "cuda")
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("")
    bench = Bench(device, options.output, options.seconds)
    card = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    bench.write(group="machine", name=card, torch=torch.__version__)
    sizes = TINY if options.tiny else LARGE
    ceilings(bench, sizes)
    for phase in options.phases:
        PHASES[phase](bench, sizes)
    if bench.left_out:
        bench.write(group="left out", name="no time", rows=bench.left_out)


if __name__ == "__main__":
    main()
