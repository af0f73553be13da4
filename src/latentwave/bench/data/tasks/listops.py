"""Draws ListOps: nested lists of digits under minimum, maximum, median and sum modulo 10."""

import dataclasses
import hashlib
import itertools
import json
import random
import statistics
from collections.abc import Callable, Iterator

from latentwave.bench.data.checks import LARGEST_SEED, check_values, number
from latentwave.bench.data.corpus import SPLITS, Document
from latentwave.bench.data.tasks.rows import LabelledRows
from latentwave.errors import UserError

DIGITS = tuple("0123456789")
_APPLY: dict[str, Callable[[list[int]], int]] = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda values: int(statistics.median(values)),
    "[SM": lambda values: sum(values) % 10,
}
OPERATORS = tuple(_APPLY)
END = "]"
SYMBOLS = (*DIGITS, *OPERATORS, END)
_OPERATOR_SHARE = 0.25
_PATIENCE_SYMBOLS = 10_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListOpsRules:
    """The published rules; the defaults are the published values.

    A node is an operator with probability 1/4, else a digit; an operator has from 2 to
    `max_arguments` arguments; a node at `max_depth` is a digit. A digit is 1 symbol, an operator
    is 2 plus those of its arguments. Only expressions strictly between the two lengths are kept,
    each once.

    Reference: Nangia and Bowman, 2018, in the form of the Long Range Arena (Tay et al., 2021).
    """

    num_train: int = number(96_000, 1)
    num_validation: int = number(2_000, 1)
    num_test: int = number(2_000, 0)
    min_length: int = number(500, 0, most=10**6)  # symbols, exclusive
    max_length: int = number(2_000, 2, most=10**6)  # symbols, exclusive
    max_depth: int = number(10, 1, most=100)  # the root has depth 1
    max_arguments: int = number(10, 2, most=1_000)  # of one operator
    seed: int = number(0, 0, most=LARGEST_SEED)

    def __post_init__(self) -> None:
        check_values(self, "listops")
        if self.max_length < self.min_length + 2:
            raise UserError(
                f"listops.max_length must be >= {self.min_length + 2}, as no length lies between "
                f"{self.min_length} and {self.max_length}"
            )


def drawn_listops(rules: ListOpsRules) -> LabelledRows:
    """A corpus of expressions; the same rules give the same ones on every machine."""

    def examples() -> Iterator[Document]:
        expressions = draw_expressions(rules)
        counts = (rules.num_train, rules.num_validation, rules.num_test)
        for split, count in zip(SPLITS, counts, strict=True):
            for symbols, value in itertools.islice(expressions, count):
                yield Document(pieces=[symbols], label=value, split=split)

    content = json.dumps(dataclasses.asdict(rules), sort_keys=True)
    return LabelledRows(examples, DIGITS, rules=content)


def draw_expressions(rules: ListOpsRules) -> Iterator[tuple[list[str], int]]:
    """Endless distinct expressions, as symbols, with their values; the median is rounded down.

    Example:
        >>> next(draw_expressions(ListOpsRules(min_length=4, max_length=8)))
        (['[MAX', '3', '3', '6', '7', ']'], 7)
    """
    chance = random.Random(rules.seed).random  # noqa: S311 (no secrets here)
    seen: set[bytes] = set()
    num_wasted = 0
    while num_wasted < _PATIENCE_SYMBOLS:
        symbols: list[str] = []
        value = _draw_node(chance, rules, 1, symbols)
        num_wasted += len(symbols)
        if rules.min_length < len(symbols) < rules.max_length:
            digest = hashlib.blake2b("".join(symbols).encode(), digest_size=16).digest()
            if digest not in seen:
                seen.add(digest)
                num_wasted = 0
                yield symbols, value
    raise UserError(
        f"listops: {num_wasted:,} drawn symbols made no new expression of more than "
        f"{rules.min_length} and fewer than {rules.max_length} after {len(seen):,}: ask for fewer, "
        "or widen the limits"
    )


def _draw_node(
    chance: Callable[[], float], rules: ListOpsRules, depth: int, symbols: list[str]
) -> int:
    """Append a node and return its value; stop early once the expression is too long."""
    if depth >= rules.max_depth or chance() >= _OPERATOR_SHARE:
        symbols.append(SYMBOLS[int(chance() * 10)])
        return int(symbols[-1])
    operator = OPERATORS[int(chance() * len(OPERATORS))]
    symbols.append(operator)
    values = []
    for _ in range(2 + int(chance() * (rules.max_arguments - 1))):
        if len(symbols) >= rules.max_length:
            return 0
        values.append(_draw_node(chance, rules, depth + 1, symbols))
    symbols.append(END)
    return _APPLY[operator](values)
