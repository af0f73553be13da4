import statistics

import pytest

from latentwave.bench.data.tasks.listops import END, SYMBOLS, ListOpsRules, drawn_listops
from latentwave.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:.* classes have no example to train on")
FEW = {"num_train": 30, "num_validation": 1, "num_test": 0}


def small(**changes):
    rules = {"num_train": 300, "num_validation": 20, "num_test": 20, "min_length": 20}
    return ListOpsRules(**{**rules, "max_length": 120, **changes})


def read(corpus):
    return [(d.split, tuple(*d.pieces), d.label) for d in corpus.documents()]


def oracle(symbols):
    """A second evaluator: Python's parser reads the expression as nested calls."""
    functions = {
        "MIN": min,
        "MAX": max,
        "MED": lambda values: int(statistics.median(values)),
        "SM": lambda values: sum(values) % 10,
    }
    words = {END: "]),", **{f"[{name}": f"{name}([" for name in functions}}
    text = "".join(words.get(symbol, f"{symbol},") for symbol in symbols)
    return eval(text.rstrip(","), {"__builtins__": {}}, functions)  # noqa: S307


def measured(symbols):
    """The depth of an expression, and the numbers of arguments of its operators."""
    counts, done, deepest = [0], [], 1
    for symbol in symbols:
        if symbol == END:
            done.append(counts.pop())
        else:
            counts[-1] += 1
            if symbol[0] == "[":
                counts.append(0)
        deepest = max(deepest, len(counts))
    return deepest, done


@pytest.fixture(scope="module")
def rows():
    return read(drawn_listops(small()))


def test_expressions_keep_the_rules(rows):
    assert [s for s, _, _ in rows] == ["train"] * 300 + ["validation"] * 20 + ["test"] * 20
    expressions = [e for _, e, _ in rows]
    assert len(set(expressions)) == len(expressions)
    assert {s for e in expressions for s in e} == set(SYMBOLS)
    assert all(20 < len(e) < 120 for e in expressions)
    assert max(measured(e)[0] for e in expressions) <= 10
    counts = [n for e in expressions for n in measured(e)[1]]
    assert (min(counts), max(counts)) == (2, 10)
    assert 5 < statistics.mean(counts) < 7  # 6 before the limits of length choose
    assert max(measured(e)[0] for _, e, _ in read(drawn_listops(small(max_depth=4, **FEW)))) == 4
    few = read(drawn_listops(small(max_arguments=3, **FEW)))
    assert max(n for _, e, _ in few for n in measured(e)[1]) == 3


def test_labels_are_the_values_by_another_evaluator(rows):
    assert [label for _, _, label in rows] == [oracle(e) for _, e, _ in rows]
    assert {label for _, _, label in rows} == set(range(10))


def test_the_same_seed_gives_the_same_expressions(rows):
    assert read(drawn_listops(small(**FEW)))[:30] == rows[:30]
    assert read(drawn_listops(small(seed=1, **FEW)))[:30] != rows[:30]
    assert drawn_listops(small()).sources == drawn_listops(small()).sources
    assert drawn_listops(small()).sources != drawn_listops(small(seed=1)).sources


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_train": 0}, "num_train must be >= 1, got 0"),
        ({"max_length": 21}, "max_length must be >= 22, as no length lies between 20 and 21"),
        ({"seed": 2**32}, "seed must be <= 4294967295"),
    ],
)
def test_impossible_rules(changes, message):
    with pytest.raises(UserError, match=message):
        small(**changes)


def test_rules_that_run_dry(monkeypatch):
    monkeypatch.setattr("latentwave.bench.data.tasks.listops._PATIENCE_SYMBOLS", 2000)
    with pytest.raises(UserError, match=r"no new expression of more than 0 and fewer than 2 .* 10"):
        read(drawn_listops(small(min_length=0, max_length=2)))
