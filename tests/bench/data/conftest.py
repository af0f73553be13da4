import pytest

from latentwave.bench.data import CORPORA, CorpusConfig, CorpusKind, Document, Source, prepare
from latentwave.bench.data.corpus import Corpus


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTWAVE_HOME", str(tmp_path / "home"))


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    # Numbered, so that no two places are the same.
    path.write_text(
        "".join(f"{n}. To be, or not to be — né 🙂\n\tWhether 'tis nobler\n" for n in range(30))
    )
    return path


@pytest.fixture
def store(text_file, tmp_path):
    return prepare(CorpusConfig(name="text", path=str(text_file)), tmp_path / "store")


class MadeUp(Corpus):
    def __init__(self, documents, class_names=None, multi_label=False):
        super().__init__()
        self.made_up, self.class_names, self.multi_label = documents, class_names, multi_label

    def documents(self):
        self.sources = [Source(name="made up", num_bytes=0, sha256=repr(self.made_up))]
        yield from self.made_up


@pytest.fixture
def make(monkeypatch, tmp_path):
    """Prepares documents that a test makes up."""

    def build(documents, tokenizer="bytes", validation=0.25, test=0.25, **options):
        kind = CorpusKind(
            name="made-up", tokenizers=(tokenizer,), read=lambda _: MadeUp(documents, **options)
        )
        monkeypatch.setitem(CORPORA, "made-up", kind)
        config = CorpusConfig(name="made-up", validation=validation, test=test)
        return prepare(config, tmp_path / "store")

    return build


@pytest.fixture
def labelled_store(make):
    texts = [("abcd", 1), ("efg", 0), ("h", 1)]
    documents = [Document(pieces=(text,), label=label) for text, label in texts]
    return make(documents, "characters", class_names=("cat", "dog"))
