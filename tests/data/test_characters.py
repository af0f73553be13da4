import string
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, TextStreamer

from latentwave.data.characters import CharacterSet, CharacterTokenizer
from latentwave.errors import UserError

# Newlines of every kind, a tab, quotes, combining marks, the far end of Unicode.
ODD = "\n\r\t \x00\x0b\x1c\x85\u2028\"'\\[]<>é\u0301ßß—\ufeff🙂\U0010ffff"


@pytest.mark.parametrize(
    ("size", "dtype"),
    [
        (1, "uint8"),
        (255, "uint8"),
        (256, "uint8"),
        (257, "uint16"),
        (65536, "uint16"),
        (65537, "uint32"),
    ],
)
def test_tokens_are_places_in_the_vocabulary_at_every_width(size, dtype):
    vocabulary = "".join(map(chr, range(0x10000, 0x10000 + size)))
    tokenizer = CharacterTokenizer(vocabulary)
    tokens = tokenizer.encode(vocabulary[::-1])
    assert tokens.dtype == dtype
    assert tokens.tolist() == list(range(size))[::-1]
    with pytest.raises(UserError, match=r"character 'A' \(U\+0041\) at position 1"):
        tokenizer.encode(vocabulary[0] + "A" + vocabulary)


@settings(deadline=None, max_examples=100)
@given(text=st.text(alphabet=st.characters(exclude_categories=())))
def test_equals_the_definition(text):
    seen = CharacterSet()
    for start in range(0, len(text), 3):
        seen.add(text[start : start + 3])
    vocabulary = "".join(sorted(set(text)))
    assert seen.characters() == vocabulary
    if text:
        tokens = CharacterTokenizer(vocabulary).encode(text)
        assert tokens.tolist() == [vocabulary.index(character) for character in text]


def test_transformers_tokenizer_agrees_and_round_trips(tmp_path):
    vocabulary = "".join(sorted(set(string.printable + ODD)))
    tokenizer = CharacterTokenizer(vocabulary)
    tokenizer.save(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = f"  To be,\n\n or\tnot  to be? {ODD}{ODD[::-1]} n't 've .\n "
    tokens = loaded(text)["input_ids"]
    assert tokens == tokenizer.encode(text).tolist()
    assert loaded.decode(tokens) == text
    assert len(loaded) == loaded.vocab_size == len(vocabulary)
    assert CharacterTokenizer.from_folder(tmp_path).vocabulary == vocabulary


def test_streams_text(tmp_path, capsys):
    tokenizer = CharacterTokenizer("\n abcdé")
    tokenizer.save(tmp_path)
    streamer = TextStreamer(AutoTokenizer.from_pretrained(tmp_path))
    text = "a bad\n\n  dcéa dé\n cab"
    for token in tokenizer.encode(text):
        streamer.put(torch.tensor([int(token)]))
    streamer.end()
    assert capsys.readouterr().out == text + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abX", r"'X' \(U\+0058\) at position 2 is not one of the 3 characters"),
        ("aé", r"'é' \(U\+00E9\) at position 1"),
        (chr(sys.maxunicode), r"U\+10FFFF\) at position 0"),
        # Beyond the look-up table; its length more than a known character.
        ("ab" + chr(129 + ord("n")), r"at position 2"),
        ("a\udc80", r"U\+DC80\) at position 1"),
    ],
)
def test_unknown_characters_are_named(text, message):
    with pytest.raises(UserError, match=message):
        CharacterTokenizer("abn").encode(text)


def test_empty_text_and_vocabulary():
    assert CharacterTokenizer("a").encode("").tolist() == []
    assert CharacterTokenizer("a").encode("").dtype == np.uint8
    for vocabulary in ("", "aba"):
        with pytest.raises(ValueError, match=f"distinct characters, got '{vocabulary}'"):
            CharacterTokenizer(vocabulary)
