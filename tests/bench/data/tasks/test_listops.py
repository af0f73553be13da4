import statistics

import pytest

from latentwave.bench.data.tasks.listops import (
    END,
    SYMBOLS,
    ListOpsRules,
    drawn_listops,
    evaluate,
    published_listops,
)
from latentwave.errors import UserError
from tests.bench.data.tasks import made

pytestmark = pytest.mark.filterwarnings("ignore:.* classes have no example to train on")

SMALL = {"num_train": 300, "num_validation": 20, "num_test": 20, "min_length": 20}


def small(**changes):
    return ListOpsRules(**{**SMALL, "max_length": 120, **changes})


def read(corpus):
    return [(d.split, tuple(*d.pieces), d.label) for d in corpus.documents()]


def oracle(symbols):
    """An evaluator of its own: Python's parser reads the expression as nested calls."""
    functions = {
        "MIN": min,
        "MAX": max,
        "MED": lambda values: int(statistics.median(values)),
        "SM": lambda values: sum(values) % 10,
    }
    words = {END: "]),", **{f"[{name}": f"{name}([" for name in functions}}
    text = "".join(words.get(symbol, f"{symbol},") for symbol in symbols)
    return eval(text.rstrip(","), {"__builtins__": {}}, functions)  # noqa: S307


def depth(symbols):
    level = deepest = 1
    for symbol in symbols:
        if symbol[0] == "[":
            level += 1
        deepest = max(deepest, level)
        level -= symbol == END
    return deepest


def arguments(symbols):
    counts, done = [0], []
    for symbol in symbols:
        if symbol == END:
            done.append(counts.pop())
        else:
            counts[-1] += 1
            if symbol[0] == "[":
                counts.append(0)
    return done


@pytest.fixture(scope="module")
def rows():
    return read(drawn_listops(small()))


def test_expressions_keep_the_rules(rows):
    assert [s for s, _, _ in rows] == ["train"] * 300 + ["validation"] * 20 + ["test"] * 20
    expressions = [e for _, e, _ in rows]
    assert len(set(expressions)) == len(expressions)
    assert {s for e in expressions for s in e} == set(SYMBOLS)
    assert all(20 < len(e) < 120 for e in expressions)
    assert max(map(depth, expressions)) <= 10
    counts = [n for e in expressions for n in arguments(e)]
    assert (min(counts), max(counts)) == (2, 10)
    assert 5 < statistics.mean(counts) < 7  # 6 before the limits of length choose
    few = {"num_train": 30, "num_validation": 1, "num_test": 0}
    assert max(depth(e) for _, e, _ in read(drawn_listops(small(max_depth=4, **few)))) == 4
    shallow = read(drawn_listops(small(max_arguments=3, **few)))
    assert max(n for _, e, _ in shallow for n in arguments(e)) == 3


def test_labels_are_the_values_by_another_evaluator(rows):
    assert [label for _, _, label in rows] == [oracle(e) for _, e, _ in rows]
    assert {label for _, _, label in rows} == set(range(10))


def test_the_same_seed_gives_the_same_expressions(rows):
    few = {"num_train": 30, "num_validation": 1, "num_test": 0}
    assert read(drawn_listops(small(**few)))[:30] == rows[:30]
    assert read(drawn_listops(small(seed=1, **few)))[:30] != rows[:30]
    assert drawn_listops(small()).sources == drawn_listops(small()).sources
    assert drawn_listops(small()).sources != drawn_listops(small(seed=1)).sources


def test_the_published_lengths():
    rows = read(drawn_listops(ListOpsRules(num_train=60, num_validation=1, num_test=0)))
    lengths = [len(e) for _, e, _ in rows]
    assert min(lengths) > 500
    assert max(lengths) < 2000
    assert max(lengths) > 1000


def test_the_median_is_cut():
    assert evaluate(["[MED", "1", "2", "]"]) == 1
    assert evaluate(["[MED", "9", "1", "4", "8", "]"]) == 6
    assert evaluate(["[SM", "9", "9", "[MIN", "3", "2", "]", "]"]) == 0


@pytest.mark.parametrize("text", ["", "[MIN ]", "[MIN 1", "1 ]", "1 2", "[MIN 1 10 ]", "[AND 1 ]"])
def test_what_is_no_expression(text):
    with pytest.raises(ValueError, match=r"\w"):
        evaluate(text.split())


def test_brackets_of_the_published_files_say_nothing(tmp_path):
    train = "( ( ( [MAX 2 ) ( ( ( [MIN 4 ) 7 ) ] ) ) ] )\t4\n[MED 1 2 9 ]\t2\n"
    assert read(published_listops(made.listops(tmp_path, train)))[:2] == [
        ("train", ("[MAX", "2", "[MIN", "4", "7", "]", "]"), 4),
        ("train", ("[MED", "1", "2", "9", "]"), 2),
    ]


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_train": 0}, r"num_train must be in \[1, 1,000,000,000\], got 0"),
        ({"max_length": 21}, r"max_length must be in \[22, 1,000,002\], got 21"),
        ({"max_length": 10**30}, "max_length must be in"),
        ({"max_depth": 10**6}, "max_depth must be in"),
        ({"seed": 2**32}, "seed must be in"),
    ],
)
def test_impossible_rules(changes, message):
    with pytest.raises(UserError, match=message):
        small(**changes)


def test_rules_that_run_dry(monkeypatch):
    monkeypatch.setattr("latentwave.bench.data.tasks.listops._PATIENCE_SYMBOLS", 2000)
    with pytest.raises(UserError, match=r"no new expression of more than 0 and fewer than 2 .* 10"):
        read(drawn_listops(small(min_length=0, max_length=2)))
