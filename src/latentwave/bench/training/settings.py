"""The configuration of training: steps, batches, optimizer, schedule, precision, engine."""

import dataclasses
from typing import ClassVar, Literal

from latentwave.bench.data.checks import check_values, number
from latentwave.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How every contestant is trained.

    Attributes:
        num_steps: optimizer steps.
        batch_size: windows of context_length tokens, or labelled documents, per step, over all
            processes.
        learning_rate: the peak.
        schedule: of the learning rate after num_warmup_steps of linear warm-up. "cosine": down to
            zero. "wsd" (warm-up, stable, decay): constant, then linearly to zero over the last
            decay_fraction of num_steps. "constant": the stable part alone, from which runs with
            "wsd" can branch off.
        decay_fraction: of num_steps, see "wsd".
        num_warmup_steps: steps of linear warm-up, fewer than num_steps.
        optimizer: "adamw", or "muon": torch's Muon for the matrices inside the decoder layers and
            AdamW for the rest: embeddings, output layer, norms and all of the mixers.
        muon_learning_rate: Muon's peak, its updates scaled to the size of AdamW's; null:
            learning_rate.
        weight_decay: of the backbone's matrices; mixers, norms and biases do not decay.
        adam_beta2: decay of AdamW's second moment.
        max_grad_norm: larger gradients are scaled down to this norm.
        evaluate_every_steps: steps between two points of the loss curve.
        num_evaluation_windows: windows of the fixed validation grid, or labelled documents.
        save_every_steps: steps between checkpoints, a multiple of evaluate_every_steps.
        save_at_steps: further checkpoints, which are kept so that other runs can start from them.
        separate_documents: keep the documents of a window apart: attention, filters and positions
            stop at their borders, and a document's first token is not predicted.
        precision: "float32", or "bfloat16" for autocast; parameters and optimizer stay in float32.
        engine: how several processes train one model: "ddp", "fsdp2", or "auto": what
            `accelerate launch` was configured for, else "ddp". One process needs none.
        gradient_accumulation_steps: forward passes per optimizer step. A pass of one process has
            batch_size / (processes · gradient_accumulation_steps) windows.
        gradient_checkpointing: recompute activations in the backward pass to save memory.
        compile: run the model through torch.compile; null: where it pays, for language models if
            one of the contestants trains for 2,000 steps or more.
        tensorboard: write losses for TensorBoard.
        snapshots: keep the mixers' parameters at some evaluations, for `latentwave inspect`.
        timeout_seconds: how long to wait for another process that does not answer.
    """

    # Compiling takes as long as it saves in 400 to 1,700 steps of a small model on a CPU.
    LONG: ClassVar[int] = 2000

    # May change when a run is resumed: the curve stays the same to rounding.
    EXECUTION: ClassVar[tuple[str, ...]] = (
        "engine",
        "gradient_accumulation_steps",
        "gradient_checkpointing",
        "compile",
        "tensorboard",
        "snapshots",
        "timeout_seconds",
    )

    num_steps: int = number(1000, 1)
    batch_size: int = number(16, 1)
    learning_rate: float = number(1e-3, above=0)
    schedule: Literal["cosine", "wsd", "constant"] = "cosine"
    decay_fraction: float = number(0.2, above=0, most=1)
    num_warmup_steps: int = number(100, 0)
    optimizer: Literal["adamw", "muon"] = "adamw"
    muon_learning_rate: float | None = number(None, above=0)
    weight_decay: float = number(0.1, 0)
    adam_beta2: float = number(0.95, above=0, below=1)
    max_grad_norm: float = number(1.0, above=0)
    evaluate_every_steps: int = number(100, 1)
    num_evaluation_windows: int = number(64, 1)
    save_every_steps: int = number(100, 1)
    save_at_steps: list[int] = dataclasses.field(default_factory=list)
    separate_documents: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    engine: Literal["auto", "ddp", "fsdp2"] = "auto"
    gradient_accumulation_steps: int = number(1, 1)
    gradient_checkpointing: bool = False
    compile: bool | None = None
    tensorboard: bool = True
    snapshots: bool = True
    timeout_seconds: int = number(600, 1, most=10**6)

    def __post_init__(self) -> None:
        check_values(self, "training")
        steps = self.save_at_steps
        if steps != sorted(set(steps)) or min(steps, default=1) < 1:
            raise UserError(f"training.save_at_steps must be ascending numbers >= 1, got {steps}")
        if self.batch_size % self.gradient_accumulation_steps:
            raise UserError(
                f"training.gradient_accumulation_steps={self.gradient_accumulation_steps} must "
                f"divide training.batch_size={self.batch_size}"
            )
        for name in ("num_steps", "save_every_steps"):
            if getattr(self, name) % self.evaluate_every_steps:
                raise UserError(
                    f"training.{name}={getattr(self, name)} must be a multiple of "
                    f"training.evaluate_every_steps={self.evaluate_every_steps}"
                )
