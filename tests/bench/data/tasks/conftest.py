import pytest


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTWAVE_HOME", str(tmp_path / "home"))
