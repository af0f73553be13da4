"""What docs/data.md tells people to type is what there is."""

import re
import shlex
from pathlib import Path

import pytest

from latentwave.bench.cli.main import _parser
from latentwave.bench.data import CORPORA, CorpusConfig
from latentwave.bench.data.download import CATALOGUE

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
COMMANDS = re.findall(r"^latentwave ((?:prepare|download)\b.*?)\s*(?:#.*)?$", PAGE, flags=re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command):
    name, *rest = shlex.split(command)
    options = _parser().parse_args([name, *rest])[name].as_dict()
    if name == "download":
        assert options["name"] is None or options["name"] in CATALOGUE
        return
    fields = {key: value for key, value in options.items() if key in CorpusConfig.__annotations__}
    if options["corpus"] in CORPORA:
        CorpusConfig(name=options["corpus"], **fields)


@pytest.mark.parametrize("row", re.findall(r"^\| (`.+?`) \| .* \| (.+?) \|$", PAGE, flags=re.M))
def test_defaults_are_true(row):
    names, tokenizers = row
    for name in re.findall(r"`([\w-]+)`", names):
        if name in CORPORA and tokenizers != "the same":
            assert list(CORPORA[name].tokenizers) == tokenizers.split(", ")
