"""`latentwave inspect` as a user meets it."""

import shutil

import pytest
import torch
import yaml

from latentwave.bench.cli.main import main
from latentwave.bench.data import CorpusConfig
from latentwave.bench.training import load_run
from latentwave.bench.training.files import seal_folder
from tests.bench.training.test_classification import recipe_of, write_moods
from tests.inspected import CONTESTANTS
from tests.tiny import tiny_recipe, write_text


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Two finished runs and one that is not."""
    folder = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENTWAVE_HOME", str(folder / "home"))
        recipe = tiny_recipe(write_text(folder / "words.txt"), contestants=CONTESTANTS).to_dict()
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        for name in ("none", "adaptive"):
            given = ["--contestant", name, "--output", folder / name]
            assert run("train", folder / "recipe.yaml", *given) == 0
        shutil.copytree(folder / "adaptive", folder / "unfinished")
        shutil.rmtree(folder / "unfinished" / "model")
        other = tiny_recipe(write_text(folder / "others.txt"), contestants=CONTESTANTS).to_dict()
        (folder / "others.txt").write_text((folder / "others.txt").read_text() + "QZ")
        (folder / "other.yaml").write_text(yaml.safe_dump(other))
        given = ["--contestant", "none", "--output", folder / "other"]
        assert run("train", folder / "other.yaml", *given) == 0
        yield folder


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_inspect_writes_page_and_figures(workplace, capsys):
    given = ["inspect", workplace / "adaptive", "--against", workplace / "none", "--svg"]
    assert run(*given, "--num_windows", 8) == 0
    told = capsys.readouterr()
    assert "page:" in told.out
    assert "looking at: losses of none" in told.err.replace("\n", " ")
    folder = workplace / "adaptive" / "inspect"
    assert {path.name for path in folder.iterdir()} == {
        "inspect.html",
        *(
            f"{stem}.{suffix}"
            for stem in ("kernels", "change", "masks", "paths", "positions")
            for suffix in ("png", "svg")
        ),
    }
    page = (folder / "inspect.html").read_text(encoding="utf-8")
    assert "adaptive against none – inspection" in page
    assert "latentwave inspect " in page


def test_a_text_and_another_folder(workplace, capsys):
    out = workplace / "out"
    given = ["inspect", workplace / "adaptive", "--output", out, "--num_windows", 2]
    assert run(*given, "--text", "mask path") == 0
    assert "mask␣path" in (out / "inspect.html").read_text(encoding="utf-8")
    assert run(*given, "--text", "wave", "--split", "test") == 0
    assert "(text, test)" in (out / "inspect.html").read_text(encoding="utf-8")


def test_a_saved_model_has_kernels(workplace, capsys):
    model = workplace / "adaptive" / "model"
    assert run("inspect", model, "--output", workplace / "saved", "--text", "wave") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "does not say what it was trained on" in told
    assert "no snapshots" in told
    assert (workplace / "saved" / "masks.png").is_file()


def test_a_classifier_has_kernels(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LATENTWAVE_HOME", str(tmp_path / "home"))
    path = str(write_moods(tmp_path / "reviews"))
    corpus = CorpusConfig(name="movie-reviews", path=path, validation=0.2, test=0.2)
    recipe = tmp_path / "moods.yaml"
    recipe.write_text(yaml.safe_dump(recipe_of(corpus, task="classification").to_dict()))
    folder = tmp_path / "run"
    assert run("train", recipe, "--contestant", "mixed", "--output", folder) == 0
    assert run("inspect", folder) == 0
    assert "is a classifier: only its kernels" in " ".join(capsys.readouterr().out.split())
    assert (folder / "inspect" / "kernels.png").is_file()
    assert not (folder / "inspect" / "positions.png").exists()
    assert run("inspect", folder, "--against", folder) == 2
    assert "is a classifier: it is inspected alone" in " ".join(capsys.readouterr().err.split())


def test_a_run_that_diverged_is_refused(workplace, tmp_path, capsys):
    shutil.copytree(workplace / "adaptive", tmp_path / "diverged")
    model, _ = load_run(tmp_path / "diverged")
    with torch.no_grad():
        next(model.parameters())[0] = float("nan")
    model.save_pretrained(tmp_path / "diverged" / "model")
    (tmp_path / "diverged" / "model" / "manifest.json").unlink()
    seal_folder(tmp_path / "diverged" / "model")  # or it would be called damaged
    capsys.readouterr()
    for given in (
        [tmp_path / "diverged"],
        [workplace / "none", "--against", tmp_path / "diverged"],
    ):
        assert run("inspect", *given) == 2
        (told,) = capsys.readouterr().err.splitlines()
        assert f"the weights in {tmp_path}/diverged/model are not all finite" in told


def test_a_file_in_the_folder_s_place_is_refused_before_anything_is_measured(workplace, capsys):
    assert run("inspect", workplace / "none", "--output", workplace / "words.txt") == 2
    told = capsys.readouterr().err
    assert "is not a folder" in told
    assert "looking at" not in told
    assert "drawing" not in told


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}/nowhere"], "holds no trained model"),
        (["{}"], "its finished runs are: "),
        (["{}/unfinished"], "is not finished: go on with latentwave train"),
        (["{}/none", "--against", "{}/unfinished"], "is not finished"),
        (["{}/none", "--against", "{}/other"], "reads other tokens than"),
        (["{}/none", "--text", "Zebra"], "'Z' (U+005A) at position 0 is not"),
        (["{}/none", "--text", "w"], "the text has 1 tokens"),
        (["{}/none", "--num_windows", "0"], "num_windows must be >= 1, got 0"),
        (["{}/none", "--split", "all"], "Got value: all"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(workplace, arguments, message, capsys):
    assert run("inspect", *(each.replace("{}", str(workplace)) for each in arguments)) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if "looking" not in line]
    assert [line for line in told if line != "drawing"] == told[-1:]
    assert told[-1].startswith("latentwave: error: ")
    assert message in told[-1]
