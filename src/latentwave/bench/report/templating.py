"""The templates of pages."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def load_template(name: str) -> Template:
    """A template of this package: what it is given is escaped, and must all be given."""
    environment = Environment(
        loader=PackageLoader("latentwave.bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)
