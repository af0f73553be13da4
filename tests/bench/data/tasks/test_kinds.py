"""Every labelled corpus, from files in its own layout to a token store."""

import warnings

import numpy as np
import pytest

from latentwave.bench.data import CORPORA, CorpusConfig, open_store, prepare, tasks
from latentwave.errors import UserError
from tests.bench.data.tasks.test_listops import write_files as write_listops
from tests.bench.data.tasks.test_pixels import write_cifar, write_mnist
from tests.bench.data.tasks.test_retrieval import write_books
from tests.bench.data.tasks.test_retrieval import write_tables as write_pairs
from tests.bench.data.tasks.test_reviews import write_acl_imdb, write_zip
from tests.bench.data.tasks.test_reviews import write_tables as write_imdb
from tests.bench.data.tasks.test_sounds import write_digits, write_esc50, write_fsd50k

DRAWN = {"num_train": 20, "num_validation": 4, "num_test": 6}


def movies(folder):
    names = [f"{label}/{n}.txt" for label in ("pos", "neg") for n in range(15)]
    return write_zip(folder / "movies.zip", names)


def mnist(folder):
    write_mnist(folder, "t10k", 30)
    return folder


CASES = {
    "listops": (None, DRAWN | {"min_length": 10, "max_length": 60}, (20, 4, 6)),
    "listops-files": (lambda f: write_listops(f, "[MIN 1 2 ]\t1\n" * 3), {}, (3, 1, 1)),
    "imdb": (lambda f: write_imdb(f, packed=True), {"validation": 0.25}, (15, 5, 1)),
    "imdb-folders": (lambda f: write_acl_imdb(f / "a"), {"validation": 0.25}, (15, 5, 20)),
    "movie-reviews": (movies, {"validation": 0.1, "test": 0.2}, (21, 3, 6)),
    "mnist-pixels": (mnist, {"validation": 0.1, "test": 0.2}, (21, 3, 6)),
    "cifar10-pixels": (write_cifar, {"validation": 0.2}, (16, 4, 4)),
    "digits-pixels": (None, {"validation": 0.1, "test": 0.1}, (1437, 180, 180)),
    "aan-pairs": (write_pairs, {}, (2, 1, 1)),
    "book-pairs": (
        write_books,
        DRAWN | {"passage_bytes": 50, "validation": 0.2, "test": 0.2},
        (20, 4, 6),
    ),
    "fsd50k": (write_fsd50k, {"sample_rate": 8000}, (2, 1, 2)),
    "esc": (write_esc50, {"sample_rate": 8000, "fold": 2}, (9, 3, 3)),
    "spoken-digits": (lambda f: write_digits(f / "digits.zip"), {}, (20, 20, 20)),
}


def config_of(case, folder):
    write, options, _ = CASES[case]
    name = case if case in CORPORA else case.rpartition("-")[0]
    folder.mkdir()
    path = {} if write is None else {"path": str(write(folder))}
    return CorpusConfig(name=name, **path, **options)


def test_no_kind_is_forgotten():
    assert {kind.name for kind in tasks.KINDS} <= set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_a_corpus_becomes_a_labelled_store(case, tmp_path):
    if case in ("fsd50k", "esc", "spoken-digits"):
        pytest.importorskip("soundfile")
    config = config_of(case, tmp_path / "files")
    store = prepare(config)
    meta = store.metadata
    sizes = tuple(len(store.spans(split)) for split in ("train", "validation", "test"))
    assert sizes == CASES[case][2]
    assert meta.multi_label == (case == "fsd50k")
    assert len(store.labels) == meta.num_documents == sum(sizes)
    assert store.labels.max() < meta.num_classes
    for split in meta.splits:
        tokens = store.split(split)
        assert meta.vocab_size == 0 or tokens.max() < meta.vocab_size
        separators = 0 if meta.tokenizer != "byte-pairs" else len(store.spans(split))
        assert meta.splits[split].num_units[meta.unit] == len(tokens) - separators
    assert type(store.codec).kind == meta.tokenizer
    store.verify()
    # The same corpus again is the same store, found by its fingerprint.
    again = prepare(config)
    assert again.folder == store.folder
    assert open_store(store.folder).metadata == meta


def test_labels_stay_with_their_documents(tmp_path):
    store = prepare(config_of("spoken-digits", tmp_path / "files"))
    assert np.bincount(store.labels).tolist() == [6] * 10
    multi = prepare(config_of("fsd50k", tmp_path / "sounds"))
    assert multi.labels.tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [0, 0, 1]]


def test_other_rules_are_another_store(tmp_path):
    rules = DRAWN | {"min_length": 10, "max_length": 60}
    one, other = (prepare(CorpusConfig(name="listops", seed=seed, **rules)) for seed in (0, 1))
    assert one.folder != other.folder
    # Rules that are written out are those that stand there anyway.
    written = prepare(CorpusConfig(name="listops", max_depth=10, **rules))
    assert (
        written.split("train").tolist()
        == prepare(CorpusConfig(name="listops", **rules)).split("train").tolist()
    )


def test_what_was_not_downloaded_is_named():
    with pytest.raises(UserError, match="esc-50"):
        prepare(CorpusConfig(name="esc"))


def test_the_release_of_the_long_range_arena(tmp_path):
    inner = tmp_path / "lra_release" / "listops-1000"
    inner.mkdir(parents=True)
    write_listops(inner, "[MIN 1 2 ]\t1\n" * 3)
    listops = prepare(CorpusConfig(name="listops", path=str(tmp_path / "lra_release")))
    assert len(listops.spans("train")) == 3
    pairs = tmp_path / "lra_release" / "tsv_data"
    pairs.mkdir()
    write_pairs(pairs)
    store = prepare(CorpusConfig(name="aan-pairs", path=str(tmp_path / "lra_release")))
    assert len(store.spans("train")) == 2


def test_damaged_sound_is_counted_in_the_store(tmp_path):
    pytest.importorskip("soundfile")
    names = ["recordings/3_ann_10.wav"]
    path = write_digits(tmp_path / "digits.zip", names)
    with pytest.warns(UserWarning, match="skipped 1"):
        store = prepare(CorpusConfig(name="spoken-digits", path=str(path)))
    assert [file.name for file in store.metadata.provenance.skipped] == names
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert prepare(CorpusConfig(name="spoken-digits", path=str(path))).folder == store.folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "imdb"}, "'imdb' needs a path: the folder aclImdb"),
        ({"name": "esc", "path": "x", "seed": 1}, "takes no seed, got 1; it is an option of"),
        ({"name": "listops", "sample_rate": 8000}, "takes no sample_rate"),
        ({"name": "python-docs", "fold": 1}, "takes no fold, got 1; it is an option of: esc"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(UserError, match=message):
        CorpusConfig(**options)
