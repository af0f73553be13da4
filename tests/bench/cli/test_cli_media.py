"""Sound and music from the command line: prepare, train, evaluate, generate."""

import pytest
import soundfile
import symusic
import yaml

from latentwave.bench.cli.main import main
from latentwave.bench.data import CorpusConfig
from tests.bench.data.audio.made import write_tone
from tests.bench.data.music.made import write_midi
from tests.tiny import tiny_recipe, write_text


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a short run on sound, one on music and one on text."""
    folder = tmp_path_factory.mktemp("media")
    for n in range(3):
        write_tone(folder / "sounds" / f"{n}.wav", 0.3, 8000, hertz=200 + 50 * n)
        write_midi(folder / "pieces" / f"{n}.mid", 120, seed=n)
    corpora = {
        "sound": CorpusConfig(
            name="audio",
            path=str(folder / "sounds"),
            sample_rate=8000,
            tokenizer="linear-8bit",
        ),
        "music": CorpusConfig(name="music", path=str(folder / "pieces")),
        "text": CorpusConfig(name="text", path=str(write_text(folder / "words.txt"))),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENTWAVE_HOME", str(folder / "home"))
        for name, corpus in corpora.items():
            recipe = tiny_recipe("unused", training={"num_steps": 4}, corpus=corpus)
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe.to_dict()))
            assert run("train", folder / f"{name}.yaml", "--output", folder / name) == 0
        yield folder


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_sound(workplace, capsys):
    assert run("evaluate", workplace / "sound", "--split", "test") == 0
    assert "bits per sample" in capsys.readouterr().out
    assert run("generate", workplace / "sound", "--max_new_tokens", 100, "--seed", 7) == 0
    out = capsys.readouterr().out.replace("\n", "")
    path = workplace / "sound" / "generated-seed7.wav"
    assert f"{path}: 0.01 s" in out
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.frames) == (8000, 1, 101)
    assert path.with_suffix(".png").stat().st_size > 1000
    given = ["generate", workplace / "sound", "--max_new_tokens", 100, "--seed", 7]
    assert run(*given) == 2
    assert "generated-seed7.wav exists: name another --output or --seed" in (
        capsys.readouterr().err.replace("\n", " ")
    )
    again = workplace / "again.wav"
    assert run(*given, "--output", again) == 0
    assert again.read_bytes() == path.read_bytes()


def test_another_corpus_is_read_in_the_tokens_of_the_run(workplace, capsys):
    # Not the default ones, at another rate than the default one.
    assert run("evaluate", workplace / "sound", "--corpus", workplace / "sounds") == 0
    assert "bits per sample" in capsys.readouterr().out


def test_sound_goes_on_with_a_file_or_a_split(workplace, capsys):
    prompt, output = workplace / "sounds" / "1.wav", workplace / "out" / "x.wav"
    options = ["--prompt", prompt, "--seconds", 0.02, "--output", output]
    assert run("generate", workplace / "sound", *options) == 0
    assert soundfile.info(output).frames == 2400 + 160
    assert run("generate", workplace / "sound", *options) == 2
    assert "x.wav exists: name another --output" in capsys.readouterr().err
    options = ["--prompt_split", "train", "--max_new_tokens", 40]
    assert run("generate", workplace / "sound", *options) == 0
    assert soundfile.info(workplace / "sound" / "generated-seed0.wav").frames == 256 + 40


def test_music(workplace, capsys):
    assert run("evaluate", workplace / "music", "--split", "test") == 0
    assert "bits per note" in capsys.readouterr().out
    assert run("generate", workplace / "music", "--max_new_tokens", 60) == 0
    path = workplace / "music" / "generated-seed0.mid"
    assert symusic.Score(path).ticks_per_quarter > 0
    prompt, output = workplace / "pieces" / "0.mid", workplace / "out" / "y.mid"
    options = ["--prompt", prompt, "--max_new_tokens", 20, "--output", output]
    assert run("generate", workplace / "music", *options) == 0
    assert symusic.Score(output).note_num() >= 119
    assert output.with_suffix(".png").stat().st_size > 1000
    assert run("generate", workplace / "music", "--prompt_split", "test", "--seed", 3) == 0


def test_prepare_says_what_it_made(workplace, capsys):
    assert run("prepare", workplace / "sounds", "--sample_rate", 4000) == 0
    assert "audio: 3 documents, 3,600 samples" in capsys.readouterr().out
    assert run("prepare", "music", "--path", workplace / "pieces", "--tokenizer", "remi") == 0
    assert "360 notes" in capsys.readouterr().out


def test_a_folder_may_be_called_like_a_corpus(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LATENTWAVE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write_tone(tmp_path / "text" / "a.wav")
    (tmp_path / "text" / "b.md").write_text("to be")
    assert run("prepare", "text", "--path", "text/b.md") == 0
    assert "text: 1 documents, 5 characters" in capsys.readouterr().out
    assert run("prepare", "text") == 0
    assert "audio: 1 documents" in capsys.readouterr().out
    assert run("prepare", "text/a.wav", "--path", "text") == 2
    assert "is a path already: leave --path out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sound", "--prompt", "The "], "there is none at The"),
        (["sound", "--seconds", "0"], "seconds must be > 0 and < 100,000, got 0"),
        (["sound", "--seconds", "1", "--max_new_tokens", "9"], "not both"),
        (["sound", "--prompt", "x.wav", "--prompt_split", "test"], "not both"),
        (["sound", "--temperature", "-1", "--seed", "9"], "must be >= 0, got -1"),
        (["sound", "--output", "{}/x.mp3"], "x.mp3 cannot hold sound: end --output in .wav or"),
        (["music", "--seconds", "1"], "give --max_new_tokens instead"),
        (["music", "--output", "{}/x.png"], "x.png cannot hold music: end --output in .mid or"),
        (["music", "--output", "{}/x.wav"], "x.wav cannot hold music: end --output in .mid or"),
        (["music", "--prompt", "{}/sounds/0.wav"], "is damaged or no MIDI"),
        (["text", "--seconds", "1"], "--seconds is for sound and music"),
        (["text", "--output", "{}/words.txt"], "words.txt exists"),
    ],
)
def test_mistakes_get_one_line(workplace, arguments, message, capsys):
    filled = [argument.replace("{}", str(workplace)) for argument in arguments[1:]]
    assert run("generate", workplace / arguments[0], *filled) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert message in err
