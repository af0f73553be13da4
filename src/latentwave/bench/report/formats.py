"""Numbers as people read them: 1.21 M, 0.28 %, 1.9× [1.7, 2.1]."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

MISSING = "—"
MEASURE_WORDS = {"steps": "steps", "flops": "FLOPs", "seconds": "seconds"}
Number = int | float  # JSON has both


def format_count(value: Number | None) -> str:
    """A count or a rate with three digits and an SI prefix; a dash where not measured.

    Example:
        >>> [format_count(n) for n in (830, 1_214_592, 999_999, 7.4e6, None)]
        ['830', '1.21 M', '1 M', '7.4 M', '—']
    """
    if value is None:
        return MISSING
    value = float(f"{value:.3g}")
    for scale, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= scale:
            return f"{value / scale:.3g} {prefix}"
    return f"{value:.3g}"


def format_whole(value: Number | None) -> str:
    """All digits of a whole number, in groups of three."""
    return MISSING if value is None else f"{value:,.0f}"


def format_share(fraction: Number) -> str:
    """A fraction in percent, to two digits.

    Example:
        >>> [format_share(f) for f in (0.0, 0.00005, 0.0028, 0.1234, 1.5)]
        ['0 %', '0.005 %', '0.28 %', '12 %', '150 %']
    """
    percent = 100 * fraction
    return f"{percent:.0f} %" if abs(percent) >= 99.5 else f"{percent:.2g} %"


def format_loss(value: Number | None) -> str:
    """A loss to three decimals."""
    return MISSING if value is None else f"{value:.3f}"


def format_range(low: Number | None, high: Number | None) -> str:
    """An interval of losses, such as 1.881–1.904; nothing where there is none."""
    return "" if low is None or high is None else f"{low:.3f}–{high:.3f}"


def format_speedup(
    mean: Number | None, low: Number | None = None, high: Number | None = None
) -> tuple[str, str]:
    """A speed-up and its interval, with two decimals where it is near 1 and matters.

    Example:
        >>> format_speedup(1.93, 1.72, 2.14)
        ('1.9×', '[1.7, 2.1]')
        >>> format_speedup(1.043, 0.987, 1.1), format_speedup(12.4), format_speedup(None)
        (('1.04×', '[0.99, 1.10]'), ('12×', ''), ('—', ''))
    """
    if mean is None:
        return MISSING, ""
    decimals = 2 if mean < 1.2 else 1 if mean < 9.95 else 0
    interval = ""
    if low is not None and high is not None:
        interval = f"[{low:.{decimals}f}, {high:.{decimals}f}]"
    return f"{mean:.{decimals}f}×", interval


def format_gain(value: Number | None) -> str:
    """A difference of losses with its sign.

    Example:
        >>> format_gain(0.0213), format_gain(-0.0004), format_gain(None)
        ('+0.021', '0.000', '—')
    """
    if value is None:
        return MISSING
    text = f"{value:+.3f}".replace("-", "−")
    return text[1:] if text[1:] == "0.000" else text


def format_gains(low: Number | None, high: Number | None) -> str:
    """An interval of differences, such as [−0.010, 0.020]; nothing where there is none."""
    if low is None or high is None:
        return ""
    return f"[{', '.join(format_gain(end).removeprefix('+') for end in (low, high))}]"


def format_bytes(value: Number | None) -> str:
    """Bytes in powers of 1024.

    Example:
        >>> [format_bytes(n) for n in (0, 800, 524_288, 7_314_184, None)]
        ['0 B', '800 B', '512 KiB', '6.98 MiB', '—']
    """
    if value is None:
        return MISSING
    for scale, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= scale:
            in_unit = value / scale
            return f"{in_unit:.3g} {unit}" if in_unit < 999.5 else f"{in_unit:.0f} {unit}"
    return f"{value:.0f} B"


def join_words(parts: Sequence[str]) -> str:
    """A list as in a sentence: a, b and c."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def in_words(value: object) -> str:
    """A value out of a recipe or a record, for people: neither Python nor JSON.

    Example:
        >>> in_words({"kind": "ema", "points": ["qkv", "mlp"], "options": {"bias": None}})
        'kind ema, points (qkv, mlp), options (bias none)'
        >>> in_words([{"name": "a.txt", "num_bytes": 12}, {"name": "b.txt", "num_bytes": 9}])
        'name a.txt, num_bytes 12; name b.txt, num_bytes 9'
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_inner(each)}".rstrip() for key, each in value.items())
    if isinstance(value, list | tuple):
        apart = "; " if any(isinstance(each, Mapping) for each in value) else ", "
        return apart.join(in_words(each) for each in value)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _inner(value: object) -> str:
    nested = isinstance(value, Mapping | list | tuple) and value
    return f"({in_words(value)})" if nested else in_words(value)


def printable(text: str) -> str:
    r"""A text without what would command a terminal, break XML or turn the line around.

    Example:
        >>> printable("a\x1b[2Jb\n\u202ec")
        'a�[2Jb\n�c'
    """
    unwanted = ("Cc", "Cf", "Cs")
    return "".join("�" if unicodedata.category(c) in unwanted and c != "\n" else c for c in text)
