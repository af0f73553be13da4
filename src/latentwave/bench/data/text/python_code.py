"""The source code of Python's standard library, as a corpus."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from pathlib import Path

from latentwave.bench.data.corpus import Corpus, Document
from latentwave.bench.data.metadata import Source
from latentwave.bench.data.text.python_docs import source_files, standard_library
from latentwave.errors import UserError


class PythonCode(Corpus):
    r"""The modules of the standard library, without tests and programs: about 10 MB of code.

    A document is one module. Equal modules count once, and those that are not UTF-8 are left out.
    The order is that of their SHA-256, a fixed shuffle, so that every split holds the same mixture.

    Args:
        library: the folder of the standard library; by default that of this Python.

    Raises:
        UserError: if this Python comes without its sources.
    """

    def __init__(self, library: Path | None = None) -> None:
        super().__init__()
        library = library or standard_library()
        self.files = {path.relative_to(library).as_posix(): path for path in source_files(library)}
        if not self.files:
            raise UserError(
                'this Python comes without its library sources, so the corpus "python-code" is '
                'empty: use a complete Python, or the corpus "text"'
            )

    def documents(self) -> Iterator[Document]:
        """One document per module."""
        digest, num_bytes = hashlib.sha256(), 0
        modules: dict[bytes, str] = {}
        for file in self.files.values():
            content = file.read_bytes()
            own = hashlib.sha256(content).digest()
            digest.update(own)
            num_bytes += len(content)
            try:
                text = content.decode("utf-8").replace("\r\n", "\n")
            except UnicodeDecodeError:
                continue
            if text.strip() and "\0" not in text:
                modules[own] = text
        name = f"{platform.python_implementation()} {platform.python_version()} library sources"
        self.sources = [Source(name=name, num_bytes=num_bytes, sha256=digest.hexdigest())]
        for own in sorted(modules):
            yield Document(pieces=(modules[own],))
