import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

from latentwave.bench.data import CorpusConfig, load_codec, prepare
from latentwave.bench.data.text.bytes import ByteCodec
from latentwave.bench.data.text.subwords import BytePairCodec
from latentwave.bench.data.text.words import cut_at_words, whole_words
from latentwave.errors import UserError


@pytest.fixture
def words(tmp_path):
    """Text whose last tenth, validation and test, has words of its own."""
    path = tmp_path / "words.txt"
    path.write_text("the wave of the sea — " * 900 + "zebra quartz jukebox — " * 90)
    return path


def config(path, **options):
    return CorpusConfig(name="text", path=str(path), **options)


def decoded(store, split):
    return store.codec.tokenizer.decode(store.split(split))


def test_byte_pairs_are_learned_from_the_training_text_alone(words, tmp_path):
    store = prepare(config(words, tokenizer="bpe", vocab_size=300), tmp_path / "s")
    tokens = store.codec.tokenizer.get_vocab()
    assert "Ġwave" in tokens
    assert not any("zebra" in token or "quartz" in token for token in tokens)
    assert store.metadata.vocab_size == len(tokens) <= 300
    characters = prepare(config(words, tokenizer="characters"), tmp_path / "c")
    text = words.read_text()
    for split in ("train", "validation", "test"):
        part = decoded(store, split)
        assert part == decoded(characters, split)
        units = store.metadata.splits[split].num_units
        assert units == {"character": len(part), "byte": len(part.encode())}
        assert units == characters.metadata.splits[split].num_units
        bits = store.bits_per_unit(1.0, split)
        ratio = len(store.split(split)) / len(part)
        assert bits["character"] == pytest.approx(ratio / np.log(2))
    assert "".join(decoded(store, split) for split in store.metadata.splits) == text


def test_training_twice_gives_the_same_tokens(words, tmp_path):
    stores = [
        prepare(config(words, tokenizer="bpe", vocab_size=320), tmp_path / name) for name in "ab"
    ]
    assert stores[0].metadata == stores[1].metadata
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (
        (tmp_path / "b/tokenizer.json").read_bytes()
    )


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe"])
def test_transformers_loads_the_store(words, tmp_path, tokenizer):
    store = prepare(config(words, tokenizer=tokenizer), tmp_path / "s")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "s")
    text = "  the sea,\n\n or\tnot — n't 🙂é\r\n "
    assert loaded(text)["input_ids"] == store.encode_text(text).tolist()
    assert loaded.decode(store.encode_text(text)) == text
    assert len(loaded) == store.metadata.vocab_size
    again = load_codec(tmp_path / "s")
    assert again.same_tokens(store.codec)
    again.write(store.encode_text(text), tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_bytes() == text.encode()


def test_bytes_are_the_tokens():
    text = "naïve 🙂"
    codec = ByteCodec()
    assert codec.encode(text).tobytes() == text.encode() == codec.encode(text.encode()).tobytes()
    assert codec.count_units(text) == {"character": len(text), "byte": len(text.encode())}
    assert codec.tokenizer(text)["input_ids"] == list(text.encode())


def test_any_tokenizer_json_can_be_used(words, tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"the": 0, "wave": 1, "?": 7}, "?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    (tmp_path / "own").mkdir()
    file = tmp_path / "own" / "tokenizer.json"
    tokenizer.save(str(file))
    for path in (file, file.parent):
        store = prepare(
            config(words, tokenizer="pretrained", tokenizer_path=str(path)), tmp_path / "s"
        )
    assert store.metadata.vocab_size == 8
    assert store.split("train")[:4].tolist() == [0, 1, 7, 0]
    assert store.metadata.num_units["character"] == len(words.read_text())
    other = json.loads(file.read_text())
    other["model"]["vocab"]["sea"] = 2
    file.write_text(json.dumps(other))
    with pytest.raises(UserError, match="of other settings"):
        prepare(config(words, tokenizer="pretrained", tokenizer_path=str(file)), tmp_path / "s")
    file.write_text("{}")
    with pytest.raises(UserError, match="is not a tokenizer"):
        prepare(config(words, tokenizer="pretrained", tokenizer_path=str(file)), tmp_path / "t")
    with pytest.raises(UserError, match="there is no tokenizer nowhere"):
        prepare(config(words, tokenizer="pretrained", tokenizer_path="nowhere"), tmp_path / "t")


def test_pieces_do_not_change_the_tokens(tmp_path):
    text = "".join(f"{n} words,  and\n\n more'll—come " for n in range(30_000))
    path = tmp_path / "long.txt"
    path.write_text(text)
    store = prepare(
        config(path, tokenizer="bpe", vocab_size=400, validation=0.0, test=0.0), tmp_path / "s"
    )
    assert len(text) > 5 * (1 << 17)
    whole = store.codec.tokenizer.backend_tokenizer.encode(text).ids
    assert store.split("train").tolist() == whole


@settings(deadline=None, max_examples=100)
@given(
    text=st.text("ab \n", max_size=60), cuts=st.lists(st.integers(0, 60)), size=st.integers(1, 9)
)
def test_words_stay_whole(text, cuts, size):
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    for parts in (list(whole_words(pieces)), list(cut_at_words(text, size))):
        assert "".join(parts) == text
        for before, after in itertools.pairwise(parts):
            assert after[0].isspace()
            assert not before[-1].isspace()


def test_a_text_without_spaces_is_cut_all_the_same():
    pieces = ["x" * 1000] * 20
    assert max(map(len, whole_words(pieces))) <= 1 << 13
    assert max(map(len, cut_at_words("x" * 20_000, 10))) <= 1 << 13


def test_vocabularies_too_small_or_out_of_place_are_refused(words):
    with pytest.raises(UserError, match="must be >= 256, all bytes, got 10"):
        config(words, tokenizer="bpe", vocab_size=10)
    with pytest.raises(UserError, match="vocab_size=500 is for the tokenizer 'bpe', not for 'char"):
        config(words, vocab_size=500)
    with pytest.raises(UserError, match="go together; got 'pretrained' and None"):
        config(words, tokenizer="pretrained")
    with pytest.raises(UserError, match="go together; got 'characters' and 'x'"):
        config(words, tokenizer_path="x")


def test_an_empty_text_trains_nothing(tmp_path):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(UserError, match=r"empty\.txt is empty"):
        prepare(config(tmp_path / "empty.txt", tokenizer="bpe"))


def test_the_codec_is_the_only_one_trained(monkeypatch, words, tmp_path):
    """A store that is there is opened without training again."""
    prepare(config(words, tokenizer="bpe", vocab_size=300), tmp_path / "s")
    monkeypatch.setattr(BytePairCodec, "train", None)
    prepare(config(words, tokenizer="bpe", vocab_size=300), tmp_path / "s")
