"""Formats numbers and recorded values for readers: 1.21 M, 0.28 %, 1.9× [1.7, 2.1]."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from latentwave.bench.comparison.results import Estimate

MISSING = "—"
MEASURE_WORDS = {"steps": "steps", "flops": "FLOPs", "seconds": "seconds"}


@dataclass(frozen=True)
class Cell:
    """One value of a table, and a note in smaller type."""

    value: str
    note: str = ""

    def __str__(self) -> str:
        """Value and note on one line."""
        return f"{self.value} {self.note}".strip()


Row = dict[str, str | Cell]
"""A row of a table, keyed by column head."""


def format_number(value: float, spec: str) -> str:
    """A number in Python's format `spec`, with a true minus sign."""
    return f"{value:{spec}}".replace("-", "−")


def format_count(value: float | None) -> str:
    """A count or a rate to three digits, with an SI prefix; a dash if it was not measured.

    Example:
        >>> [format_count(n) for n in (830, 1_214_592, 999_999, 7.4e6, 2.5e19, None)]
        ['830', '1.21 M', '1 M', '7.4 M', '25 E', '—']
    """
    if value is None:
        return MISSING
    value = float(f"{value:.3g}")
    for power, prefix in zip(range(21, 0, -3), "ZEPTGMk", strict=True):
        if abs(value) >= 10.0**power:
            return f"{value / 10.0**power:.3g} {prefix}"
    return f"{value:.3g}"


def format_share(fraction: float) -> str:
    """A fraction as a percentage, to two digits.

    Example:
        >>> [format_share(f) for f in (0.0, 0.00005, 0.0028, 0.1234, 1.5)]
        ['0 %', '0.005 %', '0.28 %', '12 %', '150 %']
    """
    percent = 100 * fraction
    return f"{percent:.0f} %" if abs(percent) >= 99.5 else f"{percent:.2g} %"


def format_loss(value: float | None) -> str:
    """A loss to three decimals."""
    return MISSING if value is None else f"{value:.3f}"


def loss_cell(value: Estimate) -> Cell:
    """A mean and its interval: 1.892 and 1.881–1.904."""
    return Cell(format_loss(value.mean), "–".join(map(format_loss, value.interval or ())))


def speedup_cell(value: Estimate) -> Cell:
    """A speed-up and its interval, to two decimals near 1, where they matter.

    Example:
        >>> [str(speedup_cell(Estimate(mean=mean))) for mean in (1.043, 1.93, 12.4, None)]
        ['1.04×', '1.9×', '12×', '—']
        >>> str(speedup_cell(Estimate(mean=1.93, low=1.72, high=2.14)))
        '1.9× [1.7, 2.1]'
    """
    if value.mean is None:
        return Cell(MISSING)
    decimals = 2 if value.mean < 1.2 else 1 if value.mean < 9.95 else 0
    ends = [f"{end:.{decimals}f}" for end in value.interval or ()]
    return Cell(f"{value.mean:.{decimals}f}×", in_brackets(ends))


def gain_cell(value: Estimate) -> Cell:
    """A signed difference of losses and its interval.

    Example:
        >>> str(gain_cell(Estimate(mean=0.0213, low=-0.0004, high=0.04)))
        '+0.021 [0.000, 0.040]'
    """
    if value.mean is None:
        return Cell(MISSING)
    ends = [_signed(end).removeprefix("+") for end in value.interval or ()]
    return Cell(_signed(value.mean), in_brackets(ends))


def in_brackets(ends: Sequence[str]) -> str:
    """The ends of an interval, or nothing if there is none."""
    return f"[{', '.join(ends)}]" if ends else ""


def _signed(value: float) -> str:
    text = format_number(value, "+.3f")
    return text[1:] if text[1:] == "0.000" else text


def format_bytes(value: float) -> str:
    """Bytes with an SI prefix.

    Example:
        >>> format_bytes(800), format_bytes(7_314_184)
        ('800 B', '7.31 MB')
    """
    text = format_count(value)
    return f"{text}B" if " " in text else f"{text} B"


def join_words(parts: Sequence[str]) -> str:
    """Join words as in a sentence: a, b and c."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def in_words(value: object) -> str:
    """A value of a recipe or a record in plain words, neither Python nor JSON.

    Null and empty values of a mapping are left out: they stand for a default, not for "none".

    Example:
        >>> in_words({"kind": "ema", "points": ["qkv", "mlp"], "options": {"bias": False}})
        'kind ema, points (qkv, mlp), options (bias no)'
        >>> in_words({"positions": None, "options": {}, "dropout": 0.0})
        'dropout 0'
        >>> in_words([{"name": "a.txt", "num_bytes": 12}, {"name": "b.txt", "num_bytes": 9}])
        'name a.txt, num_bytes 12; name b.txt, num_bytes 9'
    """
    if isinstance(value, Mapping):
        items = [(key, each) for key, each in value.items() if each not in (None, {}, [], ())]
        return ", ".join(f"{key} {_nested(each)}".rstrip() for key, each in items)
    if isinstance(value, list | tuple):
        separator = "; " if any(isinstance(each, Mapping) for each in value) else ", "
        return separator.join(map(in_words, value))
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def labelled(record: Mapping[str, object]) -> dict[str, str]:
    """Turn a record into labels and values for readers, without what was not recorded.

    Example:
        >>> labelled({"cpu": "EPYC", "num_processes": 2, "commit": None})
        {'CPU': 'EPYC', 'Num processes': '2'}
    """
    return {
        key.replace("_", " ").capitalize().replace("Cpu", "CPU"): in_words(value)
        for key, value in record.items()
        if value is not None
    }


def _nested(value: object) -> str:
    words = in_words(value)
    return f"({words})" if isinstance(value, Mapping | list | tuple) else words
