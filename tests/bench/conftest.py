import pytest

from tests.inspected import train_runs


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder with three finished runs, and the store of their corpus."""
    folder = tmp_path_factory.mktemp("runs")
    return folder, train_runs(folder, "none", "wavelet", "adaptive")
