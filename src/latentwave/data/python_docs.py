"""The English prose that ships with Python, as a corpus."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import os
import platform
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from latentwave.data.characters import CharacterSet
from latentwave.data.corpus import Corpus
from latentwave.data.metadata import Source
from latentwave.errors import UserError

MIN_CHARACTERS = 40
SEPARATOR = "\n\n"
# Other people's packages, tests, programs, and the topics, which are read through their module.
SKIPPED_FOLDERS = {
    *("__pycache__", "dist-packages", "site-packages"),
    *("test", "tests", "idlelib", "lib2to3", "turtledemo"),
    "pydoc_data",
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class PythonDocs(Corpus):
    """The documentation topics and the docstrings of the standard library: about 2 MB.

    A document is one topic or one docstring; a blank line stands between two. Equal documents
    count once; those below 40 characters or with unprintable characters are left out. The order is
    that of their SHA-256, a fixed shuffle, so that every split holds the same mixture.

    Args:
        library: the folder of the standard library; by default that of this Python.

    Raises:
        UserError: if this Python comes without both topics and library sources.
    """

    num_skipped_files = 0

    def __init__(self, library: Path | None = None) -> None:
        self._files = _source_files(library or Path(sysconfig.get_paths()["stdlib"]))
        self._topics = _topics()
        digest, num_bytes = hashlib.sha256(), 0
        for content in self._contents():
            digest.update(hashlib.sha256(content).digest())
            num_bytes += len(content)
        if num_bytes == 0:
            raise UserError(
                "this Python comes without its documentation topics and library sources, so the "
                'corpus "python-docs" is empty: use a complete Python, or the corpus "text"'
            )
        name = f"{platform.python_implementation()} {platform.python_version()} standard library"
        self.sources = [Source(name=name, num_bytes=num_bytes, sha256=digest.hexdigest())]

    def characters(self) -> str:
        """The distinct characters of the corpus, sorted by Unicode number."""
        seen = CharacterSet()
        for document in self._texts:
            seen.add(document)
        if len(self._texts) > 1:
            seen.add(SEPARATOR)
        return seen.characters()

    def documents(self) -> Iterator[Iterable[str]]:
        """The documents; the blank line after a document is its last part."""
        *others, last = self._texts
        for document in others:
            yield document, SEPARATOR
        yield (last,)

    @functools.cached_property
    def _texts(self) -> list[str]:
        documents = {inspect.cleandoc(topic) for topic in self._topics}
        for file in self._files:
            documents.update(_docstrings(file.read_bytes()))
        usable = [text for text in documents if _is_usable(text)]
        if not usable:
            raise UserError(
                'the library sources of this Python hold no docstrings, so the corpus "python-docs"'
                ' is empty: use a complete Python, or the corpus "text"'
            )
        return sorted(usable, key=lambda text: hashlib.sha256(text.encode()).digest())

    def _contents(self) -> Iterator[bytes]:
        for topic in self._topics:
            yield topic.encode("utf-8", "surrogatepass")
        for file in self._files:
            yield file.read_bytes()


def _topics() -> list[str]:
    try:
        from pydoc_data import topics
    except ImportError:
        return []
    return [topics.topics[name] for name in sorted(topics.topics)]


def _source_files(library: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(library):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
        found += [Path(parent, name) for name in names if name.endswith(".py")]
    return sorted(found, key=lambda path: path.relative_to(library).parts)


def _docstrings(source: bytes) -> list[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in the library's own strings
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    nodes = (node for node in ast.walk(tree) if isinstance(node, DOCUMENTED))
    return [text for node in nodes if (text := ast.get_docstring(node))]


def _is_usable(text: str) -> bool:
    return len(text) >= MIN_CHARACTERS and text.replace("\n", "").isprintable()
