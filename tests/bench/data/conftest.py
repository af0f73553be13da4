from pathlib import Path

import pytest

from latentwave.bench.data import CorpusConfig, prepare

REAL_TEXT = Path(__file__).parents[4] / "shared" / "data" / "text"


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTWAVE_HOME", str(tmp_path / "home"))


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    # Numbered, so that no two places read the same.
    path.write_text(
        "".join(f"{n}. To be, or not to be — or\n\tWhether 'tis nobler\n" for n in range(30))
    )
    return path


@pytest.fixture
def store(text_file, tmp_path):
    return prepare(CorpusConfig(name="text", path=str(text_file)), tmp_path / "store")


@pytest.fixture(scope="session")
def python_docs(tmp_path_factory):
    return prepare(CorpusConfig(), tmp_path_factory.mktemp("stores") / "python-docs")


@pytest.fixture(scope="session")
def real_text():
    if not REAL_TEXT.is_dir():
        pytest.skip("the shared texts are not here")
    return REAL_TEXT
