"""The numbers of docs/measuring.md are what the code gives."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from latentwave.bench.comparison import highest_coverage, seeds_needed

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "measuring.md").read_text(encoding="utf-8")


def test_its_example_prints_what_it_says(monkeypatch):
    monkeypatch.chdir(ROOT)
    code, printed = re.search(r"```python\n(.*?)```\n\n    (.*?)\n", PAGE, flags=re.S).groups()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(code, {})  # noqa: S102
    assert output.getvalue().strip() == printed


def test_its_coverages():
    rows = re.findall(r"^\| (\d) \| (\d+) %", PAGE, flags=re.M)
    assert [int(seeds) for seeds, _ in rows] == [2, 3, 4, 5, 6]
    for seeds, percent in rows:
        assert 100 * highest_coverage(int(seeds)) == pytest.approx(int(percent), abs=0.51)
    assert seeds_needed(0.95) == 6


def test_its_commands_name_recipes_that_are_there():
    for name in re.findall(r"recipes/[\w-]+\.yaml", PAGE):
        assert (ROOT / name).is_file()
