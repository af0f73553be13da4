"""Write the blocks of the pages from `results/`, or check that they are as they would be written.

    python -m tools.pages           # make results
    python -m tools.pages --check   # make results-check

Every number of a comparison is computed again from the curves in its `results.json`
(`tools/comparisons.py`), whose own numbers must agree; `tools/directives.py` has the grammar of
the blocks. Exit codes: 0, 1 where a page differs (with the difference), 2 for a mistake in a page
or in the results.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from latentwave.bench.comparison import Results
from latentwave.errors import UserError
from tools import tables
from tools.comparisons import read_checked
from tools.directives import Directive, blocks, is_inline

ROOT = Path(__file__).parents[1]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write or check all pages.

    Args:
        arguments: of the command line.
        root: of the repository.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="tools.pages", description="Pages from results/.")
    parser.add_argument("--check", action="store_true", help="change nothing, show differences")
    check = parser.parse_args(arguments).check
    differences = 0
    try:
        results = ResultsFolder(root / "results")
        for page in pages(root):
            old = page.read_text(encoding="utf-8")
            new = write(old, page, results)
            if new == old:
                continue
            differences += 1
            if check:
                sys.stdout.writelines(_difference(old, new, str(page.relative_to(root))))
            else:
                page.write_text(new, encoding="utf-8")
                print(f"{page.relative_to(root)} written")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if check and differences:
        print(f"{differences} pages differ from results/: make results", file=sys.stderr)
    return 1 if check and differences else 0


def pages(root: Path) -> list[Path]:
    """The Markdown files that may have blocks."""
    folders = (root, root / "docs", root / "results")
    return [page for folder in folders for page in sorted(folder.glob("*.md"))]


def write(text: str, page: Path, results: ResultsFolder) -> str:
    """A page with its blocks written anew.

    Args:
        text: of the page.
        page: its path, for links and messages.
        results: what blocks are written from.

    Returns:
        The text.

    Raises:
        UserError: for a mistake in a block, with page and line.
    """
    name = page.relative_to(results.folder.parent).as_posix()
    return "".join(
        part if isinstance(part, str) else _write_block(part, page.parent, results)
        for part in blocks(text, name)
    )


class ResultsFolder:
    """The folder `results/`; each comparison is computed once.

    Args:
        folder: its path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def comparison(self, directive: Directive, name: str) -> Results:
        """A comparison by the name of its folder."""
        if not (self.folder / name / "results.json").is_file():
            raise directive.error(f"there is no results/{name}/results.json")
        return read_checked(self.folder / name)

    def file(self, directive: Directive, *names: str) -> Path:
        """A file that must be there."""
        path = self.folder.joinpath(*names)
        if not path.is_file():
            raise directive.error(f"there is no results/{'/'.join(names)}")
        return path


def _write_block(directive: Directive, folder: Path, results: ResultsFolder) -> str:
    if is_inline(directive):
        return tables.value(directive, results.comparison(directive, directive.sources[0]))
    parts = {"table": _table, "figure": _figure, "command": _command, "text": _text}
    lines = "\n\n".join(parts[directive.show](directive, folder, results))
    return f"\n\n{lines}\n\n"


def _table(directive: Directive, folder: Path, results: ResultsFolder) -> Iterator[str]:
    comparisons = {name: results.comparison(directive, name) for name in directive.sources}
    yield tables.table(directive, comparisons)
    yield "<br>\n".join(
        _origin(each, results.folder / name, folder) for name, each in comparisons.items()
    )


def _figure(directive: Directive, folder: Path, results: ResultsFolder) -> Iterator[str]:
    (source,), (file, caption) = directive.sources, directive.arguments
    path = results.file(directive, source, file)
    if "]" in caption or "\n" in caption:
        raise directive.error(f"the caption {caption!r} must do without ]")
    yield f"![{caption}]({_link(path, folder)})"
    comparison = results.comparison(directive, source)
    command = directive.options.get("command")
    yield _origin(comparison, path.parent, folder, command=command, of_one_run=command is not None)


def _command(directive: Directive, folder: Path, results: ResultsFolder) -> Iterator[str]:
    comparison = results.comparison(directive, directive.sources[0])
    yield f"```sh\n{comparison.command}\n```"
    yield _origin(comparison, results.folder / directive.sources[0], folder, command="")


def _text(directive: Directive, folder: Path, results: ResultsFolder) -> Iterator[str]:
    path = results.file(directive, directive.sources[0])
    text, wanted = path.read_text(encoding="utf-8").strip(), directive.options.get("section")
    if wanted is not None:
        sections = {
            section.partition("\n")[0].removeprefix("# "): section.strip()
            for section in re.split(r"^(?=# )", text, flags=re.M)
            if section
        }
        if wanted not in sections:
            raise directive.error(f"no section {wanted!r} there; choose {'; '.join(sections)}")
        text = sections[wanted]
    if "```" in text:
        raise directive.error(f"{path.name} has ``` in it, which would end its own block")
    yield f"```text\n{text}\n```"
    yield f"<sub>{_code(directive.options['command'])}: {_named_link(path, folder)}</sub>"


def _origin(
    results: Results,
    source: Path,
    folder: Path,
    *,
    command: str | None = None,
    of_one_run: bool = False,
) -> str:
    """Where numbers come from, in one line: command, commit, seeds, hardware, versions."""
    command = results.command if command is None else command
    seeds = [str(seed) for seed in results.seeds]
    if len(seeds) == 1:
        said = f"one seed ({seeds[0]}), no interval"
    else:
        said = f"seeds {', '.join(seeds)}, brackets: bootstrap intervals over them"
    machine = results.environment
    facts = [
        *([_code(command)] if command else []),
        _commits(results),
        *([] if of_one_run else [said]),
        f"{machine.accelerator or machine.cpu}, {machine.cores} cores, {machine.threads} threads, "
        f"torch {machine.versions['torch']}",
    ]
    return f"<sub>{_named_link(source / 'results.json', folder)}: {' · '.join(facts)}</sub>"


def _commits(results: Results) -> str:
    short = []
    for name in results.commits:
        commit, dash, dirty = name.partition("-")
        short.append(f"{commit[:7]}{dash}{dirty}")
    return f"commit{'s' if len(short) > 1 else ''} {', '.join(short)}"


def _code(command: str) -> str:
    ticks = "``" if "`" in command else "`"
    return f"{ticks}{command}{ticks}"


def _named_link(path: Path, folder: Path) -> str:
    return f"[{path.parent.name}/{path.name}]({_link(path, folder)})"


def _link(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _difference(old: str, new: str, name: str) -> Iterator[str]:
    return difflib.unified_diff(
        old.splitlines(keepends=True),
        new.splitlines(keepends=True),
        fromfile=name,
        tofile=f"{name} (from results/)",
    )


if __name__ == "__main__":
    sys.exit(main())
