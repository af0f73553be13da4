import dataclasses
import errno
import hashlib
import io
import os
import random
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from huggingface_hub import constants

from latentwave.bench.cli.main import main
from latentwave.bench.data import CorpusConfig, prepare
from latentwave.bench.data.download import CATALOGUE, RemoteFile, downloaded, fetch
from latentwave.errors import UserError
from tests.bench.data.server import Server

TEXT = "".join(random.Random(0).choices(" abcdefghijklmnopqrstuvwxyz", k=20_000)).encode()


def zipped(**files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


ARCHIVE = zipped(text8=TEXT)
SHA256 = f"sha256:{hashlib.sha256(ARCHIVE).hexdigest()}"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)
    with Server().running() as running:
        yield running


@pytest.fixture
def offer(server, monkeypatch):
    """Publishes a content at the last of the paths."""

    def put(content=ARCHIVE, paths=("/text8.zip",), *, has_checksum=True, note="", **options):
        server.files[paths[-1]] = content
        checksum = f"sha256:{hashlib.sha256(content).hexdigest()}" if has_checksum else None
        urls = tuple(server.url + path for path in paths)
        file = RemoteFile(urls=urls, checksum=checksum, **options)
        changed = dataclasses.replace(CATALOGUE["text8"], files=(file,), note=note)
        monkeypatch.setitem(CATALOGUE, "text8", changed)

    put()
    return put


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home" / "downloads" / "text8"


def test_fetched_checked_unpacked_once(server, offer, home):
    assert downloaded("text8") is None
    path = fetch("text8")
    assert path == downloaded("text8") == home / "content" / "text8"
    assert path.read_bytes() == TEXT
    assert fetch("text8") == path
    assert len(server.requests) == 1
    assert prepare(CorpusConfig(name="text8")).metadata.num_tokens == len(TEXT)
    assert sorted(file.name for file in home.iterdir()) == ["content", "text8.zip"]


def test_two_calls_at_once_transfer_a_file_once(server, offer):
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(fetch, ["text8"] * 2))
    assert [path.read_bytes() for path in paths] == [TEXT] * 2
    assert len(server.requests) == 1


def test_an_interrupted_transfer_goes_on(server, offer):
    server.cut = [10_000, 100]
    assert fetch("text8").read_bytes() == TEXT
    wanted = [part for _, part in server.requests]
    assert wanted == [None, "bytes=10000-", "bytes=10100-"]


def fail(server):
    server.cut = [10_000] + [0] * 9
    with pytest.raises(UserError, match=r"again later \(10,000 bytes are kept\).*put the file"):
        fetch("text8")
    server.cut = []
    assert downloaded("text8") is None


@pytest.mark.parametrize("ranges", [True, False])
def test_the_next_call_goes_on_where_the_last_one_gave_up(server, offer, ranges):
    fail(server)
    server.ranges = ranges
    assert fetch("text8").read_bytes() == TEXT
    assert server.requests[-1] == ("/text8.zip", "bytes=10000-")


@pytest.mark.parametrize("size", [20_000, 10])
def test_a_file_that_has_changed_meanwhile_starts_anew(server, offer, size):
    fail(server)
    offer(zipped(text8=TEXT[:size][::-1]))
    assert fetch("text8").read_bytes() == TEXT[:size][::-1]


def test_what_lies_there_stays_until_the_right_file_is_here(server, offer, home):
    home.mkdir(parents=True)
    (home / "text8.zip").write_bytes(b"years of work")
    server.codes = [404]
    with pytest.raises(UserError, match="404"):
        fetch("text8")
    assert (home / "text8.zip").read_bytes() == b"years of work"
    assert fetch("text8").read_bytes() == TEXT


def test_a_wrong_checksum_is_refused_and_leaves_nothing(server, offer, home):
    damaged = bytearray(ARCHIVE)
    damaged[5000] ^= 1
    server.files["/text8.zip"] = bytes(damaged)
    with pytest.raises(UserError, match=rf"not what was published.*{SHA256[7:]}"):
        fetch("text8")
    assert list(home.iterdir()) == []
    server.files["/mirror/text8.zip"] = ARCHIVE
    assert fetch("text8", mirror=f"{server.url}/mirror/").read_bytes() == TEXT


def test_mirrors_stand_in_for_each_other(server, offer):
    paths = ("/gone/text8.zip", "/text8.zip")
    offer(paths=paths)
    assert fetch("text8", mirror=f"{server.url}/nowhere").read_bytes() == TEXT
    assert [path for path, _ in server.requests] == ["/nowhere/text8.zip", *paths]


def test_only_http_and_known_names(server, offer):
    server.codes = [404]
    with pytest.raises(UserError, match="file:///etc/text8.zip: .*protocol"):
        fetch("text8", mirror="file:///etc")
    with pytest.raises(UserError, match="no download 'text9'; known are: text8, enwik8"):
        fetch("text9")


def test_a_file_put_there_by_hand_is_taken(server, offer, home):
    server.codes = [404]
    with pytest.raises(UserError) as refused:
        fetch("text8")
    for part in ("text8.zip", SHA256, server.url, str(home)):
        assert part in str(refused.value)
    (home / "text8.zip").write_bytes(ARCHIVE)
    assert fetch("text8").read_bytes() == TEXT
    assert len(server.requests) == 1


def test_a_refusal_and_the_command_prepare_say_what_is_left_to_do(server, offer, capsys):
    offer(note="sign the form")
    server.codes = [403]
    assert main(["prepare", "text8"]) == 2
    assert capsys.readouterr().err.endswith("yourself; sign the form\n")
    assert main(["prepare", "text8"]) == 0
    assert "note: sign the form" in capsys.readouterr().out


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_is_not_unpacked_needs_no_hard_links(server, offer, monkeypatch, has_links):
    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    if not has_links:
        monkeypatch.setattr("os.link", refuse)
    offer(TEXT, ("/text8",), unpack=False)
    assert fetch("text8").read_bytes() == TEXT


def test_without_a_checksum_a_transfer_starts_anew(server, offer):
    offer(has_checksum=False)
    fail(server)
    server.files["/text8.zip"] = zipped(text8=b"something else")
    assert fetch("text8").read_bytes() == b"something else"


def test_another_archive_than_expected(offer):
    offer(zipped(other=b"x"))
    with pytest.raises(UserError, match="does not hold 'text8', but other"):
        fetch("text8")
    assert downloaded("text8") is None


def test_from_the_command_line(server, offer, capsys):
    assert main(["download"]) == 0
    assert "enwik8" in capsys.readouterr().out
    assert main(["prepare", "text8"]) == 0
    assert "text8: 1 documents, 20,000 characters" in capsys.readouterr().out
    assert main(["download", "text8"]) == 0
    assert "content/text8" in capsys.readouterr().out.replace("\n", "")
    assert main(["prepare", "text8", "--tokenizer", "bpe", "--vocab_size", "300"]) == 0
    assert "(bpe, " in capsys.readouterr().out


def test_the_catalogue_is_well_formed():
    for each in CATALOGUE.values():
        for file in each.files:
            assert all(url.startswith("https://") for url in file.urls)
            assert file.name
            if file.checksum is not None:
                kind, _, digest = file.checksum.partition(":")
                assert len(digest) == {"md5": 32, "sha256": 64}[kind]
                assert set(digest) <= set("0123456789abcdef")
