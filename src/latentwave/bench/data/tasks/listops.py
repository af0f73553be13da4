"""ListOps: nested lists of digits under minimum, maximum, median and sum modulo 10."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from latentwave.bench.data.corpus import Corpus, Document
from latentwave.bench.data.metadata import Source
from latentwave.bench.data.tasks.trees import file_source
from latentwave.errors import UserError

OPERATORS = ("[MIN", "[MAX", "[MED", "[SM")
END = "]"
SYMBOLS = (*"0123456789", *OPERATORS, END)
_OPERATOR_SHARE = 0.25
_PATIENCE = 2_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListOpsRules:
    """The published rules; the defaults are the published values.

    A node is an operator with probability 1/4, else a digit; an operator has from 2 to
    `max_arguments` arguments; a node at `max_depth` is a digit. A digit counts 1 symbol and an
    operator 2 and those of its arguments; only lengths strictly between the two limits are kept,
    and every expression once.

    Reference: Nangia and Bowman, 2018, in the form of the Long Range Arena (Tay et al., 2021).

    Attributes:
        num_train: expressions to train on.
        num_validation: to validate on.
        num_test: to test on.
        min_length: symbols, exclusive.
        max_length: symbols, exclusive.
        max_depth: the root has depth 1.
        max_arguments: of one operator.
        seed: of the draws.
    """

    num_train: int = 96_000
    num_validation: int = 2_000
    num_test: int = 2_000
    min_length: int = 500
    max_length: int = 2_000
    max_depth: int = 10
    max_arguments: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: for a value out of range.
        """
        least = {
            "num_train": 1,
            "num_validation": 1,
            "num_test": 0,
            "min_length": 0,
            "max_length": self.min_length + 2,
            "max_depth": 1,
            "max_arguments": 2,
            "seed": 0,
        }
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise UserError(f"listops: {name} must be >= {bound}, got {getattr(self, name)}")


class ListOps(Corpus):
    """Expressions drawn by the rules: the same for the same rules on every machine.

    Args:
        rules: how many and how long.
    """

    def __init__(self, rules: ListOpsRules) -> None:
        super().__init__()
        self._rules = rules
        content = json.dumps(dataclasses.asdict(rules), sort_keys=True).encode()
        self.sources = [
            Source(
                name="drawn by the rules of ListOps",
                num_bytes=0,
                sha256=hashlib.sha256(content).hexdigest(),
            )
        ]
        self.class_names = tuple("0123456789")

    def read_through(self) -> None:
        """Nothing: the rules say all that there is to know."""

    def documents(self) -> Iterator[Document]:
        """One expression each, labelled with its value.

        Raises:
            UserError: if the rules hardly ever give an expression that is new.
        """
        rules = self._rules
        expressions = draw_expressions(rules)
        for split, count in (
            ("train", rules.num_train),
            ("validation", rules.num_validation),
            ("test", rules.num_test),
        ):
            for _ in range(count):
                symbols = next(expressions)
                yield Document(pieces=[symbols], split=split, label=evaluate(symbols))


class ListOpsFiles(Corpus):
    """The published tab-separated files: source and target on a line, under a heading.

    Args:
        folder: holds basic_train.tsv, basic_val.tsv and basic_test.tsv.

    Raises:
        UserError: if one of them is missing.
    """

    FILES = (("train", "basic_train"), ("validation", "basic_val"), ("test", "basic_test"))

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._paths = {split: folder / f"{name}.tsv" for split, name in self.FILES}
        missing = [path.name for path in self._paths.values() if not path.is_file()]
        if missing:
            raise UserError(
                f"{folder} lacks {', '.join(missing)}: name the folder of the published ListOps "
                "files, or give no path to draw expressions by the same rules"
            )
        self.files = {path.name: path for path in self._paths.values()}
        self.class_names = tuple("0123456789")

    def documents(self) -> Iterator[Document]:
        """One line each.

        Raises:
            UserError: for a line that is no expression and value, with its number.
        """
        for split, path in self._paths.items():
            with path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, start=1):
                    if number == 1 and line.startswith("Source\t"):
                        continue
                    symbols, value = _read_line(line, f"{path}, line {number}")
                    yield Document(pieces=[symbols], split=split, label=value)
        self.sources = [file_source(path) for path in self._paths.values()]


def draw_expressions(rules: ListOpsRules) -> Iterator[list[str]]:
    """Distinct expressions without end.

    Args:
        rules: see `ListOpsRules`.

    Yields:
        The symbols of one expression, of `SYMBOLS`.

    Raises:
        UserError: if the rules hardly ever give an expression that is new.

    Example:
        >>> next(draw_expressions(ListOpsRules(min_length=4, max_length=8)))
        ['[MAX', '3', '3', '6', '7', ']']
    """
    chance = random.Random(rules.seed).random  # noqa: S311 (no secrets here)
    seen: set[bytes] = set()
    attempts = 0
    while True:
        attempts += 1
        symbols: list[str] = []
        _draw_node(chance, rules, 1, symbols)
        if rules.min_length < len(symbols) < rules.max_length:
            digest = hashlib.blake2b("".join(symbols).encode(), digest_size=16).digest()
            if digest not in seen:
                seen.add(digest)
                attempts = 0
                yield symbols
        if attempts > _PATIENCE:
            raise UserError(
                f"listops: {_PATIENCE:,} draws gave no new expression of more than "
                f"{rules.min_length} and fewer than {rules.max_length} symbols after "
                f"{len(seen):,}: ask for fewer, or widen the limits"
            )


def evaluate(symbols: list[str]) -> int:
    """The value of an expression.

    Args:
        symbols: of `SYMBOLS`.

    Returns:
        A digit. The median is cut to its integer part.

    Raises:
        ValueError: if the symbols are no expression.

    Example:
        >>> evaluate("[MAX 2 9 [MIN 4 7 ] 0 ]".split())
        9
    """
    stack: list[tuple[str, list[int]]] = [("", [])]
    for symbol in symbols:
        if symbol in OPERATORS:
            stack.append((symbol, []))
        elif symbol == END:
            operator, values = stack.pop()
            if not stack or not values:
                raise ValueError("unbalanced brackets or an operator without arguments")
            stack[-1][1].append(_apply(operator, values))
        elif len(symbol) == 1 and symbol in "0123456789":
            stack[-1][1].append(int(symbol))
        else:
            raise ValueError(f"{symbol!r} is not a symbol of ListOps")
    if len(stack) != 1 or len(stack[0][1]) != 1:
        raise ValueError("not one whole expression")
    return stack[0][1][0]


def _apply(operator: str, values: list[int]) -> int:
    if operator == "[MIN":
        return min(values)
    if operator == "[MAX":
        return max(values)
    if operator == "[SM":
        return sum(values) % 10
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) // 2


def _draw_node(
    chance: Callable[[], float], rules: ListOpsRules, depth: int, symbols: list[str]
) -> None:
    """Append a node; stop early once the expression is too long to be kept."""
    if depth >= rules.max_depth or chance() >= _OPERATOR_SHARE:
        symbols.append(SYMBOLS[int(chance() * 10)])
        return
    symbols.append(OPERATORS[int(chance() * len(OPERATORS))])
    for _ in range(2 + int(chance() * (rules.max_arguments - 1))):
        if len(symbols) >= rules.max_length:
            return
        _draw_node(chance, rules, depth + 1, symbols)
    symbols.append(END)


def _read_line(line: str, place: str) -> tuple[list[str], int]:
    source, tab, target = line.rstrip("\r\n").rpartition("\t")
    if not tab:
        raise UserError(f"{place}: expected an expression, a tab and a digit, got {line[:40]!r}")
    # The published files write every pair in round brackets, which say nothing more.
    symbols = [symbol for symbol in source.split() if symbol not in ("(", ")")]
    try:
        value = evaluate(symbols)
    except ValueError as error:
        raise UserError(f"{place}: {error}") from error
    if target.strip() != str(value):
        raise UserError(f"{place}: the target is {target.strip()!r}, the expression is {value}")
    return symbols, value
