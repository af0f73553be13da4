import numpy as np
import pytest

from latentwave.bench.data.text.characters import ByteCodec
from latentwave.bench.inspection.inspect import token_texts
from latentwave.bench.inspection.losses import (
    losses_by_position,
    losses_by_repeat,
    losses_overall,
    mean_over_windows,
    repeat_lengths,
)


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
    bins = losses_by_position([losses, losses + 1], np.arange(31) + np.zeros((4, 1), int))
    assert [each.low for each in bins] == [1, 2, 3, 4, 6, 8, 11, 16, 23]
    assert bins[-1].high == 31
    for each in bins:
        assert each.losses[0].value == (each.low + each.high) / 2 - 1
        assert (each.difference.value, each.difference.error) == (-1, 0)
    assert losses_overall([losses]).losses[0].value == losses.mean()
    assert losses_overall([losses]).difference is None


def test_positions_count_from_the_start_of_the_document_where_documents_are_apart():
    # Each loss equals its position + 1; the first tokens of documents are masked.
    position_ids = np.array([[0, 1, 2, 0, 1], [0, 0, 1, 2, 3]])
    losses = np.array([[1.0, 2, np.nan, 1, 2], [np.nan, 1, 2, 3, 4]])
    bins = losses_by_position([losses], position_ids)
    assert [(each.low, each.losses[0].value) for each in bins] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert [each.losses[0].count for each in bins] == [3, 3, 1, 1]


def longest_repeat(document):
    """The longest suffix that also ends earlier, tried one length after the other."""
    for length in range(len(document) - 1, 0, -1):
        suffix = document[-length:]
        if any(document[i : i + length] == suffix for i in range(len(document) - length)):
            return length
    return 0


def test_repeats_are_the_longest_ones_of_the_same_document():
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 3, size=(6, 40))
    position_ids = np.tile(np.arange(40), (6, 1))
    position_ids[1:, 15:] -= 15  # another document, and in some windows a third
    position_ids[3:, 16:] -= 1
    position_ids[0] += 7  # a window that begins inside a document
    starts = np.maximum(np.arange(40) - position_ids, 0)
    expected = [
        [longest_repeat(list(row[start : t + 1])) for t, start in enumerate(begin)]
        for row, begin in zip(tokens, starts, strict=True)
    ]
    assert repeat_lengths(tokens, position_ids).tolist() == expected
    assert max(map(max, expected)) == 5


def test_bins_of_repeats_are_none_and_octaves():
    repeats = np.array([[0, 1, 2, 3, 4, 9], [0, 0, 0, 0, 7, 8]])
    bins = losses_by_repeat([repeats.astype(float)], repeats)
    assert [each.tokens for each in bins] == ["0", "1", "2–3", "4–7", "8–15"]
    assert [each.losses[0].value for each in bins] == [0, 1, 2.5, 5.5, 8.5]
    (nothing,) = losses_by_repeat([np.ones((2, 3))], np.zeros((2, 3), int))
    assert (nothing.tokens, nothing.losses[0].count) == ("0", 6)


def test_tokens_are_shown_as_people_read_them():
    assert token_texts(ByteCodec(), ByteCodec().encode("é a\n")) == [
        *("\\xc3", "\\xa9", "␣", "a", "⏎")
    ]
