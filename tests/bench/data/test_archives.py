"""Archives that are damaged, or try to leave their folder."""

import contextlib
import io
import stat
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from latentwave.bench.data.folders import unpack
from latentwave.errors import UserError


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def make_tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def tar_info(name, kind=tarfile.REGTYPE, target="", mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("kind", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_files_and_folders(tmp_path, folder, kind):
    if kind == "zip":
        path = make_zip(tmp_path / "a", [("d/", b"", 0), ("d/e/f.txt", b"hello", 0o104777)])
    else:
        path = make_tar(tmp_path / "a", [(tar_info("d/e/f.txt", mode=0o4777), b"hello")], kind)
    unpack(path, folder)
    assert [str(p.relative_to(folder)) for p in folder.rglob("*.txt")] == ["d/e/f.txt"]
    file = folder / "d/e/f.txt"
    assert file.read_bytes() == b"hello"
    assert not file.stat().st_mode & (stat.S_ISUID | stat.S_IWOTH)


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path, folder):
    """The zip was unpacked in its place."""
    inner = make_zip(tmp_path / "b.zip", [("x", b"1", 0)]).read_bytes()
    unpack(make_tar(tmp_path / "a.tar", [("a.txt", b"hello"), ("b.zip", inner)], "w"), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "b.zip"]


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a\\..\\x", "C:/x", "C:x"])
@pytest.mark.parametrize("make", [make_zip, lambda path, m: make_tar(path, [m[0][:2]])])
def test_nothing_is_written_outside(tmp_path, folder, name, make):
    path = make(tmp_path / "a", [(name, b"x", 0)])
    with contextlib.suppress(UserError):
        unpack(path, folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "out"]
    assert not Path("/etc/x").exists()


def test_links_and_devices(tmp_path, folder):
    link = stat.S_IFLNK | 0o777
    unpack(make_zip(tmp_path / "a.zip", [("l", b"/etc", link)]), folder)
    assert (folder / "l").read_bytes() == b"/etc"
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        path = make_tar(tmp_path / "a.tar", [(tar_info("k", kind, "/etc"), b""), ("k/x", b"x")])
        with pytest.raises(UserError, match="is damaged or refused: .*k"):
            unpack(path, folder)
    assert [file.name for file in folder.iterdir()] == ["l"]


@pytest.mark.parametrize("kind", ["zip", "w:gz", "w:xz"])
def test_damaged_archives(tmp_path, folder, kind):
    members, path = [("x", bytes(range(256)) * 50, 0)], tmp_path / "a"
    make_zip(path, members) if kind == "zip" else make_tar(path, [members[0][:2]], kind)
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + 8] = bytes(8)
    path.write_bytes(content if kind == "zip" else content[:half])
    with pytest.raises(UserError, match="is damaged or refused|neither a zip nor a tar"):
        unpack(path, folder)
    path.write_bytes(b"text")
    with pytest.raises(UserError, match="neither a zip nor a tar archive"):
        unpack(path, folder)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_what_the_disk_has_no_room_for(tmp_path, folder, kind, monkeypatch):
    """A small archive may unpack to terabytes."""
    members = [("small", bytes(10), 0), ("large", bytes(10**6), 0)]
    if kind == "zip":
        path = make_zip(tmp_path / "a", members)
    else:
        path = make_tar(tmp_path / "a", [member[:2] for member in members])
    assert path.stat().st_size < 10**4
    disk = SimpleNamespace(free=10**6 - 1)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: disk)
    with pytest.raises(UserError, match=r"bytes more to be unpacked, but only 999,999 are free"):
        unpack(path, folder)
    assert not (folder / "large").exists()
    disk.free = 10**7
    unpack(path, folder)
    assert (folder / "large").stat().st_size == 10**6


def test_a_file_where_a_folder_must_be(tmp_path, folder):
    path = make_tar(tmp_path / "a.tar", [("x", b"1"), ("x/y", b"2")])
    with pytest.raises(UserError, match=r"holds .*x.* twice|is damaged or refused"):
        unpack(path, folder)
