"""What is installed decides what works: the library alone, or the command line too."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import latentwave
from latentwave.__main__ import main

SOURCE = Path(latentwave.__file__).parent
PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
MODULES = {"PyWavelets": "pywt"}  # of packages that are imported by another name


@pytest.mark.parametrize("missing", ["jsonargparse", "scipy"])
def test_the_command_without_the_bench_says_what_to_install(missing):
    code = f"import sys; sys.modules[{missing!r}] = None; import latentwave.__main__ as cli"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; sys.exit(cli.main())"],
        env=os.environ | {"PYTHONPATH": str(SOURCE.parent)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert not done.stdout
    assert done.stderr.count("\n") == 1
    assert f"needs {missing}" in done.stderr
    assert "pip install 'latentwave[bench]'" in done.stderr


def test_a_broken_bench_is_not_called_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "latentwave.bench.cli.main", None)
    with pytest.raises(ModuleNotFoundError):
        main()


def test_the_library_imports_only_what_it_requires():
    required = {requirement.split(">=")[0] for requirement in PROJECT["dependencies"]}
    allowed = {MODULES.get(name, name) for name in required} | {"latentwave", "triton"}
    files = [path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] != "bench"]
    assert len(files) > 30
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            else:
                continue
            foreign = {name.split(".")[0] for name in names} - sys.stdlib_module_names
            assert foreign <= allowed, path


def test_the_bench_pulls_no_other_extra():
    bench = " ".join(PROJECT["optional-dependencies"]["bench"])
    assert not any(name in bench for name in ("ray", "lm-eval", "peft", "datasets", "latentwave"))
