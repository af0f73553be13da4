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


def pack(path, kind, *members):
    """Pack members, each a name or an info with its content, as "zip" or in a mode of tarfile."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in members:
                archive.writestr(member, content, zipfile.ZIP_DEFLATED)
        return path
    with tarfile.open(path, kind) as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def zip_info(name, mode):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


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
    info = tar_info("d/e/f.txt", mode=0o4777)
    if kind == "zip":
        info = zip_info("d/e/f.txt", 0o104777)
    unpack(pack(tmp_path / "a", kind, (info, b"hello")), folder)
    assert [str(p.relative_to(folder)) for p in folder.rglob("*.txt")] == ["d/e/f.txt"]
    file = folder / "d/e/f.txt"
    assert file.read_bytes() == b"hello"
    assert not file.stat().st_mode & (stat.S_ISUID | stat.S_IWOTH)


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path, folder):
    """The zip was unpacked in its place."""
    inner = pack(tmp_path / "b.zip", "zip", ("x", b"1")).read_bytes()
    unpack(pack(tmp_path / "a.tar", "w", ("a.txt", b"hello"), ("b.zip", inner)), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "b.zip"]


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a\\..\\x", "C:/x", "C:x"])
@pytest.mark.parametrize("kind", ["zip", "w:gz"])
def test_nothing_is_written_outside(tmp_path, folder, name, kind):
    with contextlib.suppress(UserError):
        unpack(pack(tmp_path / "a", kind, (name, b"x")), folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "out"]
    assert not Path("/etc/x").exists()


def test_what_an_archive_may_not_hold(tmp_path, folder):
    link = zip_info("l", stat.S_IFLNK | 0o777)
    unpack(pack(tmp_path / "a.zip", "zip", (link, b"/etc"), ("d/", b"")), folder)
    assert (folder / "l").read_bytes() == b"/etc"
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        path = pack(tmp_path / "a", "w:gz", (tar_info("k", kind, "/etc"), b""), ("k/x", b"x"))
        with pytest.raises(UserError, match="is damaged or refused: .*k"):
            unpack(path, folder)
    assert sorted(file.name for file in folder.iterdir()) == ["d", "l"]
    path = pack(tmp_path / "a", "w:gz", ("x", b"1"), ("x/y", b"2"))
    with pytest.raises(UserError, match=r"holds .*x.* twice|is damaged or refused"):
        unpack(path, folder)


@pytest.mark.parametrize("kind", ["zip", "w:gz", "w:xz"])
def test_damaged_archives(tmp_path, folder, kind):
    path = pack(tmp_path / "a", kind, ("x", bytes(range(256)) * 50))
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + 8] = bytes(8)
    path.write_bytes(content if kind == "zip" else content[:half])
    with pytest.raises(UserError, match="is damaged or refused|neither a zip nor a tar"):
        unpack(path, folder)
    path.write_bytes(b"text")
    with pytest.raises(UserError, match="neither a zip nor a tar archive"):
        unpack(path, folder)


@pytest.mark.parametrize("kind", ["zip", "w:gz"])
def test_what_the_disk_has_no_room_for(tmp_path, folder, kind, monkeypatch):
    """A small archive may unpack to terabytes."""
    path = pack(tmp_path / "a", kind, ("small", bytes(10)), ("large", bytes(10**6)))
    assert path.stat().st_size < 10**4
    disk = SimpleNamespace(free=10**6 - 1)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: disk)
    with pytest.raises(UserError, match=r"bytes more to be unpacked, but only 999,999 are free"):
        unpack(path, folder)
    assert not (folder / "large").exists()
    disk.free = 10**7
    unpack(path, folder)
    assert (folder / "large").stat().st_size == 10**6
