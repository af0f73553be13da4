import numpy as np
import pytest

from latentwave.bench.data.text.characters import ByteCodec
from latentwave.bench.inspection.inspect import token_texts
from latentwave.bench.inspection.losses import losses_by_position, losses_overall, mean_over_windows


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


def test_tokens_are_shown_as_people_read_them():
    assert token_texts(ByteCodec(), ByteCodec().encode("é a\n")) == [
        *("\\xc3", "\\xa9", "␣", "a", "⏎")
    ]
