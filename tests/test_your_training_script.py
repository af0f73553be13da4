"""The page "In your own training script" runs from top to bottom."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "your-training-script.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)


def test_its_code_runs_in_a_fresh_interpreter(tmp_path):
    source = Path(__file__).parents[1] / "src"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "\n".join(BLOCKS)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(source)},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mixers" / "mixers.safetensors").stat().st_size < 20_000
