import pytest
import torch

from latentwave.functional import causal_moving_average, pyramid_sum
from latentwave.mixers import PyramidMixer
from tests.mixers.cases import randomize


def test_it_weighs_the_averages_of_every_channel():
    x, weights = torch.randn(2, 40, 3), torch.randn(3, 3)
    expected = sum(
        weights[k] * causal_moving_average(x, [0] * k + [3], boundary="zero") for k in range(3)
    )
    torch.testing.assert_close(pyramid_sum(x, weights), expected)


def test_gradients_of_the_recomputed_averages():
    x = torch.randn(2, 11, 2, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    runs = torch.tensor([[0] * 4 + [1] * 7, [0] * 11])
    assert torch.autograd.gradcheck(lambda *args: pyramid_sum(*args, runs), (x, weights))


def test_training_stores_no_averages():
    x = torch.randn(1, 64, 4, requires_grad=True)
    weights = torch.randn(6, 4, requires_grad=True)
    stored = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: stored.append(t.numel()), lambda t: t):
        pyramid_sum(x, weights)
    assert sum(stored) <= 2 * x.numel()


def test_it_starts_as_the_identity_and_learns():
    mixer, x = PyramidMixer(4, 16), torch.randn(1, 30, 4)
    assert torch.equal(mixer(x), x)
    mixer(x).square().sum().backward()
    assert (mixer.weights.grad != 0).all()


def test_running_sums_do_not_drift():
    mixer = randomize(PyramidMixer(2, 64))
    x = 100.0 + torch.randn(1, 5000, 2)
    state = mixer.new_state()
    with torch.no_grad():
        mixer(x[:, :4000], state=state)
        steps = [mixer(x[:, t : t + 1], state=state) for t in range(4000, 5000)]
        assert state.recall("x") is not None
        y = torch.cat(steps, dim=1)
        torch.testing.assert_close(y, mixer(x)[:, 4000:], rtol=0, atol=100 * 2**-20)


@pytest.mark.unchecked
@pytest.mark.parametrize("num_levels", [0, 5])
def test_refusals_name_the_value(num_levels):
    with pytest.raises(ValueError, match=f"between 1 and 4 .*length 16.*got {num_levels}"):
        PyramidMixer(4, 16, num_levels=num_levels)
