import string
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, TextStreamer

from latentwave.bench.data.text.characters import CharacterCodec, GrowingCharacters
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
    tokenizer = CharacterCodec(vocabulary)
    tokens = tokenizer.encode(vocabulary[::-1])
    assert tokens.dtype == dtype
    assert tokens.tolist() == list(range(size))[::-1]
    with pytest.raises(UserError, match=r"character 'A' \(U\+0041\) at position 1"):
        tokenizer.encode(vocabulary[0] + "A" + vocabulary)


@settings(deadline=None, max_examples=100)
@given(text=st.text(alphabet=st.characters(exclude_categories=())))
def test_equals_the_definition(text):
    growing = GrowingCharacters()
    pieces = [growing.encode(text[start : start + 3]) for start in range(0, len(text), 3)]
    vocabulary = "".join(sorted(set(text)))
    if text:
        codec, table = growing.finish()
        assert codec.vocabulary == vocabulary
        expected = [vocabulary.index(character) for character in text]
        assert codec.encode(text).tolist() == expected
        assert table[np.concatenate(pieces)].tolist() == expected
        assert table.dtype == codec.dtype


@pytest.mark.parametrize("size", [254, 255, 256, 257, 65534, 65535, 65536, 65537])
def test_a_growing_vocabulary_passes_every_width(size):
    text = "".join(map(chr, range(0x10000 + size, 0x10000, -1)))
    growing = GrowingCharacters()
    pieces = [growing.encode(text[:100]), growing.encode(text), growing.encode(text[::-1])]
    codec, table = growing.finish()
    for piece, expected in zip(pieces, (text[:100], text, text[::-1]), strict=True):
        assert table[piece].tolist() == codec.encode(expected).tolist()
    assert codec.vocab_size == size


def test_what_a_bad_document_taught_is_forgotten():
    growing = GrowingCharacters()
    growing.encode("abc")
    mark = growing.mark()
    growing.encode("".join(map(chr, range(1000))))
    growing.rollback(mark)
    assert growing.finish()[0].vocabulary == "abc"
    assert growing.encode("da").tolist() == [3, 0]
    assert growing.finish()[0].vocabulary == "abcd"


def test_units_are_characters_and_bytes():
    codec = CharacterCodec("aé—🙂")
    for text in ("", "aaa", "aé—🙂a"):
        expected = {"character": len(text), "byte": len(text.encode())}
        assert codec.count_units(text) == codec.units_of(codec.encode(text)) == expected


def test_transformers_tokenizer_agrees_and_round_trips(tmp_path):
    vocabulary = "".join(sorted(set(string.printable + ODD)))
    tokenizer = CharacterCodec(vocabulary)
    tokenizer.save(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = f"  To be,\n\n or\tnot  to be? {ODD}{ODD[::-1]} n't 've .\n "
    tokens = loaded(text)["input_ids"]
    assert tokens == tokenizer.encode(text).tolist()
    assert loaded.decode(tokens) == text
    assert len(loaded) == loaded.vocab_size == len(vocabulary)
    assert CharacterCodec.load(tmp_path).vocabulary == vocabulary


def test_streams_text(tmp_path, capsys):
    tokenizer = CharacterCodec("\n abcdé")
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
        CharacterCodec("abn").encode(text)


def test_empty_text_and_vocabulary():
    assert CharacterCodec("a").encode("").tolist() == []
    assert CharacterCodec("a").encode("").dtype == np.uint8
    for vocabulary in ("", "aba"):
        with pytest.raises(ValueError, match=f"distinct characters, got '{vocabulary}'"):
            CharacterCodec(vocabulary)
