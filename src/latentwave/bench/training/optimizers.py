"""The optimizers (AdamW, Muon) and learning-rate schedules of training runs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import PreTrainedModel, get_scheduler

from latentwave.bench.training.settings import TrainingConfig
from latentwave.errors import UserError
from latentwave.hub.decoder import decoder_layers
from latentwave.hub.parameter_groups import parameter_groups

# Our names for transformers' schedules.
_SCHEDULES = {"cosine": "cosine", "constant": "constant_with_warmup", "wsd": "warmup_stable_decay"}
# The tensors that each optimizer keeps for a parameter.
_STATE = {"adamw": ("exp_avg", "exp_avg_sq"), "muon": ("momentum_buffer",)}


class BatchedMuon(Muon):
    """torch's Muon for one group of matrices, those of one shape orthogonalised together.

    Taken one by one, the matrices of a small model cost more time in kernel launches than its
    training. State, options and, to rounding, results are those of `torch.optim.Muon`.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step; closures are not supported."""
        (group,) = self.param_groups
        parameters = [p for p in group["params"] if p.grad is not None]
        if not parameters:
            return
        gradients: list[Tensor] = [p.grad for p in parameters]
        for p, gradient in zip(parameters, gradients, strict=True):
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(gradient)
        buffers = [self.state[p]["momentum_buffer"] for p in parameters]
        momentum, rate = group["momentum"], float(group["lr"])
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        updates = (
            torch._foreach_lerp(gradients, buffers, momentum) if group["nesterov"] else buffers
        )
        torch._foreach_mul_(parameters, 1 - rate * group["weight_decay"])
        by_shape: dict[torch.Size, list[int]] = {}
        for index, p in enumerate(parameters):
            by_shape.setdefault(p.shape, []).append(index)
        for shape, indices in by_shape.items():
            stacked = torch.stack([updates[index] for index in indices])
            turned = _orthogonalised(stacked, group).to(parameters[0].dtype)
            torch._foreach_add_(
                [parameters[index] for index in indices],
                list(turned.unbind()),
                alpha=-rate * 0.2 * max(shape) ** 0.5,  # "match_rms_adamw"
            )


def _orthogonalised(matrices: Tensor, group: dict[str, Any]) -> Tensor:
    """The nearest orthogonal matrices of a stack, by Newton and Schulz's quintic iteration."""
    a, b, c = group["ns_coefficients"]
    X = matrices.bfloat16()
    wide = X.shape[-2] <= X.shape[-1]
    X = X if wide else X.mT
    X = X / X.norm(dim=(-2, -1), keepdim=True).clamp(min=group["eps"])
    for _ in range(group["ns_steps"]):
        gram = X @ X.mT
        X = torch.baddbmm(X, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), X, beta=a)
    return X if wide else X.mT


class MuonWithAdamW(Optimizer):
    """Muon for the first group and AdamW for the others, as one optimizer.

    The two work on this optimizer's groups and state, so schedules, checkpoints and accelerate see
    an ordinary optimizer.

    Reference: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); its
    updates are scaled to the root mean square of AdamW's (Liu et al., 2025, "match_rms_adamw").
    """

    def __init__(self, muon: BatchedMuon, adamw: AdamW) -> None:
        self._muon, self._adamw = muon, adamw
        super().__init__([*muon.param_groups, *adamw.param_groups], {})

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step of both; closures are not supported."""
        # `load_state_dict` replaces groups and state.
        self._muon.param_groups[:] = self.param_groups[:1]
        self._adamw.param_groups[:] = self.param_groups[1:]
        self._muon.state = self._adamw.state = self.state
        self._muon.step()
        self._adamw.step()


def make_optimizer(model: PreTrainedModel, settings: TrainingConfig) -> Optimizer:
    """The optimizer of a recipe, for all trainable parameters of a model.

    `latentwave.parameter_groups` decides what decays. Muon takes the decayed matrices inside the
    decoder layers, hence none of a mixer, whose matrices do not map channels to channels.
    """
    groups = parameter_groups(model, weight_decay=settings.weight_decay)
    options: dict[str, Any] = {
        "lr": settings.learning_rate,
        "betas": (0.9, settings.adam_beta2),
        "fused": True,
    }
    if settings.optimizer == "adamw":
        return AdamW(groups, **options)
    inside = {id(p) for layer in decoder_layers(model) for p in layer.parameters()}
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for p in groups[0]["params"]:
        (matrices if id(p) in inside and p.dim() == 2 else rest).append(p)
    muon = BatchedMuon(
        matrices,
        lr=settings.muon_learning_rate or settings.learning_rate,
        weight_decay=settings.weight_decay,
        momentum=0.95,
        adjust_lr_fn="match_rms_adamw",
    )
    others = [{**groups[0], "params": rest}] if rest else []
    return MuonWithAdamW(muon, AdamW(others + groups[1:], **options))


def make_schedule(optimizer: Optimizer, settings: TrainingConfig) -> LambdaLR:
    """The schedule of a recipe: the learning rate of every step as a factor of its peak."""
    num_steps, options = settings.num_steps, dict[str, Any]()
    if settings.schedule == "wsd":
        decay = num_steps - first_decay_step(num_steps, settings.decay_fraction)
        options = {"num_decay_steps": decay, "decay_type": "linear"}
    schedule: LambdaLR = get_scheduler(
        _SCHEDULES[settings.schedule], optimizer, settings.num_warmup_steps, num_steps, options
    )
    return schedule


def check_warmup(settings: TrainingConfig) -> None:
    """Refuse a warm-up that leaves no step at the peak, or reaches into the decay of "wsd"."""
    steps, most = settings.num_steps, settings.num_steps - 1
    if settings.schedule == "wsd":
        most = first_decay_step(steps, settings.decay_fraction)
    if settings.num_warmup_steps > most:
        raise UserError(
            f"training.num_warmup_steps={settings.num_warmup_steps} is too long for "
            f"training.num_steps={steps} with the schedule {settings.schedule!r}: use at most "
            f"{most}"
        )


def rewind_schedule(scheduler: LRScheduler, step: int) -> None:
    """Move a schedule of `make_schedule` to a step, and the optimizer to its rates there."""
    (factor,) = {*scheduler.lr_lambdas}  # type: ignore[attr-defined]
    scheduler.last_epoch, scheduler._step_count = step, step + 1
    scheduler._last_lr = [rate * factor(step) for rate in scheduler.base_lrs]
    for group, rate in zip(scheduler.optimizer.param_groups, scheduler._last_lr, strict=True):
        group["lr"] = rate


def first_decay_step(num_steps: int, decay_fraction: float) -> int:
    """The step at which the schedule "wsd" leaves its constant rate.

    Example:
        >>> first_decay_step(1000, 0.2)
        800
    """
    return num_steps - max(1, round(decay_fraction * num_steps))


def state_tensors(optimizer: Optimizer) -> dict[nn.Parameter, dict[str, Tensor]]:
    """An optimizer's state by parameter, without its step count; zeros before the first step.

    These are the tensors in use: the optimizer goes on with what is written into them.
    """
    states = {}
    for group in optimizer.param_groups:
        names = _STATE["muon" if "momentum" in group else "adamw"]
        for p in group["params"]:
            used = optimizer.state.get(p, {})
            states[p] = {n: used[n] if n in used else torch.zeros_like(p) for n in names}
    return states
