import sys

import numpy as np
import pytest
import torch

from latentwave.bench.training.evaluation import classification_metrics
from latentwave.errors import UserError


def test_accuracy():
    logits = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 3.0], [5.0, 0.0, 0.0]])
    assert classification_metrics(logits, torch.tensor([0, 2, 2, 0])) == {"accuracy": 0.75}


def test_mean_average_precision_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth = (rng.random((60, 5)) < 0.3).astype(np.int64)
    scores = (rng.normal(size=(60, 5)) + truth).astype(np.float32)
    expected = metrics.average_precision_score(truth, scores, average="macro")
    found = classification_metrics(torch.from_numpy(scores), torch.from_numpy(truth))
    assert found["map"] == pytest.approx(expected, abs=1e-6)
    # Only ranks matter, however large the scores.
    huge = classification_metrics(torch.from_numpy(scores) * 1000, torch.from_numpy(truth))
    assert huge["map"] == pytest.approx(expected, abs=1e-6)


def test_classes_without_a_document_do_not_count():
    scores = torch.tensor([[2.0, 5.0], [1.0, -5.0]])
    assert classification_metrics(scores, torch.tensor([[1, 0], [0, 0]])) == {"map": 1.0}
    nothing = classification_metrics(scores, torch.zeros(2, 2, dtype=torch.int64))
    assert np.isnan(nothing["map"])


def test_without_torchmetrics(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.classification", None)
    with pytest.raises(UserError, match=r"pip install 'latentwave\[tasks\]'"):
        classification_metrics(torch.zeros(1, 2), torch.tensor([0]))
