# SPDX-License-Identifier: Apache-2.0
"""The report's page: one file for a browser, with what was measured, where, how, and what did not work."""

import base64
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from jinja2 import Environment, StrictUndefined

from orchestrator.analysis.cells import cells, efficiencies, ratios
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures.captions import realtime_note
from orchestrator.store.reading import read_stopping

if TYPE_CHECKING:
    import pandas as pd

_TEMPLATE = Path(__file__).with_name("report.html.j2")


def render(run: Run, figures: Path) -> str:
    """The page, with the figures of a folder (NAME.svg, and its caption NAME.txt) in it. It loads nothing else."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"gbit": _gbit, "number": _number, "percent": _percent}
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    meta = run.meta
    return template.render(
        run=run,
        meta=meta,
        plan=meta.get("plan") or {},
        counts=run.counts(),
        took=_took(meta),
        figures=[_figure(path) for path in sorted(figures.glob("*.svg"))],
        cells=cells(run).to_dict("records"),
        ratios=ratios(run).to_dict("records"),
        efficiencies=efficiencies(run).to_dict("records"),
        baselines=run.baselines.sort_values("cores").to_dict("records"),
        not_ok=run.attempts[run.attempts["status"] != "ok"].to_dict("records"),
        marked=run.trials[(run.trials["status"] == "ok") & (run.trials["marks"].fillna("") != "")].to_dict("records"),
        sessions=meta.get("sessions") or [],
        given_up=meta.get("given_up") or [],
        stopping=_stopping(read_stopping(run.path)),
        limits=(meta.get("spec") or {}).get("limits") or {},
        realtime=realtime_note(run.trials),
        crypto=_crypto(run.trials),
        computer=(meta.get("environment") or {}).get("computer") or {},
        host=(meta.get("environment") or {}).get("testbed") or {},
    )


def _stopping(cells: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a block: its rounds, and the cells whose interval is not narrow. Empty for a fixed number of rounds."""
    blocks: dict[int, dict[str, Any]] = {}
    for cell in cells:
        if cell["goal"] is not None:
            row = blocks.setdefault(cell["block"], {"block": cell["block"], "rounds": cell["rounds"], "wide": []})
            if cell["reason"] != "narrow":
                row["wide"].append(cell)
    return list(blocks.values())


def _figure(path: Path) -> dict[str, str]:
    """A figure as the template wants it. Ids inside SVG files would clash on one page, so each goes in as an image."""
    data = base64.b64encode(path.read_bytes()).decode()
    caption = path.with_suffix(".txt")
    text = caption.read_text(encoding="utf-8").strip() if caption.is_file() else path.stem
    width, height = _size(path)
    source = f"data:image/svg+xml;base64,{data}"
    return {"name": path.stem, "source": source, "caption": text, "width": width, "height": height}


def _size(path: Path) -> tuple[str, str]:
    """Width and height of an SVG file in CSS pixels, twice as large as on paper."""
    root = ElementTree.parse(path).getroot()
    width, height = (float(root.get(name, "0").removesuffix("pt")) for name in ("width", "height"))
    return f"{width * 2:.0f}", f"{height * 2:.0f}"


def _gbit(bits_per_second: float | None) -> str:
    return _number(None if bits_per_second is None else bits_per_second / 1e9)


def _number(value: float | None) -> str:
    """Three significant digits, never in powers of ten; a dash for what is missing."""
    if value is None or math.isnan(value):
        return "-"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 6)}f}"


def _percent(share: float | None) -> str:
    return "-" if share is None or math.isnan(share) else f"{share:.0%}"


def _took(meta: Mapping[str, Any]) -> str:
    """How long a run took in all its sessions that came to an end, in words; empty while it is not known."""
    seconds = 0.0
    for session in meta.get("sessions") or [meta]:
        try:
            ended, started = (datetime.fromisoformat(session[name]) for name in ("ended_at", "started_at"))
        except (KeyError, TypeError, ValueError):
            continue  # killed, or still running
        seconds += (ended - started).total_seconds()
    if not seconds:
        return ""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _crypto(trials: "pd.DataFrame") -> list[str]:
    return sorted({str(value) for value in trials["crypto"].dropna()})
