# SPDX-License-Identifier: Apache-2.0
"""Throughput against further factors: one panel per varied key of the spec, one line per variant."""

import textwrap

import matplotlib as mpl
import pandas as pd

from orchestrator.analysis.cells import cells as cells_of
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, curves, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import COLUMN_IN, PAGE_IN, STYLE
from orchestrator.analysis.settings import settings
from orchestrator.spec.cells import more_words
from orchestrator.spec.factors import Level, factor_of, ordered

NAME = "further-factors"
TITLE = "Throughput against further factors"
_LETTER_IN = 0.062  # width of a letter of a panel's title, on average
_SIDE_IN, _GAP_IN = 0.6, 0.1  # left of the first panel, and between two
_PLACE = "place"  # a column: the index of a row's level of the panel's factor


def further_factors(run: Run) -> Drawing:
    """Return one panel per further factor with several levels, at the most cores and one tunnel per core, or else the
    most tunnels. The other further factors have the levels with which most levels of the panel's factor were
    measured."""
    cells, quantity, title = cells_of(run), run.quantity, parts.title_of(run, TITLE)
    varied = [path for path in run.further_factors if cells[path].nunique() > 1]
    shown = cells[cells["n"] > 0]
    if not varied or shown.empty:
        why = "no trial with a tunnel gave a throughput." if varied else "no key of the spec is a factor."
        return parts.nothing(run, NAME, title, why)
    cores = int(shown["cores"].max())
    counts = {int(tunnels) for tunnels in shown.loc[shown["cores"] == cores, "tunnels"]}
    tunnels = cores if cores in counts else max(counts)
    same = {path: level for path, level in _others(run, varied[0]).items() if path not in varied}
    where = ", ".join([captions.count(cores, "core"), captions.count(tunnels, "tunnel"), *more_words(same)])
    fixed = " Above a panel: the level of each other factor." if len(varied) > 1 else ""
    notes = [captions.sample_note(shown), f"{where}.{fixed}", captions.modes_note(shown)]
    notes += [captions.bound_note(shown), *captions.context_notes(run)]
    notes = [note for note in notes if note]
    with mpl.rc_context(STYLE):
        figure = parts.sheet(run, COLUMN_IN if len(varied) == 1 else PAGE_IN, 2.2, notes)
        grid = figure.subplots(1, len(varied), squeeze=False, sharey=True)[0]
        highest: list[pd.Series] = []
        hollow: list[pd.DataFrame] = []
        for axes, path in zip(grid, varied, strict=True):
            keep: dict[str, Level] = {"cores": cores, "tunnels": tunnels}
            others = _others(run, path)
            keep |= others
            levels: list[Level] = sorted(cells[path].dropna().unique().tolist(), key=_from_left)
            here, trials, invalid = (_at(frame, keep, path, levels) for frame in (cells, run.measured, run.invalid))
            places = {index: float(index) for index in range(len(levels))}
            curves.draw_variants(axes, run, here, trials, invalid, places, _PLACE, 1.0)
            axes.set_xticks(list(places.values()), [captions.level_in_words(path, level) for level in levels])
            axes.set_xlim(*curves.limits(list(places.values()), 1.0))
            axes.set_title(_title({name: level for name, level in others.items() if name in varied}, len(varied)))
            label = factor_of(path).label
            axes.set_xlabel(f"{label[0].upper()}{label[1:]}")
            highest += [here[quantity.of("high")], trials[quantity.column], invalid[quantity.column]]
            hollow.append(invalid)
        grid[0].set_ylim(0, curves.upper_limit(highest, shown[quantity.of("baseline")].iloc[:0], quantity.scale))
        grid[0].set_ylabel(parts.value_label(run))
        parts.legend(figure, parts.legend_handles(run, shown, pd.concat(hollow), False))
    return Drawing(NAME, title, figure, notes)


def _title(others: dict[str, Level], panels: int) -> str:
    """Return the levels of the other factors in lines as wide as one of so many panels."""
    text = ", ".join(more_words(others))
    width_in = (PAGE_IN - _SIDE_IN) / panels - _GAP_IN
    return "\n".join(textwrap.wrap(text, max(8, int(width_in / _LETTER_IN)), break_long_words=False))


def _from_left(level: Level) -> tuple[bool, tuple[float, str]]:
    """Return the sort key of a level on the axis: numbers, then words, which mean their upper end (`max`, `never`)."""
    return isinstance(level, str), ordered(level)


def _others(run: Run, path: str) -> dict[str, Level]:
    """Return the levels of the other further factors that occur with most levels of one; of several, the first in the
    plan."""
    found = [{name: level for name, level in one.items() if name != path} for one in settings(run) if path in one]
    return max(found, key=found.count, default={})


def _at(frame: pd.DataFrame, keep: dict[str, Level], path: str, levels: list[Level]) -> pd.DataFrame:
    """Return the rows of one panel, with the place of their level."""
    found = frame[frame[path].notna()]
    for name, level in keep.items():
        found = found[found[name] == level]
    return found.assign(**{_PLACE: [levels.index(level) for level in found[path].tolist()]})
