"""Imports load little and change nothing, and the command says which packages are missing."""

import ast
import json
import sys
import tomllib
import types
from pathlib import Path

import pytest

import latentwave as lw
from latentwave.__main__ import main
from tests.processes import run_python

SOURCE = Path(lw.__file__).parent
PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
MODULES = {"PyWavelets": "pywt"}  # of packages that are imported by another name
FORBIDDEN = (
    *("IPython", "accelerate", "datasets", "jsonargparse", "latentwave.bench", "lm_eval"),
    *("matplotlib", "pandas", "pooch", "psutil", "pyarrow", "ray", "rich", "scipy", "sklearn"),
    *("soundfile", "tensorboard", "transformers.trainer", "yaml"),
)


def loaded(before, after):
    """The modules that running `after` adds, and the lines it prints."""
    code = f"""
import json, sys
{before}
known = set(sys.modules)
{after}
print(json.dumps(sorted(set(sys.modules) - known)))
"""
    *printed, modules = run_python("-c", code, check=True).stdout.splitlines()
    return json.loads(modules), printed


def forbidden(modules):
    return [each for each in modules if f"{each}.".startswith(tuple(f"{f}." for f in FORBIDDEN))]


def test_the_import_after_transformers_is_nearly_free():
    modules, _ = loaded("import transformers", "import latentwave")
    assert "latentwave" in modules
    assert len(modules) < 30
    assert not forbidden(modules)


def test_building_a_mixer_loads_no_transformers():
    code = "import latentwave as lw; lw.build_mixer('ema', channels=4, context_length=8)"
    modules, _ = loaded("import torch", code)
    assert not any(each.startswith("transformers") for each in modules)


ATTRIBUTES = """
from transformers import GPT2LMHeadModel
import torch.nn.modules.module

def attributes():
    classes = [
        value for name, module in list(sys.modules.items())
        if name.split(".")[0] in ("transformers", "torch") and hasattr(module, "__dict__")
        and not (name.startswith("torch.") and not name.startswith("torch.nn"))
        for value in list(vars(module).values()) if isinstance(value, type)
    ]
    return {
        (each.__module__, each.__qualname__, name): (value, id(value))
        for each in classes for name, value in vars(each).items()
        if name not in ("__abstractmethods__", "_abc_impl", "__annotations__")
    }

before = attributes()
"""
WHOLE_LIBRARY = """
import latentwave as lw
for name in lw.__all__:
    getattr(lw, name)
after = attributes()
print([key for key, (_, known) in before.items() if after[key][1] != known])
"""


def test_the_whole_library_is_light_and_changes_no_class_of_transformers_or_torch():
    modules, printed = loaded(ATTRIBUTES, WHOLE_LIBRARY)
    assert "latentwave.hub.attach" in modules
    assert len(modules) < 100
    assert not forbidden(modules)
    assert printed == ["[]"]


def test_importing_functional_registers_the_operators_of_exported_programs():
    code = "import latentwave.functional, torch; o = torch.ops.latentwave; "
    code += "print(o.decaying_scan, o.convolve, o.correlate, o.filterbank)"
    assert run_python("-c", code, check=True).stdout.count("latentwave.") == 4


def test_names_are_listed_and_resolve_once():
    assert set(lw.__all__) <= set(dir(lw))
    assert lw.build_mixer is lw.build_mixer
    with pytest.raises(AttributeError, match="no attribute 'wavelets'"):
        _ = lw.wavelets


@pytest.mark.parametrize("missing", ["jsonargparse", "scipy"])
def test_the_command_without_the_bench_says_what_to_install(missing):
    code = f"import sys; sys.modules[{missing!r}] = None; import latentwave.__main__ as cli"
    done = run_python("-c", f"{code}; sys.exit(cli.main())")
    assert done.returncode == 2
    assert not done.stdout
    assert done.stderr.count("\n") == 1
    assert f"needs {missing}" in done.stderr
    assert "pip install 'latentwave[bench]'" in done.stderr


def test_a_broken_bench_is_not_called_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "latentwave.bench.cli.main", None)
    with pytest.raises(ModuleNotFoundError):
        main()


def test_an_interrupt_while_the_bench_is_imported_is_one_line(monkeypatch, capsys):
    class Interrupted(types.ModuleType):
        def __getattr__(self, name):
            raise KeyboardInterrupt

    module = Interrupted("main")
    monkeypatch.setitem(sys.modules, "latentwave.bench.cli.main", module)
    assert main() == 130
    assert capsys.readouterr().err == "latentwave: interrupted\n"


def test_the_library_imports_only_what_it_requires():
    required = {requirement.split(">=")[0] for requirement in PROJECT["dependencies"]}
    allowed = {MODULES.get(name, name) for name in required} | {"latentwave", "triton"}
    files = [path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] != "bench"]
    assert len(files) > 30
    for path in files:
        names = []
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names.append(node.module)
        foreign = {name.split(".")[0] for name in names} - sys.stdlib_module_names
        assert foreign <= allowed, path


def test_the_bench_extra_needs_no_other_extra():
    bench = " ".join(PROJECT["optional-dependencies"]["bench"])
    assert not any(name in bench for name in ("ray", "lm-eval", "peft", "datasets", "latentwave"))
