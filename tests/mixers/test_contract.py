"""The contract of mixers: every test runs for every mixer in the registry."""

import functools
import io

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from latentwave import assert_causal
from latentwave.mixers import list_mixers
from tests.comparing import assert_differ, assert_same, with_gradients
from tests.mixers.cases import (
    CASES,
    CHANNELS,
    EVERY_CASE,
    build_case,
    double,
    signal,
    start,
    streamed,
)

T = 37


def test_every_registered_kind_has_a_case():
    assert {kind for kind, _ in CASES.values()} == set(list_mixers())


@EVERY_CASE
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_shape_and_dtype(case, dtype):
    mixer = build_case(case).to(dtype)
    for length in (1, 2, 5, 63, 64, 65):
        x = signal(2, length, dtype=dtype)
        before = x.clone()
        y = mixer(x)
        assert (y.shape, y.dtype) == (x.shape, dtype)
        assert torch.equal(x, before), "the caller's tensor was changed"


@EVERY_CASE
def test_empty_and_non_contiguous_inputs(case):
    mixer = double(case)
    for shape in ((0, 5), (0, 1), (2, 0)):
        assert mixer(signal(*shape)).shape == (*shape, CHANNELS)
    x = signal(T, 2).transpose(0, 1)
    torch.testing.assert_close(mixer(x), mixer(x.contiguous()))


@EVERY_CASE
def test_causal_to_the_bit(case):
    mixer = double(case)
    x = signal(2, T)
    y = mixer(x)
    for t in range(1, T):
        changed = x.clone()
        changed[:, t:] = torch.randn_like(changed[:, t:])
        assert torch.equal(mixer(changed)[:, :t], y[:, :t]), f"outputs before {t} changed"
    assert_causal(mixer, num_tokens=T)  # gradients too


@EVERY_CASE
def test_the_receptive_field_is_exact(case):
    mixer = double(case)
    R, tail = mixer.receptive_field, mixer.tail_share
    x = signal(1, 4 * R)
    t = 4 * R - 1
    y = mixer(x)[:, t]
    outside, inside = x.clone(), x.clone()
    outside[:, : t - R + 1] += 1.0
    if tail == 0.0:
        inside[:, t - R + 1] += 1.0
        torch.testing.assert_close(mixer(outside)[:, t], y)
        assert_differ(mixer(inside)[:, t], y, share=1e-9)  # of float64
    else:
        inside[:, : t - R + 2] += 1.0
        assert (mixer(outside)[:, t] - y).abs().max() <= tail
        assert (mixer(inside)[:, t] - y).abs().max() > tail


@EVERY_CASE
def test_segments_equal_separate_documents(case):
    mixer, x = double(case), signal(1, T)
    lengths = [5, 1, 20, 11]
    # The third document shares its id with the first: borders count, not values.
    ids = torch.repeat_interleave(torch.tensor([4, 0, 4, 9]), torch.tensor(lengths))[None]
    expected = torch.cat([mixer(document) for document in x.split(lengths, dim=1)], dim=1)
    torch.testing.assert_close(mixer(x, segment_ids=ids), expected)
    for chunk in (1, 7, T):
        torch.testing.assert_close(streamed(mixer, x, chunk, segment_ids=ids), expected)


@EVERY_CASE
def test_left_padding_changes_nothing(case):
    mixer, x = double(case), signal(2, T)
    mask = torch.arange(T)[None] >= torch.tensor([[0], [9]])
    filler = x.masked_fill(~mask.unsqueeze(-1), float("nan"))
    expected = mixer(x[1:, 9:])
    y = mixer(filler, padding_mask=mask)
    torch.testing.assert_close(y[:1], mixer(x[:1]))
    torch.testing.assert_close(y[1:, 9:], expected)
    for chunk in (1, 7):
        y = streamed(mixer, filler, chunk, padding_mask=mask)
        torch.testing.assert_close(y[1:, 9:], expected)


@EVERY_CASE
def test_impulse_response_is_the_output_for_an_impulse(case):
    mixer = double(case)
    response, R = mixer.impulse_response(), mixer.receptive_field
    x = torch.zeros(1, 3 * R, CHANNELS, dtype=response.dtype)
    x[:, R] = 1.0
    torch.testing.assert_close(response, mixer(x)[0, R : 2 * R].T)
    assert response[:, 0].abs().max() > 0


@EVERY_CASE
def test_a_pickled_mixer_computes_the_same_on_any_device(case):
    mixer, x, file = double(case), signal(1, T), io.BytesIO()
    mixer.to("meta")(x.to("meta"))  # which makes copies of its constants there
    torch.save(mixer, file)
    file.seek(0)
    loaded = torch.load(file, map_location="meta", weights_only=False).to_empty(device="cpu")
    mixer = double(case)
    loaded.load_state_dict(mixer.state_dict())
    torch.testing.assert_close(loaded(x), mixer(x))


@EVERY_CASE
def test_parameters_are_reset_where_they_are(case):
    torch.manual_seed(3)
    fresh, mixer = start(case), start(case)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.fill_(float("nan"))
    torch.manual_seed(3)
    mixer.reset_parameters()
    torch.testing.assert_close(mixer.state_dict(), fresh.state_dict(), rtol=0, atol=0)


@EVERY_CASE
def test_adapters_and_quantisers_find_no_layer_to_replace(case):
    for module in build_case(case).modules():
        ours = type(module).__module__.startswith("latentwave.")
        assert ours or type(module) is nn.ModuleList


@EVERY_CASE
def test_it_starts_as_the_identity_if_it_says_so_and_learns(case):
    mixer, x = start(case), signal(2, 40, dtype=torch.float32)
    gated = mixer.fade_gate is not None
    assert torch.equal(mixer(x), x) == (mixer.starts_as_identity or gated)
    if not mixer.num_parameters:
        return
    before = {name: p.detach().clone() for name, p in mixer.named_parameters()}
    optimizer, losses = torch.optim.SGD(mixer.parameters(), lr=0.01), []
    for _ in range(4):
        optimizer.zero_grad()
        loss = (mixer(x) - x.roll(1, dims=1)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(set(losses), reverse=True)
    for name, parameter in mixer.named_parameters():
        moved = parameter != before[name]
        if gated and name != "fade_gate":
            continue  # too few steps for parameters behind a gate near 0
        # Taps beyond a filter's scale stay zero.
        assert moved.any() if name.endswith("analysis") else moved.float().mean() > 0.9, name


@EVERY_CASE
def test_gradcheck(case):
    x = signal(1, 6).requires_grad_()
    assert torch.autograd.gradcheck(double(case), (x,), fast_mode=True)


@EVERY_CASE
@pytest.mark.filterwarnings("ignore:There is a performance drop")  # vmap loops over some operators
def test_gradients_of_every_signal_with_torch_func(case):
    mixer, x = double(case), signal(3, T)
    parameters = dict(mixer.named_parameters())

    def loss(parameters, x):
        return torch.func.functional_call(mixer, parameters, (x.unsqueeze(0),)).square().sum()

    found = torch.func.vmap(torch.func.grad(loss, (0, 1)), (None, 0))(parameters, x)
    for b in range(3):
        one = x[b].requires_grad_()
        wanted = torch.autograd.grad(loss(parameters, one), [*parameters.values(), one])
        here = [gradient[b] for gradient in [*found[0].values(), found[1]]]
        torch.testing.assert_close(here, list(wanted))


@EVERY_CASE
def test_autocast(case):
    mixer = build_case(case)
    x = signal(1, T, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = mixer(x)
    assert_same(y, mixer(x), share=0.05)


@EVERY_CASE
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_parameters_may_have_another_dtype_than_the_signal(case, dtype):
    mixer = build_case(case).float()
    x = signal(1, T, dtype=dtype).requires_grad_()
    y = mixer(x)
    assert y.dtype == dtype
    assert_same(y, mixer(x.float()), share=0.05)
    y.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in [x, *mixer.parameters()])
    step = mixer(x[:, :1].detach(), state=mixer.new_state())
    assert step.dtype == dtype
    assert_same(step, y[:, :1], share=0.05)


@EVERY_CASE
def test_gradient_checkpointing(case):
    mixer, x = double(case), signal(1, T).requires_grad_()
    checkpointed = functools.partial(checkpoint, mixer, use_reentrant=False)
    torch.testing.assert_close(with_gradients(checkpointed, [x]), with_gradients(mixer, [x]))


@EVERY_CASE
@pytest.mark.unchecked
def test_compiles_without_graph_breaks(case):
    mixer, x = double(case), signal(2, T).requires_grad_()
    compiled = torch.compile(mixer, fullgraph=True, backend="aot_eager")
    found, expected = (
        with_gradients(lambda x, *_, run=run: run(x), [x, *mixer.parameters()])
        for run in (compiled, mixer)
    )
    torch.testing.assert_close(found, expected)


@EVERY_CASE
@pytest.mark.unchecked
def test_compiled_one_token_decoding(case):
    mixer = double(case)
    x = signal(1, 6)

    @torch.compile(fullgraph=True, backend="aot_eager")
    def step(token, state):
        return mixer(token, state=state)

    with torch.no_grad():
        state = mixer.new_state()
        steps = [mixer(x[:, :1], state=state)]
        steps += [step(x[:, t : t + 1], state) for t in range(1, 6)]
        torch.testing.assert_close(torch.cat(steps, dim=1), mixer(x))


@EVERY_CASE
@pytest.mark.unchecked
def test_refusals(case):
    mixer = build_case(case)
    with pytest.raises(ValueError, match=r"\(batch, tokens, 12\), got \(1, 4, 3\)"):
        mixer(torch.zeros(1, 4, 3))
    with pytest.raises(ValueError, match=r"segment_ids must have shape \(1, 4\).*\(1, 3\)"):
        mixer(torch.zeros(1, 4, 12), segment_ids=torch.zeros(1, 3, dtype=torch.int64))
    for dtype in (torch.int64, torch.complex64):
        with pytest.raises(ValueError, match=f"x must have a floating type, got {dtype}"):
            mixer(torch.zeros(1, 4, 12, dtype=dtype))
    with pytest.raises(ValueError, match=r"got torch.int64: pass padding_mask.bool\(\)"):
        mixer(torch.zeros(1, 4, 12), padding_mask=torch.ones(1, 4, dtype=torch.int64))
    state = mixer.new_state()
    mixer(torch.zeros(1, 4, 12), state=state)
    with pytest.raises(ValueError, match="use one state per mixer"):
        mixer(torch.zeros(2, 4, 12), state=state)


@EVERY_CASE
def test_the_finite_check_names_the_first_bad_value(case):
    mixer, x = start(case, check_finite=True), signal(2, T, dtype=torch.float32)
    mixer(x)
    x[1, 4, 7] = float("nan")
    x[1, 9, 2] = float("inf")
    with pytest.raises(ValueError, match=r"nan at batch 1, token 4, channel 7, the first of 2"):
        mixer(x)
    mixer(x, padding_mask=torch.isfinite(x).all(-1))
    build_case(case)(x)
