"""Sound and music from the command line: prepare, train, evaluate, generate."""

import pytest
import soundfile
import symusic
import yaml

from latentwave.bench.data import CorpusConfig
from tests.bench.cli.conftest import refused, run
from tests.bench.data.audio.made import write_tone
from tests.bench.data.music.made import write_midi
from tests.tiny import tiny_recipe, write_text


@pytest.fixture(scope="module")
def workplace(home):
    """A folder with a short run on sound, one on music and one on text."""
    for n in range(3):
        write_tone(home / "sounds" / f"{n}.wav", 0.3, 8000, hertz=200 + 50 * n)
        write_midi(home / "pieces" / f"{n}.mid", 120, seed=n)
    sounds, pieces, text = (str(home / name) for name in ("sounds", "pieces", "words.txt"))
    write_text(home / "words.txt")
    corpora = {
        "sound": CorpusConfig(name="audio", path=sounds, sample_rate=8000, tokenizer="linear-8bit"),
        "music": CorpusConfig(name="music", path=pieces),
        "text": CorpusConfig(name="text", path=text),
    }
    for name, corpus in corpora.items():
        recipe = tiny_recipe("unused", training={"num_steps": 4}, corpus=corpus)
        (home / f"{name}.yaml").write_text(yaml.safe_dump(recipe.to_dict()))
        assert run("train", home / f"{name}.yaml", "--output", home / name) == 0
    return home


def test_sound(workplace, capsys):
    # The second corpus is read as the run's tokens, neither the default ones nor at their rate.
    for options in (["--split", "test"], ["--corpus", workplace / "sounds"]):
        assert run("evaluate", workplace / "sound", *options) == 0
        assert "bits per sample" in capsys.readouterr().out
    given = ["generate", workplace / "sound", "--max_new_tokens", 100, "--seed", 7]
    assert run(*given) == 0
    out = capsys.readouterr().out.replace("\n", "")
    path = workplace / "sound" / "generated-seed7.wav"
    assert f"{path}: 0.01 s" in out
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.frames) == (8000, 1, 101)
    assert path.with_suffix(".png").stat().st_size > 1000
    assert "generated-seed7.wav exists: name another --output or --seed" in refused(capsys, *given)
    again = workplace / "again.wav"
    assert run(*given, "--output", again) == 0
    assert again.read_bytes() == path.read_bytes()


def test_sound_continues_a_file_or_a_split(workplace, capsys):
    prompt, output = workplace / "sounds" / "1.wav", workplace / "out" / "x.wav"
    options = ["--prompt", prompt, "--seconds", 0.02, "--output", output]
    assert run("generate", workplace / "sound", *options) == 0
    assert soundfile.info(output).frames == 2400 + 160
    assert "x.wav exists: " in refused(capsys, "generate", workplace / "sound", *options)
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


def test_a_short_piece_of_the_corpus_is_continued_after_its_last_note(workplace, monkeypatch):
    def note(model, given, *_, **options):
        seen.append((int(given[-1]), options["end_token"]))
        return given

    seen = []
    monkeypatch.setattr("latentwave.bench.cli.generate._SPLIT_TOKENS", 10_000)
    monkeypatch.setattr("latentwave.bench.training.continue_tokens", note)
    assert run("generate", workplace / "music", "--prompt_split", "test", "--seed", 5) == 0
    ((last, end),) = seen
    assert last != end


def test_prepare_describes_its_store(workplace, capsys):
    assert run("prepare", workplace / "sounds", "--sample_rate", 4000) == 0
    assert "audio: 3 documents, 3,600 samples" in capsys.readouterr().out
    assert run("prepare", "music", "--path", workplace / "pieces", "--tokenizer", "remi") == 0
    assert "360 notes" in capsys.readouterr().out


def test_a_folder_may_have_the_name_of_a_corpus(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_tone(tmp_path / "text" / "a.wav")
    (tmp_path / "text" / "b.md").write_text("to be")
    assert run("prepare", "text", "--path", "text/b.md") == 0
    assert "text: 1 documents, 5 characters" in capsys.readouterr().out
    assert run("prepare", "text") == 0
    assert "audio: 1 documents" in capsys.readouterr().out
    error = refused(capsys, "prepare", "text/a.wav", "--path", "text")
    assert "is a path already: leave --path out" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sound", "--prompt", "The "], "there is none at The"),
        (["sound", "--seconds", "0"], "seconds must be > 0 and < 100,000, got 0"),
        (["sound", "--seconds", "1", "--max_new_tokens", "9"], "not both"),
        (["sound", "--prompt", "x.wav", "--prompt_split", "test"], "not both"),
        (["sound", "--output", "{}/x.mp3"], "x.mp3 cannot hold sound: end --output in .wav or"),
        (["music", "--seconds", "1"], "give --max_new_tokens instead"),
        (["music", "--output", "{}/x.wav"], "x.wav cannot hold music: end --output in .mid or"),
        (["music", "--prompt", "{}/sounds/0.wav"], "is damaged or no MIDI"),
        (["text", "--seconds", "1"], "--seconds is for sound and music"),
        (["text", "--output", "{}/words.txt"], "words.txt exists"),
    ],
)
def test_mistakes_get_one_line(workplace, arguments, message, capsys):
    filled = [argument.format(workplace) for argument in arguments[1:]]
    assert message in refused(capsys, "generate", workplace / arguments[0], *filled)
