import numpy as np
import pytest

from latentwave.bench.data.audio.codec import MuLaw
from latentwave.bench.data.text.characters import ByteCodec, CharacterCodec
from latentwave.bench.data.text.subwords import PretrainedCodec
from latentwave.bench.inspection.losses import (
    group_positions,
    losses_by,
    losses_overall,
    mean_over_windows,
)
from latentwave.bench.inspection.token_classes import group_tokens, token_texts


def test_the_error_is_over_windows_not_tokens():
    rng = np.random.default_rng(0)
    estimates = []
    for _ in range(400):
        # Tokens of one window share a level, so they are far from independent.
        values = rng.normal(size=(30, 1)) + 0.1 * rng.normal(size=(30, 50))
        estimates.append(mean_over_windows(values))
    spread = np.std([each.value for each in estimates])
    assert np.mean([each.error for each in estimates]) == pytest.approx(spread, rel=0.1)


def test_empty_and_single_windows():
    nothing = mean_over_windows(np.full((3, 4), np.nan))
    assert np.isnan(nothing.value)
    assert nothing.count == 0
    single = mean_over_windows(np.array([[1.0, 2.0, np.nan], [np.nan] * 3]))
    assert single.value == 1.5
    assert np.isnan(single.error)


def test_bins_of_positions_average_their_own_columns():
    losses = np.arange(31.0)[None] + np.zeros((4, 1))
    table = losses_by([losses, losses + 1], group_positions(np.arange(31) + np.zeros((4, 1), int)))
    assert [each.low for each in table.bins] == [1, 2, 3, 4, 6, 8, 11, 16, 23]
    assert table.bins[0].name == "1"
    assert table.bins[-1].name == "23–31"
    for each in table.bins:
        assert each.losses[0].value == (each.low + each.high) / 2 - 1
        assert each.difference.value == -1
        assert each.difference.error == 0
    assert losses_overall([losses]).losses[0].value == losses.mean()
    assert losses_overall([losses]).difference is None


def test_positions_count_from_the_start_of_the_document_where_documents_are_apart():
    # Losses name their place in the document, the masked first tokens of documents have none.
    position_ids = np.array([[0, 1, 2, 0, 1], [0, 0, 1, 2, 3]])
    losses = np.array([[1.0, 2, np.nan, 1, 2], [np.nan, 1, 2, 3, 4]])
    table = losses_by([losses, losses], group_positions(position_ids))
    assert [(each.low, each.losses[0].value) for each in table.bins] == [
        *((1, 1), (2, 2), (3, 3), (4, 4))
    ]
    assert [each.losses[0].count for each in table.bins] == [3, 3, 1, 1]


def test_characters_by_kind_and_place():
    codec = CharacterCodec(" .ab3")
    windows = codec.encode("ab a3. b")[None].astype(np.int64)
    kind, place = group_tokens(codec, windows, np.zeros(5, dtype=np.int64))
    assert [kind.names[i] for i in kind.members[0]] == [
        *("consonant", "space", "vowel", "digit", "punctuation", "space", "consonant")
    ]
    first, inside, between = place.names
    assert [place.names[i] for i in place.members[0]] == [
        *(inside, between, first, inside, between, between, first)
    ]
    table = losses_by([np.arange(7.0)[None]], kind)
    assert {each.name: each.losses[0].value for each in table.bins} == {
        "vowel": 2,
        "consonant": 3,
        "space": 3,
        "digit": 3,
        "punctuation": 4,
    }


def test_bytes_beyond_ascii_are_a_class_of_their_own():
    windows = ByteCodec().encode("né!")[None].astype(np.int64)
    kind, place = group_tokens(ByteCodec(), windows, np.zeros(256, dtype=np.int64))
    assert [kind.names[i] for i in kind.members[0]] == ["other", "other", "punctuation"]
    assert place.members[0].tolist() == [1, 1, 2]
    assert token_texts(ByteCodec(), ByteCodec().encode("é a\n")) == [
        *("\\xc3", "\\xa9", "␣", "a", "⏎")
    ]


def test_sound_by_the_step_from_the_sample_before():
    windows = np.array([[100, 100, 101, 103, 111, 11]])
    (step,) = group_tokens(MuLaw(8000), windows, np.zeros(256, dtype=np.int64))
    assert [step.names[i] for i in step.members[0]] == [
        *("none", "1–2", "1–2", "3–8", "33 and more")
    ]
    assert token_texts(MuLaw(8000), windows[0, :2]) == ["100", "100"]


def test_music_by_type_of_event():
    pytest.importorskip("symusic")
    from latentwave.bench.data.music.codec import Tsd, miditok_tokenizer

    vocabulary = miditok_tokenizer("tsd").vocab
    names = ["BOS_None", "Pitch_60", "Velocity_63", "Pitch_62"]
    windows = np.array([[vocabulary[name] for name in names]])
    (types,) = group_tokens(Tsd(), windows, np.zeros(len(vocabulary), dtype=np.int64))
    assert [types.names[i] for i in types.members[0]] == ["Pitch", "Velocity", "Pitch"]
    assert token_texts(Tsd(), windows[0]) == names


def test_other_tokens_by_rank():
    codec = PretrainedCodec(ByteCodec().tokenizer)
    counts = np.arange(256)[::-1].copy()
    (rank,) = group_tokens(codec, np.array([[0, 0, 9, 10, 99, 100, 255]]), counts)
    assert rank.names == ["rank 1–10", "rank 11–100", "rank 101–256"]
    assert rank.members[0].tolist() == [0, 0, 1, 1, 2, 2]
    assert token_texts(codec, np.array([32, 97])) == ["␣", "a"]
