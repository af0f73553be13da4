"""Splits for corpora that come without them."""

from __future__ import annotations

import numpy as np


def deal_splits(num_examples: int, validation: float, test: float, seed: int = 0) -> list[str]:
    """Deal examples to splits at random, the same way every time.

    Args:
        num_examples: how many there are.
        validation: the share that goes to validation.
        test: the share that goes to the test.
        seed: of the dealing.

    Returns:
        The split of each example; of each kind round(share · num_examples).

    Example:
        >>> sorted(deal_splits(10, 0.2, 0.1))[:3]
        ['test', 'train', 'train']
    """
    # Raw bits are the same in every NumPy.
    order = np.argsort(np.random.Philox(key=seed).random_raw(num_examples), kind="stable")
    num_validation, num_test = round(num_examples * validation), round(num_examples * test)
    splits = ["train"] * num_examples
    for index in order[:num_validation]:
        splits[index] = "validation"
    for index in order[num_validation : num_validation + num_test]:
        splits[index] = "test"
    return splits
