import pytest

from latentwave.bench.data import CorpusConfig
from latentwave.errors import UserError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "txt"}, r"no corpus 'txt', did you mean 'text'; known are: python-docs, "),
        ({"tokenizer": "words"}, r"no tokenizer 'words'; known are: characters, bytes"),
        ({"name": "text"}, r"needs a path"),
        ({"path": "a.txt"}, r"'python-docs' takes no path, got 'a.txt'"),
        ({"validation": -0.1}, r"validation must be in \[0, 1\), got -0.1"),
        ({"test": float("nan")}, r"test must be in \[0, 1\), got nan"),
        ({"validation": 0.6, "test": 0.4}, r"validation=0.6 and test=0.4 leave nothing"),
    ],
)
def test_refusals_name_the_value(options, message):
    with pytest.raises(UserError, match=message):
        CorpusConfig(**options)


def test_defaults_need_nothing():
    assert CorpusConfig().name == "python-docs"
