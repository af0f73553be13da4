"""Classifiers of labelled documents, from the files to a comparison."""

import dataclasses
import json

import numpy as np
import pytest

from latentwave.bench.comparison import compare, read_results
from latentwave.bench.data import CorpusConfig, prepare
from latentwave.bench.report import summary_table, write_report
from latentwave.bench.report.headline import write_headline
from latentwave.bench.training import (
    ContestantConfig,
    evaluate_on_split,
    load_run,
    open_objective,
    read_result,
    train,
)
from latentwave.bench.training.checkpoint import newest_checkpoint
from latentwave.bench.training.objective import Classification
from latentwave.bench.training.wave_encoder import WaveEncoderForAudioClassification
from latentwave.errors import UserError
from tests.bench.data.tasks import made
from tests.bench.training.conftest import QUIET
from tests.comparing import assert_differ
from tests.processes import run_processes
from tests.tiny import tiny_backbone, tiny_recipe, write_text


@pytest.fixture(scope="module", autouse=True)
def _own_home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENTWAVE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


WAVELET = ContestantConfig(kind="wavelet")


def recipe_of(corpus, architecture="llama", mixer=WAVELET, **changes):
    backbone = tiny_backbone(
        architecture=architecture,
        frontend_channels=4,
        frontend_kernel_sizes=[8, 4],
        frontend_strides=[4, 5],
    )
    changes["training"] = {"learning_rate": 5e-3} | changes.get("training", {})
    contestants = {"none": ContestantConfig(), "mixed": mixer}
    return tiny_recipe(
        "unused", corpus=corpus, backbone=backbone, contestants=contestants, **changes
    )


def sounds_of(write, folder):
    pytest.importorskip("soundfile")
    return CorpusConfig(name="fsd50k", path=str(write(folder / "s")), sample_rate=made.RATE)


LISTOPS = CorpusConfig(
    name="listops", num_train=60, num_validation=12, num_test=10, min_length=5, max_length=30
)


@pytest.fixture(scope="module")
def listops():
    return prepare(LISTOPS)


def train_mixed(recipe, store, folder):
    return train(recipe, "mixed", 0, store, folder, console=QUIET)


def check_final_metrics(folder, store, result):
    """The saved model and its codec, and the number of test documents."""
    model, codec = load_run(folder)
    measured, count = evaluate_on_split(model, store, "test", batch_size=3)
    assert measured == pytest.approx(result.metrics, rel=1e-5)
    return model, codec, count


@pytest.fixture(scope="module")
def finished(listops, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "finished"
    return folder, train_mixed(recipe_of(LISTOPS), listops, folder)


def test_a_classifier_learns_and_records(finished):
    folder, result = finished
    assert [point.step for point in result.curve] == [0, 2, 4, 6, 8]
    assert result.final_loss == result.curve[-1].loss
    assert_differ(result.final_loss, result.curve[0].loss)
    assert all(set(point.metrics) == {"accuracy"} for point in result.curve)
    assert set(result.metrics) == {"loss", "accuracy"}
    assert result.metrics_split == "test"
    assert json.loads((folder / "result.json").read_text())["metrics"] == result.metrics


def test_the_saved_model_has_the_final_metrics(finished, listops):
    folder, result = finished
    model, codec, count = check_final_metrics(folder, listops, result)
    assert (codec.kind, count) == ("listops", 10)
    assert model.config.id2label[7] == "7"
    assert len(model.model.layers[0].latentwave_mixer.levels) == 8
    model.config.id2label[9] = "nine"
    with pytest.raises(UserError, match=r"the model knows 10 classes .* has others"):
        evaluate_on_split(model, listops, "test")


def test_tokens_are_those_of_the_mean_document(listops):
    objective = open_objective(recipe_of(LISTOPS), listops)
    lengths = np.diff(np.append(listops.spans("train")[:, 1], len(listops.split("train"))))
    assert objective.tokens_per_step == 4 * int(lengths.mean())
    inputs, num_tokens = objective.one_item()
    assert inputs["input_ids"].shape == (1, num_tokens)


def test_accumulated_batches_give_the_same_gradients(listops, tmp_path):
    """The mean over a batch equals the mean of its halves; a sum would not."""
    norms = []
    for parts in (1, 2):
        # GPT-2's loss is a mean whatever the Trainer asks for; Adam hides the scale of gradients.
        recipe = recipe_of(LISTOPS, "gpt2", training={"gradient_accumulation_steps": parts})
        folder = tmp_path / str(parts)
        train_mixed(recipe, listops, folder)
        state = json.loads((newest_checkpoint(folder) / "trainer_state.json").read_text())
        norms.append([entry["grad_norm"] for entry in state["log_history"] if "grad_norm" in entry])
    assert len(norms[0]) == 4
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)


def write_moods(folder):
    """Reviews whose mood shows in their letters."""
    rng = np.random.default_rng(0)
    for mood, letters in (("pos", "abc"), ("neg", "xyz")):
        (folder / mood).mkdir(parents=True)
        for number in range(40):
            text = "".join(rng.choice(list(letters), size=10 + number % 9))
            (folder / mood / f"{number}.txt").write_text(text)
    return folder


def test_a_comparison_has_metrics_beside_losses(tmp_path):
    path = str(write_moods(tmp_path / "reviews"))
    corpus = CorpusConfig(name="movie-reviews", path=path, validation=0.2, test=0.2)
    compare(recipe_of(corpus, seeds=[0, 1]), prepare(corpus), tmp_path / "cmp", console=QUIET)
    results = read_results(tmp_path / "cmp")
    assert (results.task, results.loss_unit) == ("classification", "document")
    assert results.metrics_split == "test"
    for contestant in results.contestants.values():
        accuracy = contestant.metrics["accuracy"]
        assert 0 <= accuracy.low <= accuracy.mean <= accuracy.high <= 1
        assert contestant.bits_per == {}
        assert all(0 <= point.metrics["accuracy"] <= 1 for point in contestant.curve)
        assert contestant.curve[-1].steps == 8
        assert contestant.flops_per_token > 0
    assert results.contestants["none"].speedup.steps.mean == 1.0
    table = summary_table(results)
    assert list(table.heads[:3]) == ["contestant", "loss\nnats", "accuracy\ntest"]
    assert not any(head.startswith("bits") for head in table.heads)
    assert "nats per document, the baseline at" in write_headline(results).details
    page = write_report(results, tmp_path / "cmp").read_text()
    assert "validation loss [nats per document]" in page
    # Both start from the same backbone and read the same documents.
    starts = [results.contestants[name].curve[0].losses for name in ("none", "mixed")]
    assert_differ(starts[0], starts[1])
    assert_differ(starts[0][0], starts[0][1])  # two different seeds


def write_sounds(folder):
    """Three classes that differ in pitch; some clips have two of them."""
    rng = np.random.default_rng(0)
    names, pitches = ("low", "middle", "high"), (200.0, 700.0, 2000.0)
    rows = {"dev": ["fname,labels,mids,split"], "eval": ["fname,labels,mids"]}
    files = {}
    for number in range(60):
        own = sorted(rng.choice(3, size=1 + number % 2, replace=False))
        part = "dev" if number < 45 else "eval"
        split = f",{'train' if number < 35 else 'val'}" if part == "dev" else ""
        labels = ",".join(names[c] for c in own)
        rows[part].append(f'{number},"{labels}",/m/1{split}')
        wave = sum(made.tone(pitches[c], 0.08 + 0.02 * (number % 3)) for c in own)
        files[f"FSD50K.{part}_audio/{number}.wav"] = made.sound(wave / 2)
    tables = {part: "\n".join(own) + "\n" for part, own in rows.items()}
    tables["vocabulary"] = "".join(f"{i},{name},/m/{i}\n" for i, name in enumerate(names))
    tables = {f"FSD50K.ground_truth/{name}.csv": text for name, text in tables.items()}
    return made.write(folder, files | tables)


def test_the_same_flops_count_frames_of_any_length(tmp_path):
    corpus = sounds_of(write_sounds, tmp_path)
    settings = {"num_steps": 4, "evaluate_every_steps": 1, "save_every_steps": 4}
    coarse = ContestantConfig(backbone={"frontend_strides": [8, 5]})
    recipe = recipe_of(corpus, "encoder", mixer=coarse, training=settings, budget="flops")
    results = compare(recipe, prepare(corpus), tmp_path / "cmp", console=QUIET)
    plain, half = (own.curve[-1] for own in results.contestants.values())
    assert half.steps > plain.steps == 4
    per_step = half.flops / half.steps
    assert abs(half.flops - plain.flops) <= per_step / 2


NONCAUSAL = ContestantConfig(
    kind="filterbank", options={"causal": False, "num_filters": 4, "kernel_size": 5}
)


def test_tagging_raw_sound_finds_pitches(tmp_path):
    corpus = sounds_of(write_sounds, tmp_path)
    store = prepare(corpus)
    training = {"num_steps": 80, "evaluate_every_steps": 40, "save_every_steps": 80}
    training |= {"learning_rate": 1e-2, "num_evaluation_windows": 20}
    recipe = recipe_of(corpus, "encoder", mixer=NONCAUSAL, training=training)
    result = train_mixed(recipe, store, tmp_path / "run")
    assert set(result.metrics) == {"loss", "map"}
    # By chance it is the mean share of clips with a class, about one half.
    assert result.metrics["map"] > 0.85
    assert [set(point.metrics) for point in result.curve] == [{"map"}] * 3
    model, *_ = check_final_metrics(tmp_path / "run", store, result)
    assert isinstance(model, WaveEncoderForAudioClassification)
    assert model.config.problem_type == "multi_label_classification"


def train_all(rank, recipes, store, folder):
    for name, recipe in recipes.items():
        train_mixed(recipe, store, folder / name)


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(tmp_path):
    corpus = sounds_of(write_sounds, tmp_path)
    store = prepare(corpus)
    # 9 clips to validate cannot be shared fairly.
    base = {"learning_rate": 1e-2, "num_evaluation_windows": 9}
    small = {"gradient_accumulation_steps": 2, "gradient_checkpointing": True}
    recipes = {
        engine: recipe_of(
            corpus, "encoder", mixer=NONCAUSAL, training=base | options | {"engine": engine}
        )
        for engine, options in (("ddp", {}), ("fsdp2", small))
    }
    alone = train_mixed(recipes["ddp"], store, tmp_path / "alone")
    run_processes(2, train_all, tmp_path / "two", recipes, store, tmp_path / "two")
    for name, wrapper in (("ddp", "DistributedDataParallel"), ("fsdp2", "FSDPModule")):
        together = read_result(tmp_path / "two" / name)
        assert wrapper in together.environment["wrapper"]
        assert [point.loss for point in together.curve] == pytest.approx(
            [point.loss for point in alone.curve], rel=1e-4
        )
        assert together.metrics["loss"] == pytest.approx(alone.metrics["loss"], rel=1e-4)
        # Two almost equal scores may swap ranks.
        assert together.metrics["map"] == pytest.approx(alone.metrics["map"], abs=0.05)


@pytest.mark.parametrize("architecture", ["gpt2", "encoder"])
def test_other_backbones_classify_too(architecture, listops, tmp_path):
    training = {"num_steps": 2, "num_warmup_steps": 1, "save_every_steps": 2}
    result = train_mixed(
        recipe_of(LISTOPS, architecture, training=training), listops, tmp_path / "run"
    )
    check_final_metrics(tmp_path / "run", listops, result)


def test_what_does_not_fit(listops, tmp_path):
    text = tiny_recipe(write_text(tmp_path / "text.txt"))
    with pytest.raises(UserError, match="has no labels"):
        open_objective(dataclasses.replace(text, task="classification"), prepare(text.corpus))
    encoder = dataclasses.replace(text.backbone, architecture="encoder")
    objective = open_objective(dataclasses.replace(text, backbone=encoder), prepare(text.corpus))
    with pytest.raises(UserError, match="'encoder' reads later tokens and cannot predict"):
        objective.build(ContestantConfig(), 0)
    with pytest.raises(UserError, match="causal=False reads later tokens, the decoder 'llama'"):
        open_objective(recipe_of(LISTOPS), listops).build(NONCAUSAL, 0)
    with pytest.raises(UserError, match="a classifier reads one at a time"):
        open_objective(recipe_of(LISTOPS, training={"separate_documents": True}), listops)
    # A labelled corpus of tokens may also train a language model.
    as_text = open_objective(recipe_of(LISTOPS, task="language-model"), listops)
    assert type(as_text).__name__ == "LanguageModelling"
    assert isinstance(open_objective(recipe_of(LISTOPS), listops), Classification)


def test_raw_sound_needs_an_encoder(tmp_path):
    corpus = sounds_of(made.fsd50k, tmp_path)
    store = prepare(corpus)
    with pytest.raises(UserError, match="raw sound is classified by backbone.architecture"):
        open_objective(recipe_of(corpus, "gpt2"), store).build(ContestantConfig(), 0)
    with pytest.raises(UserError, match="raw samples without a vocabulary"):
        open_objective(recipe_of(corpus, "encoder", task="language-model"), store)
