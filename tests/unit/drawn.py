# SPDX-License-Identifier: Apache-2.0
"""The content of a figure as data (lines, bars, marks, texts, axes and legends), and the differences of two figures.

`.venv/bin/python -m tests.unit.drawn` writes the golden files in tests/unit/golden again, after an intended change of
figures.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.legend import Legend
from matplotlib.patches import Patch

import orchestrator
from orchestrator.analysis import figures
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import Drawing
from orchestrator.paths import CHECKOUT

RESULTS = CHECKOUT / "results"
GOLDEN = Path(__file__).parent / "golden"
NEAR = 1e-6  # relative; the last digits of a sum depend on the processor
MOST_WHOLE = 12  # longer series are kept as a few numbers that depend on each value and on their order
FIGURES: dict[str, Callable[[Run], Drawing]] = {
    "f1-throughput-one-tunnel": figures.one_tunnel,
    "f2-throughput-tunnels": figures.throughput_tunnels,
    "f3-throughput-cores": figures.one_tunnel_a_core,
    "f4-polls": figures.where_polls_ran,
    "f5-speed-ups": figures.speed_ups,
    "f5-speed-ups-published": figures.published,
    "f6-packet-rate": figures.packet_rate,
    "f7-scheduling": figures.scheduling,
    "further-factors": figures.further_factors,
    "over-time": figures.over_time,
    "packet-cost": figures.packet_cost,
    "packet-stages": figures.packet_stages,
    "per-core-load": figures.per_core_load,
    "rekey": figures.rekey,
    "round-trips": figures.round_trips,
    "value-against-round": figures.value_against_round,
}


def stored_figures(run: Path) -> list[str]:
    """Return the names of the figures that a stored run has."""
    return sorted(path.stem for path in (run / "figures").glob("*.svg"))


def drawn(drawing: Drawing) -> dict[str, Any]:
    """Return what a figure draws. Keys are names of its parts, in the order in which they are drawn."""
    found: dict[str, Any] = {"title": drawing.title}
    for legend in drawing.figure.legends:
        found["legend of the figure"] = _entries(legend)
    for number, axes in enumerate(drawing.figure.axes, 1):
        found[f"panel {number}"] = _panel(axes)
    return found


def _panel(axes: Axes) -> dict[str, Any]:
    found: dict[str, Any] = {
        "title": axes.get_title(loc="left") or axes.get_title(),
        "x axis": {"label": axes.get_xlabel(), "scale": axes.get_xscale(), "limits": series(axes.get_xlim())},
        "y axis": {"label": axes.get_ylabel(), "scale": axes.get_yscale(), "limits": series(axes.get_ylim())},
    }
    if axes.get_legend() is not None:
        found["legend"] = _entries(axes.get_legend())
    for line in axes.lines:
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        look = {
            "colour": to_hex(line.get_color()),
            "marker": str(line.get_marker()),
            "style": str(line.get_linestyle()),
        }
        _add(found, "line", line.get_label(), {"x": series(x), "y": series(y), **look})
    for patch in axes.patches:
        box = patch.get_path().vertices if not hasattr(patch, "get_bbox") else patch.get_bbox().get_points()
        _add(found, "bar", patch.get_label(), {"corners": series(box), **_look_of(patch)})
    for collection in axes.collections:
        _add(found, _kind_of(collection), collection.get_label(), _collected(collection))
    for image in axes.images:
        _add(found, "image", image.get_label(), {"values": series(np.ma.filled(image.get_array(), np.nan))})
    for text in axes.texts:
        if text.get_text():
            _add(found, "text", text.get_text(), {"at": series(text.get_position())})
    return found


def _collected(collection: Collection) -> dict[str, Any]:
    colours = sorted({to_hex(colour, keep_alpha=True) for colour in collection.get_facecolor()})
    if isinstance(collection, PathCollection):
        return {"points": series(np.ma.filled(collection.get_offsets(), np.nan)), "colours": colours}
    vertices = [path.vertices for path in collection.get_paths()]
    return {"points": series(np.concatenate(vertices) if vertices else []), "colours": colours}


def _kind_of(collection: Collection) -> str:
    if isinstance(collection, PathCollection):
        return "marks"
    return "segments" if isinstance(collection, LineCollection) else "areas"


def _look_of(patch: Patch) -> dict[str, str]:
    return {"colour": to_hex(patch.get_facecolor(), keep_alpha=True), "hatch": str(patch.get_hatch() or "")}


def _entries(legend: Legend) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


def _add(found: dict[str, Any], kind: str, label: object, content: dict[str, Any]) -> None:
    count = sum(key.startswith(f"{kind} ") for key in found) + 1
    shown = "" if str(label).startswith("_") else f" ({label})"
    found[f"{kind} {count}{shown}"] = content


def series(values: Any) -> list[float | None] | dict[str, float]:
    """Return numbers as they are compared: all of a few, else numbers that depend on each value and on the order."""
    flat = np.asarray(values, float).ravel()
    if flat.size <= MOST_WHOLE:
        return [_short(one) for one in flat]
    there = np.isfinite(flat)
    kept, position = flat[there], np.nonzero(there)[0] / flat.size
    if not kept.size:
        return {"count": float(flat.size), "missing": float(flat.size)}
    return {
        "count": float(flat.size),
        "missing": float((~there).sum()),
        "least": float(f"{kept.min():.9g}"),
        "greatest": float(f"{kept.max():.9g}"),
        "mean": float(f"{kept.mean():.9g}"),
        "mean of squares": float(f"{(kept**2).mean():.9g}"),
        "mean by position": float(f"{(kept * position).mean():.9g}"),
    }


def _short(value: float) -> float | None:
    return float(f"{value:.9g}") if math.isfinite(value) else None


def differences(before: Any, now: Any, where: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield a sentence for each part of a figure that differs."""
    place = ", ".join(where)
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(key for key in now if key not in before)]:
            if key not in now:
                yield f"{place}: {key} is no longer drawn."
            elif key not in before:
                yield f"{place}: {key} is new."
            else:
                yield from differences(before[key], now[key], (*where, key))
    elif not _same(before, now):
        yield f"{place} was {before} and is {now}."


def _same(before: Any, now: Any) -> bool:
    if isinstance(before, list) and isinstance(now, list):
        return len(before) == len(now) and all(map(_same, before, now))
    if isinstance(before, float | int) and isinstance(now, float | int):
        return math.isclose(before, now, rel_tol=NEAR, abs_tol=1e-9)
    return bool(before == now)


def drawn_of(path: Path) -> dict[str, Any]:
    """Return what the figures of a stored run draw when they are made from its data now."""
    run = orchestrator.load(path)
    return {name: drawn(FIGURES[name](run)) for name in stored_figures(path)}


def as_text(found: dict[str, Any]) -> str:
    """Return the text of a golden file: JSON with each series on one line."""
    text = json.dumps(found, indent=1, ensure_ascii=False)
    return re.sub(r"\[[^][{}\"]*\]", lambda match: " ".join(match[0].split()), text) + "\n"


def main() -> None:
    """Write the golden files of all example runs, or of those named."""
    GOLDEN.mkdir(exist_ok=True)
    for path in sorted(RESULTS.glob("example*")):
        if len(sys.argv) == 1 or path.name in sys.argv[1:]:
            (GOLDEN / f"{path.name}.json").write_text(as_text(drawn_of(path)), encoding="utf-8")


if __name__ == "__main__":
    main()
