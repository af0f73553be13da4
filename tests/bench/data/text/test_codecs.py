"""Characters, bytes and byte pairs as tokens."""

import json
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

from latentwave.bench.data import CorpusConfig, load_codec, prepare
from latentwave.bench.data.text import subwords
from latentwave.bench.data.text.characters import (
    CharacterCodec,
    CodePoints,
    Draft,
    fast_tokenizer,
    text_pieces,
)
from latentwave.bench.data.text.subwords import PretrainedCodec
from latentwave.errors import UserError

# Newlines of every kind, a tab, quotes, combining marks, the far end of Unicode.
ODD = "\n\r\t \x00\x0b\x1c\x85\u2028\"'\\[]<>é\u0301ßß—\ufeff🙂\U0010ffff"
UNKNOWN = "<unk>"
SIZES = {1: "uint8", 256: "uint8", 257: "uint16", 65536: "uint16", 65537: "uint32"}


@pytest.mark.parametrize(("size", "dtype"), SIZES.items())
def test_tokens_are_places_in_the_vocabulary_at_every_width(size, dtype):
    vocabulary = "".join(map(chr, range(0x10000, 0x10000 + size)))
    codec = CharacterCodec(vocabulary)
    tokens = codec.encode(vocabulary[::-1])
    assert tokens.dtype == dtype
    assert tokens.tolist() == list(range(size))[::-1]
    with pytest.raises(UserError, match=r"character 'A' \(U\+0041\) at position 1"):
        codec.encode(vocabulary[0] + "A" + vocabulary)


@settings(deadline=None, max_examples=100)
@given(text=st.text(alphabet=st.characters(exclude_categories=()), min_size=1))
def test_the_vocabulary_is_what_the_text_holds(text):
    encoder = CodePoints(CharacterCodec.of)
    points = np.concatenate([encoder.encode(part) for part in text])
    codec = encoder.make(Draft(points, np.zeros(1, np.int64), len(text)))
    assert codec.vocabulary == "".join(sorted(set(text)))
    again = "".join(text_pieces(points))
    assert codec.encode(again).tolist() == [codec.vocabulary.index(each) for each in text]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abX", r"'X' \(U\+0058\) at position 2 is not one of the 3 characters"),
        # Beyond the look-up table; its length more than a known character.
        ("ab" + chr(129 + ord("n")), r"at position 2"),
        ("a\udc80", r"U\+DC80\) at position 1"),
    ],
)
def test_unknown_characters_are_named(text, message):
    with pytest.raises(UserError, match=message):
        CharacterCodec("abn").encode(text)


@pytest.fixture
def words(tmp_path):
    """Text whose last tenth, validation and test, has words of its own."""
    path = tmp_path / "words.txt"
    path.write_text("the wave of the sea — " * 900 + "zebra quartz jukebox — " * 90)
    return path


def config(path, **options):
    return CorpusConfig(name="text", path=str(path), **options)


@pytest.mark.parametrize("tokenizer", ["characters", "bytes", "bpe"])
def test_transformers_loads_the_store_and_text_comes_back(tmp_path, tokenizer):
    text = f"  To be,\n\n or\tnot — n't 🙂é {ODD}{ODD[::-1]} n't .\n " + string.printable
    path = tmp_path / "a.txt"
    path.write_text(text.replace("\0", "").replace("\ufeff", ""), newline="")
    text = path.read_text()
    store = prepare(config(path, tokenizer=tokenizer, validation=0.0, test=0.0))
    loaded, tokens = AutoTokenizer.from_pretrained(store.folder), store.codec.encode_prompt(text)
    assert loaded(text)["input_ids"] == store.split("train").tolist() == tokens.tolist()
    assert loaded.decode(tokens) == text
    assert len(loaded) == store.metadata.vocab_size
    codec = load_codec(store.folder)
    assert codec.same_tokens(store.codec)
    assert not codec.same_tokens(CharacterCodec("xyz"))
    codec.write(tokens, path)
    assert path.read_bytes() == text.encode()


def test_byte_pairs_are_learned_from_the_training_text_alone(words, tmp_path):
    options = {"tokenizer": "bpe", "vocab_size": 300}
    store, again = (prepare(config(words, **options), tmp_path / name) for name in "ab")
    assert store.metadata == again.metadata
    files = [(each.folder / "tokenizer.json").read_bytes() for each in (store, again)]
    assert files[0] == files[1]
    tokens = store.codec.tokenizer.get_vocab()
    assert "Ġwave" in tokens
    assert not any("zebra" in token or "quartz" in token for token in tokens)
    assert store.metadata.vocab_size == len(tokens) <= 300
    characters = prepare(config(words), tmp_path / "c")
    for split in ("train", "validation", "test"):
        part = store.codec.tokenizer.decode(store.split(split))
        assert part == characters.codec.tokenizer.decode(characters.split(split))
        ratio = len(store.split(split)) / len(part)
        assert store.bits_per_unit(1.0, split)["character"] == pytest.approx(ratio / np.log(2))
        units = store.metadata.splits[split].num_units
        assert units == {"character": len(part), "byte": len(part.encode())}


def test_any_tokenizer_json_can_be_used(words, tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"the": 0, "wave": 1, "?": 7}, "?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=9)
    (tmp_path / "own").mkdir()
    file = tmp_path / "own" / "tokenizer.json"
    tokenizer.save(str(file))

    def prepared(path, name):
        options = {"tokenizer": "pretrained", "tokenizer_path": str(path)}
        return prepare(config(words, **options), tmp_path / name)

    for path in (file, file.parent):
        store = prepared(path, "s")
    assert store.metadata.vocab_size == 8
    assert store.split("train")[:4].tolist() == [0, 1, 7, 0]
    assert store.metadata.num_units["character"] == len(words.read_text())
    other = json.loads(file.read_text())
    other["model"]["vocab"]["sea"] = 2
    file.write_text(json.dumps(other))
    with pytest.raises(UserError, match="of other settings"):
        prepared(file, "s")
    with pytest.raises(UserError, match="there is no tokenizer nowhere"):
        prepared("nowhere", "t")
    for content, message in (
        ("{}", "is not a tokenizer"),
        (Tokenizer(models.BPE()).to_str(), r"tokenizer\.json has no tokens"),
    ):
        file.write_text(content)
        with pytest.raises(UserError, match=message):
            prepared(file, "t")
    tokenizer.save(str(file))
    (file.parent / "tokenizer_config.json").write_text("{")
    with pytest.raises(UserError, match=r"tokenizer_config\.json is damaged \(.*\): get it again"):
        prepared(file.parent, "t")


TEXT = "".join(f"{n} words,  and\n\n more'll—come 日本語{'x' * (n % 40)} " for n in range(400))


def trained(tokenizer, trainer, **options):
    tokenizer.train_from_iterator([TEXT], trainer(show_progress=False, **options))
    return tokenizer


def llama2():
    """Byte pairs of the whole text, "▁" for spaces and before every text, no words cut first."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trained(tokenizer, trainers.BpeTrainer, vocab_size=400, special_tokens=[UNKNOWN])
    form = json.loads(tokenizer.to_str()) | {"pre_tokenizer": None}
    tokenizer = Tokenizer.from_str(json.dumps(form))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    return tokenizer


def t5():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    options = {"vocab_size": 300, "special_tokens": [UNKNOWN], "unk_token": UNKNOWN}
    return trained(tokenizer, trainers.UnigramTrainer, **options)


def gpt2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return trained(tokenizer, trainers.BpeTrainer, vocab_size=400, initial_alphabet=alphabet)


FORMS = {form.__name__: form() for form in (llama2, t5, gpt2)}
parts = st.lists(
    st.sampled_from([" ", "  ", "\n", "and ", "words", "12345", "日本語", "é🙂", "'ll", "x" * 30]),
    min_size=1,
    max_size=300,
)


@settings(deadline=None, max_examples=40)
@given(parts=parts, size=st.integers(1, 500), repeats=st.integers(1, 4))
@pytest.mark.parametrize("form", FORMS)
def test_tokens_are_the_tokenizers_own_whatever_the_pieces(form, parts, size, repeats):
    """A "▁" once every 16,384 characters was one token too many."""
    text = "".join(parts) * repeats
    codec = PretrainedCodec(fast_tokenizer(FORMS[form]))
    expected = FORMS[form].encode(text, add_special_tokens=False).ids
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subwords, "_WINDOW_CHARACTERS", 256)
        patch.setattr(subwords, "_OVERLAP_CHARACTERS", 128)
        assert np.concatenate([[], *codec.encode_document(pieces)]).tolist() == expected
        assert codec.encode(text).tolist() == expected
