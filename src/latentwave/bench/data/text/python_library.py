"""Corpora that ship with Python: the prose of its documentation, and its source code."""

import ast
import hashlib
import inspect
import os
import platform
import runpy
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from latentwave.bench.data.corpus import Corpus, Document
from latentwave.bench.data.files import reading
from latentwave.bench.data.metadata import Source
from latentwave.errors import UserError

MIN_CHARACTERS = 40
SEPARATOR = "\n\n"
# Installed packages, tests, programs, and the topics, which are read in another way.
SKIPPED_FOLDERS = {
    *("__pycache__", "dist-packages", "site-packages", "pydoc_data"),
    *("test", "tests", "idlelib", "lib2to3", "turtledemo"),
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_TOPICS = "pydoc_data/topics.py"


class PythonLibrary(Corpus):
    """Documents of the standard library, without tests and programs.

    Each document occurs once. They are sorted by their SHA-256, a fixed shuffle, so that every
    split holds the same mixture.

    Args:
        what: "docs" for the documentation topics and docstrings, about 2 MB, separated by blank
            lines; those of fewer than 40 characters or with unprintable ones are left out. "code"
            for the modules, about 10 MB; those that are not UTF-8 are left out.
        library: the folder of the standard library; that of this Python by default.
    """

    def __init__(self, what: str, library: Path | None = None) -> None:
        super().__init__()
        self._what = what
        library = library or Path(sysconfig.get_paths()["stdlib"])
        found: list[Path] = []
        for parent, folders, names in os.walk(library):
            folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
            paths = (Path(parent, name) for name in names if name.endswith(".py"))
            found += filter(Path.is_file, paths)  # without broken links
        found.sort(key=lambda path: path.parts)
        self.files = {path.relative_to(library).as_posix(): path for path in found}
        if what == "docs" and (library / _TOPICS).is_file():
            self.files[_TOPICS] = library / _TOPICS

    def documents(self) -> Iterator[Document]:
        """The documents; the blank line after a document of prose is its last piece."""
        digest, num_bytes = hashlib.sha256(), 0
        texts: set[str] = set()
        for name, path in self.files.items():
            if name == _TOPICS:
                topics = [text for _, text in sorted(runpy.run_path(str(path))["topics"].items())]
                contents = [topic.encode("utf-8", "surrogatepass") for topic in topics]
                texts.update(map(inspect.cleandoc, topics))
            else:
                with reading(path) as file:
                    contents = [file.read()]
                texts.update((_docstrings if self._what == "docs" else _module)(contents[0]))
            for content in contents:
                digest.update(hashlib.sha256(content).digest())
                num_bytes += len(content)
        name = f"{platform.python_implementation()} {platform.python_version()} standard library"
        self.sources = [Source(name=name, num_bytes=num_bytes, sha256=digest.hexdigest())]
        if self._what == "docs":
            texts = {
                text
                for text in texts
                if len(text) >= MIN_CHARACTERS and text.replace("\n", "").isprintable()
            }
        if not texts:
            raise UserError(
                "this Python comes without its library sources, so the corpus "
                f'"python-{self._what}" is empty: use a complete Python, or the corpus "text"'
            )
        *others, last = sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())
        between = (SEPARATOR,) if self._what == "docs" else ()
        for text in others:
            yield Document(pieces=(text, *between))
        yield Document(pieces=(last,))


def _module(source: bytes) -> list[str]:
    try:
        text = source.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return []
    return [text] if text.strip() and "\0" not in text else []


def _docstrings(source: bytes) -> list[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in the library's own strings
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    nodes = (node for node in ast.walk(tree) if isinstance(node, DOCUMENTED))
    return [text for node in nodes if (text := ast.get_docstring(node))]
