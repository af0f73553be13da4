"""Recipes: complete, typed configurations of an experiment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml

from latentwave.data import CorpusConfig
from latentwave.errors import UserError
from latentwave.mixers import MixerConfig

BASELINE = "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """A decoder, or an encoder for classification, trained from scratch.

    Attributes:
        architecture: "gpt2" (learned positions, LayerNorm, GELU), "llama" (rotary positions,
            RMSNorm, SwiGLU) or "encoder" (ModernBERT: bidirectional, rotary positions, GeGLU),
            which classifies, also raw sound.
        num_layers: decoder or encoder layers.
        hidden_size: D, embedding coordinates.
        num_heads: attention heads; they divide hidden_size.
        intermediate_size: width of the feed-forward layers.
        context_length: L, tokens that the model reads at once; frames of raw sound.
        dropout: probability of dropping an activation (not with llama).
        frontend_channels: filters of the first of the two convolutions that make frames of raw
            sound.
        frontend_kernel_sizes: taps of the two.
        frontend_strides: of the two; their product is the samples per frame.
    """

    architecture: Literal["gpt2", "llama", "encoder"] = "gpt2"
    num_layers: int = 10
    hidden_size: int = 128
    num_heads: int = 8
    intermediate_size: int = 512
    context_length: int = 512
    dropout: float = 0.0
    frontend_channels: int = 64
    frontend_kernel_sizes: list[int] = dataclasses.field(default_factory=lambda: [64, 20])
    frontend_strides: list[int] = dataclasses.field(default_factory=lambda: [16, 10])

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: for a value out of range.
        """
        if self.architecture not in ("gpt2", "llama", "encoder"):
            raise UserError(
                'backbone.architecture must be "gpt2", "llama" or "encoder", got '
                f"{self.architecture!r}"
            )
        sizes = ("num_layers", "hidden_size", "num_heads", "intermediate_size")
        _at_least(self, "backbone", 1, *sizes, "frontend_channels")
        for name in ("frontend_kernel_sizes", "frontend_strides"):
            values = getattr(self, name)
            if len(values) != 2 or min(values) < 1:
                raise UserError(f"backbone.{name} must be two numbers >= 1, got {values}")
        _at_least(self, "backbone", 2, "context_length")
        if self.hidden_size % self.num_heads:
            raise UserError(
                f"backbone.num_heads={self.num_heads} must divide backbone.hidden_size="
                f"{self.hidden_size}"
            )
        if not 0 <= self.dropout < 1:
            raise UserError(f"backbone.dropout must be in [0, 1), got {self.dropout}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContestantConfig:
    """What one contestant of a comparison adds to the backbone.

    Attributes:
        kind: the mixer, one of `latentwave.list_mixers()`; null for the plain backbone.
        options: of that mixer.
        placement: "between" the decoder layers, after "all", or after the layers of a list.
    """

    kind: str | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    placement: str | list[int] = "between"

    def __post_init__(self) -> None:
        """Check kind and option names.

        Raises:
            UserError: if they are unknown, or options are given without a kind.
        """
        if self.kind is not None:
            MixerConfig(kind=self.kind, options=self.options)
        elif self.options:
            raise UserError(f"options {sorted(self.options)} need a kind of mixer")

    @property
    def mixer(self) -> MixerConfig | None:
        """The mixer's configuration, None for the plain backbone."""
        return None if self.kind is None else MixerConfig(kind=self.kind, options=self.options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How every contestant is trained: AdamW, linear warm-up, cosine decay to zero.

    Attributes:
        num_steps: optimizer steps.
        batch_size: windows of context_length tokens, or labelled documents, per step, over all
            processes.
        learning_rate: its peak.
        num_warmup_steps: steps of linear warm-up.
        weight_decay: of AdamW, on matrices only.
        adam_beta2: decay of AdamW's second moment.
        max_grad_norm: gradients are scaled down to this norm.
        evaluate_every_steps: distance of the points of the loss curve.
        num_evaluation_windows: windows of the fixed validation grid, or labelled documents.
        save_every_steps: distance of checkpoints, a multiple of evaluate_every_steps.
        separate_documents: keep the documents of a window apart: attention, filters and positions
            stop at their borders, and a document's first token is not predicted.
        precision: "float32", or "bfloat16" for what autocast computes in it; parameters and
            optimizer stay in float32.
        engine: how several processes train one model: "ddp", "fsdp2", or "auto": what
            `accelerate launch` was configured for, else "ddp". One process needs none.
        gradient_accumulation_steps: forward passes per optimizer step. A pass of one process has
            batch_size / (processes · gradient_accumulation_steps) windows.
        gradient_checkpointing: recompute activations in the backward pass to save memory.
        compile: run the model through torch.compile.
        timeout_seconds: how long to wait for another process that does not answer.
    """

    # What may change when a run is resumed: the curve stays the same to rounding.
    EXECUTION: ClassVar[tuple[str, ...]] = (
        "engine",
        "gradient_accumulation_steps",
        "gradient_checkpointing",
        "compile",
        "timeout_seconds",
    )

    num_steps: int = 1000
    batch_size: int = 16
    learning_rate: float = 1e-3
    num_warmup_steps: int = 100
    weight_decay: float = 0.1
    adam_beta2: float = 0.95
    max_grad_norm: float = 1.0
    evaluate_every_steps: int = 50
    num_evaluation_windows: int = 64
    save_every_steps: int = 100
    separate_documents: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    engine: Literal["auto", "ddp", "fsdp2"] = "auto"
    gradient_accumulation_steps: int = 1
    gradient_checkpointing: bool = False
    compile: bool = False
    timeout_seconds: int = 600

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: for a value out of range.
        """
        counts = ("num_steps", "batch_size", "evaluate_every_steps", "num_evaluation_windows")
        _at_least(self, "training", 1, *counts, "save_every_steps")
        _at_least(self, "training", 1, "gradient_accumulation_steps", "timeout_seconds")
        _at_least(self, "training", 0, "num_warmup_steps", "weight_decay")
        for name in ("learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise UserError(f"training.{name} must be > 0, got {getattr(self, name)}")
        for name, known in (
            ("precision", ("float32", "bfloat16")),
            ("engine", ("auto", "ddp", "fsdp2")),
        ):
            if getattr(self, name) not in known:
                raise UserError(
                    f"training.{name} must be one of {', '.join(known)}, got "
                    f"{getattr(self, name)!r}"
                )
        if self.batch_size % self.gradient_accumulation_steps:
            raise UserError(
                f"training.gradient_accumulation_steps={self.gradient_accumulation_steps} must "
                f"divide training.batch_size={self.batch_size}"
            )
        if not 0 < self.adam_beta2 < 1:
            raise UserError(f"training.adam_beta2 must be in (0, 1), got {self.adam_beta2}")
        for name in ("num_steps", "save_every_steps"):
            if getattr(self, name) % self.evaluate_every_steps:
                raise UserError(
                    f"training.{name}={getattr(self, name)} must be a multiple of "
                    f"training.evaluate_every_steps={self.evaluate_every_steps}"
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A complete experiment: one backbone on one corpus, with and without mixers.

    Attributes:
        name: of the recipe.
        task: "language-model", "classification", or null: classification where documents have
            labels.
        corpus: what is read.
        backbone: what is trained.
        contestants: what is compared, by name; the plain backbone is called "none".
        training: how.
        seeds: one run of every contestant for each; initial backbone weights and batches depend
            on the seed alone.
    """

    name: str
    task: Literal["language-model", "classification"] | None = None
    corpus: CorpusConfig = dataclasses.field(default_factory=CorpusConfig)
    backbone: BackboneConfig = dataclasses.field(default_factory=BackboneConfig)
    contestants: dict[str, ContestantConfig]
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    seeds: list[int] = dataclasses.field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        """Check names and seeds.

        Raises:
            UserError: if there are no seeds, a seed twice, or a name that cannot be a folder's,
                or an unknown task.
        """
        if self.task not in (None, "language-model", "classification"):
            raise UserError(f'task must be "language-model" or "classification", got {self.task!r}')
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise UserError(f"seeds must be distinct numbers >= 0, at least one, got {self.seeds}")
        for name in self.contestants:
            if not name or not all(c.isalnum() or c in "._-+" for c in name) or name[0] == ".":
                raise UserError(
                    f"contestant {name!r} names a folder: use letters, digits and . _ - + only"
                )

    def contestant(self, name: str) -> ContestantConfig:
        """The contestant of that name.

        Raises:
            UserError: if there is none.
        """
        if name not in self.contestants:
            raise UserError(
                f"the recipe has no contestant {name!r}, only {', '.join(self.contestants)}"
            )
        return self.contestants[name]

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers, as in the YAML file."""
        return dataclasses.asdict(self)


def recipe_from_dict(values: Mapping[str, Any], source: str = "the recipe") -> Recipe:
    """The inverse of `Recipe.to_dict`.

    Args:
        values: nested dictionaries.
        source: named in errors.

    Raises:
        UserError: for a key that does not exist, one that lacks, or a value out of range.
    """
    try:
        return Recipe(
            **{
                **values,
                "corpus": CorpusConfig(**values.get("corpus", {})),
                "backbone": BackboneConfig(**values.get("backbone", {})),
                "training": TrainingConfig(**values.get("training", {})),
                "contestants": {
                    name: ContestantConfig(**(options or {}))
                    for name, options in values.get("contestants", {}).items()
                },
            }
        )
    except (TypeError, AttributeError) as error:  # an unknown or missing key, a list for a map
        raise UserError(f"{source} does not fit: {error}") from error


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a YAML file.

    Raises:
        UserError: if the file is missing, no YAML, or does not fit.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"there is no recipe {path}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no recipe: expected keys and values")
    return recipe_from_dict(values, str(path))


def _at_least(config: object, group: str, least: int, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value < least:
            raise UserError(f"{group}.{name} must be >= {least}, got {value}")
