"""Commands of the command line, their mistakes and interrupts."""

import json
import shutil
import time

import pytest
import yaml

from latentwave.bench.cli.main import COMMANDS, main
from latentwave.bench.cli.shared import store_of_run
from latentwave.bench.data import prepare
from latentwave.bench.training.result import write_record
from latentwave.errors import UserError
from tests.bench.cli.conftest import refused, run
from tests.processes import ROOT
from tests.tiny import tiny_recipe, write_text


@pytest.fixture(scope="module")
def workplace(home):
    """A folder with a text, a recipe and a finished comparison."""
    recipe = tiny_recipe(write_text(home / "words.txt")).to_dict()
    (home / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert run("compare", home / "recipe.yaml", "--output", home / "out") == 0
    return home


COMPARE = ["compare", "{}/recipe.yaml"]


def test_compare_writes_everything_and_report_draws_it_again(workplace, capsys):
    out = workplace / "out"
    results = json.loads((out / "results.json").read_text())
    assert results["command"].startswith("latentwave compare ")
    for name in ("loss.png", "gap.png", "pareto.png"):
        assert (out / name).stat().st_size > 1000
    arguments = ["compare", workplace / "recipe.yaml", "--output", out]
    assert "--resume" in refused(capsys, *arguments)
    for again in ([*arguments, "--resume"], ["report", out]):
        (out / "report.html").unlink()
        assert run(*again) == 0
        shown = capsys.readouterr().out
        assert all(word in shown.lower() for word in ("wavelet", "one seed"))
        assert "report.html" in shown.replace("\n", "")
        assert (out / "report.html").stat().st_size > 1000


def test_train_evaluate_generate(workplace, capsys):
    folder = workplace / "single"
    given = ["train", workplace / "recipe.yaml", "--output", folder, "--training.num_steps=4"]
    assert run(*given, '--contestants.wavelet.options={"boundary": "mean"}') == 0
    assert "wavelet, seed 0: validation loss" in capsys.readouterr().out
    (mixer,) = json.loads((folder / "run.json").read_text())["mixers"]
    assert mixer["options"] == {"boundary": "mean"}

    other = workplace / "other.txt"
    other.write_text("a mask of a path " * 200)  # fewer characters than the run knows
    for options in (["--split", "test"], ["--split", "train", "--corpus", other]):
        assert run("evaluate", folder, *options) == 0
        assert "bits per character" in capsys.readouterr().out
    other.write_text("a mask of a Zath " * 200)
    assert "cannot encode 'Z' (U+005A)" in refused(capsys, "evaluate", folder, "--corpus", other)

    generate = ["generate", folder, "--prompt", "wave "]
    texts = []
    for options in (["--max_new_tokens", 9], ["--max_new_tokens", 9], ["--temperature", 0]):
        assert run(*generate, *options) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert texts[0].startswith("wave ")
    assert len(texts[0].strip("\n")) <= len("wave ") + 9


def test_a_corpus_that_changed_since_training_is_refused(workplace, tmp_path, capsys):
    words, folder = workplace / "words.txt", workplace / "out" / "none-seed0"
    before = words.read_text()
    words.write_text("wave " + before)
    try:
        for arguments in (["evaluate", folder], ["inspect", folder, "--output", tmp_path / "page"]):
            assert "has changed since training (sha256 " in refused(capsys, *arguments)
        assert not (tmp_path / "page").exists()
    finally:
        words.write_text(before)
    assert run("evaluate", folder) == 0


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("path", "words"), [("there/x.txt", "where it was trained"), ("/there/x.txt", "put it back")]
)
def test_a_missing_corpus_is_named_with_a_remedy(tmp_path, path, words):
    (tmp_path / "run").mkdir()
    write_record(tmp_path / "run", {"corpus": {"config": {"name": "text", "path": path}}})
    with pytest.raises(UserError, match=f"was trained on {path}, .* {words}"):
        store_of_run(tmp_path / "run", None)


def test_evaluate_counts_the_tokens_that_are_predicted(workplace, tmp_path, capsys):
    text = (workplace / "words.txt").read_text()
    (tmp_path / "documents").mkdir()
    for start in range(0, len(text), 11):
        (tmp_path / "documents" / f"{start:06}.txt").write_text(text[start : start + 11])
    recipe = tiny_recipe(tmp_path / "documents", training={"separate_documents": True})
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe.to_dict()))
    given = ["train", tmp_path / "recipe.yaml", "--contestant", "none", "--output"]
    assert run(*given, tmp_path / "run") == 0
    capsys.readouterr()
    assert run("evaluate", tmp_path / "run") == 0
    shown = " ".join(capsys.readouterr().out.split())
    store = prepare(recipe.corpus)
    in_windows = (len(store.split("validation")) - 1) // 31 * 31
    _, position_ids = store.borders("validation").of_window(0, in_windows + 1)
    masked = int((position_ids[1:] == 0).sum())
    assert masked > 20
    assert f"over {in_windows - masked:,} tokens in windows of 32" in shown


def test_prepare_describes_its_store(workplace, capsys):
    prepare_words = ["prepare", workplace / "words.txt", "--output", workplace / "store"]
    assert run(*prepare_words) == 0
    shown = capsys.readouterr().out.replace("\n", "")
    assert all(part in shown for part in ("1 documents", str(workplace / "store"), "MiB/s"))
    assert run(*prepare_words) == 0
    assert "prepared before" in capsys.readouterr().out


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["compare"], "compare needs a recipe, e.g."),
        (["compare", "nowhere.yaml"], "there is no recipe nowhere.yaml"),
        (["compare", "--recipe=nowhere.yaml"], "there is no recipe nowhere.yaml"),
        (["compare", "{}/key.yaml"], "does not accept option 'bogus'"),
        ([*COMPARE, "--training.steps", "3"], "--training.steps"),
        (
            [*COMPARE, "--training.num_steps=x"],
            "--training.num_steps must be a whole number, got x",
        ),
        ([*COMPARE, "--training.optimizer=sgd"], "must be one of 'adamw', 'muon', got sgd"),
        (
            [*COMPARE, "--contestants={{b: {{kind: best, points: mlp}}}}"],
            "--contestants: points must be a list, such as '[mlp]', got mlp",
        ),
        ([*COMPARE, "--contestants={{b: {{point: mlp}}}}"], "--contestants has no option 'point'"),
        (
            [*COMPARE, "--backbone=gpt2"],
            "--backbone must be a mapping of names to values, got gpt2",
        ),
        ([*COMPARE, "--training.num_steps", "0"], "must be >= 1, got 0"),
        ([*COMPARE, "--seeds", "0,1"], "must be a list, such as '[0,1]'"),
        (["ladder", "recipes/ladder-demo.yaml", "--only", "s"], "--only must be a list, such as"),
        (["compare", "recipes/ladder-demo.yaml"], "of a ladder: use latentwave ladder"),
        (["train", "recipes/baseline-search.yaml"], "of a search: use latentwave search"),
        (["ladder", "recipes/demo.yaml"], "of a comparison: use latentwave compare"),
        (["search", "recipes/ladder-demo.yaml"], "of a ladder: use latentwave ladder"),
        ([*COMPARE, "--output", "{}/out"], "out exists: choose another"),
        (["train", "{}/recipe.yaml", "--contestant", "ema"], "no contestant 'ema'"),
        (["train", "{}/recipe.yaml", "--seed", "-1"], "seed must be distinct numbers from 0"),
        (["train", "{}/recipe.yaml", "--contestants", "{{}}"], "the recipe has no contestants"),
        ([*COMPARE, "--backbone.num_layers", "1"], "needs at least 2 layers"),
        (["prepare", "{}/missing.txt"], "there is no file or folder"),
        (["evaluate", "{}"], "holds no trained model"),
        (["evaluate", "{}/foreign"], "foreign has no model configuration"),
        (["evaluate", "{}/removed"], "its model was removed, as a ladder does"),
        (["evaluate", "{}/nothing"], "run.json is damaged (it has changed since it was written)"),
        (["evaluate", "{}/out/none-seed0", "--batch_size", "0"], "batch_size must be >= 1, got 0"),
        (["generate", "{}/out"], "its finished runs are: "),
        (["generate", "{}/out/none-seed0", "--prompt", "Zebra"], "'Z' (U+005A) at position 0"),
        (["generate", "{}/out/none-seed0", "--prompt", "# Title"], "'#' (U+0023) at position 0"),
        (["generate", "{}/out/none-seed0", "--top_k", "0"], "top_k must be >= 1, got 0"),
        (["generate", "{}/out/none-seed0", "--seed", "-1"], "seed must be distinct numbers from 0"),
        (["harness", "{}/out/none-seed0"], "name the tasks"),
        (["harness", "{}", "--tasks", "[a]", "--output", "{}"], "is a folder: name a JSON file"),
        (["report", "{}"], "results.json"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(workplace, arguments, message, capsys):
    recipe = yaml.safe_load((workplace / "recipe.yaml").read_text())
    (workplace / "key.yaml").write_text(yaml.safe_dump(recipe | {"bogus": 1}))
    finished, foreign = workplace / "out" / "none-seed0", workplace / "foreign"
    if not foreign.exists():
        shutil.copytree(finished / "model", foreign)
        (foreign / "manifest.json").unlink()
        (foreign / "config.json").write_text('{"size": 1}')
        shutil.copytree(finished, workplace / "nothing")
        (workplace / "nothing" / "run.json").write_text("{}")
        without = shutil.ignore_patterns("model", "checkpoints")
        shutil.copytree(finished, workplace / "removed", ignore=without)

    filled = [argument.format(workplace) for argument in arguments]
    assert message in refused(capsys, *filled, progress="counting costs of ")


def test_brackets_in_a_path_are_printed(workplace, capsys):
    path = workplace / "[new]" / "words.txt"
    assert run("generate", workplace / "out" / "none-seed0", "--output", path) == 0
    assert f"written: {path}" in capsys.readouterr().out
    assert path.is_file()


@pytest.mark.parametrize(
    "arguments", [["generate"], ["harness", "--tasks", "[a]"]], ids=["generate", "harness"]
)
@pytest.mark.parametrize(
    ("path", "message"),
    [("{}/words.txt/new", "words.txt: File exists"), ("/proc/new", "/proc/new: No such file")],
    ids=["below a file", "in a read-only place"],
)
def test_an_unwritable_output_is_refused_before_the_work(
    arguments, path, message, workplace, monkeypatch, capsys
):
    monkeypatch.setattr("latentwave.bench.training.continue_tokens", None)
    monkeypatch.setattr("latentwave.bench.comparison.run_harness", None)
    output = ["--output", path.format(workplace)]
    assert message in refused(capsys, *arguments, workplace / "out" / "none-seed0", *output)


def test_train_takes_the_first_contestant_with_a_mixer(workplace, capsys):
    recipe = yaml.safe_load((workplace / "recipe.yaml").read_text())
    recipe["contestants"] = {"deeper": {}, "none": {}, "mean": {"kind": "ema"}, "haar": {}}
    path = workplace / "deeper.yaml"
    path.write_text(yaml.safe_dump(recipe))
    short = ["--training.num_steps=2", "--training.num_warmup_steps=1"]
    assert run("train", path, "--output", workplace / "m", *short) == 0
    assert "mean, seed 0: validation loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["evaluate", "out/none-seed0"], "latentwave: interrupted\n"),
        (["train", "recipe.yaml"], "interrupted; run the same command with --resume to go on\n"),
        (["ladder", ROOT / "recipes" / "ladder-demo.yaml"], "with --resume to go on\n"),
    ],
)
def test_an_interrupted_command_says_how_to_go_on(workplace, monkeypatch, capsys, arguments, line):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("latentwave.bench.training.load_run", interrupt)
    monkeypatch.setattr("latentwave.bench.training.prepared_store", interrupt)
    command, path = arguments
    assert run(command, workplace / path) == 130
    assert capsys.readouterr().err.endswith(line)


def test_an_interrupt_in_a_destructor_still_ends_the_command(workplace, monkeypatch, capsys):
    class Interrupted:
        def __del__(self):
            raise KeyboardInterrupt

    def wait(*arguments, **options):
        Interrupted()
        time.sleep(30)
        pytest.fail("it went on")

    monkeypatch.setattr("latentwave.bench.training.load_run", wait)
    assert run("evaluate", workplace / "out" / "none-seed0") == 130
    assert capsys.readouterr().err == "latentwave: interrupted\n"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"] if command else ["--help"])
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    assert f"usage: latentwave {command}".strip() in out
    assert all(name in out for name in ([] if command else COMMANDS))
