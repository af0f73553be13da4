"""Runs all benchmarks, one after the other, into one table and results/benchmarks.json.

    make bench
    python benchmarks/run.py filterbank decoding    # some of them: prints, writes no file
    python benchmarks/run.py --quick                # small sizes, to see that they run

Each benchmark has a process of its own, so that they share no memory. If one fails, its rows so far
and those of the others are kept, the file names it, and the exit code is 1.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from measure import Benchmarks, Row, printer

from latentwave.bench.training import describe_environment

FOLDER = Path(__file__).parent
OUTPUT = FOLDER.parent / "results" / "benchmarks.json"


def main() -> int:
    # bench_gpu.py has its own rows, file and machine.
    found = {path.stem[len("bench_") :]: path for path in sorted(FOLDER.glob("bench_*.py"))}
    found.pop("gpu", None)
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("groups", nargs="*", help=f"default: all of {', '.join(found)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that they run")
    parser.add_argument(
        "--output", type=Path, help=f"default: {OUTPUT.name} for all groups at full size"
    )
    options = parser.parse_args()
    if unknown := set(options.groups) - set(found):
        parser.error(f"there is no benchmark {', '.join(unknown)}; choose {', '.join(found)}")
    output = options.output or (None if options.groups or options.quick else OUTPUT)
    if output is not None and (output.is_dir() or not output.parent.is_dir()):
        parser.error(f"--output must be a file in an existing folder, got {output}")

    # Before the benchmarks add load and the file changes the checkout.
    environment, load, began = describe_environment(), os.getloadavg()[0], time.perf_counter()
    rows: list[Row] = []
    failed: list[str] = []
    show = printer()
    for name in options.groups or found:
        command = [sys.executable, str(found[name]), "--json", *["--quick"][: options.quick]]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                rows.append(Row(**json.loads(line)))
                show(rows[-1])
        if process.returncode:
            failed.append(name)
    missed = sum(row.met is False for row in rows)
    print(f"{len(rows)} rows, {missed} targets missed" + "".join(f", {n} FAILED" for n in failed))
    if output is not None:
        seconds = round(time.perf_counter() - began)
        facts = {"environment": environment, "load": load, "quick": options.quick}
        Benchmarks(**facts, seconds=seconds, failed=failed, rows=rows).write(output)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
