# SPDX-License-Identifier: Apache-2.0
"""F2: throughput against tunnels at fixed cores, one line per variant, one panel per core count."""

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd

from orchestrator.analysis.cells import cells as cells_of
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, curves, limit_marks, panels, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import STYLE
from orchestrator.analysis.settings import of_first_setting

NAME = "f2-throughput-tunnels"
TITLE = "Throughput against the number of tunnels, at fixed cores"


@of_first_setting
def throughput_tunnels(run: Run) -> Drawing:
    """Return F2 of a run. Core counts without a valid trial have no panel, and the caption names them."""
    cells, title = cells_of(run), parts.title_of(run, TITLE)
    lost = captions.loss_note(run.planned, run.invalid)
    shown = cells[cells["n"] > 0]
    drawn = {int(cores) for cores in shown["cores"]} | {int(cores) for cores in run.invalid["cores"]}
    counts = sorted(drawn)
    if not counts:
        return parts.nothing(run, NAME, title, "no trial with a tunnel gave a throughput.", [lost])
    absent = [cores for cores in sorted({int(c) for c in run.planned["cores"]}) if cores not in drawn]
    limits = limit_marks.limits_of(run, cells)
    above = limit_marks.height_pt(run, limits)
    face = [
        captions.sample_note(cells, explained=False),
        captions.bound_note(cells),
        captions.modes_note(cells),
        lost,
        captions.pool_note(run.measured),
        limit_marks.note(limits),
        *captions.context_notes(run),
    ]
    notes = [captions.sample_note(cells)]
    bare = [cores for cores in counts if cores not in {int(c) for c in run.baselines["cores"]}]
    line = run.in_its_time(f"No tunnel: the same traffic without one (baseline), in {run.quantity.unit}")
    notes.append(f"{line}; none is valid for {', '.join(map(str, bare))} cores." if bare else f"{line}.")
    if absent:
        notes.append(f"No valid trial with {', '.join(map(str, absent))} cores: no panel.")
    notes = [note for note in [*notes, *face[1:]] if note]

    with mpl.rc_context(STYLE):
        figure, grid = panels.sheet_of(run, counts, face, above)
        across = panels.columns(len(counts))
        lines = False
        for place, (axes, cores) in enumerate(zip(grid, counts, strict=True)):
            row = counts[place - place % across :][:across]
            top = _top(run, cells[cells["cores"].isin(row)], row)
            here = cells[cells["cores"] == cores]
            levels = sorted({int(t) for t in here["tunnels"]})
            trials, invalid = (frame[frame["cores"] == cores] for frame in (run.measured, run.invalid))
            places = panels.places_of(levels)
            gap = curves.smallest_gap(places.values())
            curves.draw_variants(axes, run, here, trials, invalid, places, "tunnels", gap)
            here_limits = {key: limit for key, limit in limits.items() if key.cores == cores}
            limit_marks.draw(axes, run, here_limits, places, "tunnels")
            axes.set_ylim(0, top)
            lines |= curves.draw_baseline(axes, _baselines(run, here, levels), top, run.quantity.scale)
            panels.finish(axes, place, counts, levels, parts.value_label(run), above)
        handles = parts.legend_handles(run, cells, run.invalid, lines)
        last = cells[cells["cores"] == counts[across - 1]]
        if curves.ends_are_labelled(cells, last, "tunnels"):
            places = panels.places_of(sorted({int(t) for t in last["tunnels"]}))
            gap = curves.smallest_gap(places.values())
            curves.label_lines(grid[across - 1], run, last, "tunnels", places, gap)
            handles = [handle for handle in handles if handle.get_label() not in run.variants]
        if handles:
            parts.legend(figure, handles)
    return Drawing(NAME, title, figure, notes)


def _baselines(run: Run, cells: pd.DataFrame, levels: Sequence[int]) -> dict[float, float]:
    """Return the baselines of a panel's cells, by the place of their number of tunnels on the x axis."""
    column = run.quantity.of("baseline")
    known = cells[cells[column].notna()]
    places = panels.places_of(levels)
    return {places[int(row["tunnels"])]: float(row[column]) for row in known.to_dict("records")}


def _top(run: Run, cells: pd.DataFrame, cores: Sequence[int]) -> float:
    trials, invalid = (frame[frame["cores"].isin(cores)] for frame in (run.measured, run.invalid))
    quantity = run.quantity
    values = [trials[quantity.column], invalid[quantity.column], cells[quantity.of("high")]]
    return curves.upper_limit(values, cells[quantity.of("baseline")], quantity.scale)
