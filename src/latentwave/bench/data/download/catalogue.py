"""What can be downloaded, from where, and what it must look like."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file of a data set.

    Attributes:
        urls: where it lies, the publisher's address first.
        checksum: "sha256:…" or "md5:…" as published, or as several independent projects pin it;
            None where none is known: the one of the first transfer is then kept and demanded.
        num_bytes: its size, None where not known.
        unpack: whether it is an archive to unpack.
    """

    urls: tuple[str, ...]
    checksum: str | None
    num_bytes: int | None = None
    unpack: bool = True

    @property
    def name(self) -> str:
        """The file's name, the last part of its address."""
        return self.urls[0].partition("?")[0].rpartition("/")[2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Download:
    """One data set.

    Attributes:
        name: as on the command line.
        about: one line.
        licence: as its publisher states it.
        files: that belong to it.
        inner: what to prepare, below the folder of the unpacked files.
        note: what is left to do by hand, if anything.
    """

    name: str
    about: str
    licence: str
    files: tuple[RemoteFile, ...]
    inner: str
    note: str = ""


_WIKITEXT = "https://s3.amazonaws.com/research.metamind.io/wikitext/"
_MAESTRO = "https://storage.googleapis.com/magentadata/datasets/maestro/v3.0.0/"
_FSD50K = "https://zenodo.org/records/4060432/files/"
# As the record on Zenodo states them.
_FSD50K_MD5 = {
    "FSD50K.dev_audio.zip": "c480d119b8f7a7e32fdb58f3ea4d6c5a",
    "FSD50K.dev_audio.z01": "faa7cf4cc076fc34a44a479a5ed862a3",
    "FSD50K.dev_audio.z02": "8f9b66153e68571164fb1315d00bc7bc",
    "FSD50K.dev_audio.z03": "1196ef47d267a993d30fa98af54b7159",
    "FSD50K.dev_audio.z04": "d088ac4e11ba53daf9f7574c11cccac9",
    "FSD50K.dev_audio.z05": "81356521aa159accd3c35de22da28c7f",
    "FSD50K.eval_audio.zip": "6fa47636c3a3ad5c7dfeba99f2637982",
    "FSD50K.eval_audio.z01": "3090670eaeecc013ca1ff84fe4442aeb",
    "FSD50K.ground_truth.zip": "ca27382c195e37d2269c4c866dd73485",
    "FSD50K.metadata.zip": "b9ea0c829a411c1d42adb9da539ed237",
}

_DOWNLOADS = (
    Download(
        name="text8",
        about="the first 100 million characters of Wikipedia as a-z and spaces (31 MB packed)",
        licence="CC BY-SA (Wikipedia)",
        files=(
            RemoteFile(
                urls=("https://mattmahoney.net/dc/text8.zip",),
                checksum="sha256:a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
            ),
        ),
        inner="text8",
    ),
    Download(
        name="enwik8",
        about="the first 100 million bytes of a Wikipedia dump (36 MB packed)",
        licence="CC BY-SA (Wikipedia)",
        files=(
            RemoteFile(
                urls=("https://mattmahoney.net/dc/enwik8.zip",),
                checksum="sha256:547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
                num_bytes=36_445_475,
            ),
        ),
        inner="enwik8",
    ),
    Download(
        name="wikitext-2",
        about="WikiText-2, raw (5 MB packed)",
        licence="CC BY-SA 3.0",
        files=(
            RemoteFile(
                urls=(
                    f"{_WIKITEXT}wikitext-2-raw-v1.zip",
                    "https://huggingface.co/datasets/ggml-org/ci/resolve/main/wikitext-2-raw-v1.zip",
                ),
                checksum="sha256:ef7edb566e3e2b2d31b29c1fdb0c89a4cc683597484c3dc2517919c615435a11",
                num_bytes=4_721_645,
            ),
        ),
        inner="wikitext-2-raw",
    ),
    Download(
        name="wikitext-103",
        about="WikiText-103, raw (192 MB packed)",
        licence="CC BY-SA 3.0",
        files=(
            RemoteFile(
                urls=(f"{_WIKITEXT}wikitext-103-raw-v1.zip",),
                checksum="md5:0ca3512bd7a238be4a63ce7b434f8935",
                num_bytes=191_984_949,
            ),
        ),
        inner="wikitext-103-raw",
    ),
    Download(
        name="maestro",
        about="MAESTRO v3, piano performances as MIDI (58 MB packed)",
        licence="CC BY-NC-SA 4.0",
        files=(
            RemoteFile(
                urls=(f"{_MAESTRO}maestro-v3.0.0-midi.zip",),
                checksum="sha256:70470ee253295c8d2c71e6d9d4a815189e35c89624b76d22fce5a019d5dde12c",
                num_bytes=58_416_533,
            ),
        ),
        inner="maestro-v3.0.0",
    ),
    Download(
        name="maestro-audio",
        about="MAESTRO v3 with its recordings (108 GB packed)",
        licence="CC BY-NC-SA 4.0",
        files=(
            RemoteFile(
                urls=(f"{_MAESTRO}maestro-v3.0.0.zip",),
                checksum="sha256:6680fea5be2339ea15091a249fbd70e49551246ddbd5ca50f1b2352c08c95291",
                num_bytes=108_445_099_632,
            ),
        ),
        inner="maestro-v3.0.0",
    ),
    Download(
        name="youtubemix",
        about="YouTubeMix, four hours of piano at 16 kHz, as the raw-audio models used it",
        licence="not stated",
        files=(
            RemoteFile(
                urls=(
                    "https://huggingface.co/datasets/krandiash/youtubemix/resolve/main/"
                    "youtubemix.zip",
                ),
                checksum=None,
            ),
        ),
        inner="",
        note="its page asks to accept conditions: if the download is refused, get the file there",
    ),
    Download(
        name="lra",
        about="the Long Range Arena's release (7.7 GB packed)",
        licence="Apache-2.0, and those of its sources",
        files=(
            RemoteFile(
                urls=("https://storage.googleapis.com/long-range-arena/lra_release.gz",),
                checksum=None,
            ),
        ),
        inner="lra_release",
        note="its bucket has refused readers for some time (HTTP 403): use a --mirror then",
    ),
    Download(
        name="esc-50",
        about="ESC-50, 2,000 labelled recordings of 5 s (646 MB packed)",
        licence="CC BY-NC 3.0",
        files=(
            RemoteFile(
                urls=("https://github.com/karolpiczak/ESC-50/archive/master.zip",),
                checksum=None,  # packed anew by its host, so no checksum is lasting
            ),
        ),
        inner="ESC-50-master",
    ),
    Download(
        name="fsd50k",
        about="FSD50K, 51,197 labelled recordings (25 GB packed)",
        licence="CC BY 4.0, and those of the clips",
        files=tuple(
            RemoteFile(
                urls=(f"{_FSD50K}{name}?download=1",),
                checksum=f"md5:{md5}",
                unpack="audio" not in name,
            )
            for name, md5 in _FSD50K_MD5.items()
        ),
        inner="",
        note="its audio is one archive in several parts: join each with "
        "`zip -s 0 FSD50K.dev_audio.zip --out dev.zip` (and eval), then unzip",
    ),
)
CATALOGUE: dict[str, Download] = {download.name: download for download in _DOWNLOADS}
