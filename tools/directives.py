"""The blocks of a Markdown page that are written from `results/`.

A block that stands on lines of its own:

    <!-- results: demo table columns=loss,steps sort=loss -->
    (written by `make results`)
    <!-- end of results -->

and a value inside a sentence, where both markers and the value are on one line:

    ends at <!-- results: demo value loss contestant=wavelet -->1.814<!-- end of results --> nats

The first marker names a folder of `results/` (a table: one or several, with commas; a text: a
file) and what to show of it:

    SOURCE table [contestants=A,B] [columns=C,D] [sort=[-]C]
    SOURCE value COLUMN contestant=A
    SOURCE figure FILE "caption" [command="..."]
    SOURCE command
    SOURCE text command="..." [section="..."]

Words with spaces take double quotes. Markers in fenced code are text like any other.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Iterator, Mapping

from latentwave.errors import UserError

_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
_ANY_MARKER = re.compile(r"<!--\s*(?:results?\b|end of results?\b)[^\n]*?(?:-->|$)", re.M | re.I)
_START = re.compile(r"<!-- results: (\S.*?) -->")
_END = "<!-- end of results -->"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """What may follow one kind of block.

    Attributes:
        arguments: names of the words that must follow.
        options: keys that may follow.
        required: keys that must follow.
        inline: whether it is part of a sentence, and not lines of its own.
        many: whether it may have several sources.
    """

    arguments: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    inline: bool = False
    many: bool = False


FORMS: Mapping[str, Form] = {
    "table": Form(options=("contestants", "columns", "sort"), many=True),
    "value": Form(arguments=("COLUMN",), required=("contestant",), inline=True),
    "figure": Form(arguments=("FILE", '"caption"'), options=("command",)),
    "command": Form(),
    "text": Form(options=("section",), required=("command",)),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Directive:
    """One block's first marker, taken apart.

    Attributes:
        text: what the marker says, as written.
        place: page and line, for messages.
        sources: folders or files of `results/`.
        show: one of `FORMS`.
        arguments: as many as the form has.
        options: by key.
    """

    text: str
    place: str
    sources: tuple[str, ...]
    show: str
    arguments: tuple[str, ...] = ()
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def error(self, message: str) -> UserError:
        """A mistake in this block, with its place."""
        return UserError(f"{self.place}: {message}")

    def list_of(self, key: str) -> list[str]:
        """The option's words between commas; none where the option is not given."""
        value = self.options.get(key)
        if value is None:
            return []
        words = value.split(",")
        if "" in words or len(set(words)) < len(words):
            raise self.error(f"{key}={value} must be words between commas, each once")
        return words


def parse(text: str, place: str) -> Directive:
    """Take a marker apart.

    Args:
        text: what stands between `<!-- results: ` and ` -->`.
        place: page and line.

    Returns:
        The directive.

    Raises:
        UserError: for anything that the grammar above does not have.

    Example:
        >>> parse("demo value loss contestant=wavelet", "page.md:1").options
        {'contestant': 'wavelet'}
        >>> parse("demo tabel", "page.md:1")
        Traceback (most recent call last):
        ...
        latentwave.errors.UserError: page.md:1: 'tabel' is not something to show: choose table, \
value, figure, command, text
    """

    def error(message: str) -> UserError:
        return UserError(f"{place}: {message}")

    try:
        words = shlex.split(text)
    except ValueError as found:
        raise error(f"{text!r}: {found}") from None
    if len(words) < 2:
        raise error(f"{text!r} must name a source and what to show: {', '.join(FORMS)}")
    source, show, *rest = words
    if show not in FORMS:
        raise error(f"{show!r} is not something to show: choose {', '.join(FORMS)}")
    form = FORMS[show]
    sources = tuple(source.split(","))
    if not all(sources) or (len(sources) > 1 and not form.many):
        raise error(f"{source!r} must be one folder or file of results/ for {show!r}")
    arguments, options = _sort(rest, error)
    known = form.options + form.required
    for key in options:
        if key not in known:
            raise error(f"{show!r} has no option {key!r}; it has {', '.join(known) or 'none'}")
    for key in form.required:
        if key not in options:
            raise error(f"{show!r} needs {key}=")
    if len(arguments) != len(form.arguments):
        wanted = " ".join(form.arguments) or "no word"
        raise error(f"{show!r} takes {wanted}, got {' '.join(map(repr, arguments)) or 'none'}")
    return Directive(
        text=text,
        place=place,
        sources=sources,
        show=show,
        arguments=tuple(arguments),
        options=options,
    )


def blocks(page: str, name: str) -> Iterator[str | Directive]:
    """Cut a page into text and blocks.

    Args:
        page: Markdown.
        name: of the page, for messages.

    Yields:
        Text as it stands, markers included, and a directive in place of what stands between
        two markers.

    Raises:
        UserError: for a marker that is misspelt, has no partner or stands where it cannot.
    """
    position, opened = 0, None
    for match in _ANY_MARKER.finditer(page):
        place = f"{name}:{page.count(chr(10), 0, match.start()) + 1}"
        if opened is None:
            if _in_fence(page[position : match.start()]):
                continue
            start = _START.fullmatch(match.group())
            if start is None:
                raise UserError(
                    f"{place}: {match.group()!r} is no first marker, which is "
                    "<!-- results: SOURCE SHOW ... -->"
                )
            opened = parse(start.group(1), place)
            yield page[position : match.end()]
        elif match.group() != _END:
            raise UserError(
                f"{place}: {match.group()!r} stands inside the block of {opened.place}, which "
                f"must end with {_END}"
            )
        else:
            _check_place(page, position, match, opened)
            yield opened
            opened = None
        position = match.end() if opened is not None else match.start()
    if opened is not None:
        raise opened.error(f"the block has no {_END}")
    yield page[position:]


def is_inline(directive: Directive) -> bool:
    """Whether a block is part of a sentence."""
    return FORMS[directive.show].inline


def _sort(words: list[str], error: Callable[[str], UserError]) -> tuple[list[str], dict[str, str]]:
    arguments: list[str] = []
    options: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            arguments.append(word)
        elif not value or key in options:
            raise error(f"{word!r} must give {key!r} one value")
        else:
            options[key] = value
    return arguments, options


def _in_fence(text: str) -> bool:
    """Whether a text ends inside fenced code, if it starts outside."""
    fence = ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if found and not fence:
            fence = found.group(1)
        elif found and found.group(1).startswith(fence):
            fence = ""
    return bool(fence)


def _check_place(page: str, after_start: int, end: re.Match[str], opened: Directive) -> None:
    one_line = "\n" not in page[after_start : end.start()]
    if is_inline(opened):
        if not one_line:
            raise opened.error(f"{opened.show!r} and its {_END} must stand on one line")
        return
    line_start = page.rfind("\n", 0, after_start) + 1
    before = page[line_start:after_start]
    alone = before.startswith("<!--") and before.count("<!--") == 1
    ends_alone = page[: end.start()].endswith("\n") and page[end.end() :][:1] in ("", "\n")
    if one_line or not alone or not ends_alone or page[after_start] != "\n":
        raise opened.error(f"the markers of {opened.show!r} must stand on lines of their own")
