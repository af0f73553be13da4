import pytest
import torch

from latentwave.functional import decaying_sums
from tests.comparing import with_gradients
from tests.functional.references import random_runs, slow_fir


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("T", [2, 31, 32, 33, 64, 65, 1100])
def test_value_and_gradients_equal_a_filter_with_powers_of_the_decay(T, documents):
    x = torch.randn(2, T, 3, dtype=torch.float64, requires_grad=True)
    log_decay = torch.tensor([0.3, 0.9, 0.999], dtype=torch.float64).log().requires_grad_()
    runs = random_runs(2, T) if documents else None
    found = with_gradients(decaying_sums, [x, log_decay], runs=runs)

    def filtered(x, log_decay):
        return slow_fir(x, (torch.arange(T) * log_decay.unsqueeze(1)).exp(), runs)

    torch.testing.assert_close(found, with_gradients(filtered, [x, log_decay]))


def test_no_precision_lost_over_long_sequences():
    T = 131072
    x = 1.0 + 0.1 * torch.randn(1, T, 3)
    log_decay = torch.log1p(-torch.tensor([0.5, 1e-3, 1e-6]))
    exact = decaying_sums(x.double(), log_decay.double())
    torch.testing.assert_close(decaying_sums(x, log_decay).double(), exact, rtol=1e-5, atol=0)


@pytest.mark.unchecked
def test_refusals_name_the_value():
    with pytest.raises(ValueError, match=r"each of the 3 channels, got shape \(2,\)"):
        decaying_sums(torch.zeros(1, 4, 3), torch.zeros(2))
