"""The English prose that ships with Python, as a corpus."""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
import platform
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from latentwave.bench.data.corpus import Corpus, Document
from latentwave.bench.data.metadata import Source
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

    def __init__(self, library: Path | None = None) -> None:
        super().__init__()
        library = library or standard_library()
        self.files = {path.relative_to(library).as_posix(): path for path in source_files(library)}
        self._topics, topics_file = _topics()
        if topics_file is not None:
            self.files["pydoc_data/topics.py"] = topics_file
        self._library_files = [path for path in self.files.values() if path != topics_file]
        if not self.files:
            raise UserError(
                "this Python comes without its documentation topics and library sources, so the "
                'corpus "python-docs" is empty: use a complete Python, or the corpus "text"'
            )

    def documents(self) -> Iterator[Document]:
        """The documents; the blank line after a document is its last part.

        Raises:
            UserError: if there are no docstrings.
        """
        *others, last = self._texts()
        for document in others:
            yield Document(pieces=(document, SEPARATOR))
        yield Document(pieces=(last,))

    def _texts(self) -> list[str]:
        """All documents in order; the sources are digested on the way."""
        digest, num_bytes = hashlib.sha256(), 0
        documents: set[str] = set()
        for topic in self._topics:
            content = topic.encode("utf-8", "surrogatepass")
            digest.update(hashlib.sha256(content).digest())
            num_bytes += len(content)
            documents.add(inspect.cleandoc(topic))
        for file in self._library_files:
            content = file.read_bytes()
            digest.update(hashlib.sha256(content).digest())
            num_bytes += len(content)
            documents.update(_docstrings(content))
        usable = [text for text in documents if _is_usable(text)]
        if not usable:
            raise UserError(
                'the library sources of this Python hold no docstrings, so the corpus "python-docs"'
                ' is empty: use a complete Python, or the corpus "text"'
            )
        name = f"{platform.python_implementation()} {platform.python_version()} standard library"
        self.sources = [Source(name=name, num_bytes=num_bytes, sha256=digest.hexdigest())]
        return sorted(usable, key=lambda text: hashlib.sha256(text.encode()).digest())


def standard_library() -> Path:
    """The folder of this Python's standard library."""
    return Path(sysconfig.get_paths()["stdlib"])


def _topics() -> tuple[list[str], Path | None]:
    """The documentation topics, and the file that holds them."""
    try:
        from pydoc_data import topics
    except ImportError:
        return [], None
    path = None if topics.__file__ is None else Path(topics.__file__)
    return [topics.topics[name] for name in sorted(topics.topics)], path


def source_files(library: Path) -> list[Path]:
    """The Python files of the standard library, without tests, programs and others' packages."""
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
