"""text8, enwik8 and WikiText as they are published."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from latentwave.bench.data.corpus import SPLITS, Corpus, Document, UnreadableDocumentError
from latentwave.bench.data.digests import SourceDigest
from latentwave.bench.data.text.files import TextFiles, find_files
from latentwave.bench.data.text.reading import CHUNK_BYTES, read_text
from latentwave.bench.data.text.records import split_of
from latentwave.errors import UserError

_TEXT8 = b" abcdefghijklmnopqrstuvwxyz"
# " = Title = " stands alone on its line; sections have more equals signs.
_TITLE = re.compile(r"^ = (?!=).+(?<!=) = $")


class Text8(TextFiles):
    """text8: Wikipedia as the letters a–z and single spaces, 100 million characters.

    The published splits, 90, 5 and 5 million characters, are the default shares of the whole
    file; a prefix of it is cut by the same shares.

    Args:
        path: the file `text8`, or a prefix of it.

    Raises:
        UserError: if nothing is there.
    """

    def _pieces(self, path: Path, digest: SourceDigest) -> Iterator[str]:
        offset = 0
        for piece in read_text(path, digest.update):
            strange = piece.encode("utf-8").translate(None, _TEXT8)
            if strange:
                character = strange.decode("utf-8")[0]
                raise UnreadableDocumentError(
                    f"{path} is not text8: it holds {character!r} at "
                    f"{offset + piece.index(character)}, where only a to z and spaces may stand"
                )
            offset += len(piece)
            yield piece


class Enwik8(TextFiles):
    """enwik8: the first 100 million bytes of an English Wikipedia dump, as they are.

    The published splits, 90, 5 and 5 million bytes, are the default shares of the whole file.

    Args:
        path: the file `enwik8`, or a prefix of it; where it ends within a character and
            characters are asked for, the half is left out.
        as_bytes: whether pieces are bytes, for the tokenizer "bytes".
    """

    def __init__(self, path: Path, *, as_bytes: bool) -> None:
        super().__init__(path)
        self._as_bytes = as_bytes

    def _pieces(self, path: Path, digest: SourceDigest) -> Iterable[str]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                if self._as_bytes:
                    yield chunk  # type: ignore[misc]
                    continue
                try:
                    yield decoder.decode(chunk)
                except UnicodeDecodeError as error:
                    raise UnreadableDocumentError(f"{path} is not UTF-8 text: {error}") from error


class WikiText(Corpus):
    """WikiText-2 or WikiText-103: a file per split, a document per article.

    Args:
        path: the folder that holds the files, whose names tell the split, such as
            `wiki.train.raw`, `wiki.valid.tokens` or `wikitext2_test.txt`; or one of them alone.

    Raises:
        UserError: if nothing is there, or a name does not tell the split.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        if not path.exists():
            raise UserError(f"there is no file or folder {path}: check the path")
        found = find_files(path) if path.is_dir() else [path]
        self._splits: dict[str, str | None] = {}
        for file in sorted(found, key=lambda file: SPLITS.index(split_of(file.name) or "test")):
            split = split_of(file.name)
            if path.is_dir() and (split is None or split in self._splits.values()):
                raise UserError(
                    f"{path} must hold one file for each split, called as in wiki.train.raw, "
                    f"wiki.valid.raw, wiki.test.raw; got {file.name}"
                )
            self.files[file.name] = file
            self._splits[file.name] = split if path.is_dir() else None
        if not self.files:
            raise UserError(f"the folder {path} holds no files")

    def documents(self) -> Iterator[Document]:
        """The articles, from title to title.

        Raises:
            UserError: if a file is not UTF-8 text.
        """
        self.sources = []
        for name, path in self.files.items():
            digest = SourceDigest()
            for article in _articles(read_text(path, digest.update)):
                yield Document(pieces=(article,), split=self._splits[name])
            self.sources.append(digest.source(name))


def _articles(pieces: Iterable[str]) -> Iterator[str]:
    article: list[str] = []
    for line in _lines(pieces):
        if article and _TITLE.match(line.rstrip("\n")):
            yield "".join(article)
            article = []
        article.append(line)
    if article:
        yield "".join(article)


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        yield from (line + "\n" for line in lines)
    if rest:
        yield rest
