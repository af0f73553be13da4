import os
import shutil
from pathlib import Path

import pytest

from latentwave.bench.data import CorpusConfig, guess_corpus, prepare
from latentwave.bench.data.places import corpus_root
from latentwave.errors import UserError
from tests.bench.data.audio.made import write_tone
from tests.bench.data.music.made import write_midi


@pytest.mark.parametrize("kind", ["zip", "tar", "xztar"])
def test_an_archive_is_read_like_its_folder(tmp_path, kind):
    for n in range(4):
        write_midi(tmp_path / "all" / "music" / f"{n}.mid", 30, seed=n)
        write_tone(tmp_path / "all" / "sound" / f"{n}.wav", 0.02)
    for name in ("music", "sound"):
        archive = shutil.make_archive(str(tmp_path / name), kind, tmp_path / "all", name)
        corpus = {"music": "music", "sound": "audio"}[name]
        assert guess_corpus(Path(archive)) == corpus
        packed = prepare(CorpusConfig(name=corpus, path=archive))
        plain = prepare(CorpusConfig(name=corpus, path=str(tmp_path / "all" / name)))
        assert packed.metadata.sha256 == plain.metadata.sha256
        assert packed.metadata.provenance == plain.metadata.provenance


def test_an_archive_is_unpacked_once_unless_it_changes(tmp_path):
    write_midi(tmp_path / "music" / "a.mid", 30)
    archive = shutil.make_archive(str(tmp_path / "x"), "zip", tmp_path, "music")
    config = CorpusConfig(name="music", path=archive)
    root = corpus_root(config)
    (root / "a.mid").unlink()
    assert corpus_root(config) == root
    assert not list(root.iterdir())
    os.utime(archive, (1, 1))
    assert list(corpus_root(config).iterdir())


def test_a_damaged_archive_leaves_nothing(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(b"PK\3\4 and no more")
    with pytest.raises(UserError, match=r"x\.zip is neither a zip nor a tar archive"):
        corpus_root(CorpusConfig(name="music", path=str(path)))
    assert not list((tmp_path / "home" / "unpacked").iterdir())
    for name in ("x.zip", "y.tar.xz"):
        path.rename(tmp_path / name)
        path = tmp_path / name
        assert guess_corpus(path) == "text"


def test_what_is_not_downloaded_is_named():
    with pytest.raises(UserError, match="run `latentwave download maestro`"):
        prepare(CorpusConfig(name="maestro"))
    with pytest.raises(UserError, match="run `latentwave download youtubemix`"):
        prepare(CorpusConfig(name="youtubemix"))
