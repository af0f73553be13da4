"""README.md and docs/: links lead somewhere, examples run, and numbers are the code's."""

import contextlib
import io
import json
import os
import re
import shlex
from pathlib import Path

import pytest

import latentwave as lw
from latentwave.bench.cli.main import main
from latentwave.bench.comparison import highest_coverage, measure_cost, seeds_needed
from latentwave.bench.data import prepare
from latentwave.bench.training import BackboneConfig, ContestantConfig, build_model, train
from latentwave.hub import all_mixers
from tests.processes import run_code, run_python
from tests.tiny import tiny_recipe, write_text

ROOT = Path(__file__).parents[1]


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def python_blocks(page):
    return re.findall(r"```python\n(.*?)```", read(page), flags=re.S)


PAGES = sorted(
    str(page.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "results/*.md")
    for page in ROOT.glob(pattern)
)


def prose(page):
    return re.sub(r"^```.*?^```", "", read(page), flags=re.S | re.M)


def anchors(page):
    """The anchors that GitHub and others derive from a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.M)
    words = [re.sub(r"\[([^]]*)]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w -]", "", each).strip().replace(" ", "-") for each in words}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_that_are_there(page):
    for link in re.findall(r"]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        assert (ROOT / target).exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.mark.parametrize(
    "page", ["README.md", "docs/mixers.md", "docs/data.md", "docs/training.md"]
)
def test_the_code_of_a_page_runs_by_itself(page, workplace, monkeypatch):
    monkeypatch.setenv("LATENTWAVE_HOME", str(workplace / "home"))
    blocks = python_blocks(page)
    assert blocks
    run_code("\n".join(blocks), workplace)


def test_the_code_of_your_training_script_runs(workplace):
    run_code("\n".join(python_blocks("docs/your-training-script.md")), workplace)
    assert (workplace / "mixers" / "mixers.safetensors").stat().st_size < 20_000


def test_bring_your_model_runs_with_its_harness_command_offline(workplace, monkeypatch, capsys):
    page = "docs/bring-your-model.md"
    assert "trainable parameters" in run_code("\n".join(python_blocks(page)), workplace)
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("LATENTWAVE_HOME", str(workplace / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    lines = Path("tasks/prose.jsonl").read_text().splitlines()
    text = write_text(workplace / "words.txt")
    text.write_text(text.read_text() + "".join(json.loads(line)["text"] for line in lines))
    recipe = tiny_recipe(text)
    train(recipe, "wavelet", 0, prepare(recipe.corpus), workplace / "RUN")
    capsys.readouterr()
    command = re.search(r"```sh\nlatentwave (.*?)\n```", read(page)).group(1)
    arguments = shlex.split(command)
    assert main(arguments) == 0
    assert "bits_per_byte" in capsys.readouterr().out
    figures = json.loads(Path("prose.json").read_text())
    assert 1 < figures["results"]["prose"]["bits_per_byte,none"] < 10
    theirs = re.search(r"```sh\n(python -c .*?)```", read(page), flags=re.S).group(1)
    done = run_python(*shlex.split(theirs.replace("\\\n", ""))[1:], cwd=workplace)
    assert done.returncode == 0, done.stderr
    value = re.search(r"bits_per_byte\s*\|↓\s*\|\s*([\d.]+)", done.stdout).group(1)
    assert float(value) == pytest.approx(
        figures["results"]["prose"]["bits_per_byte,none"], abs=1e-3
    )
    assert main([*arguments[:2], "--tasks", "[other]", "--include_path", "tasks"]) == 2
    assert "knows no task other; known are: prose" in capsys.readouterr().err


def test_the_example_of_measuring_prints_what_it_says(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = read("docs/measuring.md")
    code, printed = re.search(r"```python\n(.*?)```\n\n    (.*?)\n", page, flags=re.S).groups()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(code, {})  # noqa: S102
    assert output.getvalue().strip() == printed
    for name in re.findall(r"recipes/[\w-]+\.yaml", page):
        assert (ROOT / name).is_file()


def test_the_coverages_of_measuring():
    rows = re.findall(r"^\| (\d) \| (\d+) %", read("docs/measuring.md"), flags=re.M)
    assert [int(seeds) for seeds, _ in rows] == [2, 3, 4, 5, 6]
    for seeds, percent in rows:
        assert 100 * highest_coverage(int(seeds)) == pytest.approx(int(percent), abs=0.51)
    assert seeds_needed(0.95) == 6


MIXERS = read("docs/mixers.md")
ROWS = re.findall(
    r"^\| `([\w-]+)` \| ([\d,]+) \| ([\d.]+) % \| ([\d.]+) % \| (\d+) \|", MIXERS, flags=re.M
)


def test_costs_of_the_published_backbone():
    plain = measure_cost(
        build_model(BackboneConfig(), ContestantConfig(), vocab_size=27, seed=0), 512
    )
    assert f"{plain.num_parameters:,} parameters" in MIXERS
    assert f"{plain.flops_per_token / 1e6:.1f} MFLOP" in MIXERS
    assert sorted(row[0] for row in ROWS) == lw.list_mixers()
    for kind, *row in ROWS:
        model = build_model(BackboneConfig(), ContestantConfig(kind=kind), vocab_size=27, seed=0)
        mixers = [each.mixer for each in all_mixers(model)]
        own = sum(mixer.num_parameters for mixer in mixers)
        flops = 3 * sum(mixer.flops(512) for mixer in mixers) / 512
        assert row == [
            f"{own:,}",
            f"{100 * own / (plain.num_parameters + own):.3f}",
            f"{100 * flops / plain.flops_per_token:.3f}",
            str(mixers[0].receptive_field),
        ], kind
