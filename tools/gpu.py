"""Tests and measures on a GPU, in phases that fit a short lease and need no network.

    make gpu                                  # all phases, results under runs/gpu
    python -m tools.gpu --phases ladder large --jobs 14
    python -m tools.gpu --tiny                # a rehearsal on the CPU

Phases: `tests` (tests/cuda), `bench` (benchmarks/bench_gpu.py), `paper` (recipes/paper-gpu.yaml),
`ladder` (recipes/ladder-gpu.yaml) and `large` (recipes/ladder-gpu-large.yaml). A phase ends
after --minutes at the latest, all of them after --total_minutes. Results are written as they come,
and the last three phases continue where they stopped when called again. All results end up in one
file to take home, OUTPUT/gpu.tar.gz.

The machine needs this folder and Python with torch, transformers, Triton, scipy, matplotlib and
pytest; `tools/gpu-wheels.txt` lists all other packages, to bring along as wheels where they are
missing. The corpus may come packed (xz, 12 MB): --corpus FILE.xz.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
_PACKED_SUFFIXES = {".json", ".jsonl", ".log", ".png", ".txt", ".html"}


class Lease:
    """One run of this script, with its options and an environment for its processes."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.output: Path = options.output
        self.end = time.monotonic() + 60 * options.total_minutes
        # latentwave is not installed there: without metadata it would have no version.
        metadata = self.output / "metadata"
        info = metadata / "latentwave-0.1.0.dist-info" / "METADATA"
        info.parent.mkdir(parents=True, exist_ok=True)
        info.write_text("Metadata-Version: 2.1\nName: latentwave\nVersion: 0.1.0\n")
        folders = [ROOT / "src", ROOT, metadata, *sys.path[1:]]
        self.environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, folders)),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "TORCHINDUCTOR_COMPILE_THREADS": "2",  # many processes compile at the same time
        }

    @property
    def minutes(self) -> float:
        """How long the next phase may take."""
        left: float = (self.end - time.monotonic()) / 60
        return max(0.0, min(float(self.options.minutes), left))

    def run(self, phase: str, command: Sequence[str], **environment: str) -> int:
        """Run a command within the time limit of a phase; its output goes into PHASE.log."""
        with (self.output / f"{phase}.log").open("a") as file:
            try:
                return subprocess.run(
                    [sys.executable, *command],
                    cwd=ROOT,
                    env=self.environment | environment,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    timeout=60 * self.minutes,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                return 124

    def recipe(self, name: str) -> str:
        """Write a copy of a recipe with the path of the corpus, shrunk in a rehearsal."""
        values = yaml.safe_load((ROOT / "recipes" / name).read_text())
        corpus: Path = self.options.corpus or ROOT / values["corpus"]["path"]
        values["corpus"]["path"] = str(corpus.resolve())
        if self.options.tiny:
            _shrink(values)
        path = self.output / name
        path.write_text(yaml.safe_dump(values))
        return str(path)


def _shrink(values: dict[str, Any]) -> None:
    """Change a recipe to a few steps of a model that a CPU trains in a second."""
    values["training"] |= {"precision": "float32", "compile": False, "num_evaluation_windows": 4}
    values["training"] |= {"batch_size": 4, "num_warmup_steps": 1}
    values["backbone"] |= {"num_layers": 1, "hidden_size": 16, "num_heads": 2}
    values["backbone"] |= {"intermediate_size": 32, "context_length": 32}
    if "sizes" not in values:  # a comparison
        values["training"] |= {"num_steps": 8, "evaluate_every_steps": 4, "save_every_steps": 4}
        values["contestants"] = {name: values["contestants"][name] for name in ("none", "best")}
        values |= {"tuning": {"learning_rates": [1.0e-3, 2.0e-3], "num_steps": 4}, "seeds": [0]}
        return
    chosen = ("none", "dynamic_conv-mlp")
    values["contestants"] = {name: values["contestants"][name] for name in chosen}
    values["controls"] = [name for name in values["controls"] if name in chosen]
    values["settings"] = {"strong": values["settings"]["strong"]}
    tiny = {"seeds": [0], "budgets": [1, 2]}
    values["sizes"] = {"a": tiny, "b": tiny | {"backbone": {"hidden_size": 32}}}
    values["search"] = {"factors": [1.0]}


def tests(lease: Lease) -> dict[str, Any]:
    """Decide go or no-go: every mixer against float64 on the CPU, models, compile, generation."""
    report = lease.output / "tests.xml"
    report.unlink(missing_ok=True)
    command = ["-m", "pytest", "tests/cuda", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    code = lease.run("tests", command, LATENTWAVE_SHAPE_CHECKS="0")
    head = report.read_text()[:1000] if report.is_file() else ""
    counts = re.findall(r'(tests|failures|errors|skipped)="(\d+)"', head)
    return {"exit_code": code} | {name: int(value) for name, value in counts}


def bench(lease: Lease) -> dict[str, Any]:
    """Compare kernels, mixers and training steps with what the hardware allows."""
    rows = lease.output / "bench.jsonl"
    seconds = str(int(50 * lease.minutes))
    command = ["benchmarks/bench_gpu.py", "--seconds", seconds, str(rows)]
    code = lease.run("bench", [*command, *(["--tiny"] if lease.options.tiny else [])])
    return {"exit_code": code, "rows": len(rows.read_text().splitlines()) if rows.exists() else 0}


def paper(lease: Lease) -> dict[str, Any]:
    """Compare mixers at the papers' size, 131 million tokens a run."""
    code, folder = _latentwave(lease, "paper", "compare", "paper-gpu.yaml", "--resume")
    return {"exit_code": code, "runs": len(list(folder.glob("*-seed*/result.json")))}


def ladder(lease: Lease) -> dict[str, Any]:
    """Train sizes and budgets; runs that are cut off continue at the next call."""
    return _ladder(lease, "ladder", "ladder-gpu.yaml")


def large(lease: Lease) -> dict[str, Any]:
    """The same for larger models."""
    return _ladder(lease, "large", "ladder-gpu-large.yaml")


def _ladder(lease: Lease, phase: str, recipe: str) -> dict[str, Any]:
    limit = ["--resume", "--limit_minutes", str(0.8 * lease.minutes)]
    code, folder = _latentwave(lease, phase, "ladder", recipe, *limit)
    return {"exit_code": code, "branches": len(list(folder.rglob("branch-*/result.json")))}


def _latentwave(
    lease: Lease, phase: str, command: str, recipe: str, *more: str
) -> tuple[int, Path]:
    """Run a command of latentwave and return its exit code and output folder."""
    folder = lease.output / phase
    words = ["-m", "latentwave", command, lease.recipe(recipe), "--output", str(folder), *more]
    return lease.run(phase, [*words, "--jobs", str(lease.options.jobs)]), folder


PHASES: dict[str, Callable[[Lease], dict[str, Any]]] = {
    "tests": tests,
    "bench": bench,
    "paper": paper,
    "ladder": ladder,
    "large": large,
}


def pack(output: Path) -> Path:
    """Pack the results into one archive, without checkpoints and other large files."""
    archive = output / "gpu.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(output.rglob("*")):
            if path.suffix in _PACKED_SUFFIXES and "checkpoints" not in path.parts:
                tar.add(path, path.relative_to(output))
    return archive


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the phases; returns 0 unless the tests failed."""
    parser = argparse.ArgumentParser(prog="tools.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    parser.add_argument("--output", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--minutes", type=float, default=9.0, help="limit of each phase")
    parser.add_argument("--total_minutes", type=float, default=29.0, help="limit of all phases")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    parser.add_argument("--corpus", type=Path, help="a text file, plain or packed by xz")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal on the CPU")
    options = parser.parse_args(arguments)
    if options.corpus and not options.corpus.exists():
        parser.error(f"--corpus must be a text file, got {options.corpus}")
    lease = Lease(options)
    summary = {}
    for name in lease.options.phases:
        if not lease.minutes:
            print(f"{name}: left out, the {options.total_minutes:g} minutes are over")
            continue
        start = time.monotonic()
        summary[name] = PHASES[name](lease) | {"seconds": round(time.monotonic() - start)}
        print(f"{name}: {summary[name]}", flush=True)
        (lease.output / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(f"all of it: {pack(lease.output)}")
    return 1 if summary.get("tests", {}).get("exit_code", 0) not in (0, 5) else 0


if __name__ == "__main__":
    raise SystemExit(main())
