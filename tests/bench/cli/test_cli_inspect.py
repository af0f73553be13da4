"""The command `inspect`."""

import re
import shutil

import pytest
import torch
import yaml

from latentwave.bench.training import load_run
from latentwave.bench.training.files import seal_folder
from tests.bench.cli.conftest import refused, run
from tests.inspected import CONTESTANTS
from tests.tiny import tiny_recipe, write_text


@pytest.fixture(scope="module")
def workplace(home):
    """Finished runs, one of them on another text and one on other splits; one is unfinished."""
    (home / "others.txt").write_text(write_text(home / "words.txt").read_text() + "QZ")
    for name in ("none", "adaptive", "other", "resplit"):
        contestant = "adaptive" if name == "adaptive" else "none"
        text = home / ("others.txt" if name == "other" else "words.txt")
        recipe = tiny_recipe(text, contestants=CONTESTANTS)
        (home / "recipe.yaml").write_text(yaml.safe_dump(recipe.to_dict()))
        given = ["--contestant", contestant, "--output", home / name]
        given += ["--corpus.test", "0.3"] if name == "resplit" else []
        assert run("train", home / "recipe.yaml", *given) == 0
    shutil.copytree(home / "adaptive", home / "unfinished")
    shutil.rmtree(home / "unfinished" / "model")
    return home


def test_inspect_writes_page_and_figures(workplace, capsys):
    given = ["inspect", workplace / "adaptive", "--against", workplace / "none", "--svg"]
    assert run(*given, "--num_windows", 8) == 0
    told = capsys.readouterr()
    assert "page:" in told.out
    assert "looking at: losses of none" in told.err.replace("\n", " ")
    folder = workplace / "adaptive" / "inspect"
    stems = ("kernels", "change", "masks", "paths", "positions", "repeats")
    figures = {f"{stem}.{suffix}" for stem in stems for suffix in ("png", "svg")}
    assert {path.name for path in folder.iterdir()} == {"inspect.html", "losses.txt"} | figures
    losses = (folder / "losses.txt").read_text(encoding="utf-8")
    assert re.search(
        r"^# repeats\nrepeated tokens +predictions +adaptive +none +difference$", losses, re.M
    )
    assert losses.count("Measured on 8 windows") == 1
    page = (folder / "inspect.html").read_text(encoding="utf-8")
    assert "adaptive against none – inspection" in page
    assert "latentwave inspect " in page


def test_a_text_and_another_folder(workplace):
    out = workplace / "out"
    given = ["inspect", workplace / "adaptive", "--output", out, "--num_windows", 2]
    assert run(*given, "--text", "mask path", "--split", "test") == 0
    page = (out / "inspect.html").read_text(encoding="utf-8")
    assert "mask␣path" in page
    assert "(text, test)" in page


def test_a_saved_model_has_kernels(workplace, capsys):
    model = workplace / "adaptive" / "model"
    assert run("inspect", model, "--output", workplace / "saved", "--text", "wave") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "does not say what it was trained on" in told
    assert "no snapshots" in told
    assert (workplace / "saved" / "masks.png").is_file()


def test_a_run_that_diverged_is_refused(workplace, tmp_path, capsys):
    shutil.copytree(workplace / "adaptive", tmp_path / "diverged")
    model, _ = load_run(tmp_path / "diverged")
    with torch.no_grad():
        next(model.parameters())[0] = float("nan")
    model.save_pretrained(tmp_path / "diverged" / "model")
    (tmp_path / "diverged" / "model" / "manifest.json").unlink()
    seal_folder(tmp_path / "diverged" / "model")  # or it would be called damaged
    capsys.readouterr()
    for given in ([], [workplace / "none", "--against"]):
        told = refused(capsys, "inspect", *given, tmp_path / "diverged")
        assert f"the weights in {tmp_path}/diverged/model are not all finite" in told


def test_an_output_that_is_a_file_is_refused_before_measuring(workplace, capsys):
    given = ["inspect", workplace / "none", "--output", workplace / "words.txt"]
    assert "is not a folder" in refused(capsys, *given)


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}/nowhere"], "nowhere: give the folder of a run or a saved model"),
        (["{}"], "its finished runs are: "),
        (["{}/unfinished"], "is not finished: go on with latentwave train"),
        (["{}/none", "--against", "{}/unfinished"], "is not finished"),
        (["{}/none", "--against", "{}/other"], "reads other tokens than"),
        (["{}/adaptive", "--against", "{}/resplit"], "or on other splits of it: name a run on"),
        (["{}/none", "--text", "Zebra"], "'Z' (U+005A) at position 0 is not"),
        (["{}/none", "--text", "w"], "the text has 1 tokens"),
        (["{}/none", "--num_windows", "0"], "num_windows must be >= 1, got 0"),
        (["{}/none", "--split", "all"], "must be one of 'train', 'validation', 'test', got all"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(workplace, arguments, message, capsys):
    filled = [each.format(workplace) for each in arguments]
    output = workplace / "refused"
    assert message in refused(capsys, "inspect", *filled, "--output", output)
    assert not output.exists()
