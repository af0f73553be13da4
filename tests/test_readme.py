"""The code of the README and of the page on mixers runs as printed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)
MIXERS = (README.parent / "docs" / "mixers.md").read_text()


@pytest.mark.parametrize("index", range(len(BLOCKS)))
def test_python_blocks_run_in_a_fresh_interpreter(index):
    done = subprocess.run(
        [sys.executable, "-c", BLOCKS[index]], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_the_examples_of_the_mixers_page_follow_the_readmes():
    code = "\n".join(
        [BLOCKS[0], "lw.detach(model)", *re.findall(r"```python\n(.*?)```", MIXERS, flags=re.S)]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_there_is_an_example():
    assert BLOCKS
