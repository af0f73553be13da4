"""Commands as a user types them."""

import pytest

from latentwave.bench.cli.main import main


def run(*arguments):
    return main([str(argument) for argument in arguments])


def refused(capsys, *arguments, progress=()):
    """The one line that says why, after lines of progress that begin in these ways."""
    assert run(*arguments) == 2
    *told, error = capsys.readouterr().err.splitlines()
    assert all(line.startswith(progress) for line in told), told
    assert error.startswith("latentwave: error: "), error
    return error


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """A folder for what the tests of a file share, with a cache of its own."""
    folder = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENTWAVE_HOME", str(folder / "home"))
        yield folder
