import builtins
import hashlib

import numpy as np
import pytest

from latentwave.bench.data import CorpusConfig, open_store, prepare
from latentwave.bench.data.text.python_docs import SEPARATOR, PythonDocs
from latentwave.errors import UserError


def without_topics(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("pydoc_data"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


@pytest.fixture
def library(tmp_path):
    (tmp_path / "package" / "test").mkdir(parents=True)
    (tmp_path / "module.py").write_text(
        '"""A module whose documentation is long enough\n\n       and indented.\n"""\n'
        "if True:\n"
        "    class Documented:\n"
        '        """A class whose documentation is long enough."""\n'
        "        async def method(self):\n"
        '            """A method whose documentation is long enough."""\n'
        "        def short(self):\n"
        '            """Too short."""\n'
        "        def unprintable(self):\n"
        '            "A string of ample length with a \\x00 or a \\ud800 in it."\n'
        "        def odd(self):\n"
        "            'A class whose documentation is long enough.'\n"
        "            return '\\d'\n"
    )
    (tmp_path / "broken.py").write_text("def (:\n    '''This does not parse, so it is skipped.'''")
    (tmp_path / "package/test/t.py").write_text(
        '"""A test whose documentation is left out, all."""'
    )
    return tmp_path


def test_docstrings_are_collected_once_and_cleaned(library, monkeypatch):
    without_topics(monkeypatch)
    corpus = PythonDocs(library)
    documents = ["".join(document.pieces) for document in corpus.documents()]
    assert all(document.endswith(SEPARATOR) for document in documents[:-1])
    texts = [document.removesuffix(SEPARATOR) for document in documents]
    assert texts == sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())
    assert sorted(texts) == [
        "A class whose documentation is long enough.",
        "A method whose documentation is long enough.",
        "A module whose documentation is long enough\n\nand indented.",
    ]
    before = corpus.sources
    (library / "broken.py").write_text("")
    list(corpus.documents())
    assert corpus.sources != before


def test_a_python_without_documentation_is_refused(tmp_path, monkeypatch):
    without_topics(monkeypatch)
    with pytest.raises(UserError, match="comes without its documentation"):
        PythonDocs(tmp_path)
    (tmp_path / "bare.py").write_text("x = 1\n")
    with pytest.raises(UserError, match="hold no docstrings"):
        list(PythonDocs(tmp_path).documents())


def test_the_default_corpus_is_prose_in_one_mixture(python_docs):
    metadata = python_docs.metadata
    assert metadata.num_tokens > 1_000_000
    assert metadata.num_documents > 3000
    assert 80 < metadata.vocab_size <= 256
    assert metadata.dtype == "uint8"
    first_letters = np.fromfile(python_docs.folder / "tokens.bin", "uint8")[python_docs.documents]
    late = first_letters > python_docs.encode_text("M")[0]
    borders = [python_docs.metadata.splits[name].start for name in ("validation", "test")]
    shares = [part.mean() for part in np.split(late, python_docs.documents.searchsorted(borders))]
    # In the order of the alphabet two would be 1; one standard deviation is 0.03.
    assert max(shares) - min(shares) < 0.15
    start, stop = python_docs.documents[10:12]
    text = python_docs.tokenizer.decode(python_docs.split("train")[start:stop])
    assert text.endswith(SEPARATOR)
    assert not text.removesuffix(SEPARATOR).endswith("\n")


@pytest.mark.slow
def test_the_same_python_gives_the_same_tokens(python_docs, tmp_path):
    again = prepare(CorpusConfig(), tmp_path / "again")
    assert again.metadata == python_docs.metadata
    assert open_store(python_docs.folder, verify=True) == python_docs
