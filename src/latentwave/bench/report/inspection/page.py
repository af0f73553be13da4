"""The interactive page: one file that needs no other and asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from latentwave.bench.inspection import Inspection
from latentwave.bench.report.inspection.facts import (
    describe_sampling,
    loss_rows,
    loss_values,
    make_tiles,
    run_facts,
    write_lead,
)
from latentwave.bench.report.inspection.payload import make_payload
from latentwave.bench.report.templating import load_template

_SCRIPTS = ("inspect-signal.js", "inspect-plots.js", "inspect-page.js")


def render_inspection(inspection: Inspection, command: str = "") -> str:
    """Render the page of an inspection.

    Plotly's script stands in the page once. The page's own policy lets only the scripts that
    stand in it run, by their checksums, and nothing reach the network.

    Args:
        inspection: what was seen.
        command: that was typed.

    Returns:
        A whole HTML page.
    """
    payload = make_payload(inspection)
    scripts = [get_plotlyjs(), "\n".join(_read(name) for name in _SCRIPTS)]
    changes = [
        (each["label"], each["change"]["steps"], each["change"]["mean"])
        for each in payload["mixers"]
        if len(each["change"]["steps"]) > 1
    ]
    classes = [(table.title, loss_rows(table)) for table in inspection.by_class]
    names = [run.name for run in inspection.runs]
    data = payload | {
        "runs": names,
        "positions": loss_values(inspection.by_position),
        "classes": [loss_values(table) for table in inspection.by_class],
    }
    return load_template("inspect.html.j2").render(
        name=names[0] if len(names) == 1 else f"{names[0]} against {names[1]}",
        lead=write_lead(inspection),
        measured=_measured(inspection),
        tiles=make_tiles(inspection),
        notes=inspection.notes,
        runs=names,
        mixers=[f"{each['label']}: {each['kind']}" for each in payload["mixers"]],
        most_steps=max((len(each["steps"]) for each in payload["mixers"]), default=0),
        changes=changes,
        has_tokens=bool(inspection.tokens),
        num_tokens=len(inspection.tokens),
        text=_joined(inspection.tokens),
        positions=None if inspection.by_position is None else loss_rows(inspection.by_position),
        classes=classes,
        samples=inspection.samples,
        sampling=describe_sampling(inspection.samples[0]) if inspection.samples else "",
        command=command,
        run_facts=[(run.name, str(run.folder), run_facts(run.folder)) for run in inspection.runs],
        data=Markup(_embedded(data)),  # noqa: S704 - escaped there
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - ours and Plotly's
        script_hashes=Markup(" ".join(_hash(script) for script in scripts)),  # noqa: S704
    )


def _read(name: str) -> str:
    path = resources.files("latentwave.bench.report") / "templates" / name
    return path.read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _embedded(data: dict[str, Any]) -> str:
    """JSON that no HTML parser takes for the end of its element."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _joined(tokens: list[str]) -> str:
    """A text of tokens: characters stand together, longer tokens apart."""
    apart = any(len(token) > 1 for token in tokens)
    return ("|" if apart else "").join(tokens)


def _measured(inspection: Inspection) -> str:
    if not inspection.num_windows:
        return ""
    return (
        f"Measured on {inspection.num_windows:,} windows of {inspection.window_tokens:,} tokens "
        f"({inspection.measured_on}). Errors are those of these windows, not of other seeds."
    )
