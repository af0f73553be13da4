"""One finder for all corpora: links, hidden files, archives, packed files, guesses."""

import bz2
import gzip
import lzma
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from latentwave.bench.cli.main import main
from latentwave.bench.data import CorpusConfig, guess_corpus, prepare
from latentwave.bench.data.files import corpus_root, find_files
from latentwave.errors import UserError
from tests.bench.data.audio.made import write_tone
from tests.bench.data.music.made import write_midi

WRITERS = {
    "text": (lambda path, n: path.write_text(f"text {n} " * 9), ".txt"),
    "jsonl": (lambda path, n: path.write_text(f'{{"text": "line {n}"}}\n' * 9), ".JSONL"),
    "audio": (lambda path, n: write_tone(path, 0.02, hertz=300 + n), ".wav"),
    "music": (lambda path, n: write_midi(path, 9, seed=n), ".mid"),
}


def write(kind, folder, *names):
    make, suffix = WRITERS[kind]
    for number, name in enumerate(names):
        path = folder / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path, number)


def names(store):
    return [
        Path(source.name).with_suffix("").as_posix() for source in store.metadata.provenance.sources
    ]


def config(kind, path, **options):
    return CorpusConfig(name=kind, path=str(path), **options)


@pytest.mark.parametrize("kind", ["text", "music"])
def test_linked_folders_and_files_are_read_once_and_loops_are_named(tmp_path, kind):
    root = tmp_path / "in"
    write(kind, root, "a/1", "a/2")
    write(kind, tmp_path / "else", "x/3", "y/4")
    (root / "b").symlink_to(tmp_path / "else")
    (root / "c").symlink_to(tmp_path / "else" / "x")
    (root / "a" / "up").symlink_to(root)
    suffix = WRITERS[kind][1]
    (root / f"5{suffix}").symlink_to(root / "a" / f"1{suffix}")
    (root / f"6{suffix}").symlink_to(tmp_path / "nowhere")
    os.mkfifo(root / f"7{suffix}")
    with pytest.warns(UserWarning, match="skipped 4 of 9 files"):
        store = prepare(config(kind, root, split_by="tokens"))
    assert sorted(names(store)) == ["5", "a/1", "a/2", "b/y/4", "c/3"]
    reasons = " ".join(file.reason for file in store.metadata.provenance.skipped)
    for part in ("read already", "broken link", "not a regular file"):
        assert part in reasons


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["text", "wikitext-2", "music", "maestro", "asap", "mnist-pixels"])
def test_a_missing_path_or_a_pipe_is_refused(tmp_path, kind):
    with pytest.raises(UserError, match="no file or folder .*missing: check the path"):
        prepare(config(kind, tmp_path / "missing"))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UserError, match=r"fifo (is neither a file|holds no|has no) "):
        prepare(config(kind, tmp_path / "fifo"))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_pointer_in_place_of_a_file_is_passed_over(tmp_path, kind):
    write(kind, tmp_path, *"abcd")
    (suffix,) = {path.suffix for path in tmp_path.iterdir()}
    pointer = tmp_path / f"e{suffix}"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    with pytest.warns(UserWarning, match="pointer of Git LFS .*: run `git lfs pull` there"):
        store = prepare(config(kind, tmp_path))
    assert sorted(names(store)) == [*"abcd"]
    for path in (pointer, Path(shutil.copy(pointer, tmp_path / "e.zip"))):
        with pytest.raises(UserError, match=f"{path.name} is a pointer of Git LFS"):
            prepare(config(kind, path))


def test_what_is_passed_over_is_counted_and_named(tmp_path, capsys):
    write("audio", tmp_path / "in", "a", "b")
    (tmp_path / "in" / "notes.txt").write_text("x")
    (tmp_path / "in" / ".git").mkdir()
    found = find_files(tmp_path / "in", {".wav"}, "audio files")
    assert {(file.name, file.reason) for file in found.left_out} == {
        ("notes.txt", "of another kind"),
        (".git", "hidden"),
    }
    assert main(["prepare", str(tmp_path / "in")]) == 0
    said = capsys.readouterr().out
    assert "left out: " in said
    assert "notes.txt (of another kind)" in said
    assert "seconds of sound/s" in said
    with pytest.raises(UserError, match=r"holds no MIDI files \(files named \.mid\)"):
        find_files(tmp_path / "in", {".mid"}, "MIDI files")
    with pytest.raises(UserError, match=r"holds no files like '\*\.md'"):
        find_files(tmp_path / "in", (), "files", pattern="*.md")


@pytest.mark.parametrize("kind", WRITERS)
def test_most_files_decide_what_a_folder_is(tmp_path, kind):
    write(kind, tmp_path, "sub/A", "B")
    (tmp_path / "README.md").write_text("# About")
    (tmp_path / "LICENSE").write_text("free")
    assert guess_corpus(tmp_path) == kind
    assert guess_corpus(next(tmp_path.glob("B.*"))) == kind


@pytest.mark.parametrize(("kind", "archive_kind"), [("text", "xztar"), ("audio", "zip")])
def test_an_archive_is_read_like_its_folder(tmp_path, kind, archive_kind):
    write(kind, tmp_path / "all" / "in", *"abcd")
    archive = shutil.make_archive(str(tmp_path / "in"), archive_kind, tmp_path / "all", "in")
    assert guess_corpus(Path(archive)) == kind
    packed, plain = (prepare(config(kind, path)) for path in (archive, tmp_path / "all" / "in"))
    assert packed.metadata.sha256 == plain.metadata.sha256
    assert packed.metadata.provenance == plain.metadata.provenance


def test_an_archive_is_unpacked_once_unless_it_changes(tmp_path):
    write("music", tmp_path / "music", "a")
    archive = shutil.make_archive(str(tmp_path / "x"), "zip", tmp_path, "music")
    root = corpus_root(config("music", archive))
    (root / "a.mid").unlink()
    assert corpus_root(config("music", archive)) == root
    assert not list(root.iterdir())
    os.utime(archive, (1, 1))
    assert list(corpus_root(config("music", archive)).iterdir())


def test_a_damaged_archive_leaves_nothing(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(b"PK\3\4 and no more")
    for read in (lambda: corpus_root(config("music", path)), lambda: guess_corpus(path)):
        with pytest.raises(UserError, match=r"x\.zip is neither a zip nor a tar archive"):
            read()
        assert not list((tmp_path / "home" / "unpacked").iterdir())


def zstd(content):
    return subprocess.run(["zstd", "-qc"], input=content, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd)],
)
@pytest.mark.parametrize("kind", ["text", "jsonl"])
def test_packed_files_are_read_like_plain_ones(tmp_path, kind, suffix, pack):
    if suffix == ".zst":
        pytest.importorskip("pyarrow")
        if not shutil.which("zstd"):
            pytest.skip("there is no program zstd")
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    write(kind, plain, "a", "b")
    packed.mkdir()
    for file in plain.iterdir():
        (packed / f"{file.name}{suffix}").write_bytes(pack(file.read_bytes()))
    assert guess_corpus(packed) == kind
    stores = [prepare(config(kind, path)) for path in (plain, packed)]
    assert stores[0].metadata.sha256 == stores[1].metadata.sha256


def test_names_of_files_need_not_be_text(tmp_path):
    (tmp_path / "in").mkdir()
    for name in (b"caf\xe9.txt", b"line\nbreak.txt", b"\xff\xfe.bin"):
        path = tmp_path / "in" / os.fsdecode(name)
        path.write_bytes(b"\0" if name.endswith(b"bin") else b"text")
    for _ in range(2):
        with pytest.warns(UserWarning, match="skipped 1 of 3 files"):
            store = prepare(config("text", tmp_path / "in"))
    assert names(store) == ["caf?", "line\nbreak"]


def test_no_home_is_one_line(monkeypatch, text_file):
    for name in ("LATENTWAVE_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("~").expanduser())
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}["nobody"])
    with pytest.raises(UserError, match="no home folder: set LATENTWAVE_HOME"):
        prepare(config("text", text_file))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "txt"}, r"no corpus 'txt', did you mean 'text'; known are: python-docs, "),
        ({"tokenizer": "words"}, r"no tokenizer 'words'; known are: characters, bytes"),
        ({"name": "imdb"}, r"'imdb' needs a path: the folder aclImdb"),
        ({"name": "text8", "path": ""}, r"'text8' needs a path: the file text8"),
        ({"path": "a.txt"}, r"'python-docs' takes no path, got 'a.txt'"),
        ({"validation": -0.1}, "validation must be >= 0, got -0.1"),
        ({"test": float("nan")}, "test must have finite numbers, got nan"),
        ({"validation": 0.6, "test": 0.4}, r"validation=0.6 and test=0.4 leave nothing"),
        ({"name": "listops", "seed": -1}, "seed must be >= 0, got -1"),
        ({"name": "youtubemix", "split_by": "file"}, "takes no split_by"),
        ({"name": "imdb", "path": "x", "test": 0.0}, r"its test split .* got test=0\.0: leave it"),
        ({"name": "esc", "path": "x", "fold": 6}, "fold must be <= 5, got 6"),
        ({"fold": 1}, "'python-docs' takes no fold, got 1; it is an option of: esc"),
        ({"name": "audio", "path": "x", "sample_rate": 3}, "sample_rate must be >= 1000, got 3"),
        ({"tokenizer": "bpe", "vocab_size": 10}, "vocab_size must be >= 256, got 10"),
        ({"tokenizer": "bpe", "vocab_size": 10**12}, "vocab_size must be <= 1048576"),
        ({"vocab_size": 500}, "vocab_size=500 is for the tokenizer 'bpe', not for 'char"),
        ({"tokenizer": "pretrained"}, "go together; got 'pretrained' and None"),
        ({"tokenizer_path": "x"}, "go together; got 'characters' and 'x'"),
    ],
)
def test_configurations_that_cannot_be_name_the_value(options, message):
    with pytest.raises(UserError, match=message):
        CorpusConfig(**options)


@pytest.mark.parametrize("name", ["maestro", "youtubemix", "text8", "esc"])
def test_what_is_not_downloaded_is_named(name):
    with pytest.raises(UserError, match=f"run `latentwave download {name}(-50)?`"):
        prepare(CorpusConfig(name=name))
