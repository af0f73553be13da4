"""Made-up comparisons, typed as real ones."""

from latentwave.bench.comparison.results import (
    ClockRecord,
    ContestantResults,
    CorpusRecord,
    DecodingCost,
    Environment,
    Evaluation,
    MixerRecord,
    Provenance,
    Results,
    StepSeconds,
)
from latentwave.bench.comparison.summary import derive

ENVIRONMENT = Environment(
    versions={"python": "3.11.7", "torch": "2.13.0"},
    cpu="Example CPU",
    cores=2,
    accelerator=None,
    threads=2,
    platform="Linux",
    commit="0123abc456def",
)
UNITS = {"character": 1.0}


def made_up_results(finals, steps=(0, 100, 200, 300, 400), step_seconds=0.5, **changes):
    """Curves that fall on a straight line from 4 nats to each seed's final loss.

    A final loss of None is that of a run that diverged.
    """

    def loss(final, step):
        if final is None:
            return None if step == steps[-1] else 4.0
        return 4 + (final - 4) * step / steps[-1]

    def point(own, step):
        losses = [loss(final, step) for final in own]
        return Evaluation(
            steps=step,
            tokens=64 * step,
            flops=64 * step * 1e6,
            seconds=step * step_seconds,
            loss=None if None in losses else sum(losses) / len(losses),
            losses=losses,
        )

    curves = {name: [point(own, step) for step in steps] for name, own in finals.items()}
    contestants = {
        name: ContestantResults(
            **derive(curve, curves["none"], UNITS),
            num_parameters=1_200_000,
            num_mixer_parameters=0,
            flops_per_token=1e6,
            peak_memory_bytes=7_000_000,
            decoding=DecodingCost(flops_per_token=3e5, cache_bytes=524_288, mixer_state_bytes=0),
            mixers=[] if name == "none" else [MixerRecord(kind="wavelet", points=["block"])],
            learning_rate=1e-3,
            num_steps=steps[-1],
            curve=curve,
        )
        for name, curve in curves.items()
    }
    times = StepSeconds(median=step_seconds, shortest=step_seconds, longest=step_seconds)
    fields = {
        "recipe": {"name": "made-up", "training": {"learning_rate": 1e-3}},
        "budget": "tokens",
        "environment": ENVIRONMENT,
        "commits": ["0123abc456def"],
        "clock": ClockRecord(
            rounds=7,
            busy_cores=0.02,
            environment=ENVIRONMENT,
            step_seconds=dict.fromkeys(finals, times),
        ),
        "corpus": CorpusRecord(
            name="text",
            num_tokens=1_000_000,
            vocab_size=27,
            tokenizer="characters",
            units_per_token=UNITS,
            num_classes=None,
            sha256="00",
            provenance=Provenance(
                sources=[],
                num_sources=30,
                num_source_bytes=1_000_000,
                num_skipped_files=0,
                python_version="3.11.7",
            ),
        ),
        "task": "language-model",
        "loss_unit": "token",
        "metrics_split": None,
        "seeds": list(range(len(finals["none"]))),
        "command": "latentwave compare recipes/made-up.yaml",
        "contestants": contestants,
    }
    return Results(**(fields | changes))
