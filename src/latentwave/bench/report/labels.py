"""Places for labels, so that none covers another."""

from __future__ import annotations

import math
from collections.abc import Sequence

Box = tuple[float, float, float, float]  # left, bottom, right, top


def spread(positions: list[float], gap: float, low: float, high: float) -> list[float]:
    """Move positions apart to at least `gap`, in their order, as little as possible.

    Less the gaps before each, the sorted positions need only not to fall: where they do, the
    neighbours meet at their mean.

    Args:
        positions: where labels want to stand, in any order.
        gap: between two; it shrinks if so many do not fit.
        low: the lowest place.
        high: the highest.

    Returns:
        Their places, inside [low, high].

    Example:
        >>> spread([1.0, 1.0, 9.0], 4.0, 0.0, 10.0)
        [0.0, 4.0, 9.0]
        >>> spread([5.0, 5.0], 4.0, 0.0, 10.0)
        [3.0, 7.0]
    """
    if len(positions) > 1:
        gap = min(gap, (high - low) / (len(positions) - 1))
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    groups: list[tuple[float, int]] = []  # mean and size
    for rank, i in enumerate(order):
        mean, size = positions[i] - rank * gap, 1
        while groups and groups[-1][0] > mean:
            before, many = groups.pop()
            mean, size = (before * many + mean * size) / (many + size), many + size
        groups.append((mean, size))
    room = high - (len(positions) - 1) * gap
    level = [min(max(mean, low), room) for mean, size in groups for _ in range(size)]
    placed = [0.0] * len(positions)
    for rank, i in enumerate(order):
        placed[i] = level[rank] + rank * gap
    return placed


def stack_rows(starts: list[float], widths: list[float]) -> list[int]:
    """Rows for labels that hang from marks at `starts`, so that no mark's line cuts a label.

    A line runs from above down to its label. It must not pass a label that reaches over its
    start, so a label goes one row above the highest of those.

    Example:
        >>> stack_rows([0.0, 10.0, 100.0], [40.0, 40.0, 40.0])
        [0, 1, 0]
    """
    rows = [0] * len(starts)
    done: list[int] = []
    for i in sorted(range(len(starts)), key=lambda k: starts[k]):
        over = [rows[k] + 1 for k in done if starts[k] + widths[k] > starts[i]]
        rows[i] = max(over, default=0)
        done.append(i)
    return rows


def place_labels(
    marks: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    taken: Sequence[Box],
    room: Box,
) -> list[tuple[float, float]]:
    """Centres for labels near their marks that cover neither each other nor what is taken.

    One after the other, each takes the free place nearest to its mark, or where none is free the
    one that covers least.

    Args:
        marks: what is labelled, x and y, the most important first.
        sizes: width and height of each label.
        taken: boxes to keep clear.
        room: that labels must stay in.

    Returns:
        x and y of each label's centre.

    Example:
        >>> place_labels([(50.0, 50.0)], [(20.0, 10.0)], [], (0.0, 0.0, 100.0, 100.0))
        [(65.0, 50.0)]
    """
    done: list[Box] = []
    places = []
    for (x, y), (width, height) in zip(marks, sizes, strict=True):
        best: tuple[float, float, tuple[float, float], Box] | None = None
        for reach in (5.0, 12.0, 22.0, 34.0, 48.0, 64.0, 84.0, 108.0):
            for step in range(24):
                angle = 2 * math.pi * step / 24
                # The label's edge, not its centre, stands at that reach.
                at_x = x + math.cos(angle) * (reach + width / 2)
                at_y = y + math.sin(angle) * (reach + height / 2)
                at_x = min(max(at_x, room[0] + width / 2), room[2] - width / 2)
                at_y = min(max(at_y, room[1] + height / 2), room[3] - height / 2)
                box = (at_x - width / 2, at_y - height / 2, at_x + width / 2, at_y + height / 2)
                covered = sum(_shared(box, other) for other in (*taken, *done))
                if best is None or (covered, reach) < best[:2]:
                    best = (covered, reach, (at_x, at_y), box)
            if best is not None and best[0] == 0:
                break
        if best is not None:
            places.append(best[2])
            done.append(best[3])
    return places


def _shared(a: Box, b: Box) -> float:
    """The area that two boxes share."""
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)
