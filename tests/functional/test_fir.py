import functools

import pytest
import torch

from latentwave.functional import causal_fir, dynamic_fir, fir, fir_forms, segment_runs
from tests.comparing import with_gradients
from tests.functional.references import random_runs, slow_fir


# Both sides of each border between the ways of computing, see fir_forms; then two block levels.
@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("K", [1, 8, 9, 16, 17, 64, 65, 128, 129, 700])
@pytest.mark.parametrize("T", [1, 2, 65, 300, 1100])
def test_value_and_gradients_equal_the_slow_loop(T, K, documents):
    x = torch.randn(2, T, 3, dtype=torch.float64, requires_grad=True)
    taps = torch.randn(3, K, dtype=torch.float64, requires_grad=True)
    runs = random_runs(2, T) if documents else None
    found = with_gradients(causal_fir, [x, taps], runs=runs)
    torch.testing.assert_close(found, with_gradients(slow_fir, [x, taps], runs=runs))


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("K", [5, 100, 200, 700])
def test_no_look_ahead_to_the_bit(K, documents):
    T = 800
    x, taps = torch.randn(2, T, 2), torch.randn(2, K)
    runs = random_runs(2, T, mean_length=200) if documents else None
    y = causal_fir(x, taps, runs=runs)
    for t in (1, 127, 128, 129, 511, 513, 799):
        changed = x.clone()
        changed[:, t:] = float("nan")
        assert torch.equal(causal_fir(changed, taps, runs=runs)[:, :t], y[:, :t])


@pytest.mark.parametrize("K", [4, 150, 600])
@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("outputs", [0, 1, 5, 90])
def test_history_leaves_out_the_first_outputs(outputs, documents, K):
    T = 90
    x, taps = torch.randn(2, T, 3, dtype=torch.float64), torch.randn(3, K, dtype=torch.float64)
    runs = random_runs(2, T) if documents else None
    y = causal_fir(x, taps, runs=runs, history=T - outputs)
    torch.testing.assert_close(y, causal_fir(x, taps, runs=runs)[:, T - outputs :])


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("K", [3, 12])
def test_second_derivatives(K, documents, monkeypatch):
    # Small thresholds lead a small example through the block transforms.
    monkeypatch.setattr(fir, "LAG_TAPS", 1)
    monkeypatch.setattr(fir_forms, "GRAM_TAPS", 1)
    for name in ("DIRECT_TAPS", "DOCUMENT_DIRECT_TAPS"):
        monkeypatch.setattr(fir_forms, name, 2)
    x = torch.randn(1, 9, 2, dtype=torch.float64, requires_grad=True)
    taps = torch.randn(2, K, dtype=torch.float64, requires_grad=True)
    runs = segment_runs(torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 0]])) if documents else None

    assert torch.autograd.gradgradcheck(lambda *args: causal_fir(*args, runs=runs), (x, taps))


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("history", [0, 1, 4])
def test_all_derivatives_of_a_changing_filter(history, documents):
    x = torch.randn(1, history + 5, 4, dtype=torch.float64, requires_grad=True)
    runs = random_runs(1, history + 5, mean_length=3) if documents else None
    for groups in (2, 4):
        taps = torch.randn(1, 5, 3, groups, dtype=torch.float64, requires_grad=True)
        filtered = functools.partial(dynamic_fir, runs=runs)
        assert torch.autograd.gradcheck(filtered, (x, taps), check_forward_ad=True)
        assert torch.autograd.gradgradcheck(filtered, (x, taps), check_fwd_over_rev=True)


@pytest.mark.parametrize("K", [4, 64, 300])
def test_long_sequences_in_chunks_equal_one_pass(K, monkeypatch):
    x = torch.randn(2, 3000, 2, dtype=torch.float64, requires_grad=True)
    taps = torch.randn(2, K, dtype=torch.float64, requires_grad=True)
    whole = with_gradients(causal_fir, [x, taps])
    monkeypatch.setattr(fir_forms, "CHUNK_VALUES", 1000)
    torch.testing.assert_close(with_gradients(causal_fir, [x, taps]), whole)


@pytest.mark.unchecked
def test_refusals_name_the_value():
    x = torch.zeros(1, 4, 3)
    with pytest.raises(ValueError, match=r"\(3, K >= 1\).*got \(2, 5\)"):
        causal_fir(x, torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"got \(3, 0\)"):
        causal_fir(x, torch.zeros(3, 0))
    with pytest.raises(ValueError, match=r"history must be in 0 … 4, .*got 5"):
        causal_fir(x, torch.zeros(3, 2), history=5)


@pytest.mark.unchecked
@pytest.mark.parametrize(("num_taps", "fused"), [(4, True), (8, True), (40, False)])
def test_compiled_short_kernels_are_plain_multiply_adds(num_taps, fused):
    graphs = []

    def keep(graph, inputs):
        graphs.append({str(node.target) for node in graph.graph.nodes})
        return graph.forward

    x = torch.randn(2, 50, 3, requires_grad=True)
    taps = torch.randn(3, num_taps, requires_grad=True)
    compiled = torch.compile(causal_fir, fullgraph=True, backend=keep)
    torch.testing.assert_close(compiled(x, taps), causal_fir(x, taps))
    (targets,) = graphs
    assert ("autograd_function_apply" not in targets) == fused
