"""Commands as a user types them."""

import pytest

from latentwave.bench.cli.main import main


def run(*arguments):
    return main([str(argument) for argument in arguments])


def refused(capsys, *arguments, progress=()):
    """The error line of a command that fails, after nothing but lines of such progress."""
    assert run(*arguments) == 2
    *lines, error = capsys.readouterr().err.splitlines()
    assert all(line.startswith(progress) for line in lines), lines
    assert error.startswith("latentwave: error: "), error
    return error


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """A folder that the tests of a file share, with a cache of its own."""
    folder = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENTWAVE_HOME", str(folder / "home"))
        yield folder
